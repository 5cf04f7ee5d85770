"""How sure a difference between two predictions of the same units is: blocks of tissue drawn again and again.

Neighbouring units are alike, so single units drawn with replacement would promise too much; whole spatial blocks
are drawn instead (Künsch 1989). Both predictions meet the same draws, so what they share cancels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


def block_draws(blocks: Ints, draws: int, seed: int) -> Floats:
    """(draws, units) how often each unit is drawn, when as many blocks are drawn as there are."""
    _, block = np.unique(blocks, return_inverse=True)
    count = int(block.max()) + 1
    rng = np.random.default_rng(seed)
    times = np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(draws)])
    out: Floats = times[:, block].astype(np.float64)
    return out


def drawn_pearson(prediction: Floats, truth: Floats, times: Floats) -> Floats:
    """(draws,) mean over genes of the Pearson correlation, units weighed by `times` (draws, units).

    A gene that is constant in a draw has no correlation there and is left out of that draw's mean; NaN where no gene
    is left.
    """
    x, y = (np.asarray(a, dtype=np.float64) - np.mean(a, axis=0) for a in (prediction, truth))
    n = times.sum(axis=1, keepdims=True)
    mean_x, mean_y = times @ x / n, times @ y / n
    var_x, var_y = times @ x**2 / n - mean_x**2, times @ y**2 / n - mean_y**2
    covariance = times @ (x * y) / n - mean_x * mean_y
    square = np.maximum(var_x, 0) * np.maximum(var_y, 0)
    least = 1e-12 * x.var(axis=0) * y.var(axis=0)
    r = np.divide(covariance, np.sqrt(square), out=np.full_like(covariance, np.nan), where=square > least)
    defined = np.isfinite(r)
    total, kept = np.where(defined, r, 0.0).sum(axis=1), defined.sum(axis=1)
    out: Floats = np.divide(total, kept, out=np.full(len(total), np.nan), where=kept > 0)
    return out


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of the draws; NaN where there are none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
