"""Plane transforms: least-squares fits, a robust fit, residuals, leave-one-out errors, local geometry.

Arrays in, arrays out. Points are (n, 2) float (x, y); a transform is a 3×3 matrix that acts on column
vectors (x, y, 1). Fits minimise the summed squared distance in the *target*, in the target's unit, so
that residuals mean the same for every kind. What the coordinates mean is the caller's business.

Sources: Umeyama 1991 (similarity), Hartley 1997 (normalised coordinates), Hartley and Zisserman 2004,
chapter 4 (homography: direct linear start, then the reprojection error).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

Kind = Literal["translation", "rigid", "similarity", "affine", "homography"]
# Simplest first.
KINDS: tuple[Kind, ...] = get_args(Kind)
MINIMUM_PAIRS: dict[Kind, int] = {"translation": 1, "rigid": 2, "similarity": 2, "affine": 3, "homography": 4}

Points = npt.NDArray[np.floating[Any]]
Matrix = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

# Spread across, relative to spread along, below which points lie on a line for the purpose of a fit.
COLLINEAR = 0.01
# The same for the direct linear system of a homography, where a narrow strip of tissue must still pass.
_ILL_POSED = 1e-3
# Half the pairs wrong: 300 samples of four miss every clean one once in 10^8 searches.
_SAMPLES = 300
_REFINED = 10


@dataclass(frozen=True, slots=True)
class LocalGeometry:
    """What a matrix does around each of n points: arrays (n,).

    `scale` is the square root of the change of area, `rotation_deg` runs from x towards y, `mirrored`
    tells a change of handedness, and `w` is the homogeneous denominator: where it is not positive
    (for a matrix scaled to be positive on the data) the map has crossed its horizon.
    """

    scale: Matrix
    rotation_deg: Matrix
    mirrored: Mask
    w: Matrix


def denominator(matrix: Matrix, xy: Points) -> Matrix:
    """The homogeneous w (n,) of each mapped point."""
    out: Matrix = np.asarray(xy, dtype=np.float64) @ matrix[2, :2] + matrix[2, 2]
    return out


def apply_matrix(matrix: Matrix, xy: Points) -> Matrix:
    """Map points (n, 2), in float64."""
    points = np.asarray(xy, dtype=np.float64)
    out: Matrix = (points @ matrix[:2, :2].T + matrix[:2, 2]) / denominator(matrix, points)[:, None]
    return out


def residuals(matrix: Matrix, source: Points, target: Points) -> Matrix:
    """Distance (n,) in target units between where each source point lands and its target."""
    return np.asarray(np.linalg.norm(apply_matrix(matrix, source) - target, axis=1), dtype=np.float64)


def jacobian(matrix: Matrix, xy: Points) -> Matrix:
    """The derivative (n, 2, 2) of the map at each point: [[du/dx, du/dy], [dv/dx, dv/dy]]."""
    mapped, w = apply_matrix(matrix, xy), denominator(matrix, xy)
    out: Matrix = (matrix[None, :2, :2] - mapped[:, :, None] * matrix[2, :2]) / w[:, None, None]
    return out


def local_geometry(matrix: Matrix, xy: Points) -> LocalGeometry:
    """Scale, rotation, handedness and w of the map at each point."""
    j = jacobian(matrix, xy)
    area = np.linalg.det(j)
    hand = np.where(area < 0, -1.0, 1.0)
    # The rotation nearest to the Jacobian; a mirrored map is first flipped back along its second axis.
    angle = np.arctan2(j[:, 1, 0] - hand * j[:, 0, 1], j[:, 0, 0] + hand * j[:, 1, 1])
    return LocalGeometry(np.sqrt(np.abs(area)), np.degrees(angle), area < 0, denominator(matrix, xy))


def scaled(matrix: Matrix) -> Matrix:
    """The same map with its last element 1, or with unit norm when the origin lies on the horizon."""
    last = matrix[2, 2]
    norm = float(np.linalg.norm(matrix))
    return np.asarray(matrix / (last if abs(last) > 1e-12 * norm else norm), dtype=np.float64)


def is_mirrored(matrix: Matrix, xy: Points) -> bool:
    """Whether the map changes handedness at the centre of the points."""
    return bool(local_geometry(matrix, np.asarray(xy).mean(axis=0)[None]).mirrored[0])


def spread_ratio(xy: Points) -> float:
    """How far from a line points (n, 2) lie: their spread across it over their spread along it, 0 to 1."""
    if len(xy) < 2:
        return 0.0
    along, across = np.linalg.svd(np.asarray(xy, dtype=np.float64) - np.mean(xy, axis=0), compute_uv=False)[:2]
    return float(across / along) if along > 0 else 0.0


def is_degenerate(kind: Kind, xy: Points) -> bool:
    """Whether points (n, 2) cannot determine a transform of this kind: too few, coincident or too near a line.

    A homography also needs four points of which no three lie on a line.
    """
    points = np.asarray(xy, dtype=np.float64)
    if len(points) < MINIMUM_PAIRS[kind]:
        return True
    if kind in ("rigid", "similarity"):
        return bool(np.ptp(points, axis=0).max() == 0)
    if kind == "translation":
        return False
    if spread_ratio(points) < COLLINEAR:
        return True
    return kind == "homography" and _homography_condition(points) < _ILL_POSED


def coincident(xy: Points, tolerance: float) -> list[tuple[int, int]]:
    """Pairs of rows (i, j), i < j, whose points (n, 2) lie within `tolerance` of one another."""
    points = np.asarray(xy, dtype=np.float64)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    rows, columns = np.nonzero(np.triu(apart <= tolerance, k=1))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True)]


def fit(kind: Kind, source: Points, target: Points, *, allow_mirror: bool = False) -> Matrix:
    """The matrix of this kind that takes source (n, 2) nearest to target (n, 2) in the least-squares sense.

    `allow_mirror` lets rigid and similarity transforms change handedness. Raises ValueError when there
    are fewer pairs than `MINIMUM_PAIRS[kind]` or the points cannot determine the transform.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if len(source) != len(target) or len(source) < MINIMUM_PAIRS[kind]:
        raise ValueError(f"a {kind} needs {MINIMUM_PAIRS[kind]} pairs, got {len(source)} and {len(target)} points")
    if is_degenerate(kind, source):
        raise ValueError(f"these {len(source)} points cannot determine a {kind}: they coincide or lie on a line")
    if kind == "translation":
        return fit_translation(source, target)
    if kind in ("rigid", "similarity"):
        return _fit_procrustes(source, target, rescale=kind == "similarity", allow_mirror=allow_mirror)
    return fit_affine(source, target) if kind == "affine" else fit_homography(source, target)


