"""Scores of columns: predicted beside measured, one number a gene."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.floating[Any]]


def pearson(a: Floats, b: Floats) -> Floats:
    """Pearson correlation of the columns of a and b (n, genes); NaN where one of them is constant."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if len(a) == 0:
        return np.full(a.shape[1], np.nan)
    a, b = a - a.mean(0), b - b.mean(0)
    norm = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    # A column of equal values keeps rounding errors of its mean; nothing can correlate with those.
    floor = 1e-12 * len(a)
    return np.divide((a * b).sum(0), norm, out=np.full(a.shape[1], np.nan), where=norm > floor)


def spearman(a: Floats, b: Floats) -> Floats:
    """Pearson correlation of the columns' ranks, ties at their mean rank."""
    return pearson(rankdata(a, axis=0), rankdata(b, axis=0))


def rmse(a: Floats, b: Floats) -> Floats:
    """Root of the mean squared difference, per column."""
    out: Floats = np.sqrt(((np.asarray(a, dtype=np.float64) - b) ** 2).mean(axis=0))
    return out
