"""Honest scores: a fresh run on the training sections, scored on sections or blocks it has not seen."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from napari_pixelgene.elements.scores import SectionScores, verdict
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.pipeline.beforehand import (
    measured_files,
    require_placed,
    require_same_squares,
    require_unseen,
    superpixel_um,
)
from napari_pixelgene.pipeline.kept_scores import keep_scores
from napari_pixelgene.pipeline.learning import FitSettings, Prepared, choose_device, fit, load_fitted, prepare_fit
from napari_pixelgene.pipeline.preparing import ensure_features
from napari_pixelgene.pipeline.slide import grid_of
from napari_pixelgene.pipeline.training_data import (
    Measured,
    gather_features,
    measured_units,
    training_context,
    training_section,
)
from napari_pixelgene.progress import Note, OnEvent, Progress, silent
from napari_pixelgene.stages.evaluation import EvaluationSettings, Predicted, ScoredUnits, score_section
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.store import provenance
from napari_pixelgene.store.ledger import require_name
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_tissue

if TYPE_CHECKING:
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.models.base import Fitted, Needs, TrainingSection

STAGE = "evaluate"
SCHEMA = 1
# The one feature of the nuclear control, whatever encoder the model has (house.md).
NUCLEAR_ENCODER, NUCLEAR_CHANNEL = "stain_texture", "nuclear_fraction_17"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The content of `metrics.json`, and the scores of every section with their genes."""

    metrics: dict[str, Any]
    sections: tuple[SectionScores, ...]
    run: str

    @property
    def verdict(self) -> str:
        """What the numbers mean, in words."""
        return verdict(self.metrics["sections"])


def evaluate(
    train: Sequence[SectionStore],
    test: Sequence[SectionStore] = (),
    settings: FitSettings | None = None,
    evaluation: EvaluationSettings | None = None,
    run: str | None = None,
    on_event: OnEvent = silent,
    overwrite: bool = False,
) -> Evaluation:
    """Fit on `train` and score each section of `test` once; without `test`, cross-validate over blocks of `train`.

    The scores are kept beside the run, which is named by a hash of settings and training sections, so that no named
    run is overwritten.
    """
    settings = settings or FitSettings()
    evaluation = evaluation or EvaluationSettings(seed=settings.seed)
    both = {s.path.resolve() for s in train} & {s.path.resolve() for s in test}
    if both:
        raise SettingsError(f"{both.pop().name} is named to train on and to test on.", "Test on another section.")
    seconds: dict[str, float] = {}
    start = time.monotonic()
    if run is not None:
        require_name(run)
    for store in test:
        require_placed(store)
        require_same_squares(store, superpixel_um(train[0]))
    prepared = prepare_fit(train, settings, "fit" if test else "cross", on_event)
    seconds["prepare"] = time.monotonic() - start
    run = run or provenance.run_name("evaluate", prepared.fingerprint)
    start = time.monotonic()
    fitted = fit(train, run, settings, on_event, overwrite, prepared)
    seconds["fit"] = time.monotonic() - start
    start = time.monotonic()
    scores = _scores(fitted, prepared, settings, evaluation, test, on_event)
    if evaluation.permuted_training:
        scores = _with_permuted_training(scores, prepared, settings, evaluation, test, on_event)
    seconds["score"] = time.monotonic() - start
    found = Evaluation(_metrics(prepared, settings, scores, seconds), tuple(scores), run)
    keep_scores(train[0], run, found, evaluation, test)
    return found


def _scores(
    fitted: Fitted,
    prepared: Prepared,
    settings: FitSettings,
    evaluation: EvaluationSettings,
    test: Sequence[SectionStore],
    on_event: OnEvent,
) -> list[SectionScores]:
    """Of the test sections; without any, of the training sections' blocks."""
    train = prepared.stores
    if not test:
        return _score_folds(fitted, prepared, evaluation, train, on_event)
    training = [_scored(m, s, prepared.genes, on_event) for m, s in zip(prepared.measured, train, strict=True)]
    return [_score_one(store, fitted, settings, evaluation, training, on_event) for store in _each(test, on_event)]


