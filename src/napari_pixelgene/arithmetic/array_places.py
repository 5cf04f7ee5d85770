"""The array that spots lie on, found from their positions: a column and a row for each, or that there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
# In pitches: how far neighbours lie apart at most, and how far from its place a spot may lie.
_NEIGHBOUR, _OFF = 1.3, 0.25
# Steps this near to one another (in pitches) are one step of the array; directions this near to parallel are one.
_SAME, _PARALLEL = 0.2, 0.5
_SEEN = 2_000


def array_places(xy: FloatArray) -> IntArray | None:
    """(n, 2) whole numbers, column and row of every unit (n, 2) on a square or staggered array, at any pitch and turn.

    Of a staggered array columns count half pitches, as Space Ranger counts them. None where units lie otherwise, or
    all on one line.
    """
    xy = np.asarray(xy, dtype=np.float64)
    steps = _steps(xy)
    if steps is None:
        return None
    lean = float(steps[1] @ steps[0] / (steps[0] @ steps[0]))
    staggered = abs(lean - 0.5) < 0.2
    if not staggered and abs(lean) > 0.15:
        return None
    start = np.linalg.norm(xy - xy.mean(0), axis=1).argmin()
    place = (xy - xy[start]) @ np.linalg.inv(steps)
    whole = np.round(place)
    # Steps are known as well as neighbours lie; over the whole array only a fit does.
    design = np.column_stack([whole, np.ones(len(xy))])
    fitted = np.linalg.lstsq(design, xy, rcond=None)[0]
    off = (xy - fitted[2]) @ np.linalg.inv(fitted[:2]) - whole
    if (np.abs(off) > _OFF).any() or len(np.unique(whole, axis=0)) < len(xy):
        return None
    along, row = whole.astype(np.int64).T
    column = 2 * along + row if staggered else along
    return np.column_stack([column - column.min() // 2 * 2, row - row.min() // 2 * 2])


def _steps(xy: FloatArray) -> FloatArray | None:
    """(2, 2) the step from a unit to the next in its row, and to one in the next row, leaning forward."""
    if len(xy) < 4:
        return None
    tree = cKDTree(xy)
    pitch = float(np.median(tree.query(xy, k=2)[0][:, 1]))
    pairs = tree.query_pairs(_NEIGHBOUR * pitch, output_type="ndarray")
    if not len(pairs) or pitch <= 0:
        return None
    seen = np.random.default_rng(0).permutation(len(pairs))[:_SEEN]
    step = (xy[pairs[:, 1]] - xy[pairs[:, 0]])[np.sort(seen)] / pitch
    step = np.concatenate([step, -step])
    first = _commonest(step)
    if first is None:
        return None
    across = step[np.abs(step @ [-first[1], first[0]]) > _PARALLEL]
    across = across[across @ first > -_SAME]
    second = _commonest(across)
    return None if second is None else np.stack([first, second]) * pitch


def _commonest(step: FloatArray) -> FloatArray | None:
    """The mean of the steps that most others are near; of equally common ones the shortest."""
    if not len(step):
        return None
    near = cKDTree(step).query_ball_point(step, _SAME, return_length=True)
    often = np.flatnonzero(near >= 0.7 * near.max())
    best = often[np.linalg.norm(step[often], axis=1).round(1).argmin()]
    return np.asarray(step[np.linalg.norm(step - step[best], axis=1) < _SAME].mean(0))
