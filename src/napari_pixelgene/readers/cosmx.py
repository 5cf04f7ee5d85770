"""CosMx flat files: transcripts in pixels of the whole slide, or cells where there is no table of transcripts.

Positions are `*_global_px`; times the pixel size they are `stage_um`. NanoString describes their 0 as the lower left
corner of the capture area, so that y goes up: against an H&E the run is mirrored, and the registration turns it over.
The pixel size is no field of its own. Where the positions of the fields of view stand in both pixels and mm it follows
from them; else the instrument is told by the size of its fields of view: the one of the first public release has
0.18 µm pixels and fields 5,472 wide, later ones 0.1203 µm and 4,256.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_pixelgene.elements.arrays import BoolArray, FloatArray
from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.molecules import Layout, extent_words, stream, survey
from napari_pixelgene.readers.streamed_table import Kind, StreamedTable, numbers, open_table
from napari_pixelgene.readers.wide_counts import read_wide

TRANSCRIPTS, MATRIX, METADATA, FIELDS = "tx_file", "exprMat_file", "metadata_file", "fov_positions_file"
PIXEL_UM, FIRST_PIXEL_UM = 0.120280945, 0.18
CONTROLS = ("negative", "negprb", "systemcontrol", "falsecode")
_TYPES = (".parquet", ".csv.gz", ".csv")
_X, _Y = "x_global_px", "y_global_px"
_WIDEST_FIELD_PX = 4300
_PLAUSIBLE_UM = (0.05, 0.5)
_MIRRORED = (
    "y of CosMx's whole-slide positions goes up, y of an image down: where the keypoints say so too, register with "
    "--allow-mirror."
)


@dataclass(frozen=True, slots=True)
class FlatFiles:
    """The tables of one run, by what they hold."""

    name: str
    tables: Mapping[str, Path]

    @property
    def counted(self) -> Path:
        """The table with the numbers: transcripts, else the matrix of cells."""
        return self.tables.get(TRANSCRIPTS) or self.tables[MATRIX]


def find_run(place: Path) -> FlatFiles:
    """The flat files in a folder, or those beside one of them; several runs in one folder are an error."""
    if not place.exists():
        raise InputError(f"There is no file or folder {place}.", "Check the path.")
    folder = place if place.is_dir() else place.parent
    runs: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        named = _named(path)
        if named is not None:
            runs.setdefault(named[0], {}).setdefault(named[1], path)
    whole = {
        name: tables for name, tables in runs.items() if TRANSCRIPTS in tables or {MATRIX, METADATA} <= set(tables)
    }
    if place.is_file():
        named = _named(place)
        whole = {named[0]: {**whole[named[0]], named[1]: place}} if named is not None and named[0] in whole else {}
    if not whole:
        raise InputError(
            f"{place} holds no CosMx run: neither NAME_{TRANSCRIPTS}.csv nor NAME_{MATRIX}.csv with "
            f"NAME_{METADATA}.csv (.csv.gz, .parquet).",
            "Give the folder of the exported flat files.",
        )
    if len(whole) > 1:
        first = next(iter(whole.values()))
        raise InputError(
            f"{folder} holds several runs: {', '.join(name or '(no name)' for name in whole)}.",
            f"Give one of their files, such as {FlatFiles('', first).counted}.",
        )
    name, tables = next(iter(whole.items()))
    return FlatFiles(name or folder.name, tables)


def read_cosmx(place: Path, pixel_um: float | None = None, cells: bool = False, on_event: OnEvent = silent) -> Capture:
    """A run in `stage_um`: transcripts streamed, or its cells as points where `cells` or where there are none.

    `pixel_um` overrules the pixel size that the files tell. Controls (Negative, SystemControl, FalseCode) are left
    out and counted in a note. Raises InputError that names file and column or row.
    """
    run = find_run(place)
    if cells or TRANSCRIPTS not in run.tables:
        capture = _cells(run, pixel_um, on_event)
    else:
        capture = _transcripts(run, pixel_um, on_event)
    on_event(Note(_MIRRORED))
    return capture


def _named(path: Path) -> tuple[str, str] | None:
    """(run, which table) of a flat file's name; the joint is `_` or `-`, or there is no run's name."""
    end = next((end for end in _TYPES if path.name.lower().endswith(end)), None)
    if end is None or not path.is_file():
        return None
    stem = path.name[: -len(end)]
    for kind in (TRANSCRIPTS, MATRIX, METADATA, FIELDS):
        if stem == kind or re.search(rf"[-_]{kind}$", stem):
            return stem[: -len(kind)].rstrip("-_"), kind
    return None


# Transcripts


def _transcripts(run: FlatFiles, pixel_um: float | None, on_event: OnEvent) -> Capture:
    table = open_table(run.tables[TRANSCRIPTS])
    x, y = table.require(_X, "x on the slide"), table.require(_Y, "y on the slide")
    layout = Layout(table, x, y, table.require("target", "the gene"), controls=CONTROLS)
    found = survey(layout, on_event)
    size, why = _pixel_size(run, pixel_um, "x_local_px", table, on_event)
    molecules = stream(layout, found, size, "stage_um", on_event)
    facts: dict[str, str | int | float] = {
        "molecules": sum(found.molecules.values()),
        "pixel size (µm)": size,
        "pixel size from": why,
        "extent": extent_words(found.low * size, found.high * size, "µm"),
    }
    return Capture(run.name, "cosmx", molecules.genes, transcripts=molecules, facts=facts)


# Cells


def _cells(run: FlatFiles, pixel_um: float | None, on_event: OnEvent) -> Capture:
    if MATRIX not in run.tables or METADATA not in run.tables:
        raise InputError(
            f"The run '{run.name}' has no {MATRIX} with {METADATA}: its cells cannot be counted.",
            "Export both, or count transcripts.",
        )
    about, matrix = open_table(run.tables[METADATA]), open_table(run.tables[MATRIX])
    places = _centres(about)
    genes = _gene_columns(matrix, on_event)
    wide = read_wide(matrix, None, genes, _cell_columns(matrix), on_event)  # (fov, cell) stands for a position
    row = {key: i for i, key in enumerate(map(tuple, places.keys.tolist()))}
    keys = [tuple(key) for key in wide.xy.tolist()]
    inside = np.array([key[1] != 0 for key in keys])
    _refuse_repeated(matrix.path, [key for key, cell in zip(keys, inside, strict=True) if cell])
    lost = [key for key, cell in zip(keys, inside, strict=True) if cell and key not in row]
    if lost:
        raise InputError(
            f"{matrix.path} counts cell {lost[0][1]:g} of field {lost[0][0]:g} ({len(lost)} such), which "
            f"{about.path.name} does not place.",
            "Take both files from the same export.",
        )
    _tell_cells(matrix.path, about.path, inside, len(row), on_event)
    kept = [key for key, cell in zip(keys, inside, strict=True) if cell]
    size, why = _pixel_size(run, pixel_um, "CenterX_local_px", about, on_event)
    xy = places.xy[np.array([row[key] for key in kept], dtype=np.int64)] * size
    ids = np.array([f"{fov:g}_{cell:g}" for fov, cell in kept])
    table = GeneTable(wide.genes)
    units = Units(ids, xy, wide.counts[np.flatnonzero(inside)], table, Footprint("point"), "stage_um")
    extent = extent_words(xy.min(axis=0), xy.max(axis=0), "µm")
    facts: dict[str, str | int | float] = {
        "cells": len(kept),
        "pixel size (µm)": size,
        "pixel size from": why,
        "extent": extent,
    }
    return Capture(run.name, "cosmx", table, units=units, facts=facts)


@dataclass(frozen=True, slots=True)
class _Centres:
    """(field, cell) and centre in global pixels of each cell, both (n, 2)."""

    keys: FloatArray
    xy: FloatArray


def _centres(about: StreamedTable) -> _Centres:
    columns = (*_cell_columns(about), *(about.require(f"Center{a}_global_px", f"{a.lower()} of a cell") for a in "XY"))
    values = _columns(about, columns)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise InputError(
            f"{about.path}, row {bad[0] + 1}: field, cell or position is not a number.", "Mend or remove that row."
        )
    _refuse_repeated(about.path, [tuple(key) for key in values[:, :2].tolist()])
    return _Centres(values[:, :2], values[:, 2:])


def _cell_columns(table: StreamedTable) -> tuple[int, int]:
    cell = table.place("cell_ID", "cellID")
    return table.require("fov", "field of view"), table.require("cell_ID", "cell") if cell is None else cell


def _gene_columns(matrix: StreamedTable, on_event: OnEvent) -> list[int]:
    aside = {*_cell_columns(matrix), matrix.place("cell"), matrix.index}
    targets = [i for i in range(len(matrix.columns)) if i not in aside and matrix.columns[i] != ""]
    controls = [i for i in targets if matrix.columns[i].lower().startswith(CONTROLS)]
    if controls:
        on_event(Note(f"{len(controls)} of {len(targets)} targets in {matrix.path.name} are controls and left out."))
    return [i for i in targets if i not in set(controls)]


def _refuse_repeated(path: Path, keys: list[tuple[float, ...]]) -> None:
    seen: dict[tuple[float, ...], int] = {}
    for i, key in enumerate(keys, start=1):
        if key in seen:
            raise InputError(
                f"{path}: cell {key[1]:g} of field {key[0]:g} stands twice, as number {seen[key]} and {i}.",
                "Remove one of them.",
            )
        seen[key] = i


def _tell_cells(matrix: Path, about: Path, inside: BoolArray, placed: int, on_event: OnEvent) -> None:
    outside, counted = int((~inside).sum()), int(inside.sum())
    if not counted:
        raise InputError(f"{matrix} counts no cell.", "Check that the file is complete.")
    if outside:
        on_event(Note(f"{outside} rows of {matrix.name} count what lies in no cell (cell 0) and are left out."))
    if placed > counted:
        on_event(Note(f"{placed - counted} of {placed} cells in {about.name} have no counts and are left out."))


# Pixel size


def _pixel_size(
    run: FlatFiles, given: float | None, local: str, table: StreamedTable, on_event: OnEvent
) -> tuple[float, str]:
    """µm per pixel, and where it is from; told."""
    if given is not None:
        return given, "given"
    size = _from_fields(run)
    if size is not None:
        why = f"fields of view in px and mm ({run.tables[FIELDS].name})"
    else:
        size, why = _from_width(table, local)
    on_event(Note(f"A pixel of {run.name} is {size:.6g} µm: {why}. Another one is given with --pixel-um."))
    return size, why


def _from_fields(run: FlatFiles) -> float | None:
    """The slope of mm over pixels of the fields' positions, both axes together; None where the file tells no mm."""
    if FIELDS not in run.tables:
        return None
    table = open_table(run.tables[FIELDS])
    places = [table.place(f"{axis}_global_{unit}") for axis in "xy" for unit in ("px", "mm")]
    if any(place is None for place in places):
        return None
    values = _columns(table, [place for place in places if place is not None])
    px, mm = (part - part.mean(axis=0) for part in (values[:, [0, 2]], values[:, [1, 3]]))
    spread = float((px**2).sum())
    size = float(np.abs((px * mm).sum())) / spread * 1000 if spread > 0 else float("nan")
    low, high = _PLAUSIBLE_UM
    return size if low <= size <= high else None


def _from_width(table: StreamedTable, local: str) -> tuple[float, str]:
    place = table.place(local)
    widest = -np.inf
    if place is not None:
        for batch in table.batches({place: "number"}):
            widest = max(widest, float(np.nanmax(numbers(batch, 0), initial=-np.inf)))
    if widest > _WIDEST_FIELD_PX:
        return FIRST_PIXEL_UM, f"its fields of view reach x = {widest:,.0f}, as those of the first instrument"
    return PIXEL_UM, "the instrument's own, for no file tells it"


def _columns(table: StreamedTable, places: list[int] | tuple[int, ...]) -> FloatArray:
    """Some columns of a small table as numbers (rows, columns)."""
    wanted: dict[int, Kind] = dict.fromkeys(places, "number")
    parts = [np.stack([numbers(batch, i) for i in range(len(places))], axis=1) for batch in table.batches(wanted)]
    return np.concatenate(parts) if parts else np.zeros((0, len(places)))
