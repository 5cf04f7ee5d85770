"""The `spatial` folder of Space Ranger: where spots or bins lie, and how its images are scaled.

Positions are centres in pixels of the image that Space Ranger was given (its "full resolution"), row before column.
10x do not state whether a pixel's corner or centre is 0; positions are taken as they stand (at most 0.2 µm). The
scale factors lead from there to `tissue_hires_image.png` and `tissue_lowres_image.png`.

The array itself is a ruler: spots lie 100 µm apart in a hexagonal array, bins side by side. Space Ranger's
`spot_diameter_fullres` is none: it measures a disk of 65 µm, where the spots of Visium have 55.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from napari_pixelgene.arithmetic.geometry import apply_matrix, fit_affine, is_degenerate, local_geometry
from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.plain_image import is_plain, read_header

STAGE = "import"
SPATIAL, SCALEFACTORS = "spatial", "scalefactors_json.json"
POSITIONS = ("tissue_positions.parquet", "tissue_positions.csv", "tissue_positions_list.csv")
HIRES, LOWRES = "tissue_hires_image", "tissue_lowres_image"
SPOT_UM, PITCH_UM = 55.0, 100.0
# µm from one array column and row to the next: columns count half pitches, rows are √3/2 of a pitch apart.
HEXAGONAL = (PITCH_UM / 2, PITCH_UM * math.sqrt(3) / 2)
_COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
_SCALES = {HIRES: "tissue_hires_scalef", LOWRES: "tissue_lowres_scalef"}
_MEND = "Copy it again from its source: it may be cut off."
_UNREADABLE = (pl.exceptions.PolarsError, OSError, EOFError, UnicodeDecodeError, zlib.error)
_RULER_SPOTS = 20_000
_TOLERANCE = 0.1
# Images that were made by one factor agree to a pixel; the second is for rounding twice.
_ROUNDED_PX = 2


@dataclass(frozen=True, slots=True)
class Positions:
    """Every spot or bin of the array, on tissue or off it, in the order of the file.

    `barcodes` (n,) text, `in_tissue` (n,), `array_xy` (n, 2) column and row of the array, `xy_px` (n, 2) pixels
    (x, y) of the full-resolution image.
    """

    path: Path
    barcodes: pl.Series
    in_tissue: BoolArray
    array_xy: FloatArray
    xy_px: FloatArray

    def places(self, barcodes: Array, counted_in: Path) -> Array:
        """The row (n,) of each barcode; one that has no position is an error."""
        known = pl.DataFrame({"barcode": self.barcodes}).with_row_index("place")
        joined = pl.DataFrame({"barcode": barcodes}).join(known, on="barcode", how="left", maintain_order="left")
        lost = joined.filter(pl.col("place").is_null())["barcode"]
        if len(lost):
            raise InputError(
                f"{counted_in} counts the barcode '{lost[0]}' ({len(lost):,} such), which {self.path} does not place.",
                "Take both from the same run.",
            )
        return joined["place"].to_numpy()


@dataclass(frozen=True, slots=True)
class Ruler:
    """What the array says of the full-resolution image: its pixels per µm, and how far the array is turned in it.

    `turn_deg` is to the nearest quarter turn, -45 to 45.
    """

    px_per_um: float
    turn_deg: float


def read_scalefactors(path: Path) -> Mapping[str, float]:
    """The numbers of `scalefactors_json.json`, all above 0."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Give the whole output folder, with its spatial folder.")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        factors = {str(key): float(value) for key, value in fields.items() if isinstance(value, int | float)}
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a table of scale factors ({error}).", _MEND) from None
    for key, value in factors.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{path}: the field '{key}' is {value:g}; a factor above 0 is expected.", _MEND)
    return factors


def find_positions(spatial: Path) -> Path:
    """The table of positions of any generation of Space Ranger."""
    for each in (name + end for name in POSITIONS for end in ("", ".gz")):
        if (spatial / each).is_file():
            return spatial / each
    raise InputError(
        f"{spatial} has none of {', '.join(POSITIONS)}.", "Give the whole output folder, with its spatial folder."
    )


def read_positions(path: Path) -> Positions:
    """Positions from CSV with a header (Space Ranger 2 on), without one (before), or Parquet (Visium HD)."""
    frame = _table(path)
    missing = [column for column in _COLUMNS if column not in frame.columns]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(frame.columns[:8])}.",
            "Give the table of positions as Space Ranger wrote it.",
        )
    if not frame.height:
        raise InputError(f"{path} has no rows.", _MEND)
    tissue, row, column, y, x = (_numbers(frame, name, path) for name in _COLUMNS[1:])
    _refuse(path, frame, "in_tissue", ~np.isin(tissue, (0, 1)), "0 or 1")
    barcodes = frame["barcode"].cast(pl.String)
    if barcodes.n_unique() < len(barcodes):
        again = barcodes.filter(barcodes.is_duplicated())[0]
        raise InputError(f"{path} places the barcode '{again}' twice.", "Give the table of one run.")
    return Positions(path, barcodes, tissue == 1, np.stack([column, row], axis=1), np.stack([x, y], axis=1))


