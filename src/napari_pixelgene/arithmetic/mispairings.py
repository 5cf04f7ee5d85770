"""Why pairs of points do not fit: a few simple mistakes tried one at a time, and those told that make the pairs fit.

Arrays in, arrays out. Tried are: the two sides exchanged, x and y exchanged in one side or both, one side scaled by a
power of two, one side in the opposite order, one side in any order. A mistake counts as found when the pairs fit
without it, at the scale that the sizes of a unit foretell and inside their images, and do not fit with it.

x and y exchanged in one side are a reflection about the diagonal, so that such pairs fit as they stand if one image is
mirrored, and just as exactly: residuals never tell which it is. Where the images come to lie does, and where that says
nothing, a reading that turns nothing is simpler than one that mirrors and turns by a right angle.

Sides exchanged, x and y exchanged in both and both scaled alike leave pairs of two images of one scale as exact as they
were, and a scale of one side is mended on either: `alternatives` gives all such readings, and only what the images show
can tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, log2
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.arithmetic.geometry import Matrix, Points

Fault = Literal[
    "sides",
    "source_xy",
    "target_xy",
    "both_xy",
    "source_scale",
    "target_scale",
    "both_scale",
    "source_um",
    "target_um",
    "both_um",
    "reversed",
    "order",
]
Rows = npt.NDArray[np.integer[Any]]

# How far a scale may be from what the sizes foretell: as the pairs stand, and to believe that a mistake is found.
_ODD_SCALE, _GOOD_SCALE = 1.5, 1.25
# A fit that stretches one direction this much more than the other is none of two pictures of one tissue.
_STRETCH = 1.25
# Points further outside an image than this part of its side are not clicks near its edge.
_MARGIN = 0.05
_MOST_LEVELS = 8
# Both sides scaled down by more than this often lies in the images' first corner, whatever the pairs are.
_MOST_TOO_OFTEN = 3
_FEWEST_ORDERED, _MOST_ORDERED = 5, 40
# How much better one explanation must lay the images on one another than the next, to be the only one.
_CLEARLY = 1.25
_ONE_TURNED = ("source_xy", "target_xy")
# Images turned by less than this against one another, or by half a circle, are as one expects them.
_PLAIN_DEG = 20.0


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the pairs: points (n, 2), the length of their unit, and the (width, height) of the image, in units;
    None where unknown."""

    xy: Points
    size: float | None = None
    span: tuple[float, float] | None = None

    def long(self) -> Matrix:
        """The points in lengths, or in units where their length is unknown."""
        return np.asarray(self.xy, dtype=np.float64) * (self.size or 1.0)

    def outside(self) -> npt.NDArray[np.bool_]:
        """Which points (n,) lie well outside the image; none where its span is unknown."""
        if self.span is None:
            return np.zeros(len(self.xy), dtype=bool)
        span = np.asarray(self.span)
        out = (self.xy < -_MARGIN * span) | (self.xy > (1 + _MARGIN) * span)
        return np.asarray(out.any(axis=1), dtype=bool)

    def turned(self) -> Side:
        """x and y exchanged."""
        return replace(self, xy=np.asarray(self.xy)[:, ::-1])


@dataclass(frozen=True, slots=True)
class Mispairing:
    """A mistake, and the pairs without it: row i of `source` is row `rows[i]` of what was given.

    It has a `rival` where the pairs would fit as well as they stand if one image were mirrored; it is `simpler` than
    that where it leaves nothing turned, and the mirror would turn by a right angle.
    """

    fault: Fault
    source: Matrix
    target: Matrix
    rows: Rows
    target_rows: Rows
    factor: float = 1.0
    overlap: float = 0.0
    rival: bool = False
    simpler: bool = False

    @property
    def clear(self) -> bool:
        """Whether it explains the pairs better than a mirrored image."""
        return self.simpler or not self.rival


