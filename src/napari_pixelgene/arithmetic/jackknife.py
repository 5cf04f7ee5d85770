"""How uncertain a fitted plane transform is at any place, from its pairs alone: how far it moves without one of them.

Quenouille's and Tukey's jackknife (Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", 1982, chapter 3):
it asks nothing about the kind of transform, and grows away from the pairs by itself.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from napari_pixelgene.arithmetic import fitting
from napari_pixelgene.arithmetic.fitting import Kind
from napari_pixelgene.arithmetic.geometry import Matrix, Points

# Free numbers of each kind; a spline's bend has more, which its own held-out choice keeps down.
FREE: dict[Kind, int] = {"translation": 2, "rigid": 3, "similarity": 4, "affine": 6, "homography": 8, "spline": 8}
# More pairs than this are left out in groups.
_MOST_FITS = 20
# Scatter of few residuals is easily too small by luck: its upper bound is taken, which luck passes once in five times.
_LUCK = 0.2


def spare(kind: Kind, count: int) -> int:
    """How many coordinates of `count` pairs are left to contradict the fit."""
    return 2 * count - FREE[kind]


def caution(degrees: int) -> float:
    """By how much a spread from so many degrees of freedom may be too small."""
    return float(np.sqrt(degrees / chi2.ppf(_LUCK, degrees))) if degrees > 0 else np.inf


def standard_error(kind: Kind, source: Points, target: Points, at: Points, *, allow_mirror: bool = False) -> Matrix:
    """Standard error (m,) of where the fit of (n, 2) pairs takes points `at` (m, 2) of the source.

    Root mean square over both axes together, in units of the target. NaN where the pairs without one of them (of many
    pairs: one group) do not determine the transform.
    """
    count = len(source)
    groups = np.arange(count) if count <= _MOST_FITS else _dealt(count)
    moved = []
    for group in range(int(groups.max(initial=-1)) + 1):
        rest = groups != group
        if fitting.is_degenerate(kind, source[rest]):
            return np.full(len(at), np.nan)
        moved.append(fitting.fit(kind, source[rest], target[rest], allow_mirror=allow_mirror).apply(at))
    if len(moved) < 2:
        return np.full(len(at), np.nan)
    stack = np.stack(moved)
    spread = np.square(stack - stack.mean(axis=0)).sum(axis=(0, 2))
    return np.asarray(np.sqrt((len(moved) - 1) / len(moved) * spread))


def _dealt(count: int) -> Matrix:
    """Which of the groups each pair is in, the same every time."""
    return np.asarray(np.random.default_rng(0).permutation(count) % _MOST_FITS)
