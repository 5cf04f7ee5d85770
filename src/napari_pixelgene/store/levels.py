"""Coarse levels of maps: each the 2 × 2 mean of the one before, over what is not NaN.

A coarse level is stored one gene a chunk (up to 2048²), for a viewer reads one gene at a time. The pass goes by
batches of genes and strips of rows, and keeps a ledger like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import zarr

from napari_pixelgene.arithmetic.tiles import Tile, tiles
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.progress import OnEvent, Progress
from napari_pixelgene.store.ledger import Partial

SMALLEST = 256
CHUNK = 2048
# Rows of the finer level that are in memory at once, and values over all genes: 67 MB in float32.
_ROWS, _VALUES = 512, 1 << 24
# Contrast limits are taken from the finest level that is no larger: enough pixels, few reads.
_CONTRAST_SIDE = 1024
_PERCENTILES = (1.0, 99.0)


def level_shapes(yx_shape: tuple[int, int]) -> list[tuple[int, int]]:
    """(rows, columns) of every level, halved and rounded up until both sides are under 256."""
    shapes = [yx_shape]
    while max(shapes[-1]) >= SMALLEST:
        rows, columns = shapes[-1]
        shapes.append((-(-rows // 2), -(-columns // 2)))
    return shapes


def halved(block: FloatArray) -> FloatArray:
    """(…, rows, columns) to half of each, rounded up: the mean of the up to four values that are not NaN."""
    odd = [(0, side % 2) for side in block.shape[-2:]]
    even = np.pad(block, [(0, 0)] * (block.ndim - 2) + odd, constant_values=np.nan) if any(map(any, odd)) else block
    upper, lower = even[..., ::2, :], even[..., 1::2, :]
    rows = upper + lower
    out: FloatArray = (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)
    # Background stays NaN; only its rim, where some of the four are there, is averaged anew.
    rows = np.fmax(upper, lower)
    rim = np.isnan(out) & ~np.isnan(np.fmax(rows[..., ::2], rows[..., 1::2]))
    out[rim] = np.nanmean([even[..., i::2, j::2][rim] for i in (0, 1) for j in (0, 1)], axis=0)
    return out


def build(arrays: list[zarr.Array[Any]], partial: Partial, stage: str, on_event: OnEvent) -> None:
    """Fill every level after the first that is not done yet."""
    plan = [(level, genes) for level in range(1, len(arrays)) for genes in batches(arrays[level - 1].shape)]
    on_event(Progress(stage, 0, len(plan), "coarse levels"))
    for done, (level, genes) in enumerate(plan, start=1):
        key = f"level {level} genes {genes.start}"
        if not partial.done(key):
            _halve_level(arrays[level - 1], arrays[level], genes)
            partial.mark(key)
        on_event(Progress(stage, done, len(plan), "coarse levels"))


def contrast_limits(arrays: list[zarr.Array[Any]]) -> FloatArray:
    """(genes, 2): the 1st and 99th percentile of each gene, upper above lower; (0, 1) where nothing is known."""
    array = next((a for a in arrays if max(a.shape[1:]) <= _CONTRAST_SIDE), arrays[-1])
    limits = np.empty((array.shape[0], 2), dtype=np.float32)
    for genes in batches(array.shape):
        for gene, plane in enumerate(np.asarray(array[genes], dtype=np.float32), start=genes.start):
            limits[gene] = _limits(plane[~np.isnan(plane)])
    return limits


def batches(shape: tuple[int, ...]) -> Iterator[slice]:
    """Genes of an array (genes, rows, columns) that are in memory at once, strip by strip: up to a shard's 128."""
    strip = min(shape[1], _ROWS) * min(shape[2], 2 * CHUNK)
    count = min(128, max(1, _VALUES // strip))
    for start in range(0, shape[0], count):
        yield slice(start, min(start + count, shape[0]))


def _limits(values: FloatArray) -> tuple[float, float]:
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, _PERCENTILES)
    if high > low:
        return float(low), float(high)
    top = float(values.max())
    return float(low), top if top > low else float(low) + 1.0


def _halve_level(fine: zarr.Array[Any], coarse: zarr.Array[Any], genes: slice) -> None:
    """Write `genes` of a level, chunk by chunk, each from strips of the finer level."""
    for tile in tiles((coarse.shape[1], coarse.shape[2]), CHUNK):
        coarse[(genes, *tile.region)] = _halved_tile(fine, tile, genes, coarse.dtype)


def _halved_tile(fine: zarr.Array[Any], tile: Tile, genes: slice, dtype: Any) -> FloatArray:
    out = np.empty((genes.stop - genes.start, *tile.yx_shape), dtype=dtype)
    source = tile.scaled(2).clipped((fine.shape[1], fine.shape[2]))
    for top in range(source.rows.start, source.rows.stop, _ROWS):
        bottom = min(top + _ROWS, source.rows.stop)
        strip = np.asarray(fine[genes, top:bottom, source.columns.as_slice()], dtype=np.float32)
        start = top // 2 - tile.rows.start
        small = halved(strip)
        out[:, start : start + small.shape[1]] = small
    return out