def explain(source: Side, target: Side, threshold: float, *, allow_mirror: bool = False) -> list[Mispairing]:
    """The mistakes without which the pairs fit within `threshold` (a length), the likeliest first.

    Empty where the pairs are sound as they stand, or nothing tried makes them so. Several are given only where none of
    them lays the images on one another clearly better than the others. Pairs that fit if an image is mirrored, and then
    lay the images best, are sound where that is allowed; where it is not, they have no other explanation.
    """
    both = np.vstack([source.xy, target.xy])
    if len(source.xy) < 2 or not np.isfinite(both).all():
        return []
    sound = _sound(source, target, threshold, allow_mirror, lenient=True)
    if sound is not None and np.linalg.det(sound[:2, :2]) > 0:
        return []
    mirrored = sound if allow_mirror else _sound(source, target, threshold, True, lenient=True)
    tried = _tried(source, target, threshold, allow_mirror) if sound is None else _turned(source, target, threshold)
    found = sorted((one for one in tried if _may_be(one, mirrored, source, target)), key=lambda one: -one.overlap)
    found = [_weighed(one, mirrored, source, target, threshold) for one in found]
    if sound is not None:  # a mirror was allowed, and is doubted only where the images lie clearly better without
        found = [one for one in found if not one.rival]
    return _likeliest([one for one in found if one.overlap * _CLEARLY >= found[0].overlap])


def alternatives(source: Side, target: Side, threshold: float, *, allow_mirror: bool = False) -> list[Mispairing]:
    """All readings of whole sides under which the pairs fit one another, not narrowed down; none without the images'
    sizes."""
    if len(source.xy) < 2 or source.span is None or target.span is None:
        return []
    rows, found = np.arange(len(source.xy)), list(_whole_tried(source, target, threshold, allow_mirror))
    for fault, left, right, factor in _alike(source, target):
        matrix = _sound(left, right, threshold * max(factor, 1.0), allow_mirror)
        if matrix is not None:
            found.append(Mispairing(fault, left.xy, right.xy, rows, rows, factor, _overlap(matrix, left, right)))
    return found


def _alike(source: Side, target: Side) -> Iterator[tuple[Fault, Side, Side, float]]:
    """What changes the unit of both sides, or says that a side is in µm."""
    for level in (*range(-_MOST_TOO_OFTEN, 0), *range(1, _MOST_LEVELS + 1)):
        factor = 2.0**level
        yield "both_scale", replace(source, xy=source.xy * factor), replace(target, xy=target.xy * factor), factor
    in_um = [replace(side, xy=side.xy / (side.size or 1.0)) for side in (source, target)]
    factors = [1 / (side.size or 1.0) for side in (source, target)]
    yield "both_um", in_um[0], in_um[1], max(factors)
    yield "source_um", in_um[0], target, factors[0]
    yield "target_um", source, in_um[1], factors[1]


def _may_be(one: Mispairing, mirrored: Matrix | None, source: Side, target: Side) -> bool:
    """Whether a mirrored image does not lay them on one another clearly better than x and y exchanged do."""
    if mirrored is None or one.fault not in _ONE_TURNED:
        return True
    return one.overlap * _CLEARLY >= _overlap(mirrored, source, target)


def _weighed(one: Mispairing, mirrored: Matrix | None, source: Side, target: Side, threshold: float) -> Mispairing:
    """x and y exchanged in one side, with whether a mirrored image may be meant as well, and which is simpler."""
    if mirrored is None or one.fault not in _ONE_TURNED:
        return one
    if one.overlap > _CLEARLY * _overlap(mirrored, source, target):
        return one
    left, right = replace(source, xy=one.source), replace(target, xy=one.target)
    matrix = _fit(left.long(), right.long(), threshold, False)
    return replace(one, rival=True, simpler=matrix is not None and _turn_deg(matrix) < _PLAIN_DEG)


def _turn_deg(matrix: Matrix) -> float:
    """By how much a matrix turns, from unturned or from upside down, whichever is nearer."""
    (a, b), (c, d) = matrix[:2, :2]
    angle = abs(np.rad2deg(np.arctan2(c - b, a + d)))
    return float(min(angle, 180 - angle))


def strays(source: Side, target: Side) -> tuple[Rows, Rows]:
    """Rows of either side whose points lie well outside their image."""
    return np.flatnonzero(source.outside()), np.flatnonzero(target.outside())


def _likeliest(found: list[Mispairing]) -> list[Mispairing]:
    """Of explanations that do equally well: coarse levels have small numbers, and a plain order is no shuffle."""
    for fault in ("reversed", "sides"):
        if any(one.fault == fault for one in found):
            return [one for one in found if one.fault == fault]
    scales = [one for one in found if one.fault in ("source_scale", "target_scale")]
    if scales and len(scales) == len(found):
        return [max(scales, key=lambda one: one.factor)]
    return found


def _tried(source: Side, target: Side, threshold: float, mirror: bool) -> Iterator[Mispairing]:
    yield from _whole_tried(source, target, threshold, mirror)
    yield from _reordered(source, target, threshold, mirror)


