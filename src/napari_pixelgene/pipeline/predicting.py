"""A stored run over a slide: its maps, tile by tile."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pixelgene.elements.expression import NEVER_MEASURED
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import StoreError
from napari_pixelgene.models.base import Context, Fitted, Model
from napari_pixelgene.models.registry import model_class
from napari_pixelgene.pipeline.beforehand import require_same_squares, superpixel_um
from napari_pixelgene.pipeline.fitting import TRAINING, choose_device
from napari_pixelgene.pipeline.point_features import vectors_of
from napari_pixelgene.pipeline.point_maps import Run, predict_at_points
from napari_pixelgene.pipeline.points import is_at_points
from napari_pixelgene.pipeline.preparing import counts_inputs, ensure_features, ensure_tissue
from napari_pixelgene.pipeline.quality import marked
from napari_pixelgene.pipeline.refining import CellLess, refined, require_squares
from napari_pixelgene.pipeline.slide import grid_of, is_placed
from napari_pixelgene.pipeline.training_data import joined_sections, measured_units, training_section
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.settings import Section
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.stages.prediction import Asked, predict_tiles
from napari_pixelgene.stages.unit_quality import QualitySettings
from napari_pixelgene.store import provenance
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.features import features_fingerprint
from napari_pixelgene.store.maps import begin_maps, read_maps
from napari_pixelgene.store.models import copy_run, load_run
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_tissue

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array
    from napari_pixelgene.elements.expression import Expression
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.elements.grid import Grid

PREDICTION = "prediction"


def load_fitted(store: SectionStore, run: str) -> tuple[Fitted, dict[str, Any]]:
    """A stored run as a fitted model, and its meta."""
    if run not in store.runs():
        known = ", ".join(store.runs()) or "none"
        raise StoreError(
            f"{store.path.name} has no run '{run}' (it has: {known}).",
            "Name the section that holds it with --from SECTION.",
        )
    arrays, meta = load_run(store, run)
    found = model_class(meta["model"])
    genes = GeneTable(tuple(meta["genes"]), tuple(meta["gene_ids"]))
    return found.fitted.from_arrays(arrays, found.Settings.make(meta["model_settings"]), genes), meta


def predict(
    store: SectionStore,
    run: str,
    source: SectionStore | None = None,
    genes: Sequence[str] | None = None,
    on_event: OnEvent = silent,
    device: str = "auto",
    cell_less: CellLess = "keep",
) -> Expression:
    """Maps of a run over a section, tile by tile; a killed prediction continues, a finished one is opened.

    `cell_less` says what becomes of tissue that likely holds no cells.
    """
    home = source or store
    fitted, meta = load_fitted(home, run)
    require_same_squares(store, meta.get("superpixel_um", superpixel_um(home)))
    if home.path.resolve() != store.path.resolve():
        copy_run(home, store, run)
    chosen = fitted.genes.indices(genes) if genes is not None else np.arange(len(fitted.genes))
    settings = FeatureSettings.of_run(meta["features"])
    where = choose_device(device)
    model = model_class(meta["model"])(fitted_settings(meta))
    if is_at_points(model):
        require_squares(cell_less, run)
        asked = Run(store, run, fitted, model, vectors_of(model, settings), chosen, where)
        return predict_at_points(asked, meta, PREDICTION, on_event)
    features = ensure_features(store, settings, on_event, where)
    check_channels(features, meta, run)
    encoder_fingerprint = features_fingerprint(store, settings.encoder)
    inputs = {f"features/{settings.encoder}": encoder_fingerprint, f"{TRAINING}/{run}": meta["fingerprint"]}
    inputs |= counts_inputs(store)  # the layer that tells where something was measured follows the transform
    table = fitted.genes.take(chosen)
    asked_for = {} if cell_less == "keep" else {"cell_less": cell_less}
    fingerprint = provenance.fingerprint({"genes": list(table.symbols), **asked_for}, inputs)
    if provenance.made_with(store, "maps", run) == fingerprint:
        on_event(Note(f"The maps of '{run}' on {store.path.name} are finished; nothing to predict.", stage=PREDICTION))
        return read_maps(store, run)
    start = time.monotonic()
    grid = grid_of(store)
    writer = begin_maps(store, run, table, grid, fingerprint, attributes={"model": meta["model"], **asked_for})
    sink = refined(writer, store, cell_less, on_event)
    needs, tissue = model.needs, ensure_tissue(store, on_event=on_event)
    context = own_context(store, fitted, features, model, on_event)
    predict_tiles(Asked(fitted, needs, features, grid, tissue, where, context), chosen, sink, on_event)
    quality = QualitySettings.make(meta["settings"].get("quality", {}))
    writer.finish(_measured_layer(store, grid, features, quality, on_event), on_event)
    seconds = time.monotonic() - start
    versions = provenance.versions("torch")
    provenance.record(store, f"{PREDICTION}/{run}", fingerprint, asked_for, inputs, seconds, versions)
    return read_maps(store, run)


def own_context(
    store: SectionStore, fitted: Fitted, features: Features, model: Model, on_event: OnEvent
) -> Context | None:
    """For a map: all that was measured on the section itself, by whatever capture, for a model that leans on measured
    units."""
    if not model.needs.context_counts:
        return None
    mask, sections = read_tissue(store).mask, []
    for name in (n for n in store.captures() if is_placed(read_capture(store, n))):
        measured = measured_units(store, name, on_event)
        if all(symbol in measured.genes for symbol in fitted.genes.symbols):
            sections.append(training_section(measured, features, fitted.genes, model.needs, mask))
        else:
            text = f"{measured.name} did not measure all genes of the run and does not help the map."
            on_event(Note(text, stage=PREDICTION))
    if sections:
        joined = joined_sections(sections)
        return Context(joined, np.ones((fitted.members, len(joined)), dtype=bool))
    on_event(Note(f"Nothing measured on {store.name} helps the map: {model.without_context}.", stage=PREDICTION))
    return None


def _measured_layer(
    store: SectionStore, grid: Grid, features: Features, quality: QualitySettings, on_event: OnEvent
) -> Array:
    """(rows, columns): measured, dropped by a filter, never measured."""
    layer = np.full(grid.yx_shape, NEVER_MEASURED, dtype=np.uint8)
    for name in store.captures():
        if is_placed(read_capture(store, name)):
            measured = measured_units(store, name, on_event)
            own = measured.layer
            if quality.percentile:
                own = marked(own, training_section(measured, features, measured.genes.take([0])), quality)
            layer = np.maximum(layer, own)
    return layer


def fitted_settings(meta: Mapping[str, Any]) -> Section:
    """The model's settings of a stored run."""
    return model_class(meta["model"]).Settings.make(meta["model_settings"])


def check_channels(features: Features, meta: Mapping[str, Any], run: str) -> None:
    if list(features.channels) != list(meta["channels"]):
        raise StoreError(
            f"The run '{run}' was trained on {len(meta['channels'])} other channels of '{features.encoder}'.",
            "Train it again with this version.",
        )
