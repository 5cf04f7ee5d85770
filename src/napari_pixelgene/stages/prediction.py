"""A fitted model over a slide, tile by tile, into maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_pixelgene.arithmetic.tiles import Span, Tile, tiles
from napari_pixelgene.models.base import Needs, Quantity, View
from napari_pixelgene.progress import OnEvent, Progress, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scipy import sparse

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.elements.tissue import Tissue
    from napari_pixelgene.models.base import Context, Fitted, TrainingSection

STAGE = "predict"
# Rows of a tile whose features are read at once: as many as a chunk of them has, or as a wide halo has.
_STRIP = 64
# Values that are decoded at once (superpixels times genes of the model): 64 MB a copy.
_DECODED = 8_000_000
# Latents of a tile are kept for its next share of genes while they take no more than this.
_KEPT_BYTES = 1 << 28
# Superpixels under units that are asked for at once, all members decoded.
_CHUNK = 16_384
QUANTITIES: tuple[Quantity, Quantity] = ("log", "counts")
_PLAIN = Needs()


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
class Asked:
    """Which model is asked, and of what: a slide's features over the tissue of its grid. `context` are units of
    the slide that the model may lean on."""

    fitted: Fitted
    needs: Needs
    features: Features
    grid: Grid
    tissue: Tissue
    device: str = "cpu"
    context: Context | None = None

    def latent(self, strip: Tile, mask: BoolArray) -> FloatArray:
        """(members, superpixels of tissue, latent) of a strip."""
        read = self.features.standardised if self.needs.standardised else self.features.raw
        halo = self.needs.halo
        if halo == 0:
            xy = _centres_um(strip, self.grid.superpixel_um)[mask] if self.needs.positions else None
            return self.fitted.latent(View(read(*strip.region)[mask], xy, 0, self.context), self.device)
        seen = _with_halo(read, strip, halo, self.features, self.tissue)
        view = View(seen, _centres_um(strip.grown(halo), self.grid.superpixel_um), halo, self.context)
        return self.fitted.latent(view, self.device)[:, mask]


def predict_tiles(asked: Asked, genes: IntArray, sink: MapSink, on_event: OnEvent = silent) -> None:
    """Expected counts per superpixel of `genes` for every tile that is not done yet; background is NaN."""
    plan = [
        (tile, [s for s in sink.shares() if not sink.done(tile.index, s)])
        for tile in tiles(asked.grid.yx_shape, sink.tile_side)
    ]
    total = len(plan) * len(sink.shares())
    done = total - sum(len(left) for _, left in plan)
    on_event(Progress(STAGE, done, total))
    for tile, left in plan:
        latents: dict[int, FloatArray] = {}
        for share in left:
            sink.write(tile, _tile(asked, tile, genes[share], latents), share)
            done += 1
            on_event(Progress(STAGE, done, total))


def _tile(asked: Asked, tile: Tile, genes: IntArray, latents: dict[int, FloatArray]) -> FloatArray:
    """(genes, rows, columns) float32, strip by strip. `latents` of strips, by their first row, are used and filled."""
    out = np.full((len(genes), *tile.yx_shape), np.nan, dtype=np.float32)
    step = max(_STRIP, asked.needs.halo)
    for start in range(tile.rows.start, tile.rows.stop, step):
        strip = Tile(Span(start, min(start + step, tile.rows.stop)), tile.columns)
        mask = asked.tissue.mask[strip.region]
        if not mask.any():
            continue
        latent = latents[start] if start in latents else asked.latent(strip, mask)
        if latent.nbytes + sum(x.nbytes for x in latents.values()) <= _KEPT_BYTES:
            latents[start] = latent
        out[:, strip.within(tile)[0]][:, mask] = _decoded(asked.fitted, latent, genes).T
    return out


def _decoded(fitted: Fitted, latent: FloatArray, genes: IntArray) -> FloatArray:
    """(superpixels, genes) float32, some superpixels at a time."""
    step = max(256, _DECODED // (max(len(fitted.genes), 1) * fitted.members))
    parts = range(0, latent.shape[1], step)
    return np.concatenate([fitted.combine(latent[:, i : i + step], genes, "counts").astype(np.float32) for i in parts])


def _with_halo(
    read: Callable[[slice, slice], FloatArray], strip: Tile, halo: int, features: Features, tissue: Tissue
) -> FloatArray:
    """A strip grown by `halo`, NaN past the grid and off the tissue."""
    wide = strip.grown(halo)
    inner = wide.clipped((features.array.shape[0], features.array.shape[1]))
    out = np.full((*wide.yx_shape, features.array.shape[2]), np.nan, dtype=np.float32)
    values = read(*inner.region)
    values[~tissue.mask[inner.region]] = np.nan
    out[inner.within(wide)] = values
    return out


def _centres_um(tile: Tile, superpixel_um: float) -> FloatArray:
    """(rows, columns, 2) centres (x, y) of a tile's superpixels."""
    rows, columns = (np.arange(span.start, span.stop) + 0.5 for span in (tile.rows, tile.columns))
    return np.stack(np.meshgrid(columns, rows), axis=-1) * superpixel_um


