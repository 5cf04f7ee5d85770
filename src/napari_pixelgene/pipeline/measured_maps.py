"""One gene as it was measured, on the lattice and in the unit of the predicted maps, so that both can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pixelgene.arithmetic.pooling import footprint_weights
from napari_pixelgene.elements.capture import Footprint
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.measured import (
    Gathered,
    MeasuredLattice,
    lattice_of_bins,
    lattice_of_footprints,
    measured_unit,
)
from napari_pixelgene.errors import StoreError
from napari_pixelgene.pipeline.preparing import bins_are_current
from napari_pixelgene.pipeline.slide import is_placed, is_streamed, to_he_um
from napari_pixelgene.progress import OnEvent, Progress, silent
from napari_pixelgene.store.bins import BINS
from napari_pixelgene.store.by_gene import ColumnsInMemory, add_by_gene, find_columns
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.documents import read_attributes
from napari_pixelgene.store.tables import counts_of, genes_in, take_part

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.store.by_gene import GeneColumns
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

STAGE = "measured maps"


@dataclass(frozen=True, slots=True)
class MeasuredMaps:
    """The counts of a capture, gene by gene, where the present alignment lays them."""

    capture: str
    genes: GeneTable
    totals: FloatArray  # (genes,) counts over all units
    unit: str
    lattice: MeasuredLattice
    columns: GeneColumns | ColumnsInMemory

    def levels(self, gene: str) -> list[Gathered]:
        """Lazy (row, column) levels of a gene, finest first; NaN where nothing was measured."""
        return self.lattice.levels(*self.columns.column(self.genes.index(gene)))


def open_measured(
    store: SectionStore, level_shapes: Sequence[tuple[int, int]], superpixel_um: float, on_event: OnEvent = silent
) -> MeasuredMaps:
    """The measured maps of a section's capture at the levels of its predicted maps.

    Reads where the units lie, not their counts. The counts gene by gene are made here, once, in a section that was
    written without; in memory where it cannot be written. Raises StoreError that says why nothing can be shown.
    """
    on_event(Progress(STAGE, 0, 2))
    capture = _shown_capture(store)
    names = ("captures", capture.name, BINS) if is_streamed(capture) else ("captures", capture.name)
    folder = store.locate(*names)
    on_event(Progress(STAGE, 1, 2))
    if is_streamed(capture):
        _require_shape(folder, level_shapes[0])
        lattice = lattice_of_bins(take_part(folder, "obs")["superpixel"].to_numpy(), level_shapes)
    else:
        lattice = _lattice_of_units(store, capture, folder, level_shapes, superpixel_um)
    columns = _columns(store, names, folder)
    on_event(Progress(STAGE, 2, 2))
    return MeasuredMaps(
        capture.name, genes_in(folder), columns.totals, measured_unit(superpixel_um), lattice, columns
    )  # fmt: skip


def _shown_capture(store: SectionStore) -> StoredCapture:
    """The first capture that has a place on the slide, with counts."""
    captures = [read_capture(store, name) for name in store.captures()]
    if not captures:
        raise StoreError("Nothing was measured on this section.", "Only its predicted maps can be shown.")
    placed = [capture for capture in captures if is_placed(capture)]
    if not placed:
        raise StoreError("The run is not registered to the H&E yet.", "Register it in the Register dock.")
    counted = [c for c in placed if not is_streamed(c) or bins_are_current(store, c)]
    if not counted:
        raise StoreError(
            "The transcripts have not been counted under the present alignment.", "Training or predicting counts them."
        )
    return counted[0]


def _require_shape(folder: Path, yx_shape: tuple[int, int]) -> None:
    if tuple(read_attributes(folder)["yx_shape"]) != tuple(yx_shape):
        raise StoreError("The maps and the counts of this section have different squares.", "Predict it again.")


def _lattice_of_units(
    store: SectionStore,
    capture: StoredCapture,
    folder: Path,
    level_shapes: Sequence[tuple[int, int]],
    superpixel_um: float,
) -> MeasuredLattice:
    notes = take_part(folder, "uns")
    footprint = Footprint(notes["footprint"]["shape"], float(notes["footprint"]["size_um"]))
    xy_um = to_he_um(store, capture, notes["frame"]).apply(take_part(folder, "obsm/spatial"))
    weights = footprint_weights(footprint.shape, footprint.size_um, xy_um, superpixel_um, level_shapes[0])
    return lattice_of_footprints(weights, footprint.size_um < superpixel_um, level_shapes)


def _columns(store: SectionStore, names: tuple[str, ...], folder: Path) -> GeneColumns | ColumnsInMemory:
    """The counts gene by gene: as written, else written now, else held in memory."""
    found = find_columns(store, *names)
    if found is not None:
        return found
    counts = counts_of(folder)
    if not store.writable:
        return ColumnsInMemory(counts)
    add_by_gene(store, *names, counts=counts)
    made = find_columns(store, *names)
    assert made is not None
    return made