def _with_permuted_training(
    scores: Sequence[SectionScores],
    prepared: Prepared,
    settings: FitSettings,
    evaluation: EvaluationSettings,
    test: Sequence[SectionStore],
    on_event: OnEvent,
) -> list[SectionScores]:
    """What the same training reaches when counts and places do not belong together: nothing is kept of it."""
    from napari_pixelgene.stages.training import train

    rng = np.random.default_rng([evaluation.seed, 4])
    data = replace(prepared.data, sections=tuple(_shuffled(s, rng) for s in prepared.data.sections))
    on_event(Note("Trained once more, on counts shuffled among the units.", stage=STAGE))
    fitted = train(get_model(settings.model, settings.model_settings), data, on_event).fitted
    quick = evaluation.replace(permutations=1, halves=1)
    others = _scores(fitted, prepared, settings, quick, test, on_event)
    means = [o.log.as_dict()["pearson_mean"] for o in others]
    return [replace(s, permuted_training=mean) for s, mean in zip(scores, means, strict=True)]


def _shuffled(section: TrainingSection, rng: np.random.Generator) -> TrainingSection:
    """The units' counts and totals, dealt to other places of the section."""
    order = rng.permutation(len(section))
    return replace(section, counts=section.counts[order], library=section.library[order])


def judge_run(
    run: str,
    train: Sequence[SectionStore],
    test: Sequence[SectionStore] = (),
    settings: FitSettings | None = None,
    evaluation: EvaluationSettings | None = None,
    on_event: OnEvent = silent,
) -> Evaluation:
    """Score a run that was fitted on `train` with just these settings, and keep the scores beside it.

    On sections the run itself is asked; on blocks of `train` a cross-validation of the same settings stands for it.
    """
    evaluation = evaluation or EvaluationSettings(seed=(settings or FitSettings()).seed)
    found = evaluate(train, test, settings, evaluation, run if test else None, on_event)
    if not test:
        keep_scores(train[0], run, found, evaluation)
    return found


def evaluate_run(
    run: str,
    source: SectionStore,
    test: Sequence[SectionStore],
    evaluation: EvaluationSettings | None = None,
    on_event: OnEvent = silent,
    device: str = "auto",
) -> Evaluation:
    """Score a stored run on sections it was not trained on; those it was trained on are refused.

    The scores are kept beside the run where `source` may be written.
    """
    evaluation = evaluation or EvaluationSettings()
    if evaluation.permuted_training:
        raise SettingsError("A stored run is not trained again.", "Leave out --permuted-training, or give --train.")
    fitted, meta = load_fitted(source, run)
    for store in test:
        require_placed(store)
        require_unseen(store, run, meta)
        require_same_squares(store, meta.get("superpixel_um", superpixel_um(source)))
    settings = FitSettings.make(meta["settings"]).replace(device=device)
    start = time.monotonic()
    training = _training_units(source, meta, fitted.genes, on_event)
    scores = [_score_one(store, fitted, settings, evaluation, training, on_event) for store in _each(test, on_event)]
    metrics = _metrics_of(meta["settings"], meta["train"], scores, {"score": time.monotonic() - start})
    found = Evaluation(metrics, tuple(scores), run)
    if source.writable:
        keep_scores(source, run, found, evaluation, test)
    return found


def _training_units(
    source: SectionStore, meta: Mapping[str, Any], genes: GeneTable, on_event: OnEvent
) -> list[ScoredUnits] | None:
    """What the controls of a stored run are fitted on: the training section, where `source` is all there was."""
    if source.captures() and measured_files([source]) == meta["train_files"]:
        return [_scored(measured_units(source, on_event=on_event), source, genes, on_event)]
    text = "The controls total, nuclear and position are left out: they need all training sections at hand."
    on_event(Note(text, stage=STAGE))
    return None


