"""What a measurement only samples: expected counts, tissue, cells, genes and the transform."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from scipy.sparse import csr_array
from scipy.special import ndtr

from napari_pixelgene.arithmetic.tiles import Tile, tile_count, tiles
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.elements.arrays import BoolArray, FloatArray
from napari_pixelgene.progress import OnEvent, Progress
from napari_pixelgene.simulate.cells import KINDS, Cells, Population
from napari_pixelgene.simulate.detection import Detection
from napari_pixelgene.simulate.genes import Expression
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP, SimulationSettings
from napari_pixelgene.simulate.transcripts import DRIFT_UM, DRIFTED, SPREAD_UM

SUPERPIXEL_UM = 8.0
_CHUNK = 512
_GENES_AT_ONCE = 32
_CELLS_AT_ONCE = 8192
_REACH = 5  # superpixels on either side of the one a cell lies in: 40 µm hold four standard deviations of the drift


def lattice_shape(settings: SimulationSettings) -> tuple[int, int]:
    """(rows, columns) of 8 µm superpixels from the H&E's outer corner; the last ones may reach past the slide."""
    size_um = np.array(settings.he_shape) * settings.he_mpp
    rows, columns = (int(-(-round(float(side), 3) // SUPERPIXEL_UM)) for side in size_um)
    return rows, columns


def write_truth(folder: Path, detection: Detection, expression: Expression, on_event: OnEvent) -> None:
    """Write genes, cells, rates and tissue mask."""
    folder.mkdir(parents=True, exist_ok=True)
    panel = expression.programme
    rows = {"gene": list(panel.genes.symbols), "gene_id": list(panel.genes.ids), "group": list(panel.group)}
    pl.DataFrame(rows).write_parquet(folder / "genes.parquet")
    _write_cells(folder / "cells.parquet", detection)
    _write_rates(folder / "rates.zarr", detection.population, expression, on_event)


def _write_cells(path: Path, detection: Detection) -> None:
    """All cells of the slide, also those the run did not see (`number` -1)."""
    schema = pa.schema(
        [("number", pa.int64()), ("kind", pa.string()), ("x_he_um", pa.float64()), ("y_he_um", pa.float64())]
    )
    columns, rows = detection.population.blocks
    with pq.ParquetWriter(path, schema) as writer:
        for row in range(rows):
            cells = Cells.joined([detection.population.block(column, row) for column in range(columns)])
            kinds = pa.array(np.array(KINDS)[cells.kind], pa.string())
            arrays = [pa.array(detection.number(cells)), kinds, *(pa.array(v) for v in cells.xy_um.T)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _write_rates(path: Path, population: Population, expression: Expression, on_event: OnEvent) -> None:
    """`rates` (gene, row, column): expected accepted counts of each superpixel; `tissue` (row, column)."""
    shape = lattice_shape(population.settings)
    genes = len(expression.programme.genes)
    root = zarr.open_group(path, mode="w")
    names: dict[str, Any] = {
        "genes": list(expression.programme.genes.symbols),
        "superpixel_um": SUPERPIXEL_UM,
        "unit": "accepted counts per superpixel",
    }
    rates = root.create_array(
        "rates", shape=(genes, *shape), chunks=(1, _CHUNK, _CHUNK), dtype="float32", attributes=names
    )
    tissue = root.create_array("tissue", shape=shape, chunks=(_CHUNK, _CHUNK), dtype="bool")
    total = tile_count(shape, _CHUNK)
    for n, tile in enumerate(tiles(shape, _CHUNK)):
        on_event(Progress("truth", n, total))
        tissue[tile.region] = tissue_of(population, tile)
        for part, block in expected(population, expression, tile):
            rates[(part, *tile.region)] = block
    on_event(Progress("truth", total, total))


def expected(population: Population, expression: Expression, tile: Tile) -> Iterator[tuple[slice, FloatArray]]:
    """Expected accepted counts of the superpixels of a tile, (genes, rows, columns), some genes at a time."""
    halo = tile.grown(_REACH + 1)
    low = np.array([halo.columns.start, halo.rows.start]) * SUPERPIXEL_UM
    cells = population.within(low, np.array([halo.columns.stop, halo.rows.stop]) * SUPERPIXEL_UM)
    spread = shares(cells, tile).T.tocsr()
    rates = np.concatenate([expression.rates(part).astype(np.float32) for part in cells.parts(_CELLS_AT_ONCE)])
    for first in range(0, rates.shape[1], _GENES_AT_ONCE):
        part = slice(first, min(first + _GENES_AT_ONCE, rates.shape[1]))
        flat = spread @ rates[:, part]
        yield part, np.asarray(flat.T.reshape(-1, *tile.yx_shape))


def shares(cells: Cells, tile: Tile) -> csr_array:
    """Which part of each cell's molecules falls into each superpixel of a tile, (cells, superpixels)."""
    first = np.floor(cells.xy_um / SUPERPIXEL_UM).astype(np.int64) - _REACH
    edges = (first[:, :, None] + np.arange(2 * _REACH + 2)) * SUPERPIXEL_UM - cells.xy_um[:, :, None]
    weight = (1 - DRIFTED) * _boxes(edges / SPREAD_UM[cells.kind][:, None, None]) + DRIFTED * _boxes(edges / DRIFT_UM)
    column = first[:, 0, None, None] - tile.columns.start + np.arange(2 * _REACH + 1)[None, None, :]
    row = first[:, 1, None, None] - tile.rows.start + np.arange(2 * _REACH + 1)[None, :, None]
    height, width = tile.yx_shape
    row, column = np.broadcast_arrays(row, column)
    keep = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    cell = np.broadcast_to(np.arange(len(cells))[:, None, None], row.shape)
    return csr_array((weight[keep], (cell[keep], (row * width + column)[keep])), shape=(len(cells), height * width))


def _boxes(edges: FloatArray) -> FloatArray:
    """The normal distribution's mass in each box between edges (n, xy, k + 1), (n, k, k) by row and column."""
    part = np.diff(ndtr(edges), axis=2)
    return np.asarray(part[:, 1, :, None] * part[:, 0, None, :])


def tissue_of(population: Population, tile: Tile) -> BoolArray:
    """Superpixels whose centre lies in tissue; lumina and fat belong to it."""
    x = (np.arange(tile.columns.start, tile.columns.stop) + 0.5) * SUPERPIXEL_UM
    y = (np.arange(tile.rows.start, tile.rows.stop) + 0.5) * SUPERPIXEL_UM
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return np.asarray(population.architecture.inside_um(points) > 0).reshape(tile.yx_shape)


def write_transform(folder: Path, transform: Transform, exact: Keypoints) -> None:
    """The true matrix as JSON with its direction, and the pairs without a hand's error."""
    text = {
        "name": transform.name,
        "matrix": transform.matrix.tolist(),
        "source": "morphology_px: level-0 pixels of the morphology image, (x, y), 0 at the outer corner",
        "target": "he_px: level-0 pixels of the H&E, (x, y), 0 at the outer corner",
        "morphology_mpp": MORPHOLOGY_MPP,
    }
    (folder / "transform.json").write_text(json.dumps(text, indent=2), encoding="utf-8")
    write_keypoints(folder / "keypoints_exact.csv", exact)


def write_keypoints(path: Path, pairs: Keypoints) -> None:
    """Xenium Explorer's keypoints file: fixed is the morphology image, alignment the H&E, both in level-0 pixels."""
    lines = ["fixedX,fixedY,alignmentX,alignmentY"]
    for fixed, other in zip(pairs.moving_xy, pairs.fixed_xy, strict=True):
        lines.append(",".join(f"{value:.4f}" for value in (*fixed, *other)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
