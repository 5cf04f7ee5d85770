"""Features: what an encoder says of every superpixel of a slide."""

from __future__ import annotations

from dataclasses import dataclass

from napari_pixelgene.elements.arrays import FloatArray, LazyArray


@dataclass(frozen=True, slots=True)
class Features:
    """A lazy (rows, columns, channels) array over the grid, with its statistics over the section's tissue.

    Superpixels in tiles without tissue were skipped and hold NaN. `mean` and `sd` (channels,) use no
    counts; `standardised` is what models read.
    """

    array: LazyArray
    channels: tuple[str, ...]
    encoder: str
    mean: FloatArray
    sd: FloatArray
