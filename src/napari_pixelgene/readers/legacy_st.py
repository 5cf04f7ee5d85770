"""Legacy Spatial Transcriptomics: a wide table of counts and a table of spots.

The counts are tab-separated, one spot a row (`{x}x{y}`, array coordinates) and one gene a column, or the other
way round; which way is decided by where the spots' names stand. The spot table has the columns `x`, `y`
(array) and `pixel_x`, `pixel_y` (pixels of the H&E, x right, y down), and perhaps `selected`. Spots and
counts meet where the rounded array coordinates agree. The format does not say whether a pixel's
corner or centre is 0; its positions are taken as they stand (half a pixel is far below the detection's own error).
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy import sparse

from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.table_file import is_gzip

_SPOT_NAME = re.compile(r"^\s*(-?\d+(?:\.\d*)?)\s*x\s*(-?\d+(?:\.\d*)?)\s*$")
_REQUIRED = ("x", "y", "pixel_x", "pixel_y")
_UNREADABLE = (pl.exceptions.PolarsError, OSError, EOFError, UnicodeDecodeError, zlib.error)


def read_legacy_st(
    counts: Path, spots: Path, spot_diameter_um: float, name: str = "st", on_event: OnEvent = silent
) -> Capture:
    """One capture of disks of `spot_diameter_um`, positions in `he_px`, in the order of the counts.

    Spots without counts and spots with `selected` = 0 are left out and counted in a note. Counts without a
    spot, repeated spots or genes, and values that are not whole numbers from 0 up raise InputError.
    """
    if not (np.isfinite(spot_diameter_um) and spot_diameter_um > 0):
        raise InputError(f"The spot diameter is {spot_diameter_um} µm.", "Give a positive number (legacy ST: 100).")
    table = _read_spots(Path(spots))
    wide = _read_counts(Path(counts)).with_spots_as_rows(set(table.ids))
    row_of_spot = {spot: i for i, spot in enumerate(table.ids)}
    _refuse_unplaced(wide, row_of_spot, table.path)
    rows = np.array([row_of_spot[spot] for spot in wide.rows], dtype=np.int64)
    keep = table.selected[rows]
    _tell(table, len(rows), int(keep.sum()), on_event)
    if not keep.any():
        raise InputError(
            f"No spot of {table.path} is selected and has counts.", "Check that both files are one section."
        )
    footprint = Footprint("disk", float(spot_diameter_um))
    return _capture(name, wide, keep, table.taken(rows[keep]), footprint)


def _capture(name: str, wide: _Wide, keep: BoolArray, spots: _Spots, footprint: Footprint) -> Capture:
    genes = GeneTable(wide.columns)
    matrix = sparse.csr_matrix(wide.values[keep].astype(np.int32))
    ids = np.array([spot for spot, kept in zip(wide.rows, keep, strict=True) if kept])
    units = Units(ids, spots.xy_px, matrix, genes, footprint, "he_px", lattice=spots.lattice)
    return Capture(name, "legacy_st", genes, units=units)


@dataclass(frozen=True, slots=True)
class _Spots:
    path: Path
    ids: tuple[str, ...]
    xy_px: FloatArray
    selected: BoolArray
    lattice: IntArray  # (n, 2) column and row of the array: the rounded x and y

    def taken(self, rows: IntArray) -> _Spots:
        """Some of the spots."""
        ids = tuple(self.ids[i] for i in rows)
        return _Spots(self.path, ids, self.xy_px[rows], self.selected[rows], self.lattice[rows])


@dataclass(frozen=True, slots=True)
class _Wide:
    """A table of numbers with named rows and columns."""

    path: Path
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: FloatArray  # (rows, columns)

    def with_spots_as_rows(self, known: set[str]) -> _Wide:
        """Spots down, genes across; spot names in their rounded form."""
        rows, columns = _rounded(self.rows), _rounded(self.columns)
        down, across = len(known.intersection(rows)), len(known.intersection(columns))
        if not down and not across:
            raise InputError(
                f"No row or column of {self.path} is a spot of the spot table: the rows begin with '{self.rows[0]}', "
                f"the columns with '{self.columns[0]}'.",
                "Names must be '{x}x{y}' of the spot table's rounded x and y; check that both files are one section.",
            )
        spots, genes, values = (
            (rows, self.columns, self.values) if down >= across else (columns, self.rows, self.values.T)
        )
        return _Wide(self.path, _unique(spots, self.path, "spot"), _unique(genes, self.path, "gene"), values)


def _rounded(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(_spot_id(float(m[1]), float(m[2])) if (m := _SPOT_NAME.match(n)) else n for n in names)


def _spot_id(x: float, y: float) -> str:
    return f"{round(x)}x{round(y)}"


def _unique(names: tuple[str, ...], path: Path, kind: str) -> tuple[str, ...]:
    first: dict[str, int] = {}
    for i, each in enumerate(names):
        if each in first:
            raise InputError(
                f"{path}: the {kind} '{each}' stands twice, as number {first[each] + 1} and {i + 1}.",
                f"Keep one of them, or add their counts up before importing; every {kind} must stand once.",
            )
        first[each] = i
    return names


def _refuse_unplaced(wide: _Wide, row_of_spot: dict[str, int], spots: Path) -> None:
    unplaced = [spot for spot in wide.rows if spot not in row_of_spot]
    if unplaced:
        shown = ", ".join(unplaced[:5]) + (f" and {len(unplaced) - 5} more" if len(unplaced) > 5 else "")
        raise InputError(
            f"{wide.path} has counts for {shown}, which {spots} does not place.",
            "Add these spots to the spot table, or take their counts out.",
        )


def _tell(table: _Spots, with_counts: int, kept: int, on_event: OnEvent) -> None:
    without = len(table.ids) - with_counts
    if without:
        on_event(Note(f"{without} of {len(table.ids)} spots in {table.path.name} have no counts and are left out."))
    if with_counts > kept:
        dropped = f"{with_counts - kept} of {len(table.ids)} spots in {table.path.name}"
        on_event(Note(f"{dropped} have selected = 0 and are left out with their counts."))


# Spots


def _read_spots(path: Path) -> _Spots:
    frame = _text_table(path)
    missing = [column for column in _REQUIRED if column not in frame.columns]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(frame.columns[:12])}.",
            "A spot table is tab-separated with x, y, pixel_x, pixel_y (and perhaps selected).",
        )
    x, y, pixel_x, pixel_y = (_numbers(frame, column, path) for column in _REQUIRED)
    selected = _numbers(frame, "selected", path) != 0 if "selected" in frame.columns else np.ones(len(x), dtype=bool)
    ids = tuple(_spot_id(a, b) for a, b in zip(x, y, strict=True))
    lattice = np.array([(round(a), round(b)) for a, b in zip(x, y, strict=True)], dtype=np.int64)
    return _Spots(path, _unique(ids, path, "spot"), np.stack([pixel_x, pixel_y], axis=1), selected, lattice)


def _text_table(path: Path) -> pl.DataFrame:
    _require_file(path)
    try:
        frame = pl.read_csv(path, separator="\t", infer_schema=False)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None
    if frame.height == 0:
        raise InputError(f"{path} has no rows under its header.", "Check that the file is complete.")
    return frame


def _numbers(frame: pl.DataFrame, column: str, path: Path) -> FloatArray:
    text = frame[column]
    numbers: FloatArray = text.str.strip_chars().cast(pl.Float64, strict=False).to_numpy()
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        shown = text[int(bad[0])] or "empty"
        raise InputError(
            f"{path}, line {bad[0] + 2}, column '{column}': '{shown}' is not a number.", "Mend or remove that line."
        )
    return numbers


# Counts


def _read_counts(path: Path) -> _Wide:
    _require_file(path)
    try:
        header, width = _header(path)
        columns = _column_names(path, header, width)
        try:
            frame = _body(path, width, pl.Float64)
        except pl.exceptions.PolarsError:
            raise _first_non_number(path, columns, _body(path, width, pl.String)) from None
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None
    rows = tuple(str(n) for n in frame["0"].fill_null(""))
    if not rows:
        raise InputError(f"{path} has no rows under its header.", "Check that the file is complete.")
    values: FloatArray = frame.drop("0").to_numpy()
    _refuse_non_counts(path, rows, columns, values)
    return _Wide(path, rows, columns, values)


def _header(path: Path) -> tuple[list[str], int]:
    """Names of the first line and the number of fields of the second."""
    opener = gzip.open if is_gzip(path) else open
    with opener(path, "rt", encoding="utf-8-sig") as lines:
        first, second = lines.readline().rstrip("\r\n"), lines.readline().rstrip("\r\n")
    return [n.strip().strip('"') for n in first.split("\t")], len(second.split("\t"))


def _column_names(path: Path, header: list[str], width: int) -> tuple[str, ...]:
    """Without the corner, which R leaves out."""
    if width < 2:
        raise InputError(f"{path} has {width} column.", "A table of counts is tab-separated: a name, then numbers.")
    if len(header) not in (width, width - 1):
        raise InputError(
            f"{path}: the header has {len(header)} fields, the first row {width}.", "Check that the file is complete."
        )
    return tuple(header[len(header) - (width - 1) :])


def _body(path: Path, width: int, kind: type[pl.Float64] | type[pl.String]) -> pl.DataFrame:
    schema: dict[str, type[pl.DataType]] = {str(i): kind for i in range(width)}
    schema["0"] = pl.String
    return pl.read_csv(path, separator="\t", has_header=False, skip_rows=1, schema=schema)


def _first_non_number(path: Path, columns: Sequence[str], frame: pl.DataFrame) -> InputError:
    for column, series in zip(columns, frame.drop("0").iter_columns(), strict=True):
        bad = series.is_not_null() & series.cast(pl.Float64, strict=False).is_null()
        if bad.any():
            row = int(bad.arg_max() or 0)
            return _cell_error(path, str(frame["0"][row]), column, f"'{series[row]}'")
    return InputError(f"{path} cannot be read as a table of numbers.", "Check that the file is complete.")


def _refuse_non_counts(path: Path, rows: Sequence[str], columns: Sequence[str], values: FloatArray) -> None:
    limit = np.iinfo(np.int32).max
    whole = (values >= 0) & (values <= limit) & (values == np.floor(values))
    if not whole.all():
        i, j = (int(k) for k in np.argwhere(~whole)[0])
        raise _cell_error(path, rows[i], columns[j], "empty" if np.isnan(values[i, j]) else f"{values[i, j]:g}")


def _cell_error(path: Path, row: str, column: str, value: str) -> InputError:
    return InputError(
        f"{path}, row '{row}', column '{column}': {value} is not a count.",
        "Counts are whole numbers from 0 up: give the raw table, not a normalised one.",
    )


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Check the path.")


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"{path} cannot be read as a tab-separated table ({reason}).", "Check that the file is complete.")