def _table(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        frame = pl.read_csv(path, has_header=False, infer_schema=False)
    except _UNREADABLE as error:
        raise InputError(
            f"{path} cannot be read as a table of positions ({str(error).splitlines()[0]}).", _MEND
        ) from None
    first = [str(value).strip() for value in frame.row(0)] if frame.height else []
    if _COLUMNS[0] in first:
        return frame.rename(dict(zip(frame.columns, first, strict=True)))[1:]
    if frame.width != len(_COLUMNS):
        raise InputError(
            f"{path} has {frame.width} columns and no header; {len(_COLUMNS)} columns are expected.", _MEND
        )
    return frame.rename(dict(zip(frame.columns, _COLUMNS, strict=True)))


def _numbers(frame: pl.DataFrame, column: str, path: Path) -> FloatArray:
    values = frame[column]
    if values.dtype == pl.String:
        values = values.str.strip_chars()
    numbers: FloatArray = values.cast(pl.Float64, strict=False).to_numpy()
    _refuse(path, frame, column, ~np.isfinite(numbers), "a number")
    return numbers


def _refuse(path: Path, frame: pl.DataFrame, column: str, bad: BoolArray, wanted: str) -> None:
    if bad.any():
        i = int(np.argmax(bad))
        shown = "nothing" if frame[column][i] is None else frame[column][i]
        raise InputError(
            f"{path}, barcode '{frame['barcode'][i]}', column '{column}': {shown} is not {wanted}.",
            "Mend or remove that row.",
        )


def measure(positions: Positions, step_um: tuple[float, float]) -> Ruler | None:
    """Lay the array, `step_um` from one column and row to the next, on its pixels; None where it has no two directions.

    An array that its pixels do not follow (rows of another table, columns swapped by hand) is an error.
    """
    some = slice(None, None, max(1, len(positions.array_xy) // _RULER_SPOTS))
    array_um, xy_px = positions.array_xy[some] * np.array(step_um), positions.xy_px[some]
    if is_degenerate("affine", array_um) or is_degenerate("affine", xy_px):
        return None
    matrix = fit_affine(array_um, xy_px)
    local = local_geometry(matrix, array_um.mean(axis=0)[None])
    scale = float(local.scale[0])
    apart_um = float(np.median(np.linalg.norm(apply_matrix(matrix, array_um) - xy_px, axis=1))) / scale
    if apart_um > max(step_um):
        raise InputError(
            f"{positions.path}: the pixels of a spot lie {apart_um:.0f} µm (median) from where its array_row and "
            "array_col would put it.",
            "Give the table as Space Ranger wrote it; its rows or columns may have been mixed up.",
        )
    return Ruler(scale, (float(local.rotation_deg[0]) + 45) % 90 - 45)


def reduction(he: Image, spatial: Path, factors: Mapping[str, float], on_event: OnEvent = silent) -> float:
    """By what the positions are multiplied for this H&E: 1, or a scale factor where it is a reduced image of the run.

    An image is reduced where it has the size of one in the folder, or its name; a name that the size belies is an
    error.
    """
    sizes = {name: size for name in _SCALES if (size := _size(spatial / f"{name}.png")) is not None}
    for name, key in _SCALES.items():
        named = he.path is not None and name in he.path.name
        if key in factors and (he.yx_shape == sizes.get(name) or named):
            _refuse_other_size(he, name, sizes, factors)
            shown = he.path.name if he.path is not None else "The H&E"
            text = f"{shown} is Space Ranger's reduced image: positions are multiplied by {factors[key]:.6g}."
            on_event(Note(text, stage=STAGE))
            return factors[key]
    return 1.0


def _refuse_other_size(
    he: Image, name: str, sizes: Mapping[str, tuple[int, int]], factors: Mapping[str, float]
) -> None:
    for other, size in sizes.items():
        ratio = factors[_SCALES[name]] / factors[_SCALES[other]] if _SCALES[other] in factors else 0.0
        wanted = tuple(round(side * ratio) for side in size)
        # A small image's rounding grows with the ratio to it.
        near = _ROUNDED_PX * max(1.0, ratio)
        if ratio and any(abs(a - b) > near for a, b in zip(he.yx_shape, wanted, strict=True)):
            raise InputError(
                f"{he.path} is named like Space Ranger's {name}.png, which by the scale factors has {wanted[1]} × "
                f"{wanted[0]} pixels, but it has {he.yx_shape[1]} × {he.yx_shape[0]}.",
                "Give the image of this run, or rename the file if it is the full-resolution image.",
            )


def _size(path: Path) -> tuple[int, int] | None:
    """(rows, columns) of an image in the folder; None where there is none that can be read."""
    try:
        return read_header(path).yx_shape if path.is_file() and is_plain(path) else None
    except InputError:
        return None


def check_ruler(ruler: Ruler | None, scale: float, he: Image, pitch_um: float, unit: str) -> None:
    """At the H&E's pixel size, spots or bins must be `pitch_um` apart within a tenth, or it is another image's."""
    if ruler is None:
        return
    mpp, fitting = he.require_mpp(), 1 / (ruler.px_per_um * scale)
    found_um = pitch_um * mpp / fitting
    if abs(found_um / pitch_um - 1) > _TOLERANCE:
        raise InputError(
            f"At the H&E's {mpp:.4g} µm per pixel neighbouring {unit} are {found_um:.4g} µm apart; they must be "
            f"{pitch_um:g} µm.",
            f"Give --mpp {fitting:.4g}, which fits the array"
            + ("." if scale != 1 else ", or, if Space Ranger was given another image, name that one with --he."),
        )
