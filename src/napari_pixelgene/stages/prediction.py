"""A fitted model over a slide, tile by tile, into maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_pixelgene.arithmetic.tiles import Span, Tile, tiles
from napari_pixelgene.models.base import View
from napari_pixelgene.progress import OnEvent, Progress, silent

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.elements.tissue import Tissue
    from napari_pixelgene.models.base import Fitted, Needs

STAGE = "predict"
# Rows of a tile that are decoded at once: 32 × 512 superpixels × 300 genes in float32 are 20 MB.
_STRIP = 32


class MapSink(Protocol):
    """Where tiles of maps go."""

    tile_side: int

    def done(self, index: tuple[int, int]) -> bool:
        """Whether that tile was written before."""

    def write(self, tile: Tile, block: Array) -> None:
        """Write (genes, rows, columns) of a tile, and mark it."""


def predict_tiles(
    fitted: Fitted,
    needs: Needs,
    features: Features,
    grid: Grid,
    tissue: Tissue,
    genes: IntArray,
    sink: MapSink,
    on_event: OnEvent = silent,
    device: str = "cpu",
) -> None:
    """Expected counts per superpixel for every tile that is not done yet; background is NaN."""
    plan = list(tiles(grid.yx_shape, sink.tile_side))
    todo = [t for t in plan if not sink.done(t.index)]
    on_event(Progress(STAGE, len(plan) - len(todo), len(plan)))
    for done, tile in enumerate(todo, start=len(plan) - len(todo) + 1):
        sink.write(tile, predict_tile(fitted, needs, features, tissue, tile, genes, device))
        on_event(Progress(STAGE, done, len(plan)))


def predict_tile(
    fitted: Fitted, needs: Needs, features: Features, tissue: Tissue, tile: Tile, genes: IntArray, device: str = "cpu"
) -> FloatArray:
    """(genes, rows, columns) float32 of a tile, strip by strip."""
    out = np.full((len(genes), *tile.yx_shape), np.nan, dtype=np.float32)
    for start in range(tile.rows.start, tile.rows.stop, _STRIP):
        strip = Tile(Span(start, min(start + _STRIP, tile.rows.stop)), tile.columns)
        mask = tissue.mask[strip.region]
        if mask.any():
            out[:, strip.within(tile)[0]][:, mask] = _strip(fitted, needs, features, strip, mask, genes, device).T
    return out


def _strip(
    fitted: Fitted, needs: Needs, features: Features, strip: Tile, mask: Array, genes: IntArray, device: str
) -> FloatArray:
    """(superpixels of tissue, genes)."""
    read = features.standardised if needs.standardised else features.raw
    if needs.halo == 0:
        return fitted.predict(View(read(*strip.region)[mask]), genes, "counts", device)
    view = View(_with_halo(read, strip, needs.halo, features), halo=needs.halo)
    return fitted.predict(view, genes, "counts", device)[mask]


def _with_halo(read: object, strip: Tile, halo: int, features: Features) -> FloatArray:
    """A strip grown by `halo`, NaN past the grid."""
    wide = strip.grown(halo)
    inner = wide.clipped((features.array.shape[0], features.array.shape[1]))
    out = np.full((*wide.yx_shape, features.array.shape[2]), np.nan, dtype=np.float32)
    out[inner.within(wide)] = read(*inner.region)  # type: ignore[operator]
    return out
