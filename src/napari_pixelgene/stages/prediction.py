"""A fitted model over a slide, tile by tile, into maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_pixelgene.arithmetic.tiles import Span, Tile, tiles
from napari_pixelgene.models.base import Quantity, View
from napari_pixelgene.progress import OnEvent, Progress, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scipy import sparse

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.elements.tissue import Tissue
    from napari_pixelgene.models.base import Fitted, Needs, TrainingSection

STAGE = "predict"
# Rows of a tile whose features are read at once: as many as a chunk of them has.
_STRIP = 64
# Values that are decoded at once (superpixels times genes of the model): 64 MB a copy.
_DECODED = 8_000_000
# Latents of a tile are kept for its next share of genes while they take no more than this.
_KEPT_BYTES = 1 << 28
# Superpixels under units that are asked for at once, all members decoded.
_CHUNK = 16_384
QUANTITIES: tuple[Quantity, Quantity] = ("log", "counts")


class MapSink(Protocol):
    """Where tiles of maps go, a share of the genes at a time."""

    tile_side: int

    def shares(self) -> list[slice]:
        """Genes that are written together."""

    def done(self, index: tuple[int, int], genes: slice) -> bool:
        """Whether that tile of these genes was written before."""

    def write(self, tile: Tile, block: Array, genes: slice) -> None:
        """Write (genes of the share, rows, columns) of a tile, and mark it."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What is asked, and of what."""

    fitted: Fitted
    needs: Needs
    features: Features
    tissue: Tissue
    device: str

    def latent(self, strip: Tile, mask: BoolArray) -> FloatArray:
        """(members, superpixels of tissue, latent) of a strip."""
        read = self.features.standardised if self.needs.standardised else self.features.raw
        if self.needs.halo == 0:
            return self.fitted.latent(View(read(*strip.region)[mask]), self.device)
        view = View(_with_halo(read, strip, self.needs.halo, self.features), halo=self.needs.halo)
        return self.fitted.latent(view, self.device)[:, mask]


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
    """Expected counts per superpixel of `genes` for every tile that is not done yet; background is NaN."""
    source = _Source(fitted, needs, features, tissue, device)
    plan = [
        (tile, [s for s in sink.shares() if not sink.done(tile.index, s)])
        for tile in tiles(grid.yx_shape, sink.tile_side)
    ]
    total = len(plan) * len(sink.shares())
    done = total - sum(len(left) for _, left in plan)
    on_event(Progress(STAGE, done, total))
    for tile, left in plan:
        latents: dict[int, FloatArray] = {}
        for share in left:
            sink.write(tile, _tile(source, tile, genes[share], latents), share)
            done += 1
            on_event(Progress(STAGE, done, total))


def predict_tile(
    fitted: Fitted, needs: Needs, features: Features, tissue: Tissue, tile: Tile, genes: IntArray, device: str = "cpu"
) -> FloatArray:
    """(genes, rows, columns) float32 of a tile, strip by strip."""
    return _tile(_Source(fitted, needs, features, tissue, device), tile, genes, {})


def _tile(source: _Source, tile: Tile, genes: IntArray, latents: dict[int, FloatArray]) -> FloatArray:
    """`latents` of strips, by their first row, are used and filled."""
    out = np.full((len(genes), *tile.yx_shape), np.nan, dtype=np.float32)
    for start in range(tile.rows.start, tile.rows.stop, _STRIP):
        strip = Tile(Span(start, min(start + _STRIP, tile.rows.stop)), tile.columns)
        mask = source.tissue.mask[strip.region]
        if not mask.any():
            continue
        latent = latents[start] if start in latents else source.latent(strip, mask)
        if latent.nbytes + sum(x.nbytes for x in latents.values()) <= _KEPT_BYTES:
            latents[start] = latent
        out[:, strip.within(tile)[0]][:, mask] = _decoded(source.fitted, latent, genes).T
    return out


def _decoded(fitted: Fitted, latent: FloatArray, genes: IntArray) -> FloatArray:
    """(superpixels, genes) float32, some superpixels at a time."""
    step = max(256, _DECODED // (max(len(fitted.genes), 1) * fitted.members))
    parts = range(0, latent.shape[1], step)
    return np.concatenate([fitted.combine(latent[:, i : i + step], genes, "counts").astype(np.float32) for i in parts])


def _with_halo(read: Callable[[slice, slice], FloatArray], strip: Tile, halo: int, features: Features) -> FloatArray:
    """A strip grown by `halo`, NaN past the grid."""
    wide = strip.grown(halo)
    inner = wide.clipped((features.array.shape[0], features.array.shape[1]))
    out = np.full((*wide.yx_shape, features.array.shape[2]), np.nan, dtype=np.float32)
    out[inner.within(wide)] = read(*inner.region)
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
    each = fitted.decode_units(latent, pooling, genes, quantity)
    asked = held_out.sum(0)[:, None]
    total = np.einsum("mug,mu->ug", each, held_out.astype(each.dtype))
    out: FloatArray = np.divide(total, asked, out=np.full_like(total, np.nan), where=asked > 0)
    return out