def fit_translation(source: Points, target: Points) -> Matrix:
    """The mean shift."""
    matrix = np.eye(3)
    matrix[:2, 2] = np.mean(target, axis=0) - np.mean(source, axis=0)
    return matrix


def fit_rigid(source: Points, target: Points, *, allow_mirror: bool = False) -> Matrix:
    """Rotation and shift, at scale 1."""
    return _fit_procrustes(source, target, rescale=False, allow_mirror=allow_mirror)


def fit_similarity(source: Points, target: Points, *, allow_mirror: bool = False) -> Matrix:
    """Rotation, one scale and shift."""
    return _fit_procrustes(source, target, rescale=True, allow_mirror=allow_mirror)


def fit_affine(source: Points, target: Points) -> Matrix:
    """Six parameters, linear least squares on normalised source coordinates."""
    normal = normalising(source)
    design = np.column_stack([apply_matrix(normal, source), np.ones(len(source))])
    solution = np.linalg.lstsq(design, np.asarray(target, dtype=np.float64), rcond=None)[0]
    matrix = np.eye(3)
    matrix[:2] = solution.T
    return np.asarray(matrix @ normal, dtype=np.float64)


def fit_homography(source: Points, target: Points) -> Matrix:
    """Eight parameters: a direct linear start on normalised coordinates, then the least reprojection error."""
    to_source, to_target = normalising(source), normalising(target)
    normal_source, normal_target = apply_matrix(to_source, source), apply_matrix(to_target, target)
    start = _direct_linear(normal_source, normal_target)
    refined = _least_reprojection(start, normal_source, normal_target)
    return scaled(np.linalg.solve(to_target, refined @ to_source))


