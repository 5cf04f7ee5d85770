"""Outlines on the H&E: a table of vertices, as `pixelgene export --what boundaries` writes them or a person's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.errors import InputError

# Columns of x and y, and which frame they are in.
_FRAMES = {"he_um": ("x_he_um", "y_he_um"), "he_px": ("x_he_px", "y_he_px")}
_MEND = "Give Parquet or CSV with cell_id, x_he_um and y_he_um (or x_he_px and y_he_px), a vertex a row."

Outlines = dict[str, FloatArray]


def read_outlines(path: Path) -> tuple[Outlines, str]:
    """{cell: vertices (n, 2) (x, y)} in the order of the file, and the frame they are in."""
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
    try:
        return by_cell(frame, _FRAMES[found]), found
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} has vertices that are no numbers ({error}).", _MEND) from None


def by_cell(frame: pl.DataFrame, columns: tuple[str, str]) -> Outlines:
    """{cell: vertices (n, 2)} of a table with `cell_id` and two columns of places, in its order; a vertex without a
    place is NaN."""
    places = frame.select(pl.col("cell_id").cast(pl.String), *(pl.col(name).cast(pl.Float64) for name in columns))
    groups = places.group_by("cell_id", maintain_order=True).agg(pl.col(columns[0]), pl.col(columns[1]))
    out: Outlines = {}
    for cell, x, y in groups.iter_rows():
        out[str(cell)] = np.array([x, y], dtype=np.float64).T
    return out
