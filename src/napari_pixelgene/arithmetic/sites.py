"""Spots that lie close to one another merged into sites, as iSCALE joins captures (specs/iscale.md section 3.3).

Kept for its published recipe and for comparison. Single linkage percolates: rows of spots half a pitch apart, or bins
side by side, become one site at their middle.
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
BoolArray = npt.NDArray[np.bool_]


def connected(xy: FloatArray, reach: float) -> IntArray:
    """(n,) the component of every point (n, 2), two points at most `reach` apart being joined; numbered in the order
    in which they first appear."""
    if not len(xy):
        return np.zeros(0, dtype=np.int64)
    # A pair at just the reach is joined, whatever the last bit says.
    pairs = cKDTree(xy).query_pairs(reach * (1 + 1e-12), output_type="ndarray")
    ones = np.ones(len(pairs), dtype=np.int8)
    graph = sparse.coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(len(xy), len(xy)))
    _, label = connected_components(graph, directed=False)
    _, first, number = np.unique(label, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return np.asarray(order[number.ravel()])


def merged(label: IntArray, values: FloatArray) -> FloatArray:
    """(components, …) the mean of the values (n, …) over every component."""
    size = np.bincount(label)
    mean = sparse.csr_matrix((1 / size[label], (label, np.arange(len(label)))), shape=(len(size), len(label)))
    return np.asarray(mean @ values)


def site_superpixels(xy: FloatArray, side: float) -> IntArray:
    """(n, 2) row and column that a site (x, y) goes to: rounded to even, half a superpixel off on average, as in the
    published code."""
    return np.asarray(np.round(np.asarray(xy)[:, ::-1] / side).astype(np.int64))


def off_border(row_column: IntArray, radius: float, yx_shape: tuple[int, int]) -> BoolArray:
    """Which sites the published filter keeps; those in the last row or column kept do not hold their disk."""
    reach = int(np.ceil(radius))
    row, column = row_column.T
    height, width = yx_shape
    return np.asarray((row >= reach) & (row <= height - reach) & (column >= reach) & (column <= width - reach))