def normalising(xy: Points) -> Matrix:
    """The matrix that moves points to mean 0 and root-mean-square distance √2."""
    points = np.asarray(xy, dtype=np.float64)
    centre = points.mean(axis=0)
    spread = float(np.sqrt(np.mean(np.sum((points - centre) ** 2, axis=1)) / 2)) or 1.0
    return np.array([[1 / spread, 0, -centre[0] / spread], [0, 1 / spread, -centre[1] / spread], [0, 0, 1]])


def leave_one_out(kind: Kind, source: Points, target: Points, *, allow_mirror: bool = False) -> Matrix:
    """Error (n,) at each pair, in target units, of the fit to all others; NaN where those cannot determine one."""
    errors = np.full(len(source), np.nan)
    for i in range(len(source)):
        rest = np.arange(len(source)) != i
        if not is_degenerate(kind, source[rest]):
            matrix = fit(kind, source[rest], target[rest], allow_mirror=allow_mirror)
            errors[i] = residuals(matrix, source[i : i + 1], target[i : i + 1])[0]
    return errors


def robust_fit(
    kind: Kind, source: Points, target: Points, threshold: float, *, seed: int = 0, allow_mirror: bool = False
) -> tuple[Matrix, Mask]:
    """The fit to the largest set of pairs that agree with their own fit within `threshold` (target units).

    Returns the least-squares matrix over that set and its mask (n,). A pair outside the set cannot be
    added without pushing some pair past the threshold. When all pairs agree, all are kept and nothing
    is sampled; so clicks with ordinary noise are never thrown away. A set of `MINIMUM_PAIRS` always
    agrees with itself: when no more than that are kept, the caller has learned nothing.
    Samples are all minimal sets, or 300 seeded ones where there are more.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    search = _Consensus(kind, source, target, threshold, allow_mirror)
    everything = np.ones(len(source), dtype=bool)
    if search.agrees(everything):
        return search.fit(everything), everything
    starts = sorted(search.hypotheses(seed), key=lambda scored: scored[0])[:_REFINED]
    settled = {mask.tobytes(): mask for mask in (search.settled(start) for _, start in starts)}
    masks = [search.grown(mask) for mask in settled.values()]
    if not masks:
        raise ValueError(f"no {MINIMUM_PAIRS[kind]} of these {len(source)} pairs determine a {kind}")
    best = max(masks, key=search.quality)
    return search.fit(best), best


@dataclass(frozen=True, slots=True)
class _Consensus:
    """The search for the largest set of pairs that agree; masks are (n,) bool."""

    kind: Kind
    source: Matrix
    target: Matrix
    threshold: float
    allow_mirror: bool

    def fit(self, mask: Mask) -> Matrix:
        return fit(self.kind, self.source[mask], self.target[mask], allow_mirror=self.allow_mirror)

    def residuals(self, mask: Mask) -> Matrix:
        """Of all pairs (n,), under the fit to those in `mask`; infinite where there is no fit."""
        if is_degenerate(self.kind, self.source[mask]):
            return np.full(len(self.source), np.inf)
        return residuals(self.fit(mask), self.source, self.target)

    def agrees(self, mask: Mask) -> bool:
        return bool((self.residuals(mask)[mask] <= self.threshold).all())

    def quality(self, mask: Mask) -> tuple[int, float]:
        """More pairs first, then a closer fit."""
        return int(mask.sum()), -float(np.sum(self.residuals(mask)[mask] ** 2))

    def hypotheses(self, seed: int) -> Iterator[tuple[float, Mask]]:
        """Each minimal set's truncated squared error, and the pairs that agree with it."""
        for rows in _minimal_sets(len(self.source), MINIMUM_PAIRS[self.kind], seed):
            chosen = np.zeros(len(self.source), dtype=bool)
            chosen[rows] = True
            error = self.residuals(chosen)
            if np.isfinite(error).all():
                near = error <= self.threshold
                yield float(np.sum(np.minimum(error, self.threshold) ** 2)), near | chosen

    def settled(self, mask: Mask) -> Mask:
        """Fit and select in turn until the selection stands; then drop the worst until what is left agrees."""
        for _ in range(10):
            near = self.residuals(mask) <= self.threshold
            if near.sum() < MINIMUM_PAIRS[self.kind] or (near == mask).all():
                break
            mask = near
        while not self.agrees(mask) and mask.sum() > MINIMUM_PAIRS[self.kind]:
            mask = mask.copy()
            mask[np.argmax(np.where(mask, self.residuals(mask), -1.0))] = False
        return mask

    def grown(self, mask: Mask) -> Mask:
        """Add each pair left out, nearest first, that the set can take in and still agree."""
        for row in np.argsort(self.residuals(mask)):
            wider = mask.copy()
            wider[row] = True
            if not mask[row] and self.agrees(wider):
                mask = wider
        return mask


