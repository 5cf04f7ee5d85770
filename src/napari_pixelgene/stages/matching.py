"""Matching nuclei between two images at places of the fixed one: local shifts, pairs snapped, pairs suggested.

The moving image is drawn onto the fixed one by the transform, a patch a place, both are made into images of nuclei
(`arithmetic/stains.py`) and correlated (`arithmetic/matching.py`). Around a place the transform is taken for its
tangent: over a few hundred µm a homography or a spline differs from that by less than a pixel. Nothing is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.arithmetic.matching import Match, best_shift
from napari_pixelgene.arithmetic.resampling import resample
from napari_pixelgene.arithmetic.scatter import agreeing, well_spread
from napari_pixelgene.arithmetic.stains import is_brightfield, nuclear
from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.arithmetic.warps import warp_region
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.matching import Matches, Proposal
from napari_pixelgene.progress import Note, OnEvent, silent, track
from napari_pixelgene.settings import Section

STAGE = "matching"
# Wider than a nucleus, narrower than a gland: what varies more slowly is staining, not nuclei.
_BACKGROUND_UM = 12.0
# With pixels too coarse for nuclei, what is compared is how densely they lie.
_BACKGROUND_PX = 6.0
# Peaks nearer than a nucleus are one peak.
_APART_UM = 8.0
# What is a nucleus in an image whose brightest are 1.
_NUCLEUS = 0.3
_OVERVIEW_PX = 1024
# A pair is sought half as far again as it may go, so that the end of its way is not taken for a match.
_BEYOND = 1.5
# Fewer nuclei than this share of the window, and their lack is the reason.
_FEW_NUCLEI = 0.01
# Suggestions: how many places are tried for one that is wanted; how many first, to mend a rough transform.
_TRIED, _FIRST = 5, 24
_CONSIDERED = 4000
_MEND_PAIRS, _AFFINE_PAIRS = 3, 8
_MEND_UM, _AGREE_UM, _FINE_UM, _NEAR_UM = 15.0, 6.0, 40.0, 12.0
# Pairs that can move, from which on they are a measure for the others.
_OTHERS = 4
# A rough alignment is off by as much.
ROUGH_UM = 100.0


class MatchingSettings(Section):
    """How nuclei of two images are matched."""

    radius_um: float = Field(40.0, gt=2, le=500, description="How far from where it is drawn a match is sought (µm).")
    window_um: float = Field(150.0, ge=40, le=2000, description="Side of the picture that is compared (µm).")
    pixel_um: float = Field(1.0, ge=0.2, le=20, description="Pixel size at which nuclei are compared (µm).")

    @property
    def reach_px(self) -> int:
        """The radius in pixels of comparison, whole."""
        return int(np.ceil(self.radius_um / self.pixel_um))

    @property
    def side_px(self) -> int:
        """The side of what is drawn: the window and the reach around it."""
        return round(self.window_um / self.pixel_um) + 2 * self.reach_px


def match_places(
    fixed: Image,
    moving: Image,
    transform: Transform,
    place_um: FloatArray,
    settings: MatchingSettings | None = None,
    on_event: OnEvent = silent,
) -> Matches:
    """Where the moving image shows what the fixed one shows at each place (n, 2), in µm of the fixed image.

    `transform` takes level-0 pixels of `moving` to level-0 pixels of `fixed`. Each place costs two patches of the
    window and its reach, read from the level that suits, and 10 to 40 ms. A place off either image, or without nuclei,
    is no error: its shift is NaN.
    """
    places = np.asarray(place_um, dtype=np.float64).reshape(-1, 2)
    tangent = tangents(transform, transform.inverse().apply(places / fixed.require_mpp()))
    found = match_drawn(fixed, moving, tangent, places, settings, on_event)
    # What was found is exact in the moving image; where the transform itself puts that, it puts it beside the tangent.
    return replace(found, shift_um=transform.apply(found.moving_px) * fixed.require_mpp() - places)


def match_drawn(
    fixed: Image,
    moving: Image,
    drawn: FloatArray,
    place_um: FloatArray,
    settings: MatchingSettings | None = None,
    on_event: OnEvent = silent,
) -> Matches:
    """The same with a matrix of its own for every place: `drawn` (n, 3, 3), level-0 pixels of `moving` to `fixed`."""
    settings = settings or MatchingSettings()
    pair = _Pair(fixed, moving, settings, _is_dark_on_bright(fixed), _is_dark_on_bright(moving))
    found = [
        pair.at(place, matrix) for place, matrix in track(list(zip(place_um, drawn, strict=True)), STAGE, on_event)
    ]
    return _collected(np.asarray(place_um, dtype=np.float64), drawn, found, settings, fixed.require_mpp())


def tangents(transform: Transform, xy: FloatArray) -> FloatArray:
    """The affine (n, 3, 3) that touches the transform at each point (n, 2) of its source; NaN where that is NaN."""
    step = 1.0
    here = transform.apply(xy)
    across, down = ((transform.apply(xy + step * d) - transform.apply(xy - step * d)) / (2 * step) for d in np.eye(2))
    out = np.tile(np.eye(3), (len(xy), 1, 1))
    out[:, :2, 0], out[:, :2, 1] = across, down
    out[:, :2, 2] = here - np.einsum("nij,nj->ni", out[:, :2, :2], xy)
    return out


@dataclass(frozen=True, slots=True)
class _Found:
    """A match, with what else the two patches tell."""

    match: Match
    unmoved: float
    nuclei: float


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two images at one pixel size."""

    fixed: Image
    moving: Image
    settings: MatchingSettings
    fixed_is_dark: bool
    moving_is_dark: bool

    def at(self, place_um: FloatArray, matrix: FloatArray) -> _Found | None:
        """Match around one place; None where either image is not there."""
        if not (np.isfinite(matrix).all() and np.isfinite(place_um).all()):
            return None
        tile = self._tile(place_um)
        fixed, fixed_there = self._fixed(tile)
        inner = slice(self.settings.reach_px, -self.settings.reach_px)
        if not fixed_there[inner, inner].any():
            return None
        moving, moving_there = self._moving(tile, matrix)
        if not moving_there.any():
            return None
        background = max(_BACKGROUND_UM / self.settings.pixel_um, _BACKGROUND_PX)
        nuclei = (
            nuclear(fixed, self.fixed.is_rgb, background, self.fixed_is_dark, fixed_there),
            nuclear(moving, self.moving.is_rgb, background, self.moving_is_dark, moving_there),
        )
        apart = _APART_UM / self.settings.pixel_um
        match = best_shift(*nuclei, self.settings.reach_px, (fixed_there, moving_there), apart)
        cut = [image[inner, inner] for image in nuclei]
        return _Found(match, _correlation(*cut), min(float((image > _NUCLEUS).mean()) for image in cut))

    def _tile(self, place_um: FloatArray) -> Tile:
        """The square around a place, in pixels of comparison; it may leave the image."""
        side = self.settings.side_px
        low = np.rint(place_um / self.settings.pixel_um - side / 2).astype(int)
        return Tile(Span(int(low[1]), int(low[1]) + side), Span(int(low[0]), int(low[0]) + side))

    def _fixed(self, tile: Tile) -> tuple[Array, BoolArray]:
        values, there = resample(self.fixed.levels, self.settings.pixel_um / self.fixed.require_mpp(), tile)
        return np.rint(values).astype(np.uint8) if self.fixed.is_rgb else values, there

    def _moving(self, tile: Tile, matrix: FloatArray) -> tuple[Array, BoolArray]:
        scale = self.settings.pixel_um / self.fixed.require_mpp()
        values = warp_region(self.moving.levels, matrix, (scale, scale), tile)
        x = (np.arange(tile.columns.start, tile.columns.stop) + 0.5) * scale
        y = (np.arange(tile.rows.start, tile.rows.stop) + 0.5) * scale
        back = np.linalg.inv(matrix)
        rows, columns = self.moving.yx_shape
        at_x = back[0, 0] * x[None, :] + back[0, 1] * y[:, None] + back[0, 2]
        at_y = back[1, 0] * x[None, :] + back[1, 1] * y[:, None] + back[1, 2]
        return values, (at_x > 0) & (at_x < columns) & (at_y > 0) & (at_y < rows)


