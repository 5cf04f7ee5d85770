"""Outlines on the H&E: a table of vertices, as `pixelgene export --what boundaries` writes them or a person's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.errors import InputError

# Columns of x and y, and which frame they are in.
_FRAMES = {"he_um": ("x_he_um", "y_he_um"), "he_px": ("x_he_px", "y_he_px")}
# Which polygon of a cell a vertex is of, where it has several (Xenium's tables have it).
_PART = "label_id"
_MEND = "Give Parquet or CSV with cell_id, x_he_um and y_he_um (or x_he_px and y_he_px), a vertex a row."

# {cell: its polygons, vertices (n, 2) (x, y) each}
Outlines = dict[str, list[FloatArray]]


def read_outlines(path: Path) -> tuple[Outlines, str]:
    """{cell: polygons, vertices (n, 2) (x, y) each} in the order of the file, and the frame they are in.

    Vertices of one cell are one polygon, or one a `label_id` where there is that column. Without an id is an error that
    names the row (1 is the header).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no table of outlines {path}.", _MEND)
    try:
        frame = pl.read_parquet(path) if path.suffix.lower() == ".parquet" else pl.read_csv(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} cannot be read as a table of outlines ({error}).", _MEND) from None
    found = next((name for name, columns in _FRAMES.items() if set(columns) <= set(frame.columns)), None)
    if found is None or "cell_id" not in frame.columns:
        there = ", ".join(frame.columns[:12])
        raise InputError(f"{path} has no cell_id with places on the H&E (it has: {there}).", _MEND)
    nameless = frame["cell_id"].is_null() | (frame["cell_id"].cast(pl.String).str.strip_chars() == "")
    if nameless.any():
        row = int(nameless.arg_true()[0]) + 2
        raise InputError(f"{path} has no cell_id in row {row}.", "Fill it in.")
    try:
        return by_cell(frame, _FRAMES[found]), found
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} has vertices that are no numbers ({error}).", _MEND) from None


def by_cell(frame: pl.DataFrame, columns: tuple[str, str]) -> Outlines:
    """{cell: polygons} of a table with `cell_id`, perhaps `label_id`, and two columns of places, in its order; a vertex
    without a place is NaN."""
    part = pl.col(_PART) if _PART in frame.columns else pl.lit(0).alias(_PART)
    sides = (pl.col(name).cast(pl.Float64) for name in columns)
    places = frame.select(pl.col("cell_id").cast(pl.String), part, *sides)
    groups = places.group_by("cell_id", _PART, maintain_order=True).agg(pl.col(columns[0]), pl.col(columns[1]))
    out: Outlines = {}
    for cell, _, x, y in groups.iter_rows():
        out.setdefault(str(cell), []).append(np.array([x, y], dtype=np.float64).T)
    return out
