"""The superpixel lattice of an H&E."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_pixelgene.arithmetic.pooling import lattice_places
from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.elements.image import Image

WORK_MPP = 0.5
SUPERPIXEL_PX = 16
# A slide whose side is a whole number of superpixels but for rounding gets no extra sliver.
_SLIVER_PX = 0.01


@dataclass(frozen=True, slots=True)
class Grid:
    """Superpixel (row, column) covers `superpixel_px` work pixels a side, from the H&E's outer corner.

    With 0.5 µm work pixels and 16 of them a superpixel is 8 µm. The last row and column may reach past
    the image; what they say is averaged over the part inside it.
    """

    yx_shape: tuple[int, int]  # superpixels
    work_shape: tuple[int, int]  # work pixels that lie in the image at least in part
    work_mpp: float = WORK_MPP
    superpixel_px: int = SUPERPIXEL_PX

    @classmethod
    def of_image(cls, image: Image, work_mpp: float = WORK_MPP, superpixel_px: int = SUPERPIXEL_PX) -> Grid:
        """The lattice that covers an image."""
        width_um, height_um = image.size_um
        work = tuple(max(1, int(np.ceil(side / work_mpp - _SLIVER_PX))) for side in (height_um, width_um))
        rows, columns = (-(-side // superpixel_px) for side in work)
        return cls((rows, columns), (work[0], work[1]), work_mpp, superpixel_px)

    @property
    def superpixel_um(self) -> float:
        """Side of a superpixel in µm."""
        return self.work_mpp * self.superpixel_px

    @property
    def size(self) -> int:
        """How many superpixels."""
        return self.yx_shape[0] * self.yx_shape[1]

    def row_column(self, xy_um: FloatArray) -> IntArray:
        """The superpixel (row, column) (n, 2) that holds each point (n, 2) in H&E µm; may lie outside the grid."""
        out: IntArray = lattice_places(xy_um, self.superpixel_um).astype(np.int64)
        return out

    def inside(self, row_column: IntArray) -> BoolArray:
        """Which (row, column) exist."""
        rows, columns = row_column[:, 0], row_column[:, 1]
        out: BoolArray = (rows >= 0) & (rows < self.yx_shape[0]) & (columns >= 0) & (columns < self.yx_shape[1])
        return out

    def flat(self, row_column: IntArray) -> IntArray:
        """Row-major index of (row, column) (n, 2)."""
        out: IntArray = row_column[:, 0] * self.yx_shape[1] + row_column[:, 1]
        return out

    def centres_um(self, flat: IntArray) -> FloatArray:
        """Centres (n, 2) (x, y) in H&E µm of superpixels given by flat index."""
        rows, columns = np.divmod(np.asarray(flat), self.yx_shape[1])
        return (np.stack([columns, rows], axis=1) + 0.5) * self.superpixel_um

    def whole(self) -> Tile:
        """All superpixels as one tile."""
        return Tile(Span(0, self.yx_shape[0]), Span(0, self.yx_shape[1]))
