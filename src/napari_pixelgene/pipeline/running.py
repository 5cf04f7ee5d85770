"""The whole flow as a file says: import, register, tissue, features, fit, predict, evaluate, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_pixelgene.errors import SettingsError, TooFewUnits
from napari_pixelgene.pipeline.adding import CaptureSettings, add_captures, require_no_others
from napari_pixelgene.pipeline.aligning import register_keypoints, register_matrix
from napari_pixelgene.pipeline.choosing import Chosen, choose_captures
from napari_pixelgene.pipeline.config import ImportStep, RegisterStep, RunConfig, TissueStep, to_toml
from napari_pixelgene.pipeline.drafting import default_settings
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.judging import evaluate, judge_run, write_metrics
from napari_pixelgene.pipeline.kept_scores import kept_scores
from napari_pixelgene.pipeline.learning import FitSettings, choose_device, fit, predict
from napari_pixelgene.pipeline.preparing import ensure_features, ensure_tissue
from napari_pixelgene.pipeline.queueing import Outcome, queued_imports, require_all_done, run_queue
from napari_pixelgene.pipeline.slide import require_capture
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.stages.evaluation import EvaluationSettings
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.stages.folds import require_folds
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.stages.tissue import TissueSettings
from napari_pixelgene.store.section import SectionStore


def run_config(config: RunConfig, on_event: OnEvent = silent, overwrite: bool = False) -> dict[str, Any]:
    """Do what is not done yet; returns where things are, and the scores when there were any."""
    judged = config.evaluate
    if judged is not None and judged.fit is not None and not judged.test and not judged.test_captures:
        require_folds(judged.fit.folds.folds)  # scores come last, and hours later
    waiting = [step.section for step in queued_imports(config)]
    touched = [_import(step, on_event, overwrite) for step in config.imports if step.section not in waiting]
    for registration in config.register:
        _register(registration, on_event)
    for tissue in config.tissue:
        if tissue.section not in waiting:
            _tissue(tissue, on_event)
    if config.features is not None:
        device = choose_device(config.features.device)
        for store in {each.path: each for each in touched}.values():
            ensure_features(store, config.features.part(FeatureSettings), on_event, device)
    out: dict[str, Any] = {"sections": list(dict.fromkeys(str(store.path) for store in touched))}
    out |= _fit(config, on_event, overwrite)
    outcomes = run_queue(config, on_event, overwrite) if config.predict and config.predict.table else []
    out |= _queued(outcomes, config) if outcomes else _predict(config, on_event)
    out |= _evaluate(config, on_event, overwrite)
    for path in config.fit.train[:1] if config.fit else ():
        SectionStore.open(path).update_meta("run_config", to_toml(config.tables()))
    if config.predict and config.predict.table:
        require_all_done(outcomes, config.predict.table)
    return out


def _import(step: ImportStep, on_event: OnEvent, overwrite: bool) -> SectionStore:
    if step.add:
        return _add(step, on_event)
    return import_section(step.section, step.he, step.source, step.part(ImportSettings), on_event, overwrite)


def _add(step: ImportStep, on_event: OnEvent) -> SectionStore:
    store = SectionStore.open(step.section)
    if step.source is None:
        raise SettingsError(f"[[import]] adds an H&E alone to {store.path.name}.", "Name the run that is added.")
    require_no_others(step.work_mpp, False, store)
    add_captures(store, step.source, step.he, CaptureSettings(mpp=step.mpp, name=step.name), on_event)
    return store


def _register(step: RegisterStep, on_event: OnEvent) -> None:
    assert step.section is not None
    store = SectionStore.open(step.section)
    if (step.keypoints is None) == (step.matrix is None):
        raise SettingsError(f"[[register]] of {step.section.name} needs keypoints or a matrix.", "Give one of them.")
    if step.matrix is not None:
        register_matrix(store, step.matrix, step.capture, step.direction, on_event)
    elif step.keypoints is not None:
        settings = step.part(RegistrationSettings)
        if "kind" not in step.model_fields_set:
            settings = settings.replace(kind=default_settings(require_capture(store, step.capture)).kind)
        register_keypoints(store, step.keypoints, settings, step.capture, on_event)


def _tissue(step: TissueStep, on_event: OnEvent) -> None:
    assert step.section is not None
    ensure_tissue(SectionStore.open(step.section), step.part(TissueSettings), step.mask, on_event)


def _fit(config: RunConfig, on_event: OnEvent, overwrite: bool) -> dict[str, Any]:
    if (step := config.fit) is None:
        return {}
    stores = [SectionStore.open(path) for path in step.train]
    fitted = fit(stores, step.run, step.part(FitSettings), on_event, overwrite)
    return {"run": step.run, "genes": len(fitted.genes)}


def _predict(config: RunConfig, on_event: OnEvent) -> dict[str, Any]:
    if (step := config.predict) is None:
        return {}
    source = SectionStore.open(step.source, writable=False) if step.source else None
    for path in step.sections:
        predict(SectionStore.open(path), step.run, source, step.genes, on_event, step.device, step.cell_less)
    return {"predicted": [str(path) for path in step.sections]}


def _queued(outcomes: Sequence[Outcome], config: RunConfig) -> dict[str, Any]:
    assert config.predict is not None
    return {"predicted": [str(o.section) for o in outcomes], "table": str(config.predict.table)}


def _evaluate(config: RunConfig, on_event: OnEvent, overwrite: bool) -> dict[str, Any]:
    if (step := config.evaluate) is None:
        return {}
    train, test = ([SectionStore.open(path) for path in paths] for paths in (step.train, step.test))
    assert step.fit is not None
    settings, run = step.part(EvaluationSettings), _judged(config)
    if run is None:
        found = evaluate(train, test, step.fit, settings, None, on_event, overwrite, step.test_captures)
    elif step.json_file is None and not overwrite and (kept := kept_scores(train[0], run, settings, _all_of(test))):
        on_event(Note(f"The scores of '{run}' are finished. {kept.headline['verdict']}", stage="evaluation"))
        return {"metrics": kept.metrics}
    else:
        try:
            found = judge_run(run, train, test, step.fit, settings, on_event)
        except TooFewUnits as error:  # the run and its maps are finished all the same
            words = f"'{run}' is not scored: too little was measured to hold some of it out. {error}"
            on_event(Note(words, "warning", "evaluation"))
            return {"not_scored": str(error)}
    if step.json_file is not None:
        write_metrics(found, step.json_file)
    on_event(Note(found.verdict, stage="evaluation"))
    return {"metrics": found.metrics}


def _all_of(test: Sequence[SectionStore]) -> tuple[Chosen, ...]:
    return choose_captures(test) if test else ()


def _judged(config: RunConfig) -> str | None:
    """The run of [fit], where [evaluate] asks for just what it learned from the same sections."""
    fitted, judged = config.fit, config.evaluate
    if fitted is None or judged is None or fitted.part(FitSettings) != judged.fit or fitted.train != judged.train:
        return None
    if judged.test_captures or set(judged.test) & set(judged.train):  # then it may not learn from all that [fit] does
        return None
    return fitted.run
