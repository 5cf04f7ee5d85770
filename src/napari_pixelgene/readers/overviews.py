"""Coarse levels that a file lacks, computed from its coarsest one when first read.

napari reads the last level whole when a layer is added, so it has to be small. A slide whose coarsest
level has a few thousand pixels a side gets the halvings below it for the price of decoding that level once.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

from napari_pixelgene.arithmetic.resampling import halve
from napari_pixelgene.elements.arrays import Array, LazyArray
from napari_pixelgene.elements.views import RegionView

# The last level is at most this many pixels a side.
LAST_PX = 512


class HalvedView(RegionView):
    """The 2×2 means of another level, computed whole on first read and kept."""

    def __init__(self, source: LazyArray) -> None:
        rows, columns, *rest = source.shape
        self.shape = (-(-int(rows) // 2), -(-int(columns) // 2), *rest)
        self.chunks, self.dtype = self.shape, np.dtype(source.dtype)
        self._source, self._lock = source, Lock()
        self._pixels: Array | None = None

    def read(self, rows: slice, columns: slice) -> Array:
        """The block, from the halved level."""
        with self._lock:
            if self._pixels is None:
                self._pixels = halve(np.asarray(self._source[:, :]))
        return self._pixels[rows, columns]


def with_overviews(levels: tuple[LazyArray, ...]) -> tuple[LazyArray, ...]:
    """The levels and, below them, halvings until one has at most `LAST_PX` a side."""
    while max(levels[-1].shape[:2]) > LAST_PX:
        levels = (*levels, HalvedView(levels[-1]))
    return levels
