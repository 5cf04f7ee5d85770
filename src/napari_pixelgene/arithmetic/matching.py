"""Where a small picture lies in another one: normalised cross-correlation, with a null to hold it against.

A correlation always has a highest place. Whether that place means anything is asked of the same picture turned over:
mirrored left to right, up and down, and both, it has the same nuclei at the same density and the same tissue edges,
but nothing that could match. A true match stands above everything those reach, and above its own second peak.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

# What a true match is told by. Measured on simulated H&E and DAPI: of 720 places whose partner was out of reach the
# margin never passed 0.30; of 225 true ones, a third with most of their nuclei lost, blurred and noisy, none was under
# 0.40 of margin and 7.5 of strength.
CLEAR_MARGIN, CLEAR_STRENGTH = 1 / 3, 6.0
# Within this share of the picture's strongest contrast a window holds nothing to correlate with.
_FLAT = 0.05
# A picture of which less than this share is there cannot be looked for, nor anything in a field with less.
_LEAST_PICTURE, _LEAST_FIELD = 0.5, 0.1
_LEAST_TEXTURE = 1e-4


@dataclass(frozen=True, slots=True)
class Match:
    """The best place. All lengths in pixels.

    What `fixed` shows at (x, y) `moving` shows at (x + dx, y + dy). `score` is the correlation there (-1 to 1),
    `second` the highest elsewhere, `chance` the highest of the picture turned over, `spread` the standard deviation of
    those. `edge` tells that the highest place was at the end of the reach, so that a better one may lie beyond. Where
    there was nothing to correlate `score` is 0 and the shift NaN.
    """

    dx: float
    dy: float
    score: float
    second: float
    chance: float
    spread: float
    edge: bool = False

    @property
    def margin(self) -> float:
        """How far the score stands above the second peak and above chance, as a share of the score: 0 to 1."""
        rival = max(self.second, self.chance, 0.0)
        return max(0.0, 1.0 - rival / self.score) if self.score > 0 else 0.0

    @property
    def strength(self) -> float:
        """The score in standard deviations of chance."""
        return self.score / self.spread if self.spread > 0 else 0.0

    @property
    def is_clear(self) -> bool:
        """Whether this is a match and not the best of noise."""
        return not self.edge and self.margin >= CLEAR_MARGIN and self.strength >= CLEAR_STRENGTH

    @property
    def distance(self) -> float:
        """Length of the shift."""
        return float(np.hypot(self.dx, self.dy))


NOTHING = Match(float("nan"), float("nan"), 0.0, 0.0, 0.0, 0.0, True)


def best_shift(
    fixed: Array,
    moving: Array,
    reach_px: int,
    masks: tuple[BoolArray, BoolArray] | None = None,
    apart_px: float = 8.0,
) -> Match:
    """Find the middle of `fixed` in `moving`, both (h, w) around the same place, within `reach_px` along each axis.

    The picture that is looked for is `fixed` without a margin of `reach_px`. `masks` (h, w) tell where either has
    pixels at all; what is missing can neither speak for nor against a place but lowers its score. The second peak is
    sought more than `apart_px` from the first. Same input, same answer; about 5 ms for 150² pixels and a reach of 40.
    """
    if fixed.shape != moving.shape or min(fixed.shape) <= 2 * reach_px:
        raise ValueError(f"fixed {fixed.shape} and moving {moving.shape} must be alike and wider than twice {reach_px}")
    inner = (slice(reach_px, fixed.shape[0] - reach_px), slice(reach_px, fixed.shape[1] - reach_px))
    fixed_mask, moving_mask = masks if masks is not None else (None, None)
    picture = _filled(fixed[inner], None if fixed_mask is None else fixed_mask[inner], _LEAST_PICTURE)
    field = _filled(moving, moving_mask, _LEAST_FIELD)
    if picture is None or field is None:
        return NOTHING
    scores = correlations(picture, field)
    turned = [correlations(np.ascontiguousarray(picture[turn]), field) for turn in _TURNS]
    return _judged(scores, turned, apart_px)


_BACK, _SAME = slice(None, None, -1), slice(None)
_TURNS = ((_SAME, _BACK), (_BACK, _SAME), (_BACK, _BACK))


def correlations(picture: FloatArray, field: FloatArray) -> FloatArray:
    """Pearson's correlation of `picture` (h, w) with every window of `field` (H, W): (H - h + 1, W - w + 1).

    Windows that are flat beside the others of the field are held to a twentieth of their contrast, so that noise on
    glass does not correlate.
    """
    products = cv2.matchTemplate(field, picture, cv2.TM_CCOEFF)
    energy = _window_energy(field, picture.shape)
    own = float(np.square(picture - picture.mean()).sum())
    floor = max(_FLAT * float(energy.max()), 1e-12)
    return np.asarray(products / np.sqrt(np.maximum(energy, floor) * own), dtype=np.float32)


def _window_energy(field: FloatArray, shape: tuple[int, ...]) -> Array:
    """Sum of squared deviations from the mean over each window, float64."""
    sums = [cv2.integral(a, sdepth=cv2.CV_64F) for a in (field, field * field)]
    h, w = shape
    total, squares = (s[h:, w:] - s[:-h, w:] - s[h:, :-w] + s[:-h, :-w] for s in sums)
    return np.asarray(np.maximum(squares - total * total / (h * w), 0))


def _filled(image: Array, mask: BoolArray | None, least: float) -> FloatArray | None:
    """Float32 with its mean where the mask says nothing is, or None where less than the share `least` is there."""
    values = np.ascontiguousarray(image, dtype=np.float32)
    if mask is not None:
        if mask.mean() < least:
            return None
        values = np.where(mask, values, values[mask].mean()).astype(np.float32)
    return values if float(values.var()) > _LEAST_TEXTURE else None


def _judged(scores: FloatArray, turned: list[FloatArray], apart_px: float) -> Match:
    row, column = (int(k) for k in np.unravel_index(int(scores.argmax()), scores.shape))
    reach = (scores.shape[0] // 2, scores.shape[1] // 2)
    down, right = np.ogrid[: scores.shape[0], : scores.shape[1]]
    elsewhere = np.hypot(down - row, right - column) > apart_px
    second = float(scores[elsewhere].max()) if elsewhere.any() else 0.0
    chance, spread = float(max(t.max() for t in turned)), float(np.std(np.stack(turned)))
    edge = row in (0, scores.shape[0] - 1) or column in (0, scores.shape[1] - 1)
    off = (0.0, 0.0) if edge else _vertex(scores[row - 1 : row + 2, column - 1 : column + 2])
    return Match(
        column + off[0] - reach[1], row + off[1] - reach[0], float(scores[row, column]), second, chance, spread, edge
    )


def _vertex(around: FloatArray) -> tuple[float, float]:
    """(x, y) of the top of the paraboloid through 3 × 3 values, by least squares; within one pixel of the middle."""
    z = around.astype(np.float64)
    x, y = (z[:, 2] - z[:, 0]).sum() / 6, (z[2] - z[0]).sum() / 6
    xx = (z[:, 0] - 2 * z[:, 1] + z[:, 2]).sum() / 3
    yy = (z[0] - 2 * z[1] + z[2]).sum() / 3
    xy = (z[0, 0] + z[2, 2] - z[0, 2] - z[2, 0]) / 4
    det = xx * yy - xy * xy
    if det <= 0 or xx >= 0:
        return 0.0, 0.0
    top = np.clip([(xy * y - yy * x) / det, (xy * x - xx * y) / det], -1, 1)
    return float(top[0]), float(top[1])
