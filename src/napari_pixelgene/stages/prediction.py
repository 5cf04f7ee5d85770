"""A fitted model over a slide, tile by tile, into maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_pixelgene.arithmetic.tiles import Span, Tile, tiles
from napari_pixelgene.models.base import Quantity, View
from napari_pixelgene.progress import OnEvent, Progress, silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scipy import sparse

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.elements.tissue import Tissue
    from napari_pixelgene.models.base import Fitted, Needs, TrainingSection

STAGE = "predict"
# Rows of a tile that are decoded at once: 32 × 512 superpixels × 300 genes in float32 are 20 MB.
_STRIP = 32
# Superpixels under units that are asked for at once, all members decoded.
_CHUNK = 16_384
QUANTITIES: tuple[Quantity, Quantity] = ("log", "counts")


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


def predict_units(
    fitted: Fitted,
    section: TrainingSection,
    genes: IntArray,
    held_out: BoolArray | None = None,
    device: str = "cpu",
) -> tuple[FloatArray, FloatArray]:
    """What a model says of a section's units: log1p(CP10k) and expected counts of the whole unit, (n, genes) each.

    With `held_out` (members, n) a unit is asked of those members alone, as in a cross-validation; a unit that
    no member held out is NaN.
    """
    log, counts = (np.full((len(section), len(genes)), np.nan, dtype=np.float32) for _ in range(2))
    for rows in _unit_chunks(section):
        pooling = section.pooling[rows]
        touched = np.unique(pooling.indices)
        latent = fitted.latent(View(section.features[touched]), device)
        pooling = pooling[:, touched].tocsr()
        for out, quantity in ((log, QUANTITIES[0]), (counts, QUANTITIES[1])):
            if held_out is None:
                out[rows] = fitted.units_from_latent(latent, pooling, genes, quantity)
            else:
                out[rows] = _held_out(fitted, latent, pooling, genes, quantity, held_out[:, rows])
    return log, counts


def _unit_chunks(section: TrainingSection) -> Iterator[slice]:
    """Runs of units that touch at most `_CHUNK` superpixels, or one unit."""
    filled = section.pooling.indptr
    start = 0
    while start < len(section):
        stop = int(np.searchsorted(filled, filled[start] + _CHUNK, side="right")) - 1
        stop = min(max(stop, start + 1), len(section))
        yield slice(start, stop)
        start = stop


def _held_out(
    fitted: Fitted,
    latent: FloatArray,
    pooling: sparse.csr_matrix,
    genes: IntArray,
    quantity: Quantity,
    held_out: BoolArray,
) -> FloatArray:
    decoded = fitted.decode(latent, genes, quantity)
    size = pooling.getnnz(axis=1)[:, None] if quantity == "counts" else 1.0
    pooled = np.stack([np.asarray(pooling @ member) * size for member in decoded])
    asked = held_out.sum(0)[:, None]
    total = (pooled * held_out[:, :, None]).sum(0)
    return np.divide(total, asked, out=np.full_like(total, np.nan), where=asked > 0)
