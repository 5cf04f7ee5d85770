"""Places well spread over an area, and which shifts of a field of shifts agree with their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

_NEIGHBOURS = 6
# Deviations, in medians of all deviations, beyond which a shift disagrees with those around it.
_DEVIATIONS = 4.0


def well_spread(
    points: FloatArray, count: int, worth: FloatArray | None = None, taken: FloatArray | None = None, apart: float = 0.0
) -> IntArray:
    """Rows of up to `count` of points (n, 2), each as far as can be from those before it and from `taken` (m, 2).

    Distances are multiplied by `worth` (n,), so that a better point is taken before a slightly farther one; without any
    `taken` the first is the worthiest, then the one nearest to the middle. None is nearer than `apart` to another or to
    a taken one. Any first part of the answer is well spread too.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    value = np.ones(len(points)) if worth is None else np.asarray(worth, dtype=np.float64)
    far = np.full(len(points), np.inf)
    for point in np.zeros((0, 2)) if taken is None else taken:
        far = np.minimum(far, np.linalg.norm(points - point, axis=1))
    chosen: list[int] = []
    while len(chosen) < min(count, len(points)):
        best = _farthest(points, value, far)
        if far[best] <= apart:
            break
        chosen.append(best)
        far = np.minimum(far, np.linalg.norm(points - points[best], axis=1))
        far[best] = 0.0
    return np.asarray(chosen, dtype=np.int64)


def _farthest(points: FloatArray, value: FloatArray, far: FloatArray) -> int:
    if np.isinf(far).all():
        off_middle = np.linalg.norm(points - points.mean(axis=0), axis=1)
        return int(np.lexsort((off_middle, -value))[0])
    return int(np.argmax(far * value))


def agreeing(points: FloatArray, shifts: FloatArray, tolerance: float) -> BoolArray:
    """Which shifts (n, 2) lie near the median of their six nearest neighbours': a mask (n,).

    Near is within `tolerance`, or within four times the median deviation where a field is rough all over. Whatever
    changes slowly over the points is no disagreement. With fewer than three there is nobody to agree with.
    """
    count = len(points)
    if count < 3:
        return np.zeros(count, dtype=bool)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    near = np.argsort(apart, axis=1, kind="stable")[:, : min(_NEIGHBOURS, count - 1)]
    off = np.linalg.norm(shifts - np.median(shifts[near], axis=1), axis=1)
    return np.asarray(off <= max(tolerance, min(_DEVIATIONS * float(np.median(off)), 3 * tolerance)))
