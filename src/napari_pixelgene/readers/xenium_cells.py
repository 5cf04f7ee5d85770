"""The tables of a Xenium run about features, cells and their outlines.

Cell centroids and outlines are in µm of the stage; the count matrix (`cell_feature_matrix.h5`) holds transcripts of
QV 20 and more that 10x assigned to a cell, compressed by cell.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.capture import Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers import feature_matrix
from napari_pixelgene.readers.feature_matrix import read_features, read_matrix

__all__ = ["MATRIX", "gene_table", "read_boundaries", "read_cells", "read_features"]

MATRIX = "cell_feature_matrix.h5"
CELLS = ("cells.parquet", "cells.csv.gz", "cells.csv")
_MEND = "Copy it again from its source: it may be cut off."


def gene_table(genes: list[tuple[str, str]], where: Path, on_event: OnEvent = silent) -> GeneTable:
    """Unique symbols from (id, symbol): of genes that share one, the first keeps it, the others get `SYMBOL_ID`.

    Transcripts name a gene by its symbol alone and so are all counted under the first; a warning says so.
    """
    more = "Transcripts do not tell them apart and are counted under the first."
    return feature_matrix.gene_table(genes, where, on_event, more)


def read_cells(bundle: Path, on_event: OnEvent = silent) -> Units:
    """Cells as points at their centroids (`stage_um`), with 10x's counts of genes; controls are left out."""
    matrix_path, cells_path = Path(bundle) / MATRIX, _first(Path(bundle), CELLS)
    matrix = read_matrix(matrix_path, on_event)
    features, barcodes, counts = matrix.features, matrix.barcodes.tolist(), matrix.counts
    genes = gene_table(features.genes, matrix_path, on_event)
    ids, xy = _centroids(cells_path)
    row = {cell: i for i, cell in enumerate(ids)}
    lost = [cell for cell in barcodes if cell not in row]
    if lost:
        raise InputError(
            f"{matrix_path} counts the cell '{lost[0]}' ({len(lost)} such), which {cells_path.name} does not list.",
            "Take both files from the same run.",
        )
    if len(ids) > len(barcodes):
        on_event(
            Note(
                f"{len(ids) - len(barcodes)} of {len(ids)} cells in {cells_path.name} have no counts and are left out."
            )
        )
    place = np.array([row[cell] for cell in barcodes], dtype=np.int64)
    return Units(np.array(barcodes), xy[place], counts[:, features.gene_rows], genes, Footprint("point"), "stage_um")


def read_boundaries(path: Path) -> pl.LazyFrame:
    """Outlines of cells or nuclei, unread: `cell_id` text, `vertex_x` and `vertex_y` in µm of the stage."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Check the path.")
    frame = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_csv(path)
    try:
        present = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} cannot be read as a table of outlines ({error}).", _MEND) from None
    missing = [column for column in ("cell_id", "vertex_x", "vertex_y") if column not in present]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}.", "Take the boundary file of the run.")
    return frame.select(_as_text("cell_id"), pl.col("vertex_x", "vertex_y").cast(pl.Float64))


def _centroids(path: Path) -> tuple[list[str], FloatArray]:
    wanted = ["cell_id", "x_centroid", "y_centroid"]
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} cannot be read as a table of cells ({error}).", _MEND) from None
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}.", "Take the cell table of the run.")
    xy: FloatArray = frame.select(pl.col(wanted[1:]).cast(pl.Float64)).to_numpy()
    return frame.select(_as_text("cell_id")).to_series().to_list(), xy


def _as_text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String)


def _first(bundle: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (bundle / name).is_file():
            return bundle / name
    raise InputError(f"{bundle} has none of {', '.join(names)}.", "Give the whole output folder of the run.")