def _minimal_sets(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """All subsets when they are few, else seeded random ones."""
    if comb(count, size) <= _SAMPLES:
        yield from (list(rows) for rows in combinations(range(count), size))
        return
    rng = np.random.default_rng(seed)
    for _ in range(_SAMPLES):
        yield rng.choice(count, size=size, replace=False).tolist()


def _fit_procrustes(source: Points, target: Points, *, rescale: bool, allow_mirror: bool) -> Matrix:
    """Umeyama's closed form: the rotation that maximises the trace against the cross-covariance."""
    source_mean, target_mean = np.mean(source, axis=0), np.mean(target, axis=0)
    centred = np.asarray(source, dtype=np.float64) - source_mean
    u, strength, vt = np.linalg.svd((target - target_mean).T @ centred)
    hand = 1.0 if allow_mirror or np.linalg.det(u @ vt) > 0 else -1.0
    scale = float((strength[0] + hand * strength[1]) / np.sum(centred**2)) if rescale else 1.0
    matrix = np.eye(3)
    matrix[:2, :2] = scale * (u @ np.diag([1.0, hand]) @ vt)
    matrix[:2, 2] = target_mean - matrix[:2, :2] @ source_mean
    return matrix


def _direct_design(source: Matrix, target: Matrix) -> Matrix:
    """Rows (2n, 9) whose product with the homography's elements, in reading order, is zero."""
    one = np.column_stack([source, np.ones(len(source))])
    zero = np.zeros_like(one)
    upper = np.hstack([one, zero, -target[:, :1] * one])
    lower = np.hstack([zero, one, -target[:, 1:] * one])
    return np.vstack([upper, lower])


def _direct_linear(source: Matrix, target: Matrix) -> Matrix:
    """The homography (3, 3) of least algebraic error between normalised points."""
    return np.asarray(np.linalg.svd(_direct_design(source, target))[2][-1].reshape(3, 3), dtype=np.float64)


def _homography_condition(points: Matrix) -> float:
    """Eighth over first singular value of the direct linear system of the points with themselves."""
    normal = apply_matrix(normalising(points), points)
    strength = np.linalg.svd(_direct_design(normal, normal), compute_uv=False)
    return float(strength[7] / strength[0])


def _least_reprojection(start: Matrix, source: Matrix, target: Matrix) -> Matrix:
    """Levenberg-Marquardt on the distances in the target; the last element is fixed at 1 (w at the centre)."""
    if len(source) == MINIMUM_PAIRS["homography"] or abs(start[2, 2]) < 1e-9:
        return start

    def matrix(eight: Matrix) -> Matrix:
        return np.append(eight, 1.0).reshape(3, 3)

    def misses(eight: Matrix) -> Matrix:
        return (apply_matrix(matrix(eight), source) - target).T.ravel()

    def slopes(eight: Matrix) -> Matrix:
        h = matrix(eight)
        design = _direct_design(source, apply_matrix(h, source))[:, :8]
        return np.asarray(design / np.tile(denominator(h, source), 2)[:, None], dtype=np.float64)

    first = (start / start[2, 2]).ravel()[:8]
    solution = least_squares(misses, first, jac=slopes, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14)
    return matrix(np.asarray(solution.x))
