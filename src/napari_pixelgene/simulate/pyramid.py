"""Write an image pyramid as a tiled OME-TIFF without ever holding it: strips in, tiles out.

Coarser levels wait in a temporary store on disk, since a TIFF is written level after level.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
import zarr

from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.elements.arrays import Array
from napari_pixelgene.progress import OnEvent, Progress

Render = Callable[[Tile], Array]
_SEGMENT_TILES = 3
_WORKERS = 2


@dataclass(frozen=True, slots=True)
class PyramidPlan:
    """How an image is written. `options` go to tifffile with every level; the smallest level fits one tile."""

    yx_shape: tuple[int, int]
    channels: int  # 3 for RGB, 1 for grey
    dtype: str
    mpp: float
    tile_px: int
    options: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def level_shapes(self) -> list[tuple[int, int]]:
        """(rows, columns) of each level; each half of the one before, rounded up."""
        shapes = [self.yx_shape]
        while max(shapes[-1]) > self.tile_px:
            shapes.append(((shapes[-1][0] + 1) // 2, (shapes[-1][1] + 1) // 2))
        return shapes

    def whole_shape(self, yx_shape: tuple[int, int]) -> tuple[int, ...]:
        """With the colour axis where there is one."""
        return (*yx_shape, self.channels) if self.channels > 1 else yx_shape


def write_pyramid(path: Path, plan: PyramidPlan, render: Render, stage: str, on_event: OnEvent) -> None:
    """Write level 0 from `render(tile)` and the rest from means of 2×2 pixels."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".levels-") as scratch:
        levels = [_scratch(Path(scratch) / str(i), plan, shape) for i, shape in enumerate(plan.level_shapes[1:])]
        with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tiff:
            strips = _rendered(plan, render, levels[0] if levels else None, stage, on_event)
            metadata = {**plan.metadata, "axes": "YXS" if plan.channels > 1 else "YX"}
            _write_level(tiff, plan, plan.yx_shape, strips, subifds=len(levels), metadata=metadata)
            for level, coarser in zip(levels, [*levels, None][1:], strict=True):
                shape = (level.shape[0], level.shape[1])
                _write_level(tiff, plan, shape, _stored(plan, level, coarser), subfiletype=1, metadata=None)


def _scratch(path: Path, plan: PyramidPlan, yx_shape: tuple[int, int]) -> zarr.Array[Any]:
    side = plan.tile_px // 2
    shape = plan.whole_shape(yx_shape)
    return zarr.create_array(
        path, shape=shape, chunks=(side, side, *shape[2:]), dtype=plan.dtype, compressors=None, fill_value=0
    )


def _write_level(
    tiff: tifffile.TiffWriter, plan: PyramidPlan, yx_shape: tuple[int, int], segments: Iterator[Array], **extra: Any
) -> None:
    pixels_per_cm = 1e4 / plan.mpp * yx_shape[1] / plan.yx_shape[1]
    tiff.write(
        _cut(segments, plan),
        shape=plan.whole_shape(yx_shape),
        dtype=plan.dtype,
        tile=(plan.tile_px, plan.tile_px),
        resolution=(pixels_per_cm, pixels_per_cm),
        resolutionunit="CENTIMETER",
        maxworkers=_WORKERS,
        **plan.options,
        **extra,
    )


def _segments(plan: PyramidPlan, yx_shape: tuple[int, int]) -> Iterator[Tile]:
    """A few tiles of one row at a time, in the order a TIFF wants its tiles."""
    width = plan.tile_px * _SEGMENT_TILES
    for i, top in enumerate(range(0, yx_shape[0], plan.tile_px)):
        for j, left in enumerate(range(0, yx_shape[1], width)):
            rows, columns = Span(top, top + plan.tile_px), Span(left, left + width)
            yield Tile(rows, columns, (i, j)).clipped(yx_shape)


def _rendered(
    plan: PyramidPlan, render: Render, coarser: zarr.Array[Any] | None, stage: str, on_event: OnEvent
) -> Iterator[Array]:
    """Segments of level 0, drawn a few ahead; each also leaves its half-size in the scratch level."""
    segments = list(_segments(plan, plan.yx_shape))
    with ThreadPoolExecutor(_WORKERS) as pool:
        ahead = [pool.submit(render, segment) for segment in segments[: _WORKERS + 1]]
        try:
            for n, segment in enumerate(segments):
                on_event(Progress(stage, n, len(segments)))
                block = ahead.pop(0).result()
                if n + _WORKERS + 1 < len(segments):
                    ahead.append(pool.submit(render, segments[n + _WORKERS + 1]))
                _leave_half(coarser, segment, block)
                yield block
            on_event(Progress(stage, len(segments), len(segments)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _stored(plan: PyramidPlan, level: zarr.Array[Any], coarser: zarr.Array[Any] | None) -> Iterator[Array]:
    for segment in _segments(plan, (level.shape[0], level.shape[1])):
        block = np.asarray(level[segment.region])
        _leave_half(coarser, segment, block)
        yield block


def _leave_half(coarser: zarr.Array[Any] | None, segment: Tile, block: Array) -> None:
    if coarser is not None:
        half = halved(block)
        top, left = segment.rows.start // 2, segment.columns.start // 2
        coarser[top : top + half.shape[0], left : left + half.shape[1]] = half


def halved(block: Array) -> Array:
    """Means of 2×2 pixels; a last odd row or column counts twice."""
    pad = [(0, size % 2) for size in block.shape[:2]] + [(0, 0)] * (block.ndim - 2)
    even = np.pad(block, pad, mode="edge") if any(p[1] for p in pad) else block
    return np.asarray(cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA))


def _cut(segments: Iterator[Array], plan: PyramidPlan) -> Iterator[Array]:
    """Whole tiles from segments; tiles at the edge are filled up with their own border."""
    side = plan.tile_px
    for block in segments:
        for left in range(0, block.shape[1], side):
            tile = block[:, left : left + side]
            pad = [(0, side - size) for size in tile.shape[:2]] + [(0, 0)] * (tile.ndim - 2)
            yield np.ascontiguousarray(np.pad(tile, pad, mode="edge") if any(p[1] for p in pad) else tile)
