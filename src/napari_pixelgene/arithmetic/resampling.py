"""Pixels of one size from pixels of another: level choice, coverage-true averages, halving.

Continuous coordinates have 0 at the outer corner of the first pixel. An output pixel is the mean of
the source over the square it covers, weighed by the exact area of each source pixel in it and divided
by the area that lies inside the image, so borders are neither darker nor brighter. Weights depend on
the absolute index of an output pixel and are summed in one fixed order: a pixel is the same, bit for
bit, in whatever tile it is asked for. Projective warps are in `arithmetic/warps.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_pixelgene.arithmetic.tiles import Span, Tile, tiles

Array = npt.NDArray[Any]

WHITE = 255
# Level shapes are rounded, so a level may look a little coarser than it is.
_LEVEL_SLACK = 1.01
# An output pixel that meets the image by less than this share of its side is outside (as in elements/grid.py).
_SLIVER = 0.01
# Source pixels a side that are read at once.
_PATCH_PX = 4096
_STRIP_BYTES = 1 << 21


class LazyPixels(Protocol):
    """What is asked of a level: shape, dtype, and slices that turn into numpy."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """Along one axis: the source samples each output sample reads, and their weights.

    `first` (n,) is the first source sample, `weights` (n, k) float32 belong to it and those after it
    and sum to 1 (0 where the output lies outside), `inside` (n,) tells which outputs meet the image.
    """

    first: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    inside: npt.NDArray[np.bool_]

    def reads(self, size: int) -> Span:
        """The source samples that carry weight, within an axis of `size`."""
        if not self.inside.any():
            return Span(0, 0)
        first = self.first[self.inside]
        return Span(min(int(first[0]), size - 1), min(int(first[-1]) + self.weights.shape[1], size))

    def kept(self) -> Taps:
        """Only the outputs inside."""
        return Taps(self.first[self.inside], self.weights[self.inside], self.inside[self.inside])


def choose_level(downsamples: Sequence[float], wanted: float) -> int:
    """The coarsest level that is still as fine as `wanted` source pixels a target pixel, else the finest."""
    fine = [i for i, down in enumerate(downsamples) if down <= wanted * _LEVEL_SLACK]
    if not fine:
        return int(np.argmin(downsamples))
    return max(fine, key=lambda i: (downsamples[i], -i))


def level_scale(full: int, level: int) -> float:
    """Level-0 pixels a pixel of a level, along one axis, from the two lengths.

    Writers shrink by a whole number and drop or pad the odd edge, so where a whole number explains the
    lengths it is the scale; their ratio would be off by up to a pixel of the level at the far edge.
    """
    whole = max(1, round(full / level))
    return float(whole) if full // whole <= level <= -(-full // whole) else full / level


def taps(span: Span, scale: float, extent: float) -> Taps:
    """Weights for outputs `span`, each `scale` source samples wide, over an axis of `extent` samples.

    The extent may end within the last sample, or behind it: then the last stands for what is missing.
    Shrinking takes the exact mean over the covered stretch; enlarging interpolates between centres.
    """
    edges = np.arange(span.start, span.stop + 1, dtype=np.int64) * np.float64(scale)
    low, high = np.clip(edges[:-1], 0, extent), np.clip(edges[1:], 0, extent)
    inside = (high - low) > _SLIVER * scale
    if scale * _LEVEL_SLACK < 1:
        first, weights = _between_centres((np.arange(span.start, span.stop) + 0.5) * scale - 0.5, int(np.ceil(extent)))
    else:
        first, weights = _covered(low, high, int(np.ceil(scale)) + 1)
    return Taps(first, np.where(inside[:, None], weights, 0).astype(np.float32), inside)


def _covered(low: Array, high: Array, count: int) -> tuple[Array, Array]:
    first = np.floor(low).astype(np.int64)
    cells = first[:, None] + np.arange(count)
    cover = np.minimum(high[:, None], cells + 1) - np.maximum(low[:, None], cells)
    length = np.where(high > low, high - low, 1)
    return first, np.clip(cover, 0, None) / length[:, None]


def _between_centres(at: Array, size: int) -> tuple[Array, Array]:
    at = np.clip(at, 0, size - 1)
    first = np.floor(at).astype(np.int64)
    part = at - first
    return first, np.stack([1 - part, part], axis=1)


def area_average(
    block: Array, origin: tuple[int, int], scale: tuple[float, float], tile: Tile, extent: tuple[float, float]
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Average a block of source pixels over the output pixels of `tile`.

    `block` (rows, columns, …) holds the source from `origin` (row, column) on and must reach as far as
    the tile does; `scale` (row, column) is source pixels an output pixel, `extent` the whole source.
    Returns float32 (h, w, …), 0 where nothing covers, and `inside` (h, w).
    """
    rows, columns = (taps(s, k, n) for s, k, n in zip((tile.rows, tile.columns), scale, extent, strict=True))
    inside = rows.inside[:, None] & columns.inside[None, :]
    out = np.zeros((*tile.yx_shape, *block.shape[2:]), dtype=np.float32)
    if inside.any():
        _weigh_into(out, block, origin, rows, columns)
    return out, inside


