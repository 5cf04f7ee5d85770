"""Two labellings of the same squares: how much they agree, and what of the one is frequent in the other.

Squares with a negative label in either are left out (specs/iscale.md section 5.6, specs/pixel2gene.md section 7.4).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]


def joint_counts(first: IntArray, second: IntArray, shape: tuple[int, int]) -> IntArray:
    """(labels of the first, labels of the second): on how many squares they meet."""
    both = (first >= 0) & (second >= 0)
    out: IntArray = np.bincount(first[both] * shape[1] + second[both], minlength=shape[0] * shape[1]).reshape(shape)
    return out


def odds_ratios(joint: IntArray) -> FloatArray:
    """How many times the odds of a column are, inside a row's squares, those outside: p(i, j) p(not i, not j) over
    p(i, not j) p(not i, j). 0 where they never meet, infinite where one of them never stands alone, NaN of a row or
    column that is empty or is everything."""
    with np.errstate(divide="ignore", invalid="ignore"):
        out: FloatArray = joint * _neither(joint) / (_alone(joint, 1) * _alone(joint, 0))
    return out


def _alone(joint: IntArray, axis: int) -> FloatArray:
    """The rest of each entry's row (axis 1) or column (axis 0)."""
    return np.asarray(joint.sum(axis, keepdims=True) - joint, dtype=np.float64)


def _neither(joint: IntArray) -> FloatArray:
    rest = joint.sum() - joint.sum(1, keepdims=True) - joint.sum(0, keepdims=True) + joint
    return np.asarray(rest, dtype=np.float64)


def best_partners(joint: IntArray) -> tuple[IntArray, IntArray]:
    """Rows and columns paired one to one so that as many squares as possible lie on pairs (Hungarian method)."""
    rows, columns = linear_sum_assignment(joint, maximize=True)
    return rows, columns


def agreement(first: IntArray, second: IntArray, joint: IntArray) -> dict[str, float]:
    """Measures of agreement of two labellings and their `joint` counts; 1: the same groups, 0 (`ari`, `ami`): as alike
    as by chance. `matched` is the share of squares on pairs of `best_partners`. NaN where they share no square."""
    from sklearn import metrics

    both = (first >= 0) & (second >= 0)
    names = ("ari", "nmi", "ami", "v_measure", "fowlkes_mallows", "matched")
    if not both.any():
        return dict.fromkeys(names, float("nan"))
    a, b = first[both].ravel(), second[both].ravel()
    rows, columns = best_partners(joint)
    found = (
        metrics.adjusted_rand_score(a, b),
        metrics.normalized_mutual_info_score(a, b),
        metrics.adjusted_mutual_info_score(a, b),
        metrics.v_measure_score(a, b),
        metrics.fowlkes_mallows_score(a, b),
        joint[rows, columns].sum() / len(a),
    )
    return {name: float(value) for name, value in zip(names, found, strict=True)}
