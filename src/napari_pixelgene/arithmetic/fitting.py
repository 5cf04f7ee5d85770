"""Every kind of plane transform behind one face: the matrices of `geometry`, and the affine one that a spline bends.

Arrays in, arrays out, in one unit of length on either side; errors are distances in the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from napari_pixelgene.arithmetic import geometry, splines
from napari_pixelgene.arithmetic.geometry import Mask, Matrix, Points

Kind = Literal["translation", "rigid", "similarity", "affine", "homography", "spline"]
# Simplest first.
KINDS: tuple[Kind, ...] = get_args(Kind)
# Of a spline one more than it can be fitted to, so that it is never without a held-out error.
MINIMUM_PAIRS: dict[Kind, int] = dict(zip(KINDS, (1, 2, 2, 3, 4, splines.MINIMUM_PAIRS + 1), strict=True))

# Up to here a spline's pairs are held out one by one with all that was chosen; beyond, in closed form.
_ONE_BY_ONE = 60
# A simpler kind without one pair must foretell the others this much better than any kind foretells them all. Over
# simulated truths of every kind, 6 to 10 pairs: 1 in 200 is accused in vain, and none but the wrong one.
_CLEARLY = 0.4
# Five pairs are too few to tell; more than twelve no homography can pass near when one is wrong.
_FEWEST, _MOST = 6, 12


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A matrix and, for a spline, the bend that acts after it."""

    matrix: Matrix
    spline: splines.Spline | None = None

    def apply(self, xy: Points) -> Matrix:
        """Map points (n, 2)."""
        flat = geometry.apply_matrix(self.matrix, xy)
        return flat if self.spline is None else self.spline.forth(flat)

    def misses(self, source: Points, target: Points) -> Matrix:
        """Distance (n,) between where each source point lands and its target."""
        return np.asarray(np.linalg.norm(self.apply(source) - target, axis=1), dtype=np.float64)


def is_degenerate(kind: Kind, xy: Points) -> bool:
    """Whether points (n, 2) cannot determine a transform of this kind."""
    if kind == "spline":
        return len(xy) < splines.MINIMUM_PAIRS or geometry.is_degenerate("affine", xy)
    return geometry.is_degenerate(kind, xy)


def fit(kind: Kind, source: Points, target: Points, *, allow_mirror: bool = False) -> Fitted:
    """The least-squares fit; a spline bends the affine one as far as held-out pairs support.

    Raises ValueError where the points cannot determine it.
    """
    if kind != "spline":
        return Fitted(geometry.fit(kind, source, target, allow_mirror=allow_mirror))
    matrix = geometry.fit("affine", source, target)
    flat = geometry.apply_matrix(matrix, source)
    return Fitted(matrix, splines.fit(flat, target - flat))


def leave_one_out(kind: Kind, source: Points, target: Points, *, allow_mirror: bool = False) -> Matrix:
    """Error (n,) at each pair of the fit to all others, a spline's smoothing chosen anew; NaN where there is no fit."""
    if kind != "spline":
        return geometry.leave_one_out(kind, source, target, allow_mirror=allow_mirror)
    if len(source) > _ONE_BY_ONE:
        flat = geometry.apply_matrix(geometry.fit("affine", source, target), source)
        return splines.leave_one_out(flat, target - flat)
    errors = np.full(len(source), np.nan)
    for i in range(len(source)):
        rest = np.arange(len(source)) != i
        if not is_degenerate(kind, source[rest]):
            errors[i] = fit(kind, source[rest], target[rest]).misses(source[i : i + 1], target[i : i + 1])[0]
    return errors


def grown(source: Points, target: Points, mask: Mask, threshold: float) -> Mask:
    """The pairs of `mask` (n,) and, nearest first, each other that their spline foretells within `threshold`."""
    mask = mask.copy()
    while not mask.all() and not is_degenerate("spline", source[mask]):
        errors = np.where(mask, np.inf, fit("spline", source[mask], target[mask]).misses(source, target))
        if errors.min() > threshold:
            break
        mask[np.argmin(errors)] = True
    return mask


def odd_one(source: Points, target: Points, threshold: float, *, allow_mirror: bool = False) -> int | None:
    """The pair that a richer kind bends itself for: without it a simpler kind foretells all others far better.

    A homography on few pairs passes near a wrong one too. It is told by weighing what is held out: over all
    pairs by any kind, and over the others by a similarity or affine that the pair is further than `threshold` from.
    """
    if not _FEWEST <= len(source) <= _MOST:
        return None
    kinds: tuple[geometry.Kind, ...] = ("similarity", "affine")
    options = {"allow_mirror": allow_mirror}
    over_all = min(_rms(leave_one_out(k, source, target, **options)) for k in (*kinds, "homography"))
    best: tuple[float, int] | None = None
    for i in range(len(source)):
        rest = np.arange(len(source)) != i
        for kind in kinds:
            if geometry.is_degenerate(kind, source[rest]):
                continue
            error = _rms(leave_one_out(kind, source[rest], target[rest], **options))
            off = fit(kind, source[rest], target[rest], **options).misses(source[i : i + 1], target[i : i + 1])[0]
            if off > threshold and error < _CLEARLY * over_all and (best is None or error < best[0]):
                best = error, i
    return None if best is None else best[1]


def _rms(values: Matrix) -> float:
    """Infinite where anything is undefined."""
    return float(np.sqrt(np.mean(values**2))) if np.isfinite(values).all() else np.inf
