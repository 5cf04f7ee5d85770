"""How close two sets of columns are: (n, g) against (n, g), one number a column.

A number that is undefined (a constant column in a correlation, a mean of 0 under a ratio) is NaN, never 0.
Either side may be (n, 1), which stands for the same column g times. Sources: the textbook definitions;
NRMSE = RMSE / mean(truth) and MAPE with a denominator of at least 1e-8 as in specs/pixel2gene.md section 7.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
# Below this share of its sum of squares, what is left after centring is rounding.
_ROUNDING = 1e-24


def pearson(prediction: Floats, truth: Floats) -> Floats:
    """Pearson correlation (g,)."""
    return _dot(unit_columns(prediction), unit_columns(truth))


def spearman(prediction: Floats, truth: Floats) -> Floats:
    """Spearman correlation (g,), ties at their mean rank."""
    from scipy.stats import rankdata

    return pearson(rankdata(prediction, axis=0), rankdata(truth, axis=0))


def mse(prediction: Floats, truth: Floats) -> Floats:
    """Mean squared error (g,)."""
    out: Floats = np.mean(_difference(prediction, truth) ** 2, axis=0)
    return out


def rmse(prediction: Floats, truth: Floats) -> Floats:
    """Root of the mean squared error (g,)."""
    out: Floats = np.sqrt(mse(prediction, truth))
    return out


def mae(prediction: Floats, truth: Floats) -> Floats:
    """Mean absolute error (g,)."""
    out: Floats = np.abs(_difference(prediction, truth)).mean(axis=0)
    return out


def nrmse(prediction: Floats, truth: Floats) -> Floats:
    """RMSE over the mean of the truth (g,)."""
    return _ratio(rmse(prediction, truth), np.asarray(truth, dtype=np.float64).mean(axis=0))


def mape(prediction: Floats, truth: Floats) -> Floats:
    """Mean of |error| / max(|truth|, 1e-8) (g,); zeros in the truth make it huge."""
    share = np.abs(_difference(prediction, truth)) / np.maximum(np.abs(truth), 1e-8)
    out: Floats = share.mean(axis=0)
    return out


def r_squared(prediction: Floats, truth: Floats) -> Floats:
    """1 - squared error / variance of the truth (g,); negative when worse than the mean."""
    truth = np.asarray(truth, dtype=np.float64)
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    spread = np.where(spread <= _ROUNDING * (truth**2).sum(axis=0), 0.0, spread)
    return 1 - _ratio((_difference(prediction, truth) ** 2).sum(axis=0), spread)


def cosine(prediction: Floats, truth: Floats) -> Floats:
    """Cosine of the angle between the columns (g,)."""
    a, b = np.asarray(prediction, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    return _ratio(_dot(a, b), np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0)))


def across_genes(prediction: Floats, truth: Floats) -> Floats:
    """Pearson correlation (n,) of each row over its genes: whether a place has the right profile."""
    return pearson(np.asarray(prediction).T, np.asarray(truth).T)


def unit_columns(values: Floats) -> Floats:
    """Columns centred and of length 1, so that a sum of products is a correlation; NaN where constant or empty."""
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return np.full((1, values.shape[1]), np.nan)
    centred = values - values.mean(axis=0)
    square = (centred**2).sum(axis=0)
    square = np.where(square <= _ROUNDING * (values**2).sum(axis=0), np.nan, square)
    out: Floats = centred / np.sqrt(square)
    return out


def permuted_pearson(prediction: Floats, truth: Floats, permutations: int = 100, seed: int = 0) -> Floats:
    """Mean correlation (g,) over seeded permutations of the prediction's rows: the floor of a score.

    The same seed permutes the same way whatever the columns, so genes may be scored in groups.
    """
    rng = np.random.default_rng(seed)
    a = unit_columns(prediction).astype(np.float32)
    b = unit_columns(truth).astype(np.float32)
    total = np.zeros(np.broadcast_shapes(a.shape, b.shape)[1])
    for _ in range(permutations):
        total += _dot(a[rng.permutation(len(a))], b)
    return total / permutations


def _dot(a: Floats, b: Floats) -> Floats:
    """Sums of products by column (g,)."""
    a, b = np.broadcast_arrays(a, b)
    out: Floats = np.einsum("ij,ij->j", a, b)
    return out


def _difference(prediction: Floats, truth: Floats) -> Floats:
    out: Floats = np.asarray(prediction, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
    return out


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """top / bottom, NaN where the bottom is 0."""
    bottom = np.asarray(bottom, dtype=np.float64)
    out: Floats = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)
    return out
