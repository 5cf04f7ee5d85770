"""Fit a model on sections, and predict maps with it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from napari_pixelgene.elements.expression import NEVER_MEASURED
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.encoders.registry import get_encoder
from napari_pixelgene.errors import InputError, SettingsError, StoreError
from napari_pixelgene.models.base import Context, Fitted, Model, Needs, TrainingData
from napari_pixelgene.models.registry import get_model, model_class
from napari_pixelgene.pipeline.beforehand import (
    measured_files,
    require_genes,
    require_placed,
    require_same_squares,
    superpixel_um,
)
from napari_pixelgene.pipeline.preparing import REGION, counts_inputs, ensure_features, ensure_tissue, region_hash
from napari_pixelgene.pipeline.slide import grid_of, is_placed
from napari_pixelgene.pipeline.training_data import (
    Measured,
    gene_statistics,
    measured_units,
    take_units,
    training_section,
    within_region,
)
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.gene_list import read_gene_list
from napari_pixelgene.settings import Section
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.stages.folds import FoldSettings, deal_blocks, members
from napari_pixelgene.stages.genes import choose_genes, listed_genes
from napari_pixelgene.stages.prediction import Asked, predict_tiles
from napari_pixelgene.store import provenance
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.features import features_fingerprint
from napari_pixelgene.store.ledger import require_name
from napari_pixelgene.store.maps import begin_maps, read_maps
from napari_pixelgene.store.models import Checkpoint, begin_run, copy_run, load_run, run_meta, save_run
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_tissue

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, BoolArray
    from napari_pixelgene.elements.expression import Expression
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.elements.tissue import Folds, MemberPlan

TRAINING, PREDICTION = "training", "prediction"


class FitSettings(Section):
    """What is learned, from what, with what."""

    model: str = Field("pixel2gene", description="The model, by name (see `pixelgene models`).")
    model_settings: dict[str, Any] = Field(default_factory=dict, description="Settings of that model.")
    features: FeatureSettings = Field(default_factory=FeatureSettings, description="The encoder and its settings.")
    genes: str = Field("top:300", description="Genes to learn: top:N, variable:N, file:FILE, panel or all.")
    folds: FoldSettings = Field(default_factory=FoldSettings, description="Spatial blocks the members stop on.")
    max_units: int = Field(200_000, ge=1, description="At most so many units are learned from, drawn at random.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    device: str = Field("auto", description="auto (GPU where there is one), cpu, cuda or cuda:N.")


@dataclass(frozen=True, slots=True)
class Prepared:
    """The training sections of a run, ready to learn from."""

    stores: tuple[SectionStore, ...]
    measured: tuple[Measured, ...]
    features: tuple[Features, ...]
    genes: GeneTable
    data: TrainingData
    plan: MemberPlan
    model: Model
    fingerprint: str
    kind: Literal["fit", "cross"] = "fit"


def choose_device(asked: str) -> str:
    """The device to work on; asking for a GPU that is not there is an error."""
    import torch  # takes seconds: an import of data, and the form of the settings, do without

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(
            f"There is no GPU for '{asked}'.", "Use --device cpu or auto; `pixelgene doctor` tells more."
        )
    return asked


def prepare_fit(
    stores: Sequence[SectionStore],
    settings: FitSettings,
    kind: Literal["fit", "cross"] = "fit",
    on_event: OnEvent = silent,
) -> Prepared:
    """Everything up to the first step: tissue, features, counts, genes, folds, each made once."""
    if len({s.path.resolve() for s in stores}) < len(stores):
        raise SettingsError("A section is named twice among the training sections.", "Name each once.")
    require_genes(settings.genes)
    for store in stores:
        require_placed(store)
        require_same_squares(store, superpixel_um(stores[0]))
    model = get_model(settings.model, settings.model_settings)  # a wrong setting is told before hours are spent
    check_needs(model)
    device = choose_device(settings.device)
    measured = [within_region(measured_units(s, on_event=on_event), s, on_event) for s in stores]
    if kind == "fit":  # a cross-validation scores every unit, also those it did not learn from
        measured = _at_most(measured, settings, on_event)
    genes = _choose(settings.genes, measured)
    features = [ensure_features(s, settings.features, on_event, device) for s in stores]
    folded = [_dealt(m, settings, i) for i, m in enumerate(measured)]
    reach = _reach_um(settings, stores[0], measured)
    plans = [members(f, kind, reach, m.xy_um) for f, m in zip(folded, measured, strict=True)]
    plan = _joined(plans)
    if kind == "cross":
        plan = _thinned(plan, settings, on_event)
    sections = tuple(
        training_section(m, f, genes, model.needs, read_tissue(s).mask)
        for m, f, s in zip(measured, features, stores, strict=True)
    )
    data = TrainingData(sections, genes, features[0].channels, plan.fit, plan.stop, settings.seed, device)
    return Prepared(
        tuple(stores), tuple(measured), tuple(features), genes, data, plan, model,
        _fingerprint(stores, settings, genes, kind), kind,
    )  # fmt: skip


def fit(
    stores: Sequence[SectionStore],
    run: str,
    settings: FitSettings | None = None,
    on_event: OnEvent = silent,
    overwrite: bool = False,
    prepared: Prepared | None = None,
) -> Fitted:
    """Train a run and store it in the first training section; a killed one continues, a finished one is loaded."""
    from napari_pixelgene.stages.training import train

    settings = settings or FitSettings()
    require_name(run)
    ready = prepared or prepare_fit(stores, settings, "fit", on_event)
    home = ready.stores[0]
    if run in home.runs() and not overwrite:
        if run_meta(home, run).get("fingerprint") == ready.fingerprint:
            on_event(Note(f"The run '{run}' is finished; nothing to train.", stage=TRAINING))
            return load_fitted(home, run)[0]
        raise StoreError(
            f"{home.path.name} has a run '{run}' with other settings or training sections.",
            "Choose another name with --run, or replace it with --overwrite.",
        )
    start = time.monotonic()
    checkpoint = Checkpoint(begin_run(home, run, ready.fingerprint))
    trained = train(ready.model, ready.data, on_event, checkpoint)
    seconds = time.monotonic() - start
    save_run(home, run, trained.fitted.arrays(), _meta(ready, settings, trained.history, seconds))
    inputs = {f"features/{settings.features.encoder}": features_fingerprint(home, settings.features.encoder)}
    inputs |= counts_inputs(home) | {REGION: region_hash(home)}
    provenance.record(
        home, f"{TRAINING}/{run}", ready.fingerprint, settings, inputs, seconds, provenance.versions("torch")
    )
    return trained.fitted


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
) -> Expression:
    """Maps of a run over a section, tile by tile; a killed prediction continues, a finished one is opened."""
    home = source or store
    fitted, meta = load_fitted(home, run)
    require_same_squares(store, meta.get("superpixel_um", superpixel_um(home)))
    if home.path.resolve() != store.path.resolve():
        copy_run(home, store, run)
    chosen = fitted.genes.indices(genes) if genes is not None else np.arange(len(fitted.genes))
    settings = FeatureSettings.make(meta["features"])
    where = choose_device(device)
    features = ensure_features(store, settings, on_event, where)
    _check_channels(features, meta, run)
    encoder_fingerprint = features_fingerprint(store, settings.encoder)
    inputs = {f"features/{settings.encoder}": encoder_fingerprint, f"{TRAINING}/{run}": meta["fingerprint"]}
    inputs |= counts_inputs(store)  # the layer that tells where something was measured follows the transform
    table = fitted.genes.take(chosen)
    fingerprint = provenance.fingerprint({"genes": list(table.symbols)}, inputs)
    if provenance.made_with(store, "maps", run) == fingerprint:
        on_event(Note(f"The maps of '{run}' on {store.path.name} are finished; nothing to predict.", stage=PREDICTION))
        return read_maps(store, run)
    start = time.monotonic()
    grid = grid_of(store)
    writer = begin_maps(store, run, table, grid, fingerprint, attributes={"model": meta["model"]})
    needs = model_class(meta["model"])(fitted_settings(meta)).needs
    tissue = ensure_tissue(store, on_event=on_event)
    context = _own_context(store, fitted, features, needs, on_event)
    predict_tiles(Asked(fitted, needs, features, grid, tissue, where, context), chosen, writer, on_event)
    writer.finish(_measured_layer(store, grid, on_event), on_event)
    seconds = time.monotonic() - start
    provenance.record(store, f"{PREDICTION}/{run}", fingerprint, {}, inputs, seconds, provenance.versions("torch"))
    return read_maps(store, run)


def check_needs(model: Model) -> None:
    """Refuse, before hours are spent, a model that needs what the pipeline cannot give it yet."""
    needs = model.needs
    missing = {
        "features at points": needs.features != "superpixels",
        "a lattice of units": needs.lattice,
        "a fixed vocabulary of genes": needs.gene_space != "fitted",
    }
    asked = [what for what, is_missing in missing.items() if is_missing]
    if asked:
        raise SettingsError(f"The model '{model.name}' needs {', '.join(asked)}.", "The pipeline cannot give that yet.")


def _own_context(
    store: SectionStore, fitted: Fitted, features: Features, needs: Needs, on_event: OnEvent
) -> Context | None:
    """For a map: all that was measured on the section itself, for a model that leans on measured units."""
    if not needs.context_counts:
        return None
    placed = [n for n in store.captures() if is_placed(read_capture(store, n))]
    for name in placed:
        measured = measured_units(store, name, on_event)
        if all(symbol in measured.genes for symbol in fitted.genes.symbols):
            section = training_section(measured, features, fitted.genes, needs, read_tissue(store).mask)
            return Context(section, np.ones((fitted.members, len(section)), dtype=bool))
    on_event(Note(f"Nothing measured on {store.name} helps the map: histology alone decides.", stage=PREDICTION))
    return None


def _measured_layer(store: SectionStore, grid: Grid, on_event: OnEvent) -> Array:
    """(rows, columns): measured, dropped by a filter, never measured."""
    layer = np.full(grid.yx_shape, NEVER_MEASURED, dtype=np.uint8)
    for name in store.captures():
        if is_placed(read_capture(store, name)):
            layer = np.maximum(layer, measured_units(store, name, on_event).layer)
    return layer


def fitted_settings(meta: Mapping[str, Any]) -> Section:
    """The model's settings of a stored run."""
    return model_class(meta["model"]).Settings.make(meta["model_settings"])


