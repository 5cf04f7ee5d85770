"""An image drawn through a transform, as a lazily warped pyramid in the target's frame.

A viewer's affine drops the projective row and knows no bend: what is more than affine has to be drawn.
Nothing is computed until a region is asked for; then only the blocks that region meets are, from one
patch of the nearest finer source level, and the last few are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np

from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.arithmetic.warps import Back, finest_need, level_to_source, warp_region
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import Array, FloatArray, LazyArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.views import RegionView

BLOCK_PX = 256
# Kept a level: 256 blocks of 256² are 17 MB a byte and channel.
_KEPT_BLOCKS = 256
_LAST_PX = 512


class WarpedLevel(RegionView):
    """One level of a warped pyramid: (rows, columns[, 3]) of the source's type, 0 where the source does not reach.

    `matrix` takes level-0 source pixels to level-0 target pixels; `downsample` (row, column) is level-0
    target pixels a pixel of this level, `yx_shape` its size. `back` is the exact way from level-0 target to
    level-0 source pixels where a matrix cannot say it.
    """

    def __init__(
        self,
        sources: tuple[LazyArray, ...],
        matrix: FloatArray,
        downsample: tuple[float, float],
        yx_shape: tuple[int, int],
        back: Back | None = None,
    ) -> None:
        rest = sources[0].shape[2:]
        self.shape, self.dtype = (*yx_shape, *rest), np.dtype(sources[0].dtype)
        self.chunks = (BLOCK_PX, BLOCK_PX, *rest)
        self._sources, self._matrix, self._downsample, self._back = sources, matrix, downsample, back
        source_yx = (sources[0].shape[0], sources[0].shape[1])
        # One source level for the whole of this level, so that blocks meet without seams.
        whole = Tile(Span(0, yx_shape[0]), Span(0, yx_shape[1]))
        self._wanted = finest_need(level_to_source(matrix, downsample, source_yx), whole)
        self._kept: OrderedDict[tuple[int, int], Array] = OrderedDict()
        self._lock = Lock()

    def read(self, rows: slice, columns: slice) -> Array:
        """The region: kept blocks, and one warp over the rectangle of those that are missing."""
        wanted = Tile(Span(rows.start, rows.stop), Span(columns.start, columns.stop))
        out = np.zeros((*wanted.yx_shape, *self.shape[2:]), dtype=self.dtype)
        for block, pixels in self._blocks_of(wanted):
            both = Tile(_meet(block.rows, wanted.rows), _meet(block.columns, wanted.columns))
            out[both.within(wanted)] = pixels[both.within(block)]
        return out

    def _blocks_of(self, wanted: Tile) -> list[tuple[Tile, Array]]:
        places = [
            (i, j)
            for i in range(wanted.rows.start // BLOCK_PX, -(-wanted.rows.stop // BLOCK_PX))
            for j in range(wanted.columns.start // BLOCK_PX, -(-wanted.columns.stop // BLOCK_PX))
        ]
        with self._lock:
            found = {at: self._kept[at] for at in places if at in self._kept}
        missing = [at for at in places if at not in found]
        if missing:
            found |= self._warp(missing)
            self._keep(found)
        return [(self._tile(at), found[at]) for at in places]

    def _warp(self, places: list[tuple[int, int]]) -> dict[tuple[int, int], Array]:
        first, last = (self._tile(tuple(f(k) for k in zip(*places, strict=True))) for f in (min, max))
        both = Tile(Span(first.rows.start, last.rows.stop), Span(first.columns.start, last.columns.stop))
        pixels = warp_region(self._sources, self._matrix, self._downsample, both, self._wanted, self._back)
        return {at: pixels[self._tile(at).within(both)].copy() for at in places}

    def _keep(self, blocks: dict[tuple[int, int], Array]) -> None:
        with self._lock:
            for at, block in blocks.items():
                self._kept[at] = block
                self._kept.move_to_end(at)
            while len(self._kept) > _KEPT_BLOCKS:
                self._kept.popitem(last=False)

    def _tile(self, at: tuple[int, ...]) -> Tile:
        rows, columns = (Span(k * BLOCK_PX, (k + 1) * BLOCK_PX) for k in at)
        return Tile(rows, columns).clipped((self.shape[0], self.shape[1]))


def _meet(a: Span, b: Span) -> Span:
    return Span(max(a.start, b.start), min(a.stop, b.stop))


def warped_pyramid(
    image: Image, transform: Transform, target_yx_shape: tuple[int, int], target_mpp: float, levels: int | None = None
) -> Image:
    """`image` on the extent of the target: a lazy pyramid of `target_yx_shape` whose levels halve.

    `transform` goes from the image's level-0 pixels to the target's level-0 pixels (`morphology_to_he`).
    Without `levels` there are as many as it takes until the last is at most 512 pixels a side.
    """
    shapes = [target_yx_shape]
    while len(shapes) < levels if levels is not None else max(shapes[-1]) > _LAST_PX:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    back = None if transform.bend is None else transform.inverse().apply
    scales = [(target_yx_shape[0] / rows, target_yx_shape[1] / columns) for rows, columns in shapes]
    warped = tuple(
        WarpedLevel(image.levels, transform.matrix, scale, shape, back)
        for scale, shape in zip(scales, shapes, strict=True)
    )
    return Image(warped, target_mpp, image.path, image.name)
