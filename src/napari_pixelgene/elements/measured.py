"""What was measured, laid onto the superpixel lattice: one gene at a time, at every level, lazily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
from napari_pixelgene.elements.views import RegionView


def measured_unit(superpixel_um: float) -> str:
    """What measured values on the lattice are, in words: comparable with `expression.unit`."""
    return f"counts per {superpixel_um:g} µm square"


class Gathered(RegionView):
    """(row, column) float32 of `values[places]`; the last of the values is NaN, for where nothing was measured."""

    def __init__(self, places: IntArray, values: FloatArray) -> None:
        self.shape = (int(places.shape[0]), int(places.shape[1]))
        self.dtype, self.chunks = np.dtype(np.float32), self.shape
        self._places, self._values = places, values

    def read(self, rows: slice, columns: slice) -> Array:
        """The block, gathered."""
        return self._values[self._places[rows, columns]]


@dataclass(frozen=True, slots=True)
class MeasuredLattice:
    """Which units speak for which superpixel, finest level first. Made once for a section and alignment.

    `spread` (squares, units) turns the counts of all units into a value for each superpixel that was measured;
    `places` (rows, columns) of each level say which of its squares lies there, the number of squares where none
    does; `parents` (squares of a level,) say which square of the next level each belongs to; `sizes` how many squares
    of the finest level each of a level's squares holds.
    """

    spread: sparse.csr_matrix
    places: tuple[IntArray, ...]
    parents: tuple[IntArray, ...]
    sizes: tuple[IntArray, ...]

    def levels(self, units: IntArray, counts: FloatArray) -> list[Gathered]:
        """A gene's map from the units that hold it: coarse levels are means over the squares that were measured."""
        column = np.zeros(self.spread.shape[1], dtype=np.float32)
        column[units] = counts
        total: FloatArray = np.asarray(self.spread @ column, dtype=np.float64)
        out = [_gathered(self.places[0], total)]
        for parent, size, places in zip(self.parents, self.sizes, self.places[1:], strict=True):
            total = np.bincount(parent, total, len(size)).astype(np.float64)
            out.append(_gathered(places, total / size))
        return out


def lattice_of_bins(bins_at: IntArray, level_shapes: Sequence[tuple[int, int]]) -> MeasuredLattice:
    """Units that are superpixels themselves: unit i lies at `bins_at[i]`, ascending row-major indices."""
    count = len(bins_at)
    return _lattice(sparse.identity(count, np.float32, format="csr"), bins_at, level_shapes)


def lattice_of_footprints(
    weights: sparse.csr_matrix, adds_up: bool, level_shapes: Sequence[tuple[int, int]]
) -> MeasuredLattice:
    """Units with footprints: `weights` (units, superpixels) hold 1/K at each of the K superpixels of a footprint.

    So a unit's counts are shared out among them. Where several units meet in a superpixel, those smaller than it
    (`adds_up`: 2 µm bins, cells) are added up; of larger ones (spots that overlap) the mean is taken.
    """
    squares, where = np.unique(weights.indices, return_inverse=True)
    shape = (weights.shape[0], len(squares))
    spread = sparse.csr_matrix((weights.data, where.ravel(), weights.indptr), shape=shape).T.tocsr()
    if not adds_up:
        spread = sparse.diags(1 / np.maximum(spread.getnnz(axis=1), 1)).astype(np.float32) @ spread
    return _lattice(sparse.csr_matrix(spread, dtype=np.float32), squares.astype(np.int64), level_shapes)


def _lattice(spread: sparse.csr_matrix, squares: IntArray, level_shapes: Sequence[tuple[int, int]]) -> MeasuredLattice:
    places, parents, sizes = [_places(squares, level_shapes[0])], [], []
    size = np.ones(len(squares), dtype=np.int64)
    for finer, coarser in pairwise(level_shapes):
        rows, columns = np.divmod(squares, finer[1])
        squares, parent = np.unique(rows // 2 * coarser[1] + columns // 2, return_inverse=True)
        size = np.bincount(parent, size, len(squares)).astype(np.int64)
        places.append(_places(squares, coarser))
        parents.append(parent.ravel().astype(np.int32))
        sizes.append(size)
    return MeasuredLattice(spread, tuple(places), tuple(parents), tuple(sizes))


def _places(squares: IntArray, yx_shape: tuple[int, int]) -> IntArray:
    places = np.full(yx_shape, len(squares), dtype=np.int32)
    places.ravel()[squares] = np.arange(len(squares), dtype=np.int32)
    return places


def _gathered(places: IntArray, values: FloatArray) -> Gathered:
    return Gathered(places, np.append(values, np.nan).astype(np.float32))