def _weigh_into(out: Array, block: Array, origin: tuple[int, int], rows: Taps, columns: Taps) -> None:
    """Fill the inside of `out`, in strips of rows small enough for the cache."""
    top, left = int(np.argmax(rows.inside)), int(np.argmax(columns.inside))
    rows, columns = rows.kept(), columns.kept()
    strip = max(1, _STRIP_BYTES // (4 * int(np.prod(block.shape[1:]))))
    for start in range(0, len(rows.first), strip):
        part = slice(start, start + strip)
        tall = _weigh_rows(block, rows.first[part] - origin[0], rows.weights[part])
        wide = _weigh_columns(tall, columns.first - origin[1], columns.weights)
        out[top + start : top + start + wide.shape[0], left : left + wide.shape[1]] = wide


def _weigh_rows(block: Array, first: Array, weights: Array) -> Array:
    """(source rows, …) to (n, …) float32."""
    shape = (-1,) + (1,) * (block.ndim - 1)
    out = np.zeros((len(first), *block.shape[1:]), dtype=np.float32)
    for k, weight in enumerate(weights.T):
        if weight.any():
            out += np.multiply(block[np.minimum(first + k, len(block) - 1)], weight.reshape(shape), dtype=np.float32)
    return out


def _weigh_columns(block: Array, first: Array, weights: Array) -> Array:
    """(rows, source columns, …) to (rows, n, …) float32."""
    shape = (1, -1) + (1,) * (block.ndim - 2)
    out = np.zeros((block.shape[0], len(first), *block.shape[2:]), dtype=np.float32)
    for k, weight in enumerate(weights.T):
        if weight.any():
            picked = np.take(block, np.minimum(first + k, block.shape[1] - 1), axis=1)
            picked *= weight.reshape(shape)
            out += picked
    return out


def resample(levels: Sequence[LazyPixels], ratio: float, tile: Tile) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Output pixels of `tile`, each `ratio` level-0 pixels a side, from the nearest finer level.

    `levels` are (rows, columns, …), finest first; the tile may leave the image. Returns float32
    (h, w, …), 0 outside, and `inside` (h, w). Reads the covered region only, piece by piece where it is large.
    """
    full = levels[0].shape
    level = levels[choose_level([level_scale(full[0], lv.shape[0]) for lv in levels], ratio)]
    down = (level_scale(full[0], level.shape[0]), level_scale(full[1], level.shape[1]))
    scale, extent = (ratio / down[0], ratio / down[1]), (full[0] / down[0], full[1] / down[1])
    out = np.zeros((*tile.yx_shape, *level.shape[2:]), dtype=np.float32)
    inside = np.zeros(tile.yx_shape, dtype=np.bool_)
    for part in _parts(tile, max(scale)):
        out[part.within(tile)], inside[part.within(tile)] = _resample_part(level, scale, extent, part)
    return out, inside


def _parts(tile: Tile, scale: float) -> Iterator[Tile]:
    """The tile cut so that no piece covers more than `_PATCH_PX` source pixels a side."""
    top, left = tile.rows.start, tile.columns.start
    for part in tiles(tile.yx_shape, max(1, int(_PATCH_PX / scale))):
        yield Tile(
            Span(part.rows.start + top, part.rows.stop + top),
            Span(part.columns.start + left, part.columns.stop + left),
        )


def _resample_part(
    level: LazyPixels, scale: tuple[float, float], extent: tuple[float, float], tile: Tile
) -> tuple[Array, npt.NDArray[np.bool_]]:
    rows = taps(tile.rows, scale[0], extent[0]).reads(level.shape[0])
    columns = taps(tile.columns, scale[1], extent[1]).reads(level.shape[1])
    if not rows.size or not columns.size:
        return np.zeros((*tile.yx_shape, *level.shape[2:]), np.float32), np.zeros(tile.yx_shape, np.bool_)
    block = np.asarray(level[rows.as_slice(), columns.as_slice()])
    return area_average(block, (rows.start, columns.start), scale, tile, extent)


def work_pixels(
    levels: Sequence[LazyPixels], mpp: float, work_mpp: float, tile: Tile
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The work pixels of `tile`: RGB uint8 (h, w, 3), white outside the image, and `inside` (h, w).

    `levels` are (rows, columns, 3) uint8, `mpp` µm per level-0 pixel, `work_mpp` µm per work pixel;
    the tile is in work pixels from the image's outer corner and may leave the image.
    """
    values, inside = resample(levels, work_mpp / mpp, tile)
    rgb = np.rint(values, out=values).astype(np.uint8)
    rgb[~inside] = WHITE
    return rgb, inside


def halve(array: Array) -> Array:
    """Means of 2×2 pixels of (rows, columns, …), of 2 or 1 at an odd edge; integers are rounded to nearest."""
    mean = array.astype(np.float32)
    for axis in (0, 1):
        mean = _pair_means(mean, axis)
    return np.rint(mean).astype(array.dtype) if np.issubdtype(array.dtype, np.integer) else mean.astype(array.dtype)


def _pair_means(array: Array, axis: int) -> Array:
    array = np.swapaxes(array, 0, axis)
    out, odd = array[0::2].copy(), array[1::2]
    out[: len(odd)] += odd
    out[: len(odd)] /= 2
    return np.swapaxes(out, 0, axis)