def _turned(source: Side, target: Side, threshold: float) -> Iterator[Mispairing]:
    """x and y exchanged in one side, of pairs that fit mirrored."""
    return (one for one in _whole_tried(source, target, threshold, False) if one.fault in _ONE_TURNED)


def _whole_tried(source: Side, target: Side, threshold: float, mirror: bool) -> Iterator[Mispairing]:
    for fault, left, right, factor in _whole_sides(source, target, threshold):
        matrix = _sound(left, right, threshold, mirror)
        if matrix is not None:
            rows = np.arange(len(source.xy))
            yield Mispairing(fault, left.xy, right.xy, rows, rows, factor, _overlap(matrix, left, right))


def _whole_sides(source: Side, target: Side, threshold: float) -> Iterator[tuple[Fault, Side, Side, float]]:
    """What is done to all points of a side alike."""
    yield "sides", replace(source, xy=target.xy), replace(target, xy=source.xy), 1.0
    yield "source_xy", source.turned(), target, 1.0
    yield "target_xy", source, target.turned(), 1.0
    yield "both_xy", source.turned(), target.turned(), 1.0
    scale = _scale(source, target, threshold)
    level = round(log2(scale)) if scale else 0
    if scale and 1 <= abs(level) <= _MOST_LEVELS:
        factor = 2.0**level
        yield "source_scale", replace(source, xy=source.xy * factor), target, factor
        yield "target_scale", source, replace(target, xy=target.xy / factor), 1 / factor


def _scale(source: Side, target: Side, threshold: float) -> float | None:
    """Of the fit, where both sizes are known and pairs fit at all."""
    if source.size is None or target.size is None:
        return None
    matrix = _fit(source.long(), target.long(), threshold, False)
    return None if matrix is None else float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))


# --- whether pairs fit


def _sound(source: Side, target: Side, threshold: float, mirror: bool, lenient: bool = False) -> Matrix | None:
    """The fit in lengths of pairs that could be right, else None. `lenient` is for pairs as they stand."""
    for side in (source, target):
        if 4 * side.outside().sum() > len(side.xy):
            return None
    matrix = _fit(source.long(), target.long(), threshold, mirror, exact=lenient)
    if matrix is None:
        return None
    strength = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    if strength[0] > _STRETCH * strength[1] and not lenient:
        return None
    if np.linalg.det(matrix[:2, :2]) < 0 and not mirror:
        return None
    most = _ODD_SCALE if lenient else _GOOD_SCALE
    known = source.size is not None and target.size is not None
    scale = float(np.sqrt(strength[0] * strength[1]))
    return matrix if not known or 1 / most < scale < most else None


def _fit(source: Matrix, target: Matrix, threshold: float, mirror: bool, exact: bool = False) -> Matrix | None:
    """The affine (of few pairs the similarity) that most pairs follow within the threshold.

    `exact` lets three or four pairs be followed by an affine too, which proves little.
    """
    kind: geometry.Kind = "affine" if len(source) >= (3 if exact else 5) else "similarity"
    if geometry.is_degenerate(kind, source) or geometry.is_degenerate(kind, target):
        kind = "similarity"
    if geometry.is_degenerate(kind, source) or geometry.is_degenerate(kind, target):
        return None
    if len(source) <= geometry.MINIMUM_PAIRS[kind]:
        return geometry.fit(kind, source, target, allow_mirror=mirror)
    matrix, agreed = geometry.robust_fit(kind, source, target, threshold, allow_mirror=mirror)
    enough = len(source) if len(source) <= 5 else ceil(0.7 * len(source))
    return matrix if agreed.sum() >= enough else None


def _overlap(matrix: Matrix, source: Side, target: Side) -> float:
    """How much of either image, in the mean, comes to lie on the other; 0 where a span is unknown."""
    if source.span is None or target.span is None:
        return 0.0
    there = _covered(matrix, source, target)
    back = _covered(np.linalg.inv(matrix), target, source)
    return (there + back) / 2


def _covered(matrix: Matrix, source: Side, target: Side) -> float:
    assert source.span is not None and target.span is not None
    steps = (np.arange(24) + 0.5) / 24
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    landed = geometry.apply_matrix(matrix, grid * source.span * np.array(source.size or 1.0))
    high = np.asarray(target.span) * (target.size or 1.0)
    return float(((landed >= 0) & (landed <= high)).all(axis=1).mean())


