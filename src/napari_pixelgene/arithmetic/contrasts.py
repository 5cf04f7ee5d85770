"""What sets groups of squares apart: moments of every gene inside each group, gathered block by block, and contrasts.

specs/iscale.md section 5.6. There is no p-value: squares beside one another are no independent samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Moments:
    """`count` (groups,) squares; `mean` and `variance` (groups, genes) of their values, NaN of a group without any.

    The variance is that of the squares themselves (divided by their number).
    """

    count: IntArray
    mean: FloatArray
    variance: FloatArray

    @classmethod
    def of(cls, values: FloatArray, labels: IntArray, groups: int) -> Moments:
        """Of rows (n, genes) with labels (n,) from 0 on; rows with a negative label are left out."""
        kept = labels >= 0
        values, labels = np.asarray(values[kept], dtype=np.float64), labels[kept]
        count = np.bincount(labels, minlength=groups)
        member = sparse.csr_matrix(
            (np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(groups, len(labels))
        )
        share = 1 / np.where(count, count, np.nan)[:, None]
        mean = (member @ values) * share
        return cls(count, mean, (member @ (values - mean[labels]) ** 2) * share)

    def joined(self, other: Moments) -> Moments:
        """Of both sets of rows together."""
        count = self.count + other.count
        mine, theirs = (np.nan_to_num(x.count / np.maximum(count, 1))[:, None] for x in (self, other))
        first, second, v, w = (np.nan_to_num(x) for x in (self.mean, other.mean, self.variance, other.variance))
        mean = mine * first + theirs * second
        variance = mine * v + theirs * w + mine * theirs * (first - second) ** 2
        none = (count == 0)[:, None]
        return Moments(count, np.where(none, np.nan, mean), np.where(none, np.nan, variance))


@dataclass(frozen=True, slots=True)
class Contrasts:
    """Each group against all other squares, (groups, genes) each: the mean of the others, the ratio of both means, and
    their difference in standard deviations of a gene inside the groups. NaN where it is undefined."""

    outside: FloatArray
    fold_change: FloatArray
    difference: FloatArray


def contrasts(moments: Moments) -> Contrasts:
    """The contrasts of every group. The others' mean is over their own squares: the original divides their sum by all
    squares, so that its ratio is too large by 1 / (1 - the group's share)."""
    count = moments.count.astype(np.float64)[:, None]
    sums = np.nan_to_num(moments.mean) * count
    others = count.sum() - count
    nan = np.full(sums.shape, np.nan)
    outside = np.divide(sums.sum(0) - sums, others, out=nan.copy(), where=(others > 0) & (count > 0))
    fold = np.divide(moments.mean, outside, out=nan.copy(), where=outside > 0)
    spread = np.sqrt((np.nan_to_num(moments.variance) * count).sum(0) / max(count.sum(), 1.0))
    spread = np.broadcast_to(spread, sums.shape)
    return Contrasts(outside, fold, np.divide(moments.mean - outside, spread, out=nan, where=spread > 0))