def _correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson's, 0 where either is even."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def _is_dark_on_bright(image: Image) -> bool:
    """Of an image of one channel, by the middle of its coarsest level."""
    if image.is_rgb:
        return False
    level = image.levels[-1]
    starts = [max(0, (side - _OVERVIEW_PX) // 2) for side in level.shape]
    return is_brightfield(np.asarray(level[tuple(slice(at, at + _OVERVIEW_PX) for at in starts)]))


def _collected(
    place_um: FloatArray, drawn: FloatArray, found: list[_Found | None], settings: MatchingSettings, mpp: float
) -> Matches:
    """Rows from what was found; places where nothing was are NaN and 0."""
    count = len(place_um)
    shift, moving = np.full((count, 2), np.nan), np.full((count, 2), np.nan)
    values, clear = np.zeros((5, count)), np.zeros(count, dtype=bool)
    for row, one in enumerate(found):
        if one is None:
            continue
        match = one.match
        shift[row] = match.dx * settings.pixel_um, match.dy * settings.pixel_um
        moving[row] = (np.linalg.inv(drawn[row]) @ [*((place_um[row] + shift[row]) / mpp), 1.0])[:2]
        values[:, row] = match.score, one.unmoved, match.margin, match.strength, one.nuclei
        # The search is a square: its corners lie beyond the radius.
        clear[row] = match.is_clear and match.distance * settings.pixel_um <= settings.radius_um
    score, unmoved, margin, strength, nuclei = values
    return Matches(place_um, shift, moving, score, unmoved, margin, strength, nuclei, clear)


def snap(
    fixed: Image,
    moving: Image,
    transform: Transform,
    pairs_px: tuple[FloatArray, FloatArray],
    settings: MatchingSettings | None = None,
    on_event: OnEvent = silent,
) -> tuple[Proposal, ...]:
    """For each pair the place near its moving point that shows what lies at its fixed point: a proposal a pair.

    `pairs_px` are the moving and the fixed points, each (n, 2) level-0 pixels, as are the points of the proposals.
    The transform gives only turn and scale around the pair: the search begins where the pair says. A match farther
    than `radius_um` from there is told but not accepted.
    """
    settings = settings or MatchingSettings()
    moving_px, fixed_px = (np.asarray(side, dtype=np.float64).reshape(-1, 2) for side in pairs_px)
    mpp = fixed.require_mpp()
    wide = settings.model_copy(update={"radius_um": _BEYOND * settings.radius_um})
    found = match_drawn(fixed, moving, _through(transform, moving_px, fixed_px), fixed_px * mpp, wide, on_event)
    why = [_why_not(found, row, settings.radius_um) for row in range(len(found))]
    new = np.where(found.clear[:, None], found.moving_px, moving_px)
    landing = transform.apply(new) * mpp
    better = _consensus(landing, found.place_um, np.array([not reason for reason in why], dtype=bool))
    old_off = np.full(len(found), np.nan)
    if better is not None:
        old_off = geometry.residuals(better, transform.apply(moving_px) * mpp, found.place_um)
        off = geometry.residuals(better, landing, found.place_um)
        why = [_held(reason, bool(found.clear[row]), float(off[row])) for row, reason in enumerate(why)]
        # Noisy pairs turn the transform, and what is drawn turned matches a little beside: once more, turned back.
        straight = transform.then(Transform(_in_px(better, mpp), transform.target, transform.target))
        near = settings.model_copy(update={"radius_um": _NEAR_UM})
        again = match_drawn(fixed, moving, _through(straight, new, fixed_px), fixed_px * mpp, near, on_event)
        new = np.where((found.clear & again.clear)[:, None], again.moving_px, new)
    moved = np.linalg.norm(transform.apply(new) - transform.apply(moving_px), axis=1) * mpp
    told = np.column_stack([moved, found.score, found.margin, old_off])
    ends = zip(fixed_px, moving_px, new, strict=True)
    return tuple(_proposal(row, pair, told[row], why[row]) for row, pair in enumerate(ends))


def _proposal(row: int, pair: tuple[FloatArray, FloatArray, FloatArray], told: FloatArray, why: str) -> Proposal:
    fixed, old, new = (_point(xy) for xy in pair)
    moved, score, confidence, old_off = (float(number) for number in told)
    return Proposal(row, fixed, old, new, moved, score, confidence, not why, why, old_off)


def _through(transform: Transform, moving_px: FloatArray, fixed_px: FloatArray) -> FloatArray:
    """The transform's tangents (n, 3, 3) at each pair, moved so that its moving point lands on its fixed one."""
    drawn = tangents(transform, moving_px)
    drawn[:, :2, 2] += fixed_px - transform.apply(moving_px)
    return drawn


def _in_px(matrix_um: FloatArray, mpp: float) -> FloatArray:
    """A matrix of µm as one of pixels."""
    out: FloatArray = np.diag([1 / mpp, 1 / mpp, 1.0]) @ matrix_um @ np.diag([mpp, mpp, 1.0])
    return out


def _why_not(found: Matches, row: int, radius_um: float) -> str:
    """Why a pair had better stay where it is, in words; nothing where it had better move."""
    if np.isnan(found.shift_um[row]).any():
        return "no clear match: there are no nuclei to compare, or one of the images ends here"
    if not found.clear[row]:
        few = found.nuclei[row] < _FEW_NUCLEI
        return "no clear match: too few nuclei here" if few else f"no clear match within {radius_um:g} µm"
    if found.distance_um[row] > radius_um:
        return f"the match is {found.distance_um[row]:.0f} µm away, farther than {radius_um:g} µm"
    return ""


def _consensus(landing_um: FloatArray, place_um: FloatArray, free: BoolArray) -> FloatArray | None:
    """What takes where pairs land to their fixed points, as most of those in `free` agree; None for too few."""
    if free.sum() < _OTHERS:
        return None
    kind: geometry.Kind = "affine" if free.sum() >= _AFFINE_PAIRS else "similarity"
    if geometry.is_degenerate(kind, landing_um[free]):
        return None
    matrix, agreed = geometry.robust_fit(kind, landing_um[free], place_um[free], _MEND_UM)
    return matrix if agreed.sum() >= max(_OTHERS, free.sum() / 2) else None


def _held(reason: str, clear: bool, off_um: float) -> str:
    """The reason with what the other pairs say: they may forbid a match, and speak for one that is too far."""
    if off_um > _MEND_UM:
        told = f"the other pairs put it {off_um:.0f} µm elsewhere"
        return f"{reason}; {told}" if reason else f"a match, but {told}"
    return f"{reason}; the other pairs agree with it" if reason and clear else reason


def _point(xy: FloatArray) -> tuple[float, float]:
    return float(xy[0]), float(xy[1])


def suggest(
    fixed: Image,
    moving: Image,
    transform: Transform,
    tissue_um: FloatArray,
    count: int,
    settings: MatchingSettings | None = None,
    taken_px: FloatArray | None = None,
    on_event: OnEvent = silent,
) -> tuple[Proposal, ...]:
    """Up to `count` new pairs, well spread over places of the tissue (n, 2, µm of `fixed`), each a clear match.

    A first few places within `radius_um` (100 µm suits a rough transform) mend the transform; then more places
    are matched finely, those that disagree with their neighbours are dropped, and the best spread of the rest is taken.
    None is near a point of `taken_px` (m, 2, level-0 pixels of `fixed`). When fewer are found a note says so;
    none at all are found where nuclei match nowhere.
    """
    settings = settings or MatchingSettings(radius_um=ROUGH_UM)
    mpp = fixed.require_mpp()
    taken = np.zeros((0, 2)) if taken_px is None else np.asarray(taken_px, dtype=np.float64) * mpp
    apart = settings.window_um / 2
    inside = _both_there(tissue_um, transform, mpp, moving.yx_shape)
    places = inside[well_spread(inside, max(_FIRST, _TRIED * count), taken=taken, apart=apart)]
    mended = _mended(match_places(fixed, moving, transform, places[:_FIRST], settings, on_event))
    if mended is None:
        return ()
    found = _match_mended(fixed, moving, transform, mended, places, settings, on_event)
    sure = found.only(found.clear)
    sure = sure.only(agreeing(sure.place_um, sure.shift_um, _AGREE_UM))
    best = sure.only(well_spread(sure.place_um, count, sure.margin, taken, apart))
    if len(best) < count:
        on_event(
            Note(f"{len(best)} of {count} places have a clear match that agrees with its neighbours.", stage=STAGE)
        )
    return tuple(_suggested(best, row, transform, mpp) for row in range(len(best)))


def _both_there(tissue_um: FloatArray, transform: Transform, mpp: float, yx_shape: tuple[int, int]) -> FloatArray:
    """Some thousands of the places that the moving image reaches, in an order of chance that is always the same."""
    order = np.random.default_rng(0).permutation(len(tissue_um))
    places = np.asarray(tissue_um, dtype=np.float64)[order[:_CONSIDERED]]
    there = transform.inverse().apply(places / mpp)
    return places[((there > 0) & (there < yx_shape[::-1])).all(axis=1)]


def _mended(first: Matches) -> FloatArray | None:
    """What takes µm of the fixed image to where the transform draws that, from clear matches that agree; else None."""
    sure = first.only(first.clear)
    if len(sure) < _MEND_PAIRS:
        return None
    kind: geometry.Kind = "affine" if len(sure) >= _AFFINE_PAIRS else "similarity"
    if geometry.is_degenerate(kind, sure.place_um):
        kind = "translation"
    matrix, agreed = geometry.robust_fit(kind, sure.place_um, sure.place_um + sure.shift_um, _MEND_UM)
    return matrix if agreed.sum() >= max(_MEND_PAIRS, len(sure) / 2) else None


def _match_mended(
    fixed: Image,
    moving: Image,
    transform: Transform,
    mended: FloatArray,
    places: FloatArray,
    settings: MatchingSettings,
    on_event: OnEvent,
) -> Matches:
    """Match again, finely, with the moving image drawn where the first matches put it."""
    mpp = fixed.require_mpp()
    drawn = tangents(transform, transform.inverse().apply(geometry.apply_matrix(mended, places) / mpp))
    fine = settings.model_copy(update={"radius_um": min(settings.radius_um, _FINE_UM)})
    return match_drawn(fixed, moving, np.linalg.inv(_in_px(mended, mpp)) @ drawn, places, fine, on_event)


def _suggested(found: Matches, row: int, transform: Transform, mpp: float) -> Proposal:
    fixed, new = found.place_um[row] / mpp, found.moving_px[row]
    shift = float(np.linalg.norm(transform.apply(new[None])[0] - fixed)) * mpp
    points = _point(fixed), None, _point(new)
    return Proposal(None, *points, shift, float(found.score[row]), float(found.margin[row]), True)
