"""How a gene is coloured: contrast by percentiles or by numbers, and the colours. Pure; the layers are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pixelgene.gui.layers import gene_contrast, gene_levels

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.elements.expression import Expression

STORED = (1.0, 99.0)  # the percentiles that are stored with the maps
# Even steps of lightness, and told apart by the colour-blind.
COLORMAPS = ("viridis", "magma", "inferno", "cividis", "plasma", "gray", "gray_r")
# Percentiles are taken from the finest level that is no larger.
_SIDE = 1024
Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """`percent` of each gene's own values, or `numbers` for all genes; `linked`: measured follows predicted."""

    percent: Limits = STORED
    numbers: Limits | None = None
    colormap: str = COLORMAPS[0]
    linked: bool = True


def predicted_limits(maps: Expression, gene: str, look: Look) -> Limits:
    """Display limits of a predicted gene; nothing is read for numbers and for the stored percentiles."""
    if look.numbers is not None:
        return look.numbers
    if look.percent == STORED:
        return gene_contrast(maps, gene)
    levels = gene_levels(maps, gene)
    level = next((each for each in levels if max(each.shape) <= _SIDE), levels[-1])
    return percentiles(np.asarray(level), look.percent)


def measured_limits(levels: list[Any], look: Look) -> Limits:
    """Display limits of a measured gene that is not linked. Most squares hold 0: the lower limit is 0."""
    if look.numbers is not None:
        return look.numbers
    level = next((each for each in levels if max(each.shape) <= _SIDE), levels[-1])
    high = percentiles(np.asarray(level), look.percent)[1]
    return 0.0, high


def percentiles(values: FloatArray, percent: Limits) -> Limits:
    """Percentiles of what is not NaN, the upper above the lower; (0, 1) where nothing is known."""
    known = values[~np.isnan(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, percent))
    if high > low:
        return low, high
    top = float(known.max())
    return low, top if top > low else low + 1.0
