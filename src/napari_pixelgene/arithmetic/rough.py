"""Where one picture lies on another, at any turn, mirrored or not, without a first guess.

A picture is a few channels over pixels of one size and the weight of each pixel: 0 where nothing is known. Two
pictures agree as far as their channels correlate over the pixels that both know, all channels in one sum, so that a
channel without contrast there neither helps nor hurts; and as far as what they show lies on one another at all. The
whole circle is searched on coarse pixels, every shift at once by the fast Fourier transform (D. Padfield, Masked
object registration in the Fourier domain, IEEE Trans. Image Process. 21, 2012, 2706-2718), then the best few turns are
refined from coarse pixels to fine ones. Coordinates are continuous (x, y), 0 at the outer corner of the first pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.optimize import minimize

from napari_pixelgene.arithmetic.resampling import halve

Matrix = npt.NDArray[np.floating[Any]]
Raster = npt.NDArray[np.float32]
Tick = Callable[[int, int], None]

# Pixels of the longer side on which the circle is searched.
_COARSE_PX = 128
# Turns between which the rim of a picture of that size moves by about three pixels.
_TURNS = 96
_MIRRORS = (False, True)
# Less of either picture's content than this on the other is no placement.
_LEAST_OVERLAP = 0.3
# Variance a pixel that counts as contrast; less is noise and must not correlate by chance.
_NOISE = 0.02
# How many placements are followed, from coarse pixels to fine ones; the last number holds for all finer ones.
_FOLLOWED = (16, 6, 3)
_PEAKS_A_TURN = 2
# Placements whose content lies this much of its extent apart are different ones.
_APART = 0.12
# Pixels of both pictures are of one size: more than so many times as large is a wrong scale.
_STRETCH = 3.0
# How far the scale may drift from the one it was given, as a share.
SCALE_SLACK = 0.08


@dataclass(frozen=True, slots=True)
class Picture:
    """`channels` (k, h, w), the first of them 0 where nothing is shown and positive elsewhere; `weight` (h, w), 0..1.

    k is at most 2.
    """

    channels: Raster
    weight: Raster

    @property
    def yx_shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.weight.shape
        return rows, columns

    def halved(self) -> Picture:
        """Pixels twice as wide; channels are weighted means."""
        weight = halve(self.weight)
        known = np.maximum(weight, 1e-6)
        return Picture(np.stack([halve(c * self.weight) / known for c in self.channels]), weight)

    def layers(self) -> Raster:
        """Weight, weighted channels, weighted sum of squares: (k + 2, h, w)."""
        squares = (self.channels**2).sum(axis=0)
        return np.stack([self.weight, *(c * self.weight for c in self.channels), squares * self.weight])

    def content(self) -> float:
        """How much is shown."""
        return float((self.channels[0] * self.weight).sum())


@dataclass(frozen=True, slots=True)
class Placement:
    """A similarity from pixels of the moving picture to those of the fixed one, and how well both agree, at most 1."""

    matrix: Matrix
    score: float

    def scaled(self, fixed: float, moving: float) -> Placement:
        """In pixels `fixed` and `moving` times as many a length."""
        matrix = np.diag([fixed, fixed, 1.0]) @ self.matrix @ np.diag([1 / moving, 1 / moving, 1.0])
        return Placement(matrix, self.score)


def place(
    fixed: Picture, moving: Picture, scales: Sequence[float] = (1.0,), tick: Tick = lambda done, total: None
) -> list[Placement]:
    """The best placements of `moving` on `fixed`, best first and all different, each refined to the full pixels.

    `scales` are fixed pixels a moving pixel to try; each may drift by `SCALE_SLACK`. `tick(done, total)` is called
    between steps and may raise. Empty where no placement lays enough of one picture on the other.
    """
    levels = _levels(fixed, moving)
    searched = len(scales) * len(_MIRRORS) * _TURNS
    total = searched + sum(_followed(i) for i in range(len(levels)))
    found = _searched(*levels[0], scales, lambda done: tick(done, total))
    found = _sharpened(found, levels, lambda done: tick(searched + done, total))
    tick(total, total)
    return found


def shifted(fixed: Picture, moving: Picture, matrix: Matrix) -> Placement:
    """The best placement that a shift of `matrix`, however far, and a small similarity lead to.

    A matrix that makes the moving picture several times as large or as small as it is, along any way, is left as it is:
    no shift mends it, and the search would need memory by the square of its size.
    """
    stretch = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    if stretch[0] > _STRETCH or stretch[1] < 1 / _STRETCH:
        return Placement(matrix, agreement(fixed, moving, matrix))
    levels = _levels(fixed, moving)
    start = Placement(matrix, 0.0).scaled(0.5 ** (len(levels) - 1), 0.5 ** (len(levels) - 1))
    still, turning = levels[0]
    linear = start.matrix[:2, :2]
    spectra = _Spectra.of(still, turning, float(np.linalg.norm(linear, 2)))
    found = spectra.peaks(turning.layers(), _centred(turning, linear, spectra.canvas))
    found = [replace(start, score=agreement(still, turning, start.matrix)), *found]
    return _sharpened(found, levels, lambda done: None)[0]


def _sharpened(
    found: list[Placement], levels: Sequence[tuple[Picture, Picture]], tick: Callable[[int], None]
) -> list[Placement]:
    """Placements on the coarsest level followed to the finest: the best, best first and all different."""
    done = 0
    for i, (still, turning) in enumerate(levels):
        better = []
        for start in _different(found, turning)[: _followed(i)]:
            better.append(refined(still, turning, start))
            done += 1
            tick(done)
        found = _different(better, turning)
        if i + 1 < len(levels):
            found = [p.scaled(2.0, 2.0) for p in found]
    return found


def agreement(fixed: Picture, moving: Picture, matrix: Matrix) -> float:
    """How well the two agree, at most 1, under a matrix from pixels of `moving` to those of `fixed`."""
    return _agreement(_Sampled(fixed, moving), matrix)


def refined(fixed: Picture, moving: Picture, start: Placement) -> Placement:
    """The similarity near `start` under which the two agree best; its scale stays within `SCALE_SLACK`."""
    both = _Sampled(fixed, moving)
    centre, radius = _middle(moving)

    def at(values: npt.NDArray[np.float64]) -> Matrix:
        return start.matrix @ _nudge(values, centre, radius)

    def loss(values: npt.NDArray[np.float64]) -> float:
        drift = abs(float(values[1])) / radius
        return -_agreement(both, at(values)) + 10 * max(0.0, drift - SCALE_SLACK)

    simplex = np.vstack([np.zeros(4), np.diag([3.0, 1.0, 2.0, 2.0])])
    options = {"initial_simplex": simplex, "xatol": 0.05, "fatol": 1e-5, "maxfev": 240}
    best = minimize(loss, np.zeros(4), method="Nelder-Mead", options=options)
    return Placement(at(best.x), -float(best.fun))


def apart(a: Placement, b: Placement, moving: Picture) -> float:
    """How far two placements put the content from one another, as a share of its extent on the fixed picture."""
    centre, radius = _middle(moving)
    rim = centre + radius * np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0.0]])
    there = [rim @ p.matrix[:2, :2].T + p.matrix[:2, 2] for p in (a, b)]
    size = 2 * radius * np.sqrt(abs(np.linalg.det(a.matrix[:2, :2])))
    return float(np.sqrt(((there[0] - there[1]) ** 2).sum(axis=1).mean()) / size)


def _followed(level: int) -> int:
    return _FOLLOWED[min(level, len(_FOLLOWED) - 1)]


def _levels(fixed: Picture, moving: Picture) -> list[tuple[Picture, Picture]]:
    """Both pictures at ever finer pixels, the given ones last."""
    levels = [(fixed, moving)]
    while max(*levels[0][0].yx_shape, *levels[0][1].yx_shape) > _COARSE_PX:
        levels.insert(0, (levels[0][0].halved(), levels[0][1].halved()))
    return levels


def _searched(fixed: Picture, moving: Picture, scales: Iterable[float], tick: Callable[[int], None]) -> list[Placement]:
    """The best shifts of every turn, scale and mirror."""
    found, done, layers = [], 0, moving.layers()
    for scale in scales:
        spectra = _Spectra.of(fixed, moving, scale)
        for mirrored in _MIRRORS:
            for angle in np.arange(_TURNS) * 2 * np.pi / _TURNS:
                tick(done)
                done += 1
                found += spectra.peaks(layers, _turn(moving, angle, scale, mirrored, spectra.canvas))
    return found


def _turn(moving: Picture, angle: float, scale: float, mirrored: bool, canvas: int) -> Matrix:
    """Turns about the picture's middle and puts that into the middle of a square canvas."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    return _centred(moving, linear, canvas)


