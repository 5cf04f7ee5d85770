"""Thin-plate splines of the plane: what a smooth bend adds to each point, how it is fitted, and its way back.

Arrays in, arrays out. Points are (n, 2) float (x, y). A spline shifts a point p by
linear·(1, x, y) + Σ weightᵢ·φ(|p − centreᵢ|) with φ(r) = r²·log r: of all functions that pass as near to
the given shifts it bends least. Its weights sum to zero and have no first moment, so far from all centres
it is an affine map but for a logarithm, and never runs away.

Sources: Duchon 1977; Wahba 1990, chapters 1 and 4 (smoothing, leaving one out in closed form).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.floating[Any]]

# Three pairs hold the affine part; with fewer than four more nothing chooses a smoothing.
MINIMUM_PAIRS = 7
# Smoothing tried, relative to the stiffest mode of the pairs; the last stands for no bend at all.
_SMOOTHING = np.append(np.geomspace(1e-6, 1e2, 33), np.inf)
# The smoothest within this much of the least held-out error is taken: the curve is flat and noisy there.
_AS_GOOD = 1.01
# Points in one go: with some tens of centres what is worked out of them stays in the cache.
_CHUNK = 1024
_STEPS = 30


@dataclass(frozen=True, slots=True, eq=False)
class Spline:
    """`centres` (n, 2), `weights` (n, 2), and `linear` (3, 2), which acts on rows (1, x, y); one unit of length."""

    centres: Points
    weights: Points
    linear: Points

    def forth(self, xy: Points) -> Points:
        """Points (m, 2), each with its shift added."""
        points = np.asarray(xy, dtype=np.float64)
        out = np.empty_like(points)
        for part in _parts(len(points)):
            out[part] = points[part] + _Near(self, points[part]).shift()
        return out

    def slopes(self, xy: Points) -> Points:
        """The derivative (m, 2, 2) of `forth` at each point: [[du/dx, du/dy], [dv/dx, dv/dy]]."""
        points = np.asarray(xy, dtype=np.float64)
        out = np.empty((len(points), 2, 2))
        for part in _parts(len(points)):
            out[part] = _Near(self, points[part]).slopes()
        return out

    def back(self, xy: Points) -> Points:
        """The points (m, 2) that `forth` takes to these, by Newton's method to 1e-9 and better; NaN where it folds."""
        wanted = np.asarray(xy, dtype=np.float64)
        out = np.full_like(wanted, np.nan)
        for part in _parts(len(wanted)):
            out[part] = self._back(wanted[part])
        return out

    def _back(self, wanted: Points) -> Points:
        out = np.full_like(wanted, np.nan)
        open_ = np.flatnonzero(np.isfinite(wanted).all(axis=1))
        place = wanted[open_]
        for _ in range(_STEPS):
            near = _Near(self, place)
            goal = wanted[open_]
            miss = place + near.shift() - goal
            done = np.abs(miss).max(axis=1, initial=0.0) <= 1e-10 + 1e-14 * np.abs(goal).max(axis=1, initial=0.0)
            out[open_[done]] = place[done]
            open_, place = open_[~done], (place - _solved(near.slopes(), miss))[~done]
            if not len(open_):
                break
        return out


class _Near:
    """A spline at few points (m, 2): one logarithm a point and centre serves its shift and its slopes."""

    def __init__(self, spline: Spline, points: Points) -> None:
        self._spline, self._points = spline, points
        self._x, self._y = (points[:, axis, None] - spline.centres[:, axis] for axis in (0, 1))
        self._square = self._x * self._x + self._y * self._y
        self._log = np.zeros_like(self._square)
        np.log(self._square, out=self._log, where=self._square > 0)

    def shift(self) -> Points:
        linear = self._spline.linear
        bent = (self._square * self._log) @ (0.5 * self._spline.weights)
        return np.asarray(bent + linear[0] + self._points @ linear[1:])

    def slopes(self) -> Points:
        steep = self._log + 1.0
        bent = np.stack([(steep * away) @ self._spline.weights for away in (self._x, self._y)], axis=2)
        return np.asarray(np.eye(2) + self._spline.linear[1:].T + bent)


def _solved(slopes: Points, miss: Points) -> Points:
    """The Newton step (m, 2) of two equations each."""
    (a, b), (c, d) = slopes[:, 0].T, slopes[:, 1].T
    area = a * d - b * c
    area = np.where(area == 0, np.nan, area)
    return np.stack([d * miss[:, 0] - b * miss[:, 1], a * miss[:, 1] - c * miss[:, 0]], axis=1) / area[:, None]


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))


