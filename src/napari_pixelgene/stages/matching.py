"""Matching nuclei between two images at places of the fixed one: local shifts, pairs snapped, pairs suggested.

The moving image is drawn onto the fixed one by the transform, a patch a place, both are made into images of nuclei
(`arithmetic/stains.py`) and correlated (`arithmetic/matching.py`). Around a place the transform is taken for its
tangent: over a few hundred µm a homography or a spline differs from that by less than a pixel. Nothing is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from napari_pixelgene.arithmetic.matching import Match, best_shift
from napari_pixelgene.arithmetic.resampling import resample
from napari_pixelgene.arithmetic.stains import is_brightfield, nuclear
from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.arithmetic.warps import warp_region
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.matching import Matches
from napari_pixelgene.progress import OnEvent, silent, track
from napari_pixelgene.settings import Section

STAGE = "matching"
# Wider than a nucleus, narrower than a gland: what varies more slowly is staining, not nuclei.
_BACKGROUND_UM = 12.0
# Peaks nearer than a nucleus are one peak.
_APART_UM = 8.0
# What is a nucleus in an image whose brightest are 1.
_NUCLEUS = 0.3
_OVERVIEW_PX = 1024


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
        background = _BACKGROUND_UM / self.settings.pixel_um
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
