"""Honest scores: a fresh run on the training sections, scored on sections or blocks it has not seen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from napari_pixelgene.elements.scores import SectionScores
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.pipeline.beforehand import require_same_squares, superpixel_um
from napari_pixelgene.pipeline.fitting import learned_context
from napari_pixelgene.pipeline.kept_scores import Evaluation, keep_scores
from napari_pixelgene.pipeline.learning import FitSettings, Prepared, choose_device, fit, load_fitted, prepare_fit
from napari_pixelgene.pipeline.measured import Measured
from napari_pixelgene.pipeline.points import asked_at, is_at_points
from napari_pixelgene.pipeline.preparing import ensure_features
from napari_pixelgene.pipeline.scored import STAGE, held_out, kept_apart, training_units, unlearned_units, unseen
from napari_pixelgene.pipeline.training_data import gather_features, measured_units, training_section
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
    from napari_pixelgene.models.base import Context, Fitted, TrainingSection
    from napari_pixelgene.pipeline.choosing import Chosen

SCHEMA = 1
# The one feature of the nuclear control, whatever encoder the model has (house.md).
NUCLEAR_ENCODER, NUCLEAR_CHANNEL = "stain_texture", "nuclear_fraction_17"


def evaluate(
    train: Sequence[SectionStore],
    test: Sequence[SectionStore] = (),
    settings: FitSettings | None = None,
    evaluation: EvaluationSettings | None = None,
    run: str | None = None,
    on_event: OnEvent = silent,
    overwrite: bool = False,
    test_captures: Sequence[str] = (),
) -> Evaluation:
    """Fit on `train` and score each capture of `test` once; without `test`, cross-validate over blocks of `train`.

    `test_captures` names captures to score, of `test` or, without it, of the training sections: then no unit is
    learned from that sees their area, whatever capture it belongs to. The scores are kept beside the run, which is
    named by a hash of settings and training sections, so that no named run is overwritten.
    """
    settings = settings or FitSettings()
    evaluation = evaluation or EvaluationSettings(seed=settings.seed)
    seconds: dict[str, float] = {}
    start = time.monotonic()
    if run is not None:
        require_name(run)
    test_on = held_out(train, test, settings, test_captures, on_event)
    apart = kept_apart(train, test_on, on_event)
    prepared = prepare_fit(train, settings, "fit" if test_on else "cross", on_event, apart)
    seconds["prepare"] = time.monotonic() - start
    run = run or provenance.run_name("evaluate", prepared.fingerprint)
    start = time.monotonic()
    fitted = fit(train, run, settings, on_event, overwrite, prepared)
    seconds["fit"] = time.monotonic() - start
    start = time.monotonic()
    scores = _scores(fitted, prepared, settings, evaluation, test_on, on_event)
    if evaluation.permuted_training:
        scores = _with_permuted_training(scores, prepared, settings, evaluation, test_on, on_event)
    seconds["score"] = time.monotonic() - start
    found = Evaluation(_metrics(prepared, settings, scores, seconds), tuple(scores), run)
    keep_scores(train[0], run, found, evaluation, test_on)
    return found


def _scores(
    fitted: Fitted,
    prepared: Prepared,
    settings: FitSettings,
    evaluation: EvaluationSettings,
    test: Sequence[Chosen],
    on_event: OnEvent,
) -> list[SectionScores]:
    """Of the captures that are tested on; without any, of the training captures' blocks."""
    if not test:
        return _score_folds(fitted, prepared, evaluation, on_event)
    training = [scored_units(m, prepared.genes, on_event) for m in prepared.measured]
    out = []
    for measured in _each(test, prepared.apart, on_event):
        context = learned_context(prepared, measured.store)
        out.append(score_answer(ask(measured, fitted, settings, on_event, context), training, evaluation))
    return out


