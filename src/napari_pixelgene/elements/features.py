"""Features: what an encoder says of every superpixel of a slide, or of the squares around points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from napari_pixelgene.elements.arrays import Array, FloatArray, LazyArray

# A vector further from the section's mean than this many standard deviations is clipped.
CLIP_SD = 6.0


@dataclass(frozen=True, slots=True)
class Features:
    """A lazy (rows, columns, channels) array over the grid, with its statistics over the section's tissue.

    Superpixels in tiles without tissue were skipped and hold NaN. `mean` and `sd` (channels,) use no
    counts; `standardised` is what models read. `state` is what the encoder learned of the section first.
    """

    array: LazyArray
    channels: tuple[str, ...]
    encoder: str
    mean: FloatArray
    sd: FloatArray
    state: Mapping[str, Array] = field(default_factory=dict)

    def raw(self, rows: slice, columns: slice) -> FloatArray:
        """(rows, columns, channels) float32 as the encoder gave them."""
        return np.asarray(self.array[rows, columns], dtype=np.float32)

    def standardised(self, rows: slice, columns: slice) -> FloatArray:
        """The same, z-scored over the section's tissue and clipped at 6."""
        sd = np.where(self.sd > 1e-8, self.sd, 1.0)
        z = (self.raw(rows, columns) - self.mean.astype(np.float32)) / sd.astype(np.float32)
        return np.clip(z, -CLIP_SD, CLIP_SD)


@dataclass(frozen=True, slots=True)
class PointFeatures:
    """Vectors (n, channels) float32 of the squares around points (n, 2) (x, y) in H&E µm; NaN where a point lies off
    the slide."""

    xy_um: FloatArray
    vectors: FloatArray
    encoder: str