def _kernel(square: Points) -> Points:
    """r²·log r of squared distances; 0 at 0."""
    out: Points = 0.5 * square * np.log(np.where(square > 0, square, 1.0))
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Modes:
    """The smoothing problem of n points, taken apart once: `bent` (n, n - 3) are its modes, `stiff` their strengths."""

    points: Points
    kernel: Points  # (n, n)
    bent: Points
    stiff: Points

    @classmethod
    def of(cls, points: Points) -> _Modes:
        across = np.linalg.qr(_flat(points), mode="complete")[0][:, 3:]
        kernel = _kernel(np.sum((points[:, None] - points[None]) ** 2, axis=2))
        stiff, turn = np.linalg.eigh(across.T @ kernel @ across)
        return cls(points, kernel, across @ turn, np.maximum(stiff, 0.0))

    def spline(self, values: Points, smoothing: float) -> Spline:
        """Of all splines the one of least (squared misses + smoothing · bending)."""
        weights = self.bent @ (self._give(smoothing)[:, None] * (self.bent.T @ values))
        unexplained = values - self.kernel @ weights
        if not np.isinf(smoothing):
            unexplained -= smoothing * self.stiff.max(initial=0.0) * weights
        linear = np.linalg.lstsq(_flat(self.points), unexplained, rcond=None)[0]
        return Spline(self.points, weights, linear / _sizes(self.points)[:, None])

    def held_out(self, values: Points, smoothing: float | Points) -> Points:
        """The error (n,) at each point of the spline through all others with this smoothing, in closed form.

        Of several smoothings (s,) the errors (s, n).
        """
        share = 1.0 - self._give(smoothing) * self.stiff
        left = (self.bent * share[..., None, :]) @ (self.bent.T @ values)
        free = share @ (self.bent**2).T
        return np.asarray(np.linalg.norm(left, axis=-1) / np.maximum(free, 1e-12))

    def chosen(self, values: Points) -> float:
        """The smoothest of `_SMOOTHING` whose held-out error is as good as the least, but for rounding."""
        errors = np.sqrt(np.mean(self.held_out(values, _SMOOTHING) ** 2, axis=1))
        allowed = _AS_GOOD * errors.min() + 1e-9 * np.abs(self.points).max()
        return float(_SMOOTHING[np.flatnonzero(errors <= allowed)[-1]])

    def _give(self, smoothing: float | Points) -> Points:
        """How far each mode is followed, over its strength: (k,) for one smoothing, (s, k) for several."""
        strength = np.asarray(smoothing)[..., None] * self.stiff.max(initial=1e-300)
        return np.asarray(1.0 / (self.stiff + strength))


def _flat(points: Points) -> Points:
    """Rows (1, x, y) over their sizes, so that µm far from the origin count as much as the 1."""
    return np.column_stack([np.ones(len(points)), points]) / _sizes(points)


def _sizes(points: Points) -> Points:
    return np.append(1.0, np.maximum(np.abs(points).max(axis=0), 1e-12))


def fit(points: Points, values: Points) -> Spline:
    """The spline that shifts `points` (n, 2) by `values` (n, 2), as smooth as leaving pairs out says is best.

    Where no bend predicts better, the weights are zero. Raises ValueError for fewer than `MINIMUM_PAIRS`
    points; that they do not lie on a line is for the caller to see to.
    """
    points, values = np.asarray(points, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(points) < MINIMUM_PAIRS:
        raise ValueError(f"a spline needs {MINIMUM_PAIRS} pairs, got {len(points)}")
    modes = _Modes.of(points)
    return modes.spline(values, modes.chosen(values))


def leave_one_out(points: Points, values: Points) -> Points:
    """Error (n,) at each pair of the spline through the others, in closed form, under one smoothing chosen from all."""
    points, values = np.asarray(points, dtype=np.float64), np.asarray(values, dtype=np.float64)
    modes = _Modes.of(points)
    return modes.held_out(values, modes.chosen(values))


def areas(spline: Spline, box: tuple[Points, Points], steps: int = 48) -> Points:
    """By how much the bend changes areas, with their sign, on a lattice (steps²,) over a box (low (2,), high (2,))."""
    low, high = box
    x, y = (np.linspace(a, b, steps) for a, b in zip(low, high, strict=True))
    lattice = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return np.asarray(np.linalg.det(spline.slopes(np.vstack([lattice, spline.centres]))))