def _with_permuted_training(
    scores: Sequence[SectionScores],
    prepared: Prepared,
    settings: FitSettings,
    evaluation: EvaluationSettings,
    test: Sequence[Chosen],
    on_event: OnEvent,
) -> list[SectionScores]:
    """What the same training reaches when counts and places do not belong together: nothing is kept of it."""
    from napari_pixelgene.stages.training import train

    rng = np.random.default_rng([evaluation.seed, 4])
    data = replace(prepared.data, sections=tuple(_shuffled(s, rng) for s in prepared.data.sections))
    on_event(Note("Trained once more, on counts shuffled among the units.", stage=STAGE))
    fitted = train(get_model(settings.model, settings.model_settings), data, on_event).fitted
    quick = evaluation.replace(permutations=1, halves=1)
    shuffled = replace(prepared, data=data)  # what is leaned on is shuffled too
    others = _scores(fitted, shuffled, settings, quick, test, on_event)
    means = [o.log.as_dict()["pearson_mean"] for o in others]
    return [replace(s, permuted_training=mean) for s, mean in zip(scores, means, strict=True)]


def _shuffled(section: TrainingSection, rng: np.random.Generator) -> TrainingSection:
    """The units' counts and totals, dealt to other places of the section."""
    order = rng.permutation(len(section))
    everything = section.everything and replace(section.everything, counts=section.everything.counts[order])
    return replace(section, counts=section.counts[order], library=section.library[order], everything=everything)


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
    test_captures: Sequence[str] = (),
) -> Evaluation:
    """Score a stored run on captures it was not trained on; those it was trained on are refused.

    The scores are kept beside the run where `source` may be written.
    """
    evaluation = evaluation or EvaluationSettings()
    if evaluation.permuted_training:
        raise SettingsError("A stored run is not trained again.", "Leave out --permuted-training, or give --train.")
    fitted, meta = load_fitted(source, run)
    chosen = unseen(test, run, meta, test_captures, on_event)
    for store in test:
        require_same_squares(store, meta.get("superpixel_um", superpixel_um(source)))
    settings = FitSettings.make(meta["settings"]).replace(device=device)
    start = time.monotonic()
    training = _training_units(source, meta, fitted.genes, on_event)
    scores = []
    for measured in _each(chosen, (), on_event):
        fresh = unlearned_units(measured, run, meta, on_event)
        scores.append(score_answer(ask(fresh, fitted, settings, on_event), training, evaluation))
    metrics = _metrics_of(meta["settings"], meta["train"], scores, {"score": time.monotonic() - start})
    found = Evaluation(metrics, tuple(scores), run)
    if source.writable:
        keep_scores(source, run, found, evaluation, chosen)
    return found


def _training_units(
    source: SectionStore, meta: Mapping[str, Any], genes: GeneTable, on_event: OnEvent
) -> list[ScoredUnits] | None:
    """What the controls of a stored run are fitted on: the training captures, where `source` has them all."""
    if (measured := training_units(source, meta, on_event)) is not None:
        return [scored_units(m, genes, on_event) for m in measured]
    text = "The controls total, nuclear and position are left out: they need all training sections at hand."
    on_event(Note(text, stage=STAGE))
    return None


def write_metrics(evaluation: Evaluation, path: Path) -> None:
    """`metrics.json` at `path`, and the per-gene values of every section beside it as parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(evaluation.metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    for scores in evaluation.sections:
        name = scores.name.replace("/", ".")
        pq.write_table(pa.table(scores.per_gene()), path.with_name(f"{path.stem}.{name}.genes.parquet"))


def _each(test: Sequence[Chosen], known: Sequence[Measured], on_event: OnEvent) -> Iterator[Measured]:
    """The captures that are scored, one after the other; `known` are at hand already."""
    at_hand = {(m.store.path, m.capture): m for m in known}
    total, done = sum(len(c.captures) for c in test), 0
    for each in test:
        for name in each.captures:
            on_event(Progress(STAGE, done, total, message=each.store.name))
            yield at_hand.get((each.store.path, name)) or measured_units(each.store, name, on_event)
            done += 1
    on_event(Progress(STAGE, total, total))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said of a capture's units: the genes that were measured there, and those that were not."""

    measured: Measured
    genes: GeneTable
    units: ScoredUnits
    predicted: Predicted
    kept: tuple[int, ...]
    dropped: tuple[str, ...]


