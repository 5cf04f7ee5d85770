"""A first guess of where one slide lies on another: tissue outlines and how nuclei crowd, on coarse pixels.

Both sides become the same kind of picture, how much nuclear stain there is a few cells around: haematoxylin of an H&E
or an immunostain, the signal of a fluorescence channel, or how densely units lie. Any turn and mirror is tried; the
pixel sizes fix the scale up to a few percent. The result is a proposal: it comes with the agreement of the next best
placement, and says so where both are nearly as good. Nothing is stored here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pixelgene.arithmetic import geometry, rough
from napari_pixelgene.arithmetic.resampling import resample
from napari_pixelgene.arithmetic.stains import haematoxylin, is_brightfield, white_point
from napari_pixelgene.arithmetic.tiles import tile_count, tiles
from napari_pixelgene.elements.verdict import Outlines
from napari_pixelgene.errors import RegistrationError
from napari_pixelgene.progress import OnEvent, Progress, silent, track

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.arithmetic.rough import Picture, Placement
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
    from napari_pixelgene.elements.image import Image

STAGE = "rough alignment"
# Work pixels: no finer than this, and at most so many along the longer side of either image.
_FINEST_UM, _SIDE_PX = 8.0, 512
_TILE = 256
# Nuclei this near (a Gaussian's sigma) make tissue together.
_NEAR_UM = 25.0
# Less than this share of the typical signal fades into glass.
_FAINT = 0.3
# A signal that rises this little above its background is none.
_EMPTY = 1e-3
# Debris and folds count at most this many times the typical signal.
_BRIGHTEST = 4.0
_OUTLINE, _SPREAD = 2.0, 2.5
# Unrelated slides reached 0.24 where nuclei were compared (12 pairs of simulated ones), true pairs 0.55 and more.
_NOTHING, _WEAK = 0.27, 0.45
# Two sections of one tumour, triangular, had 0.90; outlines alike by chance 0.94.
_NEARLY = 0.92
# A low agreement is trusted where the next best is far below: unrelated slides have theirs at 0.9 or more.
_FAR = 0.75
# Pixels that are read in a second or two.
_MOMENT_PX = 100_000_000
# Less glass than this beside the tissue, and an image has no outline worth the name.
_LEAST_GLASS = 0.15
# Steps between scales that are tried where a pixel size is unknown, and how far they reach either way.
_SCALE_STEP, _SCALE_REACH = 1.14, 1.5


@dataclass(frozen=True, slots=True)
class RoughFit:
    """A proposal. `matrix` (3, 3) maps level-0 pixels of the moving image to level-0 pixels of the fixed one.

    `score` is how well both agree (1: alike, 0: no more than by chance), `runner_up` the same of the best placement
    that is a different one, with its matrix in `other` (0 and None where there is none). `is_clear` is False where a
    person has to choose or to look first; `words` say it.
    """

    matrix: FloatArray
    score: float
    runner_up: float
    other: FloatArray | None
    is_clear: bool
    words: str


def align_roughly(fixed: Image, moving: Image, grain_um: float = 0.0, on_event: OnEvent = silent) -> RoughFit:
    """Where `moving` lies on `fixed`, from coarse levels alone: any turn, mirrored or not, wholly or partly inside.

    Each is RGB or one channel; `fixed` needs its pixel size, `moving` may lack it: then a range of scales is tried.
    `grain_um` is the size below which the moving image shows no tissue, such as a spot's diameter. Raises
    RegistrationError where an image is empty or no placement fits better than chance.
    """
    assumed = moving if moving.mpp is not None else replace(moving, mpp=max(fixed.size_um) / max(moving.yx_shape))
    pixel_um = _work_pixel(fixed, assumed)
    still, turning = (_picture(image, pixel_um, grain_um, on_event) for image in (fixed, assumed))
    scales = (1.0,) if moving.mpp is not None else _scales(still, turning)
    found = rough.place(still, turning, scales, lambda done, total: on_event(Progress(STAGE, done, total)))
    if not found or found[0].score < _NOTHING:
        raise RegistrationError(
            f"No placement of {_name(moving)} on {_name(fixed)} fits better than chance.",
            "Check that both show the same tissue and that their pixel sizes are right, or set pairs by hand.",
        )
    to_level0 = pixel_um / fixed.require_mpp(), pixel_um / assumed.require_mpp()
    return _told([p.scaled(*to_level0) for p in found[:2]])


def compare_outlines(
    fixed: Image, moving: Image, matrix: FloatArray, place_um: FloatArray, on_event: OnEvent = silent
) -> Outlines:
    """How well tissue outlines and the crowding of nuclei agree as `moving` is laid on `fixed`, and where they would.

    `matrix` (3, 3) is affine, level-0 pixels of `moving` to `fixed`; both images need their pixel sizes. The best
    placement nearby moves the places (n, 2, µm of `fixed`) by the shift that is told; the best of all is sought as by
    `align_roughly`. Some seconds. Raises RegistrationError where an image is the same all over, and where no placement
    is better than chance: tissue that fills an image has no outline to go by.
    """
    pixel_um = _work_pixel(fixed, moving)
    still, turning = (_picture(image, pixel_um, 0.0, on_event) for image in (fixed, moving))
    to_fixed, to_moving = pixel_um / fixed.require_mpp(), pixel_um / moving.require_mpp()
    laid = _in_work_pixels(matrix, to_fixed, to_moving)
    agreement = rough.agreement(still, turning, laid)
    near = rough.refined(still, turning, rough.Placement(laid, agreement))
    found = rough.place(still, turning, (1.0,), lambda done, total: on_event(Progress(STAGE, done, total)))
    best = max([near, *found[:1]], key=lambda placement: placement.score)
    if best.score < _NOTHING:
        raise RegistrationError(
            f"Outlines of {_name(moving)} and of {_name(fixed)} agree nowhere better than by chance.",
            "Judge by nuclei or by pairs.",
        )
    away = near.score < _NEARLY * best.score
    back = np.linalg.inv(laid)
    moved, there = (_moved_um(one.matrix @ back, place_um, pixel_um) for one in (near, best))
    return Outlines(agreement, best.score, moved, _from_here(best.matrix @ back, there) if away else "")


@dataclass(frozen=True, slots=True)
class Agreements:
    """How well tissue agrees under each of several placements: 1 alike, 0 or less by chance. `has_outline`: whether the
    moving image shows glass beside its tissue; without, little agreement says little. `shifted` is what a shift of the
    first one reaches at best, and `shift_um` how far that moves the tissue, the median; NaN where it was not sought."""

    values: tuple[float, ...]
    has_outline: bool
    shifted: float = np.nan
    shift_um: float = np.nan


def agreements(fixed: Image, moving: Image, matrices: Sequence[FloatArray], seek: bool = False) -> Agreements:
    """How well tissue outlines and the crowding of nuclei agree under each of several placements.

    Matrices as in `compare_outlines`; unlike there, nothing better is sought but, with `seek`, by a shift of the first.
    Pixels are read once for all. Made for a moment's work: raises RegistrationError where an image is large and has no
    coarse level to read instead, and where one is the same all over.
    """
    pixel_um = _work_pixel(fixed, moving)
    for image in (fixed, moving):
        _require_coarse(image)
    still, turning = (_picture(image, pixel_um, 0.0, silent) for image in (fixed, moving))
    by = pixel_um / fixed.require_mpp(), pixel_um / moving.require_mpp()
    laid = [_in_work_pixels(matrix, *by) for matrix in matrices]
    found = Agreements(tuple(rough.agreement(still, turning, each) for each in laid), _glass(turning) >= _LEAST_GLASS)
    if not seek:
        return found
    near = rough.shifted(still, turning, laid[0])
    moved = _moved_um(near.matrix @ np.linalg.inv(laid[0]), _tissue_um(turning, laid[0], pixel_um), pixel_um)
    return replace(found, shifted=near.score, shift_um=moved)


def _require_coarse(image: Image) -> None:
    """A level that is fine enough and read in a moment."""
    read = min((level.shape[:2] for level in image.levels if max(level.shape[:2]) >= _SIDE_PX), default=(0, 0))
    if read[0] * read[1] > _MOMENT_PX:
        raise RegistrationError(f"{_name(image)} has no coarse level to compare tissue on.", "Judge by the overlay.")


def _tissue_um(picture: Picture, laid: FloatArray, pixel_um: float) -> FloatArray:
    """Where a placement lays the tissue of a picture, (n, 2) in µm."""
    rows, columns = np.nonzero(picture.channels[0] > 0.5 * _OUTLINE)
    return geometry.apply_matrix(laid, np.column_stack([columns, rows]) + 0.5) * pixel_um


def _glass(picture: Picture) -> float:
    """The share of what is known that is no tissue."""
    known = picture.weight > 0
    return float((picture.channels[0][known] < 0.5 * _OUTLINE).mean()) if known.any() else 0.0


def _from_here(matrix: FloatArray, moved_um: float) -> str:
    """A placement as seen from another one, in words."""
    turn, far = described(matrix), f"moved by {moved_um:,.0f} µm"
    return far if turn == "unturned" else f"{turn} and {far}"


def _in_work_pixels(matrix: FloatArray, to_fixed: float, to_moving: float) -> FloatArray:
    """A matrix of level-0 pixels, for pixels of the work that are so many of them wide."""
    return np.asarray(np.diag([1 / to_fixed, 1 / to_fixed, 1.0]) @ matrix @ np.diag([to_moving, to_moving, 1.0]))


def _work_pixel(fixed: Image, moving: Image) -> float:
    return max(_FINEST_UM, max(*fixed.size_um, *moving.size_um) / _SIDE_PX)


def _moved_um(matrix: FloatArray, place_um: FloatArray, pixel_um: float) -> float:
    """How far a matrix of work pixels moves places (n, 2) in µm: the median."""
    moved = geometry.apply_matrix(matrix, place_um / pixel_um) * pixel_um - place_um
    return float(np.median(np.linalg.norm(moved, axis=1)))


def _name(image: Image) -> str:
    return image.name or (image.path.name if image.path is not None else "the image")


def _told(found: list[Placement]) -> RoughFit:
    best, other = found[0], found[1] if len(found) > 1 else None
    runner_up = other.score if other is not None else 0.0
    way, scores = described(best.matrix), f"agreement {best.score:.2f} of 1"
    is_clear = runner_up <= (_NEARLY if best.score >= _WEAK else _FAR) * best.score
    if other is not None and runner_up > _NEARLY * best.score:
        words = (
            f"Two placements are nearly as good ({best.score:.2f} and {runner_up:.2f} of 1): {way}, or "
            f"{described(other.matrix)}. Look at both before one is used."
        )
    elif not is_clear:
        words = f"Placed {way}, but the {scores} is low (next best {runner_up:.2f}). Check it by eye."
    else:
        words = f"Placed {way}: {scores}, next best {runner_up:.2f}. It is rough: refine it with pairs."
    return RoughFit(best.matrix, best.score, runner_up, None if other is None else other.matrix, is_clear, words)


def described(matrix: FloatArray) -> str:
    """The turn and mirror of a similarity in words; x is right and y down, so angles run clockwise."""
    mirrored = bool(np.linalg.det(matrix[:2, :2]) < 0)
    column = matrix[:2, 0] * (-1 if mirrored else 1)
    angle = round(float(np.rad2deg(np.arctan2(column[1], column[0])))) % 360
    way = f"{angle}° clockwise" if angle <= 180 else f"{360 - angle}° anticlockwise"
    turn = f"turned by {way}" if angle else "unturned"
    return f"flipped left to right, then {turn}" if mirrored else turn


def _scales(fixed: Picture, moving: Picture) -> tuple[float, ...]:
    """Around the ratio of how far the tissue reaches in either image."""
    middle = float(np.sqrt(fixed.content() / moving.content()))
    steps = round(np.log(_SCALE_REACH) / np.log(_SCALE_STEP))
    return tuple(middle * _SCALE_STEP**k for k in range(-steps, steps + 1))


def _picture(image: Image, pixel_um: float, grain_um: float, on_event: OnEvent) -> Picture:
    """Outline and crowding of nuclei in work pixels."""
    signal, known = _signal(image, pixel_um, on_event)
    if grain_um:
        signal = _near(signal, known, 0.9 * grain_um / pixel_um)
    around = _near(signal, known, _NEAR_UM / pixel_um)
    floor = float(np.percentile(around[known], 1)) if known.any() else 0.0
    around, typical = _clipped(np.maximum(around - floor, 0) * known)
    if typical <= _EMPTY * floor + 1e-6:
        raise RegistrationError(
            f"{_name(image)} shows nothing to align by: it is the same all over.", "Choose another image or channel."
        )
    outline = np.clip(around / (_FAINT * typical), 0, 1)
    crowding = _standardised(np.log(np.maximum(signal - floor, 0) / typical + _FAINT), outline)
    channels = np.stack([_OUTLINE * outline, crowding * outline])
    return rough.Picture(channels.astype(np.float32), known.astype(np.float32))


def _near(signal: FloatArray, known: BoolArray, sigma_px: float) -> FloatArray:
    """Mean of what is known within a Gaussian."""
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma_px, mode="constant")
    total = ndimage.gaussian_filter(np.where(known, signal, 0).astype(np.float32), sigma_px, mode="constant")
    return np.asarray(total / np.maximum(weight, 1e-3))


def _clipped(around: FloatArray) -> tuple[FloatArray, float]:
    """The signal without its brightest, and what is typical where there is signal: its mean weighed by itself."""
    typical = 0.0
    for _ in range(3):
        total = float(around.sum())
        typical = float((around.astype(np.float64) ** 2).sum()) / total if total > 0 else 0.0
        around = np.minimum(around, _BRIGHTEST * typical)
    return around, typical


def _standardised(values: FloatArray, weight: FloatArray) -> FloatArray:
    total = max(float(weight.sum()), 1e-9)
    mean = float((values * weight).sum()) / total
    spread = np.sqrt(float(((values - mean) ** 2 * weight).sum()) / total)
    return np.asarray(np.clip((values - mean) / max(spread, 1e-6), -_SPREAD, _SPREAD))


def _signal(image: Image, pixel_um: float, on_event: OnEvent) -> tuple[FloatArray, BoolArray]:
    """How much nuclear signal, (rows, columns), 0 or more, and where it is known."""
    pixels, inside = _overview(image, pixel_um, on_event)
    if image.is_rgb:
        rgb = np.rint(pixels).astype(np.uint8)
        white = white_point(rgb[inside].reshape(1, -1, 3))
        return haematoxylin(rgb, white), inside & ~_ink(rgb, white)
    if is_brightfield(pixels[inside].reshape(1, -1)):
        pixels = np.float32(pixels[inside].max()) - pixels
    return pixels, inside


def _ink(rgb: Array, white: Array) -> BoolArray:
    """Pen marks: black, or blue and green, which take more red than green as no tissue stain does."""
    density = -np.log10((rgb.astype(np.float32) + 1) / (white + 1))
    coloured = density[..., 0] > 1.25 * density[..., 1] + 0.05
    return np.asarray(ndimage.binary_dilation(coloured | (density.min(axis=-1) > 1.0), iterations=2))


def _overview(image: Image, pixel_um: float, on_event: OnEvent) -> tuple[FloatArray, BoolArray]:
    """Mean colours in work pixels, read tile by tile from the coarsest level that is fine enough."""
    ratio = pixel_um / image.require_mpp()
    rows, columns = (max(1, int(np.ceil(side / ratio - 0.01))) for side in image.yx_shape)
    out = np.zeros((rows, columns, *image.levels[0].shape[2:]), dtype=np.float32)
    inside = np.zeros((rows, columns), dtype=bool)
    count = tile_count((rows, columns), _TILE)
    for tile in track(tiles((rows, columns), _TILE), f"{STAGE}: reading", on_event, count):
        out[tile.region], inside[tile.region] = resample(image.levels, ratio, tile)
    return out, inside
