"""Coarse levels that a file lacks, computed from its coarsest one when first read.

napari reads the last level whole when a layer is added, so it has to be small. A slide whose coarsest
level has a few thousand pixels a side gets the halvings below it for the price of decoding that level once.
"""

from __future__ import annotations

import numpy as np

from napari_pixelgene.arithmetic.resampling import halve
from napari_pixelgene.elements.arrays import Array, LazyArray
from napari_pixelgene.elements.views import KeptView

# The last level is at most this many pixels a side.
LAST_PX = 512


class HalvedView(KeptView):
    """The 2×2 means of another level."""

    def __init__(self, source: LazyArray) -> None:
        rows, columns, *rest = source.shape
        super().__init__((-(-int(rows) // 2), -(-int(columns) // 2), *rest), np.dtype(source.dtype))
        self._source = source

    def whole(self) -> Array:
        """All means."""
        return halve(np.asarray(self._source[:, :]))


def with_overviews(levels: tuple[LazyArray, ...]) -> tuple[LazyArray, ...]:
    """The levels and, below them, halvings until one has at most `LAST_PX` a side."""
    while max(levels[-1].shape[:2]) > LAST_PX:
        levels = (*levels, HalvedView(levels[-1]))
    return levels
