"""Places of a tissue that probably hold no cells, by how dark and how varied their pixels are (specs/iscale.md 5.2).

Nuclei make a superpixel varied on dark ground; stroma, lumen and debris are bright or flat. The ratio of both is split
by Otsu below its 95th percentile. The published code counts background as 0: where there is much of it, it splits
tissue from glass and keeps all tissue. Here the tissue alone is split. Otsu always splits: what is left out is less
likely to hold cells than the rest, and no more is said.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.filters import threshold_otsu

FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]

_TINY = 1e-8
_HIGHEST = 95.0


def likely_cells(mean: FloatArray, sd: FloatArray, tissue: BoolArray, background: bool = False) -> BoolArray:
    """Which superpixels (rows, columns) likely hold cells. `mean` and `sd` are those of all values of all pixels and
    channels in a superpixel; off the tissue nothing is likely to. Where nothing varies all tissue is kept. With
    `background` what is no tissue takes part as 0, as published."""
    part = np.ones_like(tissue) if background else tissue
    keep = np.zeros(tissue.shape, dtype=bool)
    if not tissue.any():
        return keep
    ratio = texture_ratio(np.where(tissue, mean, 0.0)[part], np.where(tissue, sd, 0.0)[part])
    most = ratio[ratio <= np.percentile(ratio, _HIGHEST)]
    keep[part] = True if not np.ptp(most) else ratio >= threshold_otsu(most)
    return np.asarray(keep & tissue)


def texture_ratio(mean: FloatArray, sd: FloatArray) -> FloatArray:
    """Spread over brightness, each as a share of the largest, as published where some background is 0."""
    return np.asarray(_to_unit(sd) / (_to_unit(mean) + _TINY))


def _to_unit(values: FloatArray) -> FloatArray:
    values = np.asarray(values, dtype=np.float64)
    return np.asarray(values / (values.max(initial=0.0) + _TINY))


def pooled_moments(means: FloatArray, sds: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(…,) mean and sd over channels together, from those of each channel (…, channels) over as many pixels."""
    mean = means.mean(-1)
    square = (sds**2 + means**2).mean(-1)
    return np.asarray(mean), np.asarray(np.sqrt(np.maximum(square - mean**2, 0)))


def without(expression: FloatArray, keep: BoolArray, value: float = 0.0) -> FloatArray:
    """Expression (…, rows, columns) with `value` where there are likely no cells; what is NaN stays so."""
    return np.asarray(np.where(keep | np.isnan(expression), expression, value).astype(expression.dtype))
