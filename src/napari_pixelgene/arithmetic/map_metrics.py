"""How close two maps of one gene are, as Pixel2Gene's newer script measures it (specs/pixel2gene.md section 7.2).

Maps are (rows, columns), NaN outside the tissue.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pixelgene.arithmetic import metrics

Floats = npt.NDArray[np.floating[Any]]


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
