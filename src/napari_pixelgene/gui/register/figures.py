"""What is drawn of a fit on the H&E, as plain line segments: what it leaves at the pairs, and how it bends a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.gui.register.work import Work

# The typical arrow becomes this share of the width over which the pairs lie; a grid has about so many squares across.
_ARROW_SHARE, _SQUARES = 0.12, 16
_STEPS_A_SQUARE = 4
_NICE = (1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Segments:
    """Segments (n, 2, 2): where each starts and how far it reaches, both (x, y) in H&E µm.

    `scale` is by how much arrows are enlarged, or the width of a grid's squares in µm; `out` (n,) marks outliers.
    """

    vectors: FloatArray
    scale: float
    out: tuple[bool, ...] = ()


def residual_arrows(work: Work) -> Segments | None:
    """From each pair's place on the H&E towards where the fit puts it, enlarged; None where nothing is fitted."""
    pairs, transform = work.keypoints, work.transform
    if transform is None or not len(pairs):
        return None
    mpp = work.he.require_mpp()
    off = (transform.apply(pairs.moving_xy) - pairs.fixed_xy) * mpp
    good = np.array([row.trusted for row in work.fit.rows])
    lengths = np.hypot(*off[good].T) if good.any() else np.hypot(*off.T)
    places = pairs.fixed_xy * mpp
    width = max(float(np.ptp(places, axis=0).max()), 1.0)
    scale = max(1.0, nice(_ARROW_SHARE * width / max(float(np.median(lengths)), 1e-9)))
    scale = 1.0 if scale > 1e4 else scale  # an exact fit leaves nothing to enlarge
    return Segments(np.stack([places, off * scale], axis=1), scale, tuple(not each for each in good.tolist()))


def deformation_grid(work: Work) -> Segments | None:
    """An even grid of the moving image as the transform lays it on the H&E; None while there is none."""
    transform = work.transform
    if transform is None:
        return None
    corners = _corners(work)
    low, high = corners.min(axis=0), corners.max(axis=0)
    unit = work.moving.um_per_unit
    side = nice(float((high - low).max()) * unit / _SQUARES * 1.5)
    ends = [_line(low, high, axis, at) for axis in (0, 1) for at in _marks(low[axis], high[axis], side / unit)]
    vectors = [_drawn(work, between(start, stop, side / unit)) for start, stop in ends]
    return Segments(np.concatenate(vectors), side)


def nice(value: float) -> float:
    """The largest of 1, 2, 5, 10, 20 … (or .5, .2, …) that is not over it."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(step for step in _NICE if step * power <= value * (1 + 1e-9)))


def between(start: FloatArray, stop: FloatArray, side: float) -> FloatArray:
    """Points (n, 2) from one to the other, a few a square."""
    count = max(2, int(np.ceil(np.hypot(*(stop - start)) / side)) * _STEPS_A_SQUARE + 1)
    return np.asarray(start + np.linspace(0, 1, count)[:, None] * (stop - start))


def _corners(work: Work) -> FloatArray:
    rows, columns = work.moving.channels[0].yx_shape
    box = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], dtype=np.float64)
    return geometry.apply_matrix(work.moving.picture_to_frame, box)


def _marks(low: float, high: float, side: float) -> FloatArray:
    return np.append(np.arange(low, high, side), high)


def _line(low: FloatArray, high: FloatArray, axis: int, at: float) -> tuple[FloatArray, FloatArray]:
    start, stop = low.copy(), high.copy()
    start[axis] = stop[axis] = at
    return start, stop


def _drawn(work: Work, points: FloatArray) -> FloatArray:
    """The line through points of the moving frame on the H&E, without what lies far off or beyond the horizon."""
    assert work.transform is not None
    mpp, size = work.he.require_mpp(), np.array(work.he.yx_shape[::-1], dtype=np.float64)
    there = work.transform.apply(points)
    ahead = geometry.denominator(work.transform.matrix, points) > 0
    with np.errstate(invalid="ignore"):
        near = ((there > -size) & (there < 2 * size)).all(axis=1) & ahead
    kept = near[:-1] & near[1:]
    return np.stack([there[:-1][kept], (there[1:] - there[:-1])[kept]], axis=1) * mpp
