"""Two images laid over one another, seen in turns: one of them shown in squares, or on one side of a line.

What is not shown is NaN (or, with colours, clear), which a viewer leaves out. Nothing is computed until a region is
asked for, and only what the source computes then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, LazyArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.views import RegionView


class Mask(Protocol):
    """Where an image shows."""

    def shown(self, x_um: FloatArray, y_um: FloatArray) -> BoolArray:
        """(rows, columns) for the places of columns (columns,) and of rows (rows,), in µm."""


@dataclass(frozen=True, slots=True)
class Checkers:
    """Every other square of a checkerboard whose squares are `side_um` wide, from the image's corner on."""

    side_um: float = 200.0

    def shown(self, x_um: FloatArray, y_um: FloatArray) -> BoolArray:
        """The squares that show."""
        across, down = (np.floor(places / self.side_um) % 2 == 0 for places in (x_um, y_um))
        return np.asarray(down[:, None] == across)


@dataclass(frozen=True, slots=True)
class Beyond:
    """One side of a line: where x (or y, if not `upright`) is over `at_um`."""

    at_um: float
    upright: bool = True

    def shown(self, x_um: FloatArray, y_um: FloatArray) -> BoolArray:
        """The side that shows."""
        both = np.broadcast_to(x_um if self.upright else y_um[:, None], (len(y_um), len(x_um)))
        return np.asarray(both >= self.at_um)


@dataclass(frozen=True, slots=True)
class Everywhere:
    """All of it."""

    def shown(self, x_um: FloatArray, y_um: FloatArray) -> BoolArray:
        """Every place."""
        return np.ones((len(y_um), len(x_um)), dtype=bool)


class MaskedLevel(RegionView):
    """A level (rows, columns) as float32, NaN where `mask` hides it; or (rows, columns, 3) as RGBA uint8.

    In colours pure black is clear as well: a drawn image has it where it does not reach. `pixel_um` (row, column) is
    the size of its pixels; the first pixel's corner is at 0.
    """

    def __init__(self, source: LazyArray, mask: Mask, pixel_um: tuple[float, float]) -> None:
        self._coloured = len(source.shape) == 3
        rest = (4,) if self._coloured else ()
        self.shape = (int(source.shape[0]), int(source.shape[1]), *rest)
        self.dtype = np.dtype(np.uint8 if self._coloured else np.float32)
        sides: tuple[int, ...] = getattr(source, "chunks", None) or source.shape
        self.chunks = (int(sides[0]), int(sides[1]), *rest)
        self._source, self._mask, self._pixel_um = source, mask, pixel_um

    def read(self, rows: slice, columns: slice) -> Array:
        """The block, with what is hidden left out."""
        pixels = np.asarray(self._source[rows, columns])
        y_um, x_um = (
            (np.arange(span.start, span.stop) + 0.5) * size
            for span, size in zip((rows, columns), self._pixel_um, strict=True)
        )
        shown = self._mask.shown(x_um, y_um)
        if self._coloured:
            alpha = np.where(shown & pixels.any(axis=-1), 255, 0).astype(np.uint8)
            return np.concatenate([pixels, alpha[..., None]], axis=-1)
        return np.asarray(np.where(shown, pixels, np.float32(np.nan)), dtype=np.float32)


def masked(image: Image, mask: Mask) -> Image:
    """A pyramid that shows only where the mask does, at every level in the same places of the tissue."""
    mpp = image.require_mpp()
    levels = tuple(
        MaskedLevel(level, mask, (mpp * image.downsample(i)[0], mpp * image.downsample(i)[1]))
        for i, level in enumerate(image.levels)
    )
    return Image(levels, image.mpp, image.path, image.name)
