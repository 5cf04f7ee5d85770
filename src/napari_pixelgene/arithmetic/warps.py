"""Warps of pyramids through a matrix, or through one and a bend after it, one region at a time.

Coordinates are continuous, 0 at the outer corner of the first pixel; OpenCV puts pixel centres at
integers, so the matrix it is given is S⁻¹·H·S with S a shift by half a pixel, at the source level and
target level in use. Pixels that nothing of the source maps to are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from napari_pixelgene.arithmetic.resampling import Array, LazyPixels, choose_level, level_scale, resample
from napari_pixelgene.arithmetic.tiles import Span, Tile

# A region whose patch is larger than this many source pixels, or that meets the horizon, is halved.
_PATCH_PIXELS = 1 << 24
_SMALLEST_PX = 16
_HALO_PX = 2
# Beyond this many level pixels a target pixel, bilinear samples miss too much: average first.
_SPARSE = 2.5
# A bend is worked out this many target pixels apart and interpolated; where it misses by more, half as far apart.
_APART_PX, _MISS_PX = 32, 0.005

# The exact way back: points (n, 2) in level-0 target pixels to level-0 source pixels, NaN where there is none.
Back = Callable[[Array], Array]


def scaling(yx: tuple[float, float]) -> Array:
    """The matrix that multiplies y by yx[0] and x by yx[1]."""
    return np.diag([yx[1], yx[0], 1.0])


def forward(matrix: Array, yx_shape: tuple[int, int]) -> Array:
    """The same map with w > 0 at the middle of a source of `yx_shape`."""
    w = float(matrix[2] @ (yx_shape[1] / 2, yx_shape[0] / 2, 1.0))
    return matrix / w


def middle(tile: Tile) -> tuple[float, float]:
    """Centre (x, y)."""
    return (tile.columns.start + tile.columns.stop) / 2, (tile.rows.start + tile.rows.stop) / 2


def finest_need(to_source: Array, tile: Tile) -> float:
    """Level-0 source pixels a target pixel where `tile` shows the source largest, of five places."""
    x, y = middle(tile)
    across, down = 0.4 * tile.columns.size, 0.4 * tile.rows.size
    places = [(x, y), *((x + i * across, y + j * down) for i in (-1, 1) for j in (-1, 1))]
    before = [xy for xy in places if to_source[2] @ (*xy, 1.0) > 0]
    return min((stretch(to_source, *xy) for xy in before), default=1.0)


def stretch(matrix: Array, at_x: float, at_y: float) -> float:
    """By how much a projective map enlarges lengths around a point: the root of its Jacobian determinant."""
    x, y, w = matrix @ (at_x, at_y, 1.0)
    jacobian = (matrix[:2, :2] - np.outer((x / w, y / w), matrix[2, :2])) / w
    return float(np.sqrt(abs(np.linalg.det(jacobian))))


def level_to_source(matrix: Array, target_scale: tuple[float, float], source_yx_shape: tuple[int, int]) -> Array:
    """From pixels of a target level (`target_scale` level-0 pixels each, (row, column)) to level-0 source pixels."""
    to_level = scaling((1 / target_scale[0], 1 / target_scale[1])) @ forward(matrix, source_yx_shape)
    return np.asarray(np.linalg.inv(to_level))


def warp_region(
    levels: Sequence[LazyPixels],
    matrix: Array,
    target_scale: tuple[float, float],
    region: Tile,
    wanted: float | None = None,
    back: Back | None = None,
) -> Array:
    """Pixels of `region` of a target level, from the source `levels` (finest first, (rows, columns[, colours])).

    `matrix` takes level-0 source pixels to level-0 target pixels; `target_scale` (row, column) is level-0
    target pixels a pixel of the target level. The source level is chosen for `wanted` level-0 source
    pixels a target pixel, else from the Jacobian over the region; its patch alone is read, and sampled
    bilinearly. With `back`, which knows a bend as well, pixels come from where it says, to 0.02 pixels, and
    the matrix only says how large things are. Returns (h, w[, colours]) of the source's
    type, 0 where the source does not reach.
    """
    source = levels[0]
    to_source = level_to_source(matrix, target_scale, (source.shape[0], source.shape[1]))
    if wanted is None:
        wanted = finest_need(to_source, region)
    out = np.zeros((*region.yx_shape, *source.shape[2:]), dtype=source.dtype)
    chosen = _level(levels, wanted)
    if back is None:
        _warp_into(out, levels, chosen, to_source, (region, region))
    else:
        _bend_into(out, levels, chosen, _Bent(back, to_source, target_scale), (region, region))
    return out


_Chosen = tuple[LazyPixels | None, tuple[float, float]]


def _warp_into(
    out: Array, levels: Sequence[LazyPixels], chosen: _Chosen, to_source: Array, tiles: tuple[Tile, Tile]
) -> None:
    """Fill the second of `tiles` of `out`, which is the first, halving it where it must be."""
    whole, part = tiles
    corners = to_source @ _corners(part)
    scale, small = chosen[1], max(part.yx_shape) <= _SMALLEST_PX
    if (corners[2] > 0).all():
        patch = _patch(corners, scale, _shape_at(levels[0], chosen))
        if not patch.rows.size or not patch.columns.size:
            return
        if small or patch.rows.size * patch.columns.size <= _PATCH_PIXELS:
            pixels = _read(levels, chosen, patch)
            to_level = scaling((1 / scale[0], 1 / scale[1])) @ to_source
            out[part.within(whole)] = _warp(pixels, to_level, patch, part)
            return
    elif small or (corners[2] <= 0).all():
        # Behind the horizon, or as near to it as halving goes: nothing to see.
        return
    for rows in _halves(part.rows):
        for columns in _halves(part.columns):
            _warp_into(out, levels, chosen, to_source, (whole, Tile(rows, columns)))


def _halves(span: Span) -> tuple[Span, ...]:
    middle = (span.start + span.stop) // 2
    return (Span(span.start, middle), Span(middle, span.stop)) if span.size > 1 else (span,)


def _corners(tile: Tile) -> Array:
    """Homogeneous (3, 4) outer corners."""
    x, y = (tile.columns.start, tile.columns.stop), (tile.rows.start, tile.rows.stop)
    return np.array([[x[0], x[1], x[1], x[0]], [y[0], y[0], y[1], y[1]], [1, 1, 1, 1]], dtype=np.float64)


def _level(levels: Sequence[LazyPixels], wanted: float) -> _Chosen:
    """The level to read and its (row, column) scale, or None and a power of two where the levels are far too fine."""
    full = levels[0].shape
    level = levels[choose_level([level_scale(full[0], lv.shape[0]) for lv in levels], wanted)]
    scale = (level_scale(full[0], level.shape[0]), level_scale(full[1], level.shape[1]))
    if wanted < _SPARSE * scale[0]:
        return level, scale
    power = float(2 ** int(np.log2(wanted)))
    return None, (power, power)


def _shape_at(source: LazyPixels, chosen: _Chosen) -> tuple[int, int]:
    level, scale = chosen
    if level is not None:
        return level.shape[0], level.shape[1]
    return int(np.ceil(source.shape[0] / scale[0])), int(np.ceil(source.shape[1] / scale[1]))


def _patch(corners: Array, scale: tuple[float, float], yx_shape: tuple[int, int]) -> Tile:
    """The source rectangle, in pixels of the level, that holds what the corners enclose."""
    x, y = corners[0] / corners[2] / scale[1], corners[1] / corners[2] / scale[0]
    limit = np.array([yx_shape[1], yx_shape[0]], dtype=np.float64)
    low = np.clip(np.floor([x.min(), y.min()]) - _HALO_PX, 0, limit).astype(int)
    high = np.clip(np.ceil([x.max(), y.max()]) + _HALO_PX, 0, limit).astype(int)
    return Tile(Span(int(low[1]), int(high[1])), Span(int(low[0]), int(high[0])))


def _read(levels: Sequence[LazyPixels], chosen: _Chosen, patch: Tile) -> Array:
    level, scale = chosen
    if level is not None:
        return np.asarray(level[patch.region])
    values, _ = resample(levels, scale[0], patch)
    dtype = levels[0].dtype
    return np.rint(values).astype(dtype) if np.issubdtype(dtype, np.integer) else values.astype(dtype)


def _warp(pixels: Array, to_level: Array, patch: Tile, part: Tile) -> Array:
    """Sample `pixels` (the patch) for `part`; `to_level` maps continuous target to continuous source-level pixels."""
    into_patch = np.array([[1, 0, -0.5 - patch.columns.start], [0, 1, -0.5 - patch.rows.start], [0, 0, 1]])
    from_part = np.array([[1, 0, 0.5 + part.columns.start], [0, 1, 0.5 + part.rows.start], [0, 0, 1]])
    height, width = part.yx_shape
    out: Array = cv2.warpPerspective(
        np.ascontiguousarray(pixels),
        into_patch @ to_level @ from_part,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0, 0),
    )
    return out


@dataclass(frozen=True, slots=True)
class _Bent:
    """The way from pixels of a target level to level-0 source pixels."""

    back: Back
    to_source: Array  # without the bend
    target_scale: tuple[float, float]

    def places(self, x: Array, y: Array) -> Array:
        """Source points (rows, columns, 2) of a lattice; NaN behind the horizon and where the bend leads nowhere."""
        lattice = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        found = self.back(lattice * self.target_scale[::-1])
        found[lattice @ self.to_source[2, :2] + self.to_source[2, 2] <= 0] = np.nan
        return found.reshape(len(y), len(x), 2)

    def lattice(self, part: Tile, scale: tuple[float, float]) -> tuple[Array, int]:
        """Places in the middle of squares that cover `part` and one more around it, in pixels of the source level
        (`scale`), and the squares' side: as large as interpolation allows."""
        apart = _APART_PX
        while True:
            x, y = (span.start + apart * (np.arange(-1, span.size // apart + 2) + 0.5) for span in _xy(part))
            places = self.places(x, y) / scale[::-1]
            x, y = x[:-1:2] + apart / 2, y[:-1:2] + apart / 2
            ends = places[:-1, :-1] + places[1:, :-1] + places[:-1, 1:] + places[1:, 1:]
            miss = np.abs(ends[::2, ::2] / 4 - self.places(x, y) / scale[::-1])
            if apart <= 2 or not (miss > _MISS_PX).any():
                return places, apart
            apart //= 2


def _bend_into(
    out: Array, levels: Sequence[LazyPixels], chosen: _Chosen, bent: _Bent, tiles: tuple[Tile, Tile]
) -> None:
    """As `_warp_into`, through a bend."""
    whole, part = tiles
    scale = chosen[1]
    places, apart = bent.lattice(part, scale)
    seen = places[np.isfinite(places).all(axis=2)].T
    if not seen.size:
        return
    patch = _patch(
        np.vstack([seen * np.array(scale[::-1])[:, None], np.ones(seen.shape[1])]), scale, _shape_at(levels[0], chosen)
    )
    if not patch.rows.size or not patch.columns.size:
        return
    if max(part.yx_shape) <= _SMALLEST_PX or patch.rows.size * patch.columns.size <= _PATCH_PIXELS:
        out[part.within(whole)] = _sampled(_read(levels, chosen, patch), places, apart, patch, part)
        return
    for rows in _halves(part.rows):
        for columns in _halves(part.columns):
            _bend_into(out, levels, chosen, bent, (whole, Tile(rows, columns)))


def _sampled(pixels: Array, places: Array, apart: int, patch: Tile, part: Tile) -> Array:
    """`pixels` (the patch) at the places that the lattice gives the pixels of `part`."""
    corner = (patch.columns.start + 0.5, patch.rows.start + 0.5)
    nodes = np.nan_to_num(places - corner, nan=-1e6).astype(np.float32)
    height, width = part.yx_shape
    size = (nodes.shape[1] * apart, nodes.shape[0] * apart)
    where = cv2.resize(nodes, size, interpolation=cv2.INTER_LINEAR)[apart : apart + height]
    out: Array = cv2.remap(
        np.ascontiguousarray(pixels),
        where,
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0, 0),
    )
    return out[:, apart : apart + width]


def _xy(tile: Tile) -> tuple[Span, Span]:
    return tile.columns, tile.rows