def write_metrics(evaluation: Evaluation, path: Path) -> None:
    """`metrics.json` at `path`, and the per-gene values of every section beside it as parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(evaluation.metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    for scores in evaluation.sections:
        pq.write_table(pa.table(scores.per_gene()), path.with_name(f"{path.stem}.{scores.name}.genes.parquet"))


def _each(stores: Sequence[SectionStore], on_event: OnEvent) -> Sequence[SectionStore]:
    on_event(Progress(STAGE, 0, len(stores)))
    return stores


def _score_one(
    store: SectionStore,
    fitted: Fitted,
    settings: FitSettings,
    evaluation: EvaluationSettings,
    training: list[ScoredUnits] | None,
    on_event: OnEvent,
) -> SectionScores:
    """Ask the model at the units of a section it has not seen."""
    device = choose_device(settings.device)
    measured = measured_units(store, on_event=on_event)
    kept = [i for i, symbol in enumerate(fitted.genes.symbols) if symbol in measured.genes]
    dropped = [symbol for symbol in fitted.genes.symbols if symbol not in measured.genes]
    if dropped:
        on_event(Note(f"{len(dropped)} genes were not measured on {store.name} and are not scored.", stage=STAGE))
    genes = fitted.genes.take(kept)
    features = ensure_features(store, settings.features, on_event, device)
    needs = _needs(settings)
    section = training_section(measured, features, genes, needs, read_tissue(store).mask)
    log, counts = predict_units(fitted, section, np.array(kept), device=device, needs=needs)
    units = _scored(measured, store, genes, on_event)
    if training is not None:
        training = [replace(t, counts=t.counts[:, kept]) for t in training]
    scores = score_section(store.name, genes.symbols, units, Predicted(log, counts), training, evaluation, dropped)
    on_event(Progress(STAGE, 1, 1, message=store.name))
    return scores


def _score_folds(
    fitted: Fitted,
    prepared: Prepared,
    evaluation: EvaluationSettings,
    stores: Sequence[SectionStore],
    on_event: OnEvent,
) -> list[SectionScores]:
    """Every unit by the members that held it out; controls by the folds of the first partition."""
    genes = np.arange(len(prepared.genes))
    scores, first = [], 0
    folds = len(prepared.plan.score) // max(_partitions(prepared), 1)
    for section, measured, store in zip(prepared.data.sections, prepared.measured, stores, strict=True):
        mine = slice(first, first + len(section))
        held_out, learned = prepared.plan.score[:, mine], (prepared.plan.fit | prepared.plan.stop)[:, mine]
        first += len(section)
        needs = prepared.model.needs
        context = training_context(needs, section, learned)
        log, counts = predict_units(fitted, section, genes, held_out, prepared.data.device, needs, context)
        units = _scored(measured, store, prepared.genes, on_event, held_out[:folds].argmax(0))
        predicted = Predicted(log, counts)
        scores.append(score_section(store.name, prepared.genes.symbols, units, predicted, None, evaluation))
        on_event(Progress(STAGE, len(scores), len(stores), message=store.name))
    return scores


def _partitions(prepared: Prepared) -> int:
    """How often every unit is scored."""
    return int(prepared.plan.score[:, 0].sum())


def _scored(
    measured: Measured, store: SectionStore, genes: GeneTable, on_event: OnEvent, fold: Any = None
) -> ScoredUnits:
    """A section's units with the features that controls are fitted on."""
    features = ensure_features(store, FeatureSettings(encoder=NUCLEAR_ENCODER), on_event)
    touched = np.unique(measured.pooling.indices)
    vectors = gather_features(features, touched)
    means = np.asarray(measured.pooling[:, touched] @ vectors, dtype=np.float64)
    nuclear = means[:, features.channels.index(NUCLEAR_CHANNEL)]
    pitch = grid_of(store).superpixel_um if measured.footprint.shape == "square" else 0.0
    counts = measured.counts[:, measured.genes.indices(genes.symbols)]
    folds = np.full(len(measured), -1, dtype=np.int64) if fold is None else np.asarray(fold, dtype=np.int64)
    return ScoredUnits(counts, measured.library, measured.xy_um, means, nuclear, folds, pitch)


def _needs(settings: FitSettings) -> Needs:
    return get_model(settings.model, settings.model_settings).needs


def _metrics(
    prepared: Prepared, settings: FitSettings, scores: Sequence[SectionScores], seconds: Mapping[str, float]
) -> dict[str, Any]:
    return _metrics_of(settings.model_dump(), [s.name for s in prepared.stores], scores, seconds)


def _metrics_of(
    settings: Mapping[str, Any], train: Sequence[str], scores: Sequence[SectionScores], seconds: Mapping[str, float]
) -> dict[str, Any]:
    model_settings = settings["model_settings"]
    return {
        "schema": SCHEMA,
        "model": settings["model"],
        "recipe": model_settings.get("recipe", "default"),
        "model_settings": dict(model_settings),
        "encoder": settings["features"]["encoder"],
        "seed": settings["seed"],
        "train": list(train),
        "versions": provenance.versions("torch", "scipy"),
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        "sections": {s.name: s.as_dict() for s in scores},
    }