def _check_channels(features: Features, meta: Mapping[str, Any], run: str) -> None:
    if list(features.channels) != list(meta["channels"]):
        raise StoreError(
            f"The run '{run}' was trained on {len(meta['channels'])} other channels of '{features.encoder}'.",
            "Train it again with this version.",
        )


def _choose(spec: str, measured: Sequence[Measured]) -> GeneTable:
    tables = [m.genes for m in measured]
    if spec.startswith("file:"):
        return _listed(Path(spec.removeprefix("file:")), tables)
    totals, spread = zip(*(gene_statistics(m) for m in measured), strict=True)
    return choose_genes(spec, tables, totals, spread)


def _listed(path: Path, tables: Sequence[GeneTable]) -> GeneTable:
    names = read_gene_list(path)
    try:
        return listed_genes(names, tables)
    except InputError as error:
        raise InputError(f"{path}: {error.problem}", error.mend) from None


def _at_most(measured: list[Measured], settings: FitSettings, on_event: OnEvent) -> list[Measured]:
    """Draw units at random where there are more than a person wants to learn from, and say so."""
    total = sum(len(m) for m in measured)
    if total <= settings.max_units:
        return measured
    _tell_drawn(settings.max_units, total, on_event)
    rng = np.random.default_rng([settings.seed, 3])
    share = settings.max_units / total
    return [take_units(m, np.sort(rng.choice(len(m), max(1, int(share * len(m))), replace=False))) for m in measured]


