"""How close two maps of one gene are (specs/pixel2gene.md section 7.2 and 7.4; MS-SSIM: Wang et al. 2003).

Maps are (rows, columns), NaN outside the tissue.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

from napari_pixelgene.arithmetic import metrics

Floats = npt.NDArray[np.floating[Any]]
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_LEAST_SIDE = 11 * 2 ** (len(_SCALE_WEIGHTS) - 1)
_C1, _C2 = 0.01**2, 0.03**2


def compare_maps(truth: Floats, prediction: Floats, nonzero_only: bool = True) -> dict[str, float]:
    """Correlations and errors between two maps, each clipped to [0, max truth] and scaled to sum 1.

    With `nonzero_only` superpixels whose truth is 0 are left out, so that false positives cost nothing:
    the original's default, kept for comparison; look at the other one.
    """
    inside = np.isfinite(truth) & np.isfinite(prediction)
    top = np.nanmax(truth)
    t, p = (np.clip(np.asarray(m, dtype=np.float64)[inside], 0, top) for m in (truth, prediction))
    valid = t != 0 if nonzero_only else np.ones(len(t), dtype=bool)
    t, p = ((m[valid] / m[valid].sum())[:, None] for m in (t, p))
    names = ("pearson", "spearman", "cosine", "rmse", "mae", "nrmse", "mape")
    return {name: float(getattr(metrics, name)(p, t)[0]) for name in names}


def structural_similarity(truth: Floats, prediction: Floats) -> float:
    """SSIM of two maps, each filled with 0 outside and divided by its own maximum; 7×7 window, range 1.

    Only meaningful on complete lattices. NaN when a map has no positive value.
    """
    from skimage.metrics import structural_similarity as ssim

    t, p = (np.nan_to_num(np.asarray(m, dtype=np.float64)) for m in (truth, prediction))
    if t.max() <= 0 or p.max() <= 0:
        return float("nan")
    return float(ssim(t / t.max(), p / p.max(), win_size=7, data_range=1.0))


def multiscale_similarity(truth: Floats, prediction: Floats) -> float:
    """MS-SSIM of two maps, each filled with 0 outside and divided by its own maximum.

    Five scales of 2×2 means, a Gaussian window of 11 with sd 1.5, range 1, the weights of Wang, Simoncelli and
    Bovik (2003); negative terms count as 0. Only meaningful on complete lattices. NaN when a map has no positive
    value, or a side is under 176: the fifth scale would hold no whole window.
    """
    t, p = (np.nan_to_num(np.asarray(m, dtype=np.float64)) for m in (truth, prediction))
    if t.max() <= 0 or p.max() <= 0 or min(t.shape) < _LEAST_SIDE:
        return float("nan")
    a: Floats = t / t.max()
    b: Floats = p / p.max()
    product = 1.0
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        luminance, structure = _ssim_terms(a, b)
        last = scale == len(_SCALE_WEIGHTS) - 1
        product *= max(float((luminance * structure if last else structure).mean()), 0.0) ** weight
        a, b = _halved(a), _halved(b)
    return product


def _ssim_terms(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Luminance, and contrast times structure, at every place with a whole window."""
    mean_a, mean_b = _windowed(a), _windowed(b)
    var_a, var_b = _windowed(a * a) - mean_a**2, _windowed(b * b) - mean_b**2
    covariance = _windowed(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return luminance, (2 * covariance + _C2) / (var_a + var_b + _C2)


def _windowed(values: Floats) -> Floats:
    """Gaussian means over whole windows of 11 × 11."""
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        values = correlate1d(values, weights, axis=axis, mode="constant")
    out: Floats = values[5:-5, 5:-5]
    return out


def _halved(values: Floats) -> Floats:
    rows, columns = (side // 2 * 2 for side in values.shape)
    out: Floats = values[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
    return out


def top_overlap(truth: Floats, prediction: Floats, percentile: float = 90) -> dict[str, float]:
    """Dice and Jaccard of the superpixels strictly above each map's own percentile; NaN when neither has any."""
    inside = np.isfinite(truth) & np.isfinite(prediction)
    t, p = (_above(m[inside], percentile) for m in (truth, prediction))
    both, either = int((t & p).sum()), int((t | p).sum())
    if not either:
        return {"dice": float("nan"), "jaccard": float("nan")}
    return {"dice": 2 * both / int(t.sum() + p.sum()), "jaccard": both / either}


def _above(values: Floats, percentile: float) -> npt.NDArray[Any]:
    out: npt.NDArray[Any] = values > np.percentile(values, percentile)
    return out
