"""Counts of larger or other areas out of counts a square: sums over blocks of squares, and over outlines.

Values are counts a square, so that what a block holds is a sum, and what an outline holds is the sum over the squares
it covers, each by the share that is covered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]


def block_sums(values: FloatArray, factor: int) -> FloatArray:
    """(…, rows, columns) summed over blocks of `factor` × `factor`, smaller at the bottom and right.

    NaN is background and adds nothing; a block of nothing else is NaN (specs/iscale.md section 1.3, step 15).
    """
    there = np.isfinite(values)
    total = _added(np.where(there, values, 0.0), factor)
    out: FloatArray = np.where(_added(there.astype(np.int32), factor) > 0, total, np.nan)
    return out


def _added(values: Any, factor: int) -> Any:
    for axis in (-2, -1):
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], factor), axis=axis)
    return values


def pixels_inside(outline: FloatArray, yx_shape: tuple[int, int]) -> IntArray:
    """(n, 2) (row, column) of an image's pixels whose centre lies within an outline (vertices, 2) of (x, y) in pixels,
    0 at the outer corner of the first."""
    from skimage.draw import polygon

    rows, columns = polygon(outline[:, 1] - 0.5, outline[:, 0] - 0.5, yx_shape)
    out: IntArray = np.stack([rows, columns], axis=1).astype(np.int64)
    return out


def covered_shares(pixels: Iterable[IntArray], factor: int, yx_shape: tuple[int, int]) -> sparse.csr_matrix:
    """(outlines, squares) the share of each square that an outline's pixels (n, 2) cover; a square is `factor` ×
    `factor` pixels. Pixels past the lattice count for nothing (specs/iscale.md section 6.2)."""
    starts, columns, values = [0], [np.zeros(0, np.int64)], [np.zeros(0)]
    for place in pixels:
        row_column = place // factor
        inside = (row_column < np.array(yx_shape)).all(axis=1)
        flat = row_column[inside, 0] * yx_shape[1] + row_column[inside, 1]
        found, many = np.unique(flat, return_counts=True)
        columns.append(found)
        values.append(many / factor**2)
        starts.append(starts[-1] + len(found))
    data = np.concatenate(values).astype(np.float32)
    return sparse.csr_matrix(
        (data, np.concatenate(columns), starts), shape=(len(starts) - 1, yx_shape[0] * yx_shape[1])
    )
