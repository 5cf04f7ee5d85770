"""Points into a picture of how densely they lie, without knowing beforehand where they lie."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Points = npt.NDArray[np.floating[Any]]
Cells = npt.NDArray[np.int64]
Raster = npt.NDArray[np.float32]

# Batches are summed up whenever this many distinct pixels have gathered.
_GATHERED = 4_000_000


def density(
    batches: Iterable[tuple[Points, Points | None]], pixel: float, blur: float = 0.0
) -> tuple[Raster, tuple[float, float]]:
    """Sum of the weights a pixel, smoothed by a Gaussian, and the place (x, y) of the picture's outer corner.

    `batches` are points (n, 2) with weights (n,), or None for 1 each; `pixel` and `blur` (its standard deviation) are
    in the points' unit. The picture reaches three `blur` and a pixel beyond the points, its corner is a multiple of
    `pixel`. Without any point it is 1 × 1 and 0.
    """
    cells, sums = _gathered(batches, pixel)
    if not len(cells):
        return np.zeros((1, 1), dtype=np.float32), (0.0, 0.0)
    margin = 1 + int(np.ceil(3 * blur / pixel))
    first = cells.min(axis=0) - margin
    columns, rows = cells.max(axis=0) + margin + 1 - first
    raster = np.zeros((rows, columns), dtype=np.float32)
    raster[cells[:, 1] - first[1], cells[:, 0] - first[0]] = sums
    if blur > 0:
        raster = ndimage.gaussian_filter(raster, blur / pixel, mode="constant")
    return raster, (float(first[0] * pixel), float(first[1] * pixel))


def _gathered(batches: Iterable[tuple[Points, Points | None]], pixel: float) -> tuple[Cells, Points]:
    """The pixels (k, 2) that hold points, by column and row, and the weights (k,) in each."""
    held: list[tuple[Cells, Points]] = []
    for xy, weights in batches:
        held.append(_summed(np.floor(xy / pixel).astype(np.int64), np.ones(len(xy)) if weights is None else weights))
        if sum(len(cells) for cells, _ in held) > _GATHERED:
            held = [_together(held)]
    return _together(held) if held else (np.zeros((0, 2), dtype=np.int64), np.zeros(0))


def _together(
    held: list[tuple[Cells, Points]],
) -> tuple[Cells, Points]:
    return _summed(np.concatenate([cells for cells, _ in held]), np.concatenate([sums for _, sums in held]))


def _summed(cells: Cells, weights: Points) -> tuple[Cells, Points]:
    """Each cell once, with the sum of its weights."""
    if not len(cells):
        return cells, np.zeros(0)
    low = cells.min(axis=0)
    width = int(np.ptp(cells[:, 0])) + 1
    keys, where = np.unique((cells[:, 1] - low[1]) * width + cells[:, 0] - low[0], return_inverse=True)
    sums = np.bincount(where, np.asarray(weights, dtype=np.float64), minlength=len(keys))
    return np.stack([keys % width, keys // width], axis=1) + low, sums.astype(np.float64)