def _thinned(plan: MemberPlan, settings: FitSettings, on_event: OnEvent) -> MemberPlan:
    """The plan with at most `max_units` units, drawn at random, to learn from and stop on; all are scored."""
    total = plan.fit.shape[1]
    if total <= settings.max_units:
        return plan
    drawn = np.zeros(total, dtype=bool)
    drawn[np.random.default_rng([settings.seed, 3]).choice(total, settings.max_units, replace=False)] = True
    _tell_drawn(settings.max_units, total, on_event)
    return type(plan)(plan.fit & drawn, plan.stop & drawn, plan.score)


def _tell_drawn(drawn: int, total: int, on_event: OnEvent) -> None:
    text = f"{drawn:,} of {total:,} units, drawn at random, are learned from (--max-units changes it)."
    on_event(Note(text, stage=TRAINING))


def _dealt(measured: Measured, settings: FitSettings, section: int) -> Folds:
    """Blocks of one section dealt to folds; each section has an offset of its own."""
    f = settings.folds
    return deal_blocks(measured.xy_um, f.block_um, f.folds, settings.seed + section, f.partitions)


def _reach_um(settings: FitSettings, store: SectionStore, measured: Sequence[Measured]) -> float:
    """How far from its centre a unit sees: half the widest window and half its footprint."""
    encoder = get_encoder(settings.features.encoder)
    widest = max(m.footprint.size_um for m in measured)
    return encoder.reach_px * grid_of(store).work_mpp + widest / 2


def _joined(plans: Sequence[MemberPlan]) -> MemberPlan:
    def beside(name: str) -> BoolArray:
        return np.concatenate([getattr(p, name) for p in plans], axis=1)

    return type(plans[0])(beside("fit"), beside("stop"), beside("score"))


def _fingerprint(stores: Sequence[SectionStore], settings: FitSettings, genes: GeneTable, kind: str) -> str:
    chosen = settings.model_dump()
    chosen.pop("device")  # the same run on another device is the same run
    inputs: dict[str, str] = {"kind": kind, "genes": ",".join(genes.symbols)}
    for i, store in enumerate(stores):
        inputs[f"counts/{i}"] = provenance.fingerprint({}, counts_inputs(store))
        inputs[f"region/{i}"] = region_hash(store)
        inputs[f"features/{i}"] = features_fingerprint(store, settings.features.encoder)
    return provenance.fingerprint(chosen, inputs)


def _meta(
    ready: Prepared, settings: FitSettings, history: Sequence[Mapping[str, float]], seconds: float
) -> dict[str, Any]:
    return {
        "model": settings.model,
        "model_settings": ready.model.settings.model_dump(exclude_unset=True),
        "features": settings.features.model_dump(),
        "channels": list(ready.features[0].channels),
        "genes": list(ready.genes.symbols),
        "gene_ids": list(ready.genes.ids),
        "train": [s.name for s in ready.stores],
        "train_files": measured_files(ready.stores),
        "superpixel_um": superpixel_um(ready.stores[0]),
        "settings": settings.model_dump(),
        "history": [dict(row) for row in history],
        "kind": ready.kind,
        "seconds": seconds,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": ready.data.device,
        "versions": provenance.versions("torch", "scipy"),
        "fingerprint": ready.fingerprint,
    }