def _centred(moving: Picture, linear: Matrix, canvas: int) -> Matrix:
    """The matrix that does this and puts the picture's middle into that of the canvas."""
    rows, columns = moving.yx_shape
    return _affine(linear, np.full(2, canvas / 2) - linear @ np.array([columns / 2, rows / 2]))


def _affine(linear: Matrix, shift: Matrix) -> Matrix:
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, shift
    return matrix


@dataclass(frozen=True, slots=True)
class _Spectra:
    """The fixed picture's layers transformed once, and what both pictures hold in all."""

    layers: npt.NDArray[np.complex64]
    canvas: int
    size: tuple[int, int]
    fixed_content: float
    moving_content: float

    @classmethod
    def of(cls, fixed: Picture, moving: Picture, scale: float) -> _Spectra:
        canvas = int(np.ceil(np.hypot(*moving.yx_shape) * scale)) + 2
        rows, columns = (fft.next_fast_len(side + canvas, real=True) for side in fixed.yx_shape)
        spectra = fft.rfft2(fixed.layers(), (rows, columns), axes=(1, 2))
        content = max(fixed.content(), _NOISE), max(moving.content() * scale**2, _NOISE)
        return cls(spectra, canvas, (rows, columns), *content)

    def peaks(self, layers: Raster, turn: Matrix) -> list[Placement]:
        """The best shifts of one turn of the moving picture's layers."""
        turned = np.stack([_warped(layer, turn, (self.canvas, self.canvas)) for layer in layers])
        scores = self._scores(fft.rfft2(turned, self.size, axes=(1, 2)).conj())
        out = []
        for _ in range(_PEAKS_A_TURN):
            row, column = np.unravel_index(int(scores.argmax()), scores.shape)
            shift = [
                int(i) - (n if i > n - self.canvas else 0) for i, n in zip((column, row), self.size[::-1], strict=True)
            ]
            out.append(Placement(_affine(np.eye(2), np.array(shift)) @ turn, float(scores[row, column])))
            _blank(scores, int(row), int(column), self.canvas // 12 + 1)
        return [p for p in out if p.score > 0]

    def _scores(self, moving: npt.NDArray[np.complex64]) -> Raster:
        """The agreement at every shift, (rows, columns), wrapped around."""
        still, own = self.layers, moving
        products = [still * own[:1], own[1:] * still[:1], (still[1:-1] * own[1:-1]).sum(axis=0)[None]]
        sums = fft.irfft2(np.concatenate(products), self.size, axes=(1, 2))
        k = len(still) - 2
        known, fixed, fixed_squares = sums[0], sums[1 : k + 1], sums[k + 1]
        own_sums, own_squares, both = sums[k + 2 : 2 * k + 2], sums[2 * k + 2], sums[2 * k + 3]
        score = _correlation(known, fixed, own_sums, fixed_squares, own_squares, both)
        return np.asarray(score * _overlap(fixed[0] / self.fixed_content, own_sums[0] / self.moving_content))


def _blank(scores: Raster, row: int, column: int, reach: int) -> None:
    """Take a peak and its surroundings out, around the edges too."""
    rows, columns = ((np.arange(-reach, reach + 1) + i) % n for i, n in zip((row, column), scores.shape, strict=True))
    scores[np.ix_(rows, columns)] = -1


def _correlation(known: Any, fixed: Any, moving: Any, fixed_squares: Any, moving_squares: Any, both: Any) -> Any:
    """Of sums over the known pixels: (k, …) of the channels, (…) of the rest."""
    count = np.maximum(known, 1.0)
    joint = both - (fixed * moving).sum(axis=0) / count
    spread = [
        np.maximum(squares - (sums**2).sum(axis=0) / count, 0) + _NOISE * count
        for sums, squares in ((fixed, fixed_squares), (moving, moving_squares))
    ]
    return joint / np.sqrt(spread[0] * spread[1])


def _overlap(fixed_share: Any, moving_share: Any) -> Any:
    """The root of the larger share of either content that meets the other picture, 0 under the least."""
    share = np.clip(np.maximum(fixed_share, moving_share), 0, 1)
    return np.where(share < _LEAST_OVERLAP, 0, np.sqrt(share))


class _Sampled:
    """The fixed layers as OpenCV wants them, and the moving ones flat: what each try of a refinement needs."""

    def __init__(self, fixed: Picture, moving: Picture) -> None:
        self.fixed = np.ascontiguousarray(np.moveaxis(fixed.layers(), 0, -1))
        self.moving = moving.layers().reshape(moving.channels.shape[0] + 2, -1)
        self.yx_shape = moving.yx_shape
        self.fixed_content, self.moving_content = max(fixed.content(), _NOISE), max(moving.content(), _NOISE)


def _agreement(both: _Sampled, matrix: Matrix) -> float:
    still = _warped(both.fixed, np.linalg.inv(matrix), both.yx_shape).reshape(-1, both.fixed.shape[-1])
    own, k = both.moving, both.fixed.shape[-1] - 2
    by_weight, by_known = own[0] @ still, own[1:] @ still[:, 0]
    joint = sum(float(own[c] @ still[:, c]) for c in range(1, k + 1))
    score = _correlation(by_weight[0], by_weight[1:-1], by_known[:-1], by_weight[-1], by_known[-1], joint)
    area = abs(float(np.linalg.det(matrix[:2, :2])))
    return float(score * _overlap(by_weight[1] * area / both.fixed_content, by_known[0] / both.moving_content))


def _warped(layers: Raster, matrix: Matrix, yx_shape: tuple[int, int]) -> Raster:
    """Pixels moved by `matrix`, 0 where nothing comes from; OpenCV has centres at integers."""
    half = _affine(np.eye(2), np.full(2, 0.5))
    shifted = (np.linalg.inv(half) @ matrix @ half)[:2]
    return np.asarray(cv2.warpAffine(layers, shifted, yx_shape[::-1], flags=cv2.INTER_LINEAR), dtype=np.float32)


def _nudge(values: npt.NDArray[np.float64], centre: Matrix, radius: float) -> Matrix:
    """A small similarity about `centre`: its turn and growth in pixels at the rim, and a shift in pixels."""
    angle, growth = values[0] / radius, np.exp(values[1] / radius)
    cos, sin = growth * np.cos(angle), growth * np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    return _affine(linear, centre - linear @ centre + values[2:])


def _middle(moving: Picture) -> tuple[Matrix, float]:
    """Where the content lies, (x, y), and half its extent: twice its standard deviation along the longer way."""
    shown = (moving.channels[0] * moving.weight).astype(np.float64)
    along = [shown.sum(axis=0), shown.sum(axis=1)]
    total = max(float(shown.sum()), 1e-9)
    place = [np.arange(len(a)) + 0.5 for a in along]
    centre = np.array([float(a @ p) / total for a, p in zip(along, place, strict=True)])
    spread = [float(a @ (p - c) ** 2) / total for a, p, c in zip(along, place, centre, strict=True)]
    return centre, max(2 * float(np.sqrt(max(spread))), 1.0)


def _different(found: Iterable[Placement], moving: Picture) -> list[Placement]:
    """Best first, without those that a better one is near to."""
    kept: list[Placement] = []
    for placement in sorted(found, key=lambda p: -p.score):
        if all(apart(placement, other, moving) > _APART for other in kept):
            kept.append(placement)
            if len(kept) == max(_FOLLOWED):
                break
    return kept
