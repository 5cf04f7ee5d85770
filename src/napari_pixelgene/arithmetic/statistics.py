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
