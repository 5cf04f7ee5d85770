"""An image as a pyramid of lazy levels with a pixel size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_pixelgene.arithmetic.resampling import level_scale
from napari_pixelgene.elements.arrays import LazyArray
from napari_pixelgene.errors import InputError


@dataclass(frozen=True, slots=True)
class Image:
    """A lazy pyramid.

    `levels[0]` is the finest. Shapes are (row, column, 3) uint8 for RGB, (row, column) for one channel
    (Xenium morphology: one `Image` a channel). `mpp` is µm per level-0 pixel, None when the file does
    not say. `path` is the file the levels are read from, None for an image in memory or in a store.
    """

    levels: tuple[LazyArray, ...]
    mpp: float | None = None
    path: Path | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not self.levels:
            raise InputError(f"The image {self.path or self.name} has no levels.", "Check that the file is complete.")

    @property
    def yx_shape(self) -> tuple[int, int]:
        """(rows, columns) of level 0."""
        rows, columns = self.levels[0].shape[:2]
        return int(rows), int(columns)

    @property
    def is_rgb(self) -> bool:
        """Whether a pixel is three bytes."""
        return len(self.levels[0].shape) == 3

    @property
    def size_um(self) -> tuple[float, float]:
        """(width, height) in µm."""
        rows, columns = self.yx_shape
        mpp = self.require_mpp()
        return columns * mpp, rows * mpp

    def require_mpp(self) -> float:
        """The pixel size, or the error that asks for it."""
        if self.mpp is None:
            raise InputError(
                f"{self.path or self.name} does not say its pixel size.", "Give it with --mpp (µm per pixel)."
            )
        return self.mpp

    def downsample(self, level: int) -> tuple[float, float]:
        """(row, column) level-0 pixels a pixel of `level`, by `resampling.level_scale`."""
        full, coarse = self.levels[0].shape, self.levels[level].shape
        return level_scale(full[0], coarse[0]), level_scale(full[1], coarse[1])
