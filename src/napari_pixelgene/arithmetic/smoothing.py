"""Means over a square window, of what there is in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def box_means(
    values: npt.NDArray[np.floating[Any]], there: npt.NDArray[np.bool_], side: int
) -> npt.NDArray[np.float32]:
    """Mean of (rows, columns, channels) over `side` × `side` cells around each, of those that are `there`.

    `side` is odd, so nothing drifts by half a cell; at a border the window is what lies inside. Returns float32 of the
    same shape, NaN where a cell is not there itself. Summed in float64, cell by cell from the window's upper left.
    """
    if side % 2 == 0:
        raise ValueError(f"a window of {side} cells has no middle")
    kept = np.where(there[..., None], values, 0.0).astype(np.float64)
    weight = there.astype(np.float64)[..., None]
    total, count = (_sums(_sums(x, side), side, axis=1) for x in (kept, weight))
    out: npt.NDArray[np.float32] = np.where(there[..., None], total / np.maximum(count, 1.0), np.nan).astype(np.float32)
    return out


def _sums(values: npt.NDArray[np.float64], side: int, axis: int = 0) -> npt.NDArray[np.float64]:
    """Sums over `side` neighbours along an axis."""
    reach, size = side // 2, values.shape[axis]
    out = np.zeros_like(values)
    for step in range(-reach, reach + 1):
        first, last = max(0, -step), min(size, size - step)
        if first < last:
            to, of = [slice(None)] * values.ndim, [slice(None)] * values.ndim
            to[axis], of[axis] = slice(first, last), slice(first + step, last + step)
            out[tuple(to)] += values[tuple(of)]
    return out
