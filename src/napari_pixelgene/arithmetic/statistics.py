"""Statistics of maps."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve

Floats = npt.NDArray[np.floating[Any]]
_EIGHT = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=np.float64)


def morans_i(grid: Floats, weights: Literal["row", "binary"] = "row") -> float:
    """Moran's I of a (rows, columns) map with eight neighbours; NaN cells are absent.

    I = n / sum(w) * sum_ij(w_ij z_i z_j) / sum(z²), with w_ij 1 for neighbours (`binary`) or 1 / number of
    neighbours (`row`). NaN for a constant map or one without neighbours. (Moran 1950; the original divides
    by the neighbour count once too often, specs/pixel2gene.md section 7.3.)
    """
    here = np.isfinite(grid)
    if not here.any():
        return float("nan")
    z = np.where(here, grid - grid[here].mean(), 0.0)
    sums = convolve(z, _EIGHT, mode="constant")
    degree = convolve(here.astype(np.float64), _EIGHT, mode="constant") * here
    linked = degree > 0
    lag = np.divide(sums, degree, out=np.zeros_like(sums), where=linked) if weights == "row" else sums * here
    total = linked.sum() if weights == "row" else degree.sum()
    variance = (z**2).sum()
    if not total or not variance:
        return float("nan")
    return float(here.sum() / total * (z * lag).sum() / variance)


def intraclass_correlation(values: Floats, labels: npt.NDArray[np.integer[Any]]) -> Floats:
    """(clusters, columns) how much of each column's spread lies between clusters rather than inside one of them.

    B / (B + W): B is the variance (ddof 1) of the clusters' means, W that inside the cluster (ddof 1). Rows with a
    negative label are left out; clusters are in ascending order of their labels. 0 where it is undefined: one
    cluster, one row, or no spread at all (specs/pixel2gene.md section 7.4).
    """
    values = np.asarray(values, dtype=np.float64)
    groups = [values[labels == label] for label in np.unique(labels[labels >= 0])]
    means = np.array([group.mean(axis=0) for group in groups])
    between = means.var(axis=0, ddof=1) if len(groups) > 1 else np.zeros(values.shape[1])
    within = np.array([g.var(axis=0, ddof=1) if len(g) > 1 else np.full(values.shape[1], np.nan) for g in groups])
    whole = between + within
    out: Floats = np.divide(np.broadcast_to(between, whole.shape), whole, out=np.zeros_like(whole), where=whole > 0)
    return np.nan_to_num(out)
