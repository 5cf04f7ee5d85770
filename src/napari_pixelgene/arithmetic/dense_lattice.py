"""A lattice of measured units made denser: points half way between neighbours, and the published 2× lattice.

`denser` reproduces what was measured and knows no pitch, turn or array: a point half way between neighbours is the
mean of them. `published_denser` repeats HISTEX's stage 2A (specs/histex.md section 4): on whole numbers of rows and
columns, through a bilinear resampling that shifts by up to a quarter of a row and lets zeros in at the rim.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
# Neighbours are at most so many pitches apart: the six of a hexagonal array, and the eight of a square one.
_NEIGHBOUR = 1.5
# Points nearer to one another than this share of a pitch are one: the crossing of two diagonals.
_SAME = 0.25


def denser(xy: FloatArray) -> IntArray:
    """(points, widest) which units (n, 2) each point is the mean of, padded with -1; O(n log n).

    The first n points are the units themselves. The others lie between neighbours; position and value of a point are
    the means over its units, so that values that grow linearly stay exact at any pitch and turn.
    """
    xy = np.asarray(xy, dtype=np.float64)
    alone = np.arange(len(xy))[:, None]
    if len(xy) < 2:
        return alone
    tree = cKDTree(xy)
    pitch = float(np.median(tree.query(xy, k=2)[0][:, 1]))
    pairs = tree.query_pairs(_NEIGHBOUR * pitch, output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))].astype(np.int64)
    middle = xy[pairs].mean(axis=1)
    free = tree.query(middle)[0] > _SAME * pitch
    groups = _joined(pairs[free], middle[free], _SAME * pitch)
    width = max((len(group) for group in groups), default=1)
    out = np.full((len(xy) + len(groups), width), -1, dtype=np.int64)
    out[: len(xy), :1] = alone
    for row, group in enumerate(groups, start=len(xy)):
        out[row, : len(group)] = group
    return out


def _joined(pairs: IntArray, middle: FloatArray, near: float) -> list[IntArray]:
    """The units of each point: pairs whose middles meet are one point."""
    if not len(pairs):
        return []
    same = cKDTree(middle).query_pairs(near, output_type="ndarray")
    graph = sparse.coo_matrix((np.ones(len(same)), same.T), shape=(len(pairs), len(pairs)))
    label = connected_components(graph, directed=False)[1]
    order = np.argsort(label, kind="stable")
    parts = np.split(pairs[order], np.flatnonzero(np.diff(label[order])) + 1)
    return [np.unique(part) for part in parts]


def mean_of(parents: IntArray, values: FloatArray) -> FloatArray:
    """(…, points, c) from values (…, n, c) of the units: the mean over each point's units."""
    there = parents >= 0
    weight = there / there.sum(axis=1, keepdims=True)
    out: FloatArray = np.zeros((*values.shape[:-2], len(parents), values.shape[-1]), dtype=values.dtype)
    for column in range(parents.shape[1]):
        mine = there[:, column]
        part = values[..., parents[mine, column], :]
        out[..., mine, :] += part * weight[mine, column, None].astype(values.dtype)
    return out


# As published


def is_staggered(row_column: IntArray) -> bool:
    """Whether every second row is shifted by half a pitch, columns counting half pitches (Visium)."""
    return len(np.unique(row_column.sum(axis=1) % 2)) == 1 and len(row_column) > 1


def published_grid(row_column: IntArray, values: FloatArray, staggered: bool = True) -> FloatArray:
    """(rows, columns, genes) of the array, 0 where nothing was measured; a staggered one every second column."""
    (rows, columns), (at_row, at_column) = _axes(row_column, staggered)
    out = np.zeros((len(rows), len(columns), values.shape[1]), dtype=np.float64)
    out[at_row, at_column] = values
    return out


def published_denser(row_column: IntArray, values: FloatArray, staggered: bool = True) -> tuple[FloatArray, FloatArray]:
    """Rows and columns (points, 2) of the 2× lattice, and values (points, genes), as stage 2A makes them.

    `row_column` (n, 2) whole numbers; of a staggered array columns count half pitches and alternate between even and
    odd. Kept are measured places, and those with two measured ones among the six (else eight) around them. A square
    array, which the published code does not know, is taken likewise but for the row and column of zeros at its end.
    """
    (rows, columns), _ = _axes(row_column, staggered)
    grid = published_grid(row_column, values, staggered)
    h, w = grid.shape[:2]
    finer = np.einsum("ah,hwg,bw->abg", _half_pixel(h), grid, _half_pixel(w), optimize=True)
    if staggered:
        finer = np.pad(finer, ((0, 1), (0, 1), (0, 0)))  # (2h, 2w, genes)
    i, j = np.mgrid[: finer.shape[0], : finer.shape[1]]
    place = np.stack([rows[0] + 0.5 * i, columns[0] + (j if staggered else 0.5 * j)], axis=-1)
    if staggered:
        place[..., 1] += np.array([0.0, -0.5, 1.0, 0.5])[i % 4]
    keep = _kept(place.reshape(-1, 2), row_column, staggered)
    return place.reshape(-1, 2)[keep], finer.reshape(-1, finer.shape[2])[keep]


def _axes(row_column: IntArray, staggered: bool) -> tuple[tuple[IntArray, IntArray], tuple[IntArray, IntArray]]:
    """The grid's rows and columns, and where in it each unit lies."""
    low, high = row_column.min(axis=0), row_column.max(axis=0)
    if not staggered:
        rows, columns = (np.arange(a, b + 1) for a, b in zip(low, high, strict=True))
        return (rows, columns), (row_column[:, 0] - low[0], row_column[:, 1] - low[1])
    low = low // 2 * 2
    rows, columns = np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 2, 2)
    at_row = row_column[:, 0] - low[0]
    return (rows, columns), (at_row, (row_column[:, 1] - low[1] - at_row % 2) // 2)


def _half_pixel(n: int) -> FloatArray:
    """(2n - 1, n) bilinear weights by the half-pixel convention, clamped at the rim."""
    source = np.clip((np.arange(2 * n - 1) + 0.5) * n / (2 * n - 1) - 0.5, 0, n - 1)
    low = np.floor(source).astype(np.int64)
    high, share = np.minimum(low + 1, n - 1), source - low
    out = np.zeros((2 * n - 1, n))
    np.add.at(out, (np.arange(len(low)), low), 1 - share)
    np.add.at(out, (np.arange(len(low)), high), share)
    return out


def _kept(place: FloatArray, row_column: IntArray, staggered: bool) -> npt.NDArray[np.bool_]:
    half = [(0, 1), (0, -1), *((a, b) for a in (0.5, -0.5) for b in (0.5, -0.5))]
    if not staggered:
        half = [(a / 2, b / 2) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
    measured = set(map(tuple, (2 * row_column).tolist()))
    around = np.round(2 * (place[:, None] + np.array([(0.0, 0.0), *half]))).astype(np.int64)
    there = np.array([[tuple(p) in measured for p in each] for each in around.tolist()])
    return np.asarray(there[:, 0] | (there[:, 1:].sum(axis=1) >= 2))