def predict_units(
    fitted: Fitted,
    section: TrainingSection,
    genes: IntArray,
    held_out: BoolArray | None = None,
    device: str = "cpu",
    needs: Needs = _PLAIN,
    context: Context | None = None,
) -> tuple[FloatArray, FloatArray]:
    """What a model says of a section's units: log1p(CP10k) and expected counts of the whole unit, (n, genes) each.

    With `held_out` (members, n) a unit is asked of those members alone, as in a cross-validation; a unit that
    no member held out is NaN. `needs` are the model's; `context` are units of this section that it may lean on.
    """
    log, counts = (np.full((len(section), len(genes)), np.nan, dtype=np.float32) for _ in range(2))
    for rows in _unit_chunks(section) if needs.features == "superpixels" else [slice(0, len(section))]:
        pooling = section.pooling[rows]
        touched = np.unique(pooling.indices)
        latent = _latent_of(fitted, needs, section, touched, (device, context))
        pooling = pooling[:, touched].tocsr()
        for out, quantity in ((log, QUANTITIES[0]), (counts, QUANTITIES[1])):
            if held_out is None:
                out[rows] = fitted.units_from_latent(latent, pooling, genes, quantity)
            else:
                out[rows] = _held_out(fitted, latent, pooling, genes, quantity, held_out[:, rows])
    return log, counts


def _latent_of(
    fitted: Fitted, needs: Needs, section: TrainingSection, touched: IntArray, asked: tuple[str, Context | None]
) -> FloatArray:
    """(members, touched, latent) of some rows of a section's features; `asked` is the device and the context."""
    device, context = asked
    if needs.halo == 0:
        at = section.xy_um if needs.features == "points" else section.centres_um() if needs.positions else None
        return fitted.latent(View(section.features[touched], None if at is None else at[touched], 0, context), device)
    side = max(_STRIP, needs.halo)
    tile_of: IntArray = section.row_column[touched] // side
    out: FloatArray | None = None
    for index in np.unique(tile_of, axis=0):
        mine = np.flatnonzero((tile_of == index).all(1))
        top, left = (int(i) * side for i in index)
        wide = Tile(Span(top, top + side), Span(left, left + side)).grown(needs.halo)
        rows, columns = (section.row_column[touched[mine]] - index * side).T
        wanted = np.zeros((side, side), dtype=bool)
        wanted[rows, columns] = True
        place = _centres_um(wide, section.superpixel_um)
        view = View(_scattered(section, wide), place, needs.halo, context, wanted)
        latent = fitted.latent(view, device)[:, rows, columns]
        if out is None:
            out = np.empty((latent.shape[0], len(touched), latent.shape[2]), dtype=latent.dtype)
        out[:, mine] = latent
    assert out is not None  # a unit without a superpixel is not on tissue and never asked
    return out


def _scattered(section: TrainingSection, tile: Tile) -> FloatArray:
    """(rows, columns, channels) of a tile from a section's list of superpixels, NaN where it has none."""
    start = np.array([tile.rows.start, tile.columns.start])
    place = section.row_column - start
    inside = ((place >= 0) & (place < tile.yx_shape)).all(1)
    out = np.full((*tile.yx_shape, section.features.shape[1]), np.nan, dtype=section.features.dtype)
    out[tuple(place[inside].T)] = section.features[inside]
    return out


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