# --- the order of rows


def _reordered(source: Side, target: Side, threshold: float, mirror: bool) -> Iterator[Mispairing]:
    count = len(source.xy)
    if count < 4:
        return
    upwards = np.arange(count)
    flipped = replace(target, xy=target.xy[::-1])
    matrix = _sound(source, flipped, threshold, mirror)
    if matrix is not None:
        overlap = _overlap(matrix, source, flipped)
        yield Mispairing("reversed", source.xy, flipped.xy, upwards, upwards[::-1], 1.0, overlap)
    elif _FEWEST_ORDERED <= count <= _MOST_ORDERED:
        rows, others = _matched(source.long(), target.long(), threshold, _known(source, target), mirror)
        if len(rows) < max(_FEWEST_ORDERED, ceil(0.8 * count)) or (rows == others).all():
            return
        left, right = replace(source, xy=source.xy[rows]), replace(target, xy=target.xy[others])
        matrix = _sound(left, right, threshold, mirror)
        if matrix is not None:
            yield Mispairing("order", left.xy, right.xy, rows, others, 1.0, _overlap(matrix, left, right))


def _known(source: Side, target: Side) -> bool:
    return source.size is not None and target.size is not None


def _matched(source: Matrix, target: Matrix, threshold: float, known: bool, mirror: bool) -> tuple[Rows, Rows]:
    """Rows of both sides that some similarity brings together, refined to an affine; one to one."""
    none = np.zeros(0, dtype=np.int64)
    room = float(np.prod(np.ptp(target, axis=0)))
    if room <= 0 or len(target) * np.pi * threshold**2 > 0.05 * room:
        return none, none  # so close together that any order fits somewhere
    near = max(4 * threshold, 0.02 * np.sqrt(room))
    start = max(_starts(source, target, near, known, mirror), key=lambda scored: scored[0], default=None)
    if start is None:
        return none, none
    matrix = start[1]
    rows, others = _one_to_one(matrix, source, target, near)
    for within in (near, near, threshold):
        if len(rows) < _FEWEST_ORDERED or geometry.is_degenerate("affine", source[rows]):
            return none, none
        matrix = geometry.fit("affine", source[rows], target[others])
        rows, others = _one_to_one(matrix, source, target, within)
    return rows, others


def _starts(source: Matrix, target: Matrix, near: float, known: bool, mirror: bool) -> Iterator[tuple[int, Matrix]]:
    """Of a few far pairs of source points, the similarity onto any two targets that most other points follow."""
    for hand in (1, -1) if mirror else (1,):
        here = source[:, 0] + 1j * hand * source[:, 1]
        there = target[:, 0] + 1j * target[:, 1]
        for i, j in _far_pairs(here):
            turn = (there[None, :] - there[:, None]) / (here[j] - here[i])
            first, second = np.nonzero((np.abs(np.log(np.abs(turn) + 1e-12)) < np.log(1.4)) if known else (turn != 0))
            if not len(first):
                continue
            turn = turn[first, second]
            landed = turn[:, None] * (here - here[i])[None] + there[first][:, None]
            hits = (np.abs(landed[:, :, None] - there[None, None]).min(axis=2) < near).sum(axis=1)
            best = int(hits.argmax())
            shift = there[first[best]] - turn[best] * here[i]
            a, b = turn[best].real, turn[best].imag
            yield int(hits[best]), np.array([[a, -b * hand, shift.real], [b, a * hand, shift.imag], [0, 0, 1.0]])


def _far_pairs(points: npt.NDArray[np.complex128]) -> list[tuple[int, int]]:
    """Three pairs of rows, far apart, no row twice where there are enough."""
    apart = np.triu(np.abs(points[:, None] - points[None]))
    out: list[tuple[int, int]] = []
    for _ in range(3):
        i, j = np.unravel_index(int(apart.argmax()), apart.shape)
        if apart[i, j] <= 0:
            break
        out.append((int(i), int(j)))
        apart[[i, j]] = 0
        apart[:, [i, j]] = 0
    return out


def _one_to_one(matrix: Matrix, source: Matrix, target: Matrix, near: float) -> tuple[Rows, Rows]:
    apart = np.linalg.norm(geometry.apply_matrix(matrix, source)[:, None] - target[None], axis=2)
    rows, others = linear_sum_assignment(np.minimum(apart, near * 2))
    kept = apart[rows, others] <= near
    return rows[kept], others[kept]
