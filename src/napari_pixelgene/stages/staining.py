"""The haematoxylin of an H&E as a lazy pyramid: nuclei bright on dark, as a nuclear stain shows them."""

from __future__ import annotations

import numpy as np

from napari_pixelgene.arithmetic.stains import haematoxylin, white_point
from napari_pixelgene.elements.arrays import Array, LazyArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.views import RegionView


class HaematoxylinLevel(RegionView):
    """A level (rows, columns) float32 of the RGB `source`: 0 on glass of colour `white` (3,), about 1 in nuclei."""

    def __init__(self, source: LazyArray, white: Array) -> None:
        self.shape, self.dtype = (int(source.shape[0]), int(source.shape[1])), np.dtype(np.float32)
        sides: tuple[int, ...] = getattr(source, "chunks", None) or source.shape
        self.chunks = (int(sides[0]), int(sides[1]))
        self._source, self._white = source, white

    def read(self, rows: slice, columns: slice) -> Array:
        """The block, from that of the source."""
        return haematoxylin(np.asarray(self._source[rows, columns]), self._white)


def haematoxylin_pyramid(image: Image) -> Image:
    """The haematoxylin of an RGB pyramid, level by level; the white of the glass is that of the coarsest.

    Raises ValueError for an image of one channel, which has no stains to part.
    """
    if not image.is_rgb:
        raise ValueError("only an RGB image has a haematoxylin channel")
    white = white_point(np.asarray(image.levels[-1]))
    levels = tuple(HaematoxylinLevel(level, white) for level in image.levels)
    return Image(levels, image.mpp, image.path, "haematoxylin")