def ask(
    measured: Measured,
    fitted: Fitted,
    settings: FitSettings,
    on_event: OnEvent = silent,
    context: Context | None = None,
) -> Answer:
    """Ask a model at the units of a capture it has not seen; `context` are units that it may lean on."""
    device, store = choose_device(settings.device), measured.store
    kept = [i for i, symbol in enumerate(fitted.genes.symbols) if symbol in measured.genes]
    dropped = [symbol for symbol in fitted.genes.symbols if symbol not in measured.genes]
    if dropped:
        on_event(Note(f"{len(dropped)} genes were not measured by {measured.name} and are not scored.", stage=STAGE))
    genes = fitted.genes.take(kept)
    model = get_model(settings.model, settings.model_settings)
    needs = model.needs
    if needs.context_counts and context is None:
        text = f"What {measured.name} measured is scored, so nothing there is leaned on: {model.without_context}."
        on_event(Note(text, stage=STAGE))
    if is_at_points(model):
        measured, section = asked_at(measured, model, settings.features, on_event, device)
    else:
        features = ensure_features(store, settings.features, on_event, device)
        section = training_section(measured, features, genes, needs, read_tissue(store).mask)
    log, counts = predict_units(fitted, section, np.array(kept), device=device, needs=needs, context=context)
    units = scored_units(measured, genes, on_event)
    return Answer(measured, genes, units, Predicted(log, counts), tuple(kept), tuple(dropped))


def score_answer(
    answer: Answer, training: Sequence[ScoredUnits] | None, evaluation: EvaluationSettings
) -> SectionScores:
    """The scores of an answer; controls are fitted on `training`, which have every gene of the model."""
    if training is not None:
        training = [replace(t, counts=t.counts[:, list(answer.kept)]) for t in training]
    name, genes = answer.measured.name, answer.genes.symbols
    return score_section(name, genes, answer.units, answer.predicted, training, evaluation, answer.dropped)


def _score_folds(
    fitted: Fitted, prepared: Prepared, evaluation: EvaluationSettings, on_event: OnEvent
) -> list[SectionScores]:
    """Every unit by the members that held it out; controls by the folds of the first partition."""
    scores = []
    for answer in ask_folds(fitted, prepared, on_event):
        scores.append(score_answer(answer, None, evaluation))
        on_event(Progress(STAGE, len(scores), len(prepared.measured), message=answer.measured.name))
    return scores


def ask_folds(fitted: Fitted, prepared: Prepared, on_event: OnEvent = silent) -> Iterator[Answer]:
    """A cross-validation's answers, capture by capture: every unit by the members that held it out."""
    genes, needs = np.arange(len(prepared.genes)), prepared.model.needs
    first = 0
    folds = len(prepared.plan.score) // max(_partitions(prepared), 1)
    for section, measured in zip(prepared.data.sections, prepared.measured, strict=True):
        mine = slice(first, first + len(section))
        first += len(section)
        held_out = prepared.plan.score[:, mine]
        context = learned_context(prepared, measured.store)
        log, counts = predict_units(fitted, section, genes, held_out, prepared.data.device, needs, context)
        units = scored_units(measured, prepared.genes, on_event, held_out[:folds].argmax(0))
        yield Answer(measured, prepared.genes, units, Predicted(log, counts), tuple(genes.tolist()), ())


def _partitions(prepared: Prepared) -> int:
    """How often every unit is scored."""
    return int(prepared.plan.score[:, 0].sum())


def scored_units(measured: Measured, genes: GeneTable, on_event: OnEvent, fold: Any = None) -> ScoredUnits:
    """A capture's units with the features that controls are fitted on."""
    features = ensure_features(measured.store, FeatureSettings(encoder=NUCLEAR_ENCODER), on_event)
    touched = np.unique(measured.pooling.indices)
    vectors = gather_features(features, touched)
    means = np.asarray(measured.pooling[:, touched] @ vectors, dtype=np.float64)
    nuclear = means[:, features.channels.index(NUCLEAR_CHANNEL)]
    pitch = measured.superpixel_um if measured.footprint.shape == "square" else 0.0
    counts = measured.counts[:, measured.genes.indices(genes.symbols)]
    folds = np.full(len(measured), -1, dtype=np.int64) if fold is None else np.asarray(fold, dtype=np.int64)
    return ScoredUnits(counts, measured.library, measured.xy_um, means, nuclear, folds, pitch)


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
