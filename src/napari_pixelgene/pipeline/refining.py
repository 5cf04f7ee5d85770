"""Maps without what lies on cell-less tissue (specs/iscale.md 5.2 and 5.3): an option, and told where it is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_pixelgene.arithmetic.cell_less import likely_cells, pooled_moments, without
from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.preparing import ensure_features, ensure_tissue
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.stages.features import FeatureSettings

if TYPE_CHECKING:
    from napari_pixelgene.arithmetic.tiles import Tile
    from napari_pixelgene.elements.arrays import Array, BoolArray
    from napari_pixelgene.stages.prediction import MapSink
    from napari_pixelgene.store.section import SectionStore

# What becomes of tissue that likely holds no cells: kept as predicted, 0, or NaN as background is.
CellLess = Literal["keep", "zero", "nan"]
CELL_LESS = (
    "What becomes of tissue that likely holds no cells, bright or flat as stroma, lumen or debris: keep (as it is "
    "predicted), zero, or nan (as background)."
)
_VALUES = {"zero": 0.0, "nan": np.nan}
_STAGE, _SIDE = "prediction", 64
_ENCODER, _COLOURS = "stain_texture", ("red", "green", "blue")


def require_squares(cell_less: CellLess, run: str) -> None:
    """Only maps over squares can leave tissue out."""
    if cell_less != "keep":
        raise SettingsError(f"The run '{run}' speaks at points, not of squares of tissue.", "Leave --cell-less out.")


class WithoutCells:
    """Takes tiles for another sink, and puts `value` where `keep` (rows, columns) says that there are no cells."""

    def __init__(self, sink: MapSink, keep: BoolArray, cell_less: CellLess) -> None:
        self.sink, self.keep, self.value = sink, keep, _VALUES[cell_less]
        self.tile_side = sink.tile_side

    def shares(self) -> list[slice]:
        """See `MapSink`."""
        return self.sink.shares()

    def done(self, index: tuple[int, int], genes: slice) -> bool:
        """See `MapSink`."""
        return self.sink.done(index, genes)

    def write(self, tile: Tile, block: Array, genes: slice) -> None:
        """See `MapSink`."""
        self.sink.write(tile, without(block, self.keep[tile.region], self.value), genes)


def refined(sink: MapSink, store: SectionStore, cell_less: CellLess, on_event: OnEvent = silent) -> MapSink:
    """The sink as it is, or one that leaves cell-less tissue out."""
    if cell_less == "keep":
        return sink
    keep, tissue = cells_likely(store, on_event), ensure_tissue(store).mask
    lost = 1 - keep.sum() / max(int(tissue.sum()), 1)
    becomes = "0" if cell_less == "zero" else "NaN, as background,"
    text = f"{lost:.0%} of the tissue of {store.path.name} likely holds no cells and is {becomes} in the maps."
    on_event(Note(text, "warning" if lost > 0.8 else "info", _STAGE))
    return WithoutCells(sink, keep, cell_less)


def cells_likely(store: SectionStore, on_event: OnEvent = silent) -> BoolArray:
    """(rows, columns) which superpixels of the tissue likely hold cells, by the colours `stain_texture` measured."""
    features = ensure_features(store, FeatureSettings(encoder=_ENCODER), on_event)
    tissue = ensure_tissue(store, on_event=on_event).mask
    mean, sd = np.zeros(tissue.shape), np.zeros(tissue.shape)
    means, sds = ([features.channels.index(f"{c}_{s}_1") for c in _COLOURS] for s in ("mean", "sd"))
    for tile in tiles((tissue.shape[0], tissue.shape[1]), _SIDE):
        if tissue[tile.region].any():
            block = np.nan_to_num(features.raw(*tile.region))
            mean[tile.region], sd[tile.region] = pooled_moments(block[..., means], block[..., sds])
    return likely_cells(mean, sd, tissue)
