"""Train a run, and store it. What it learns from is in `fitting`, its maps are in `predicting`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from napari_pixelgene.errors import StoreError
from napari_pixelgene.models.base import Fitted
from napari_pixelgene.pipeline.beforehand import measured_files, superpixel_um
from napari_pixelgene.pipeline.fitting import (
    TRAINING,
    check_needs,
    choose_device,
    prepare_fit,
)
from napari_pixelgene.pipeline.model_sections import features_input
from napari_pixelgene.pipeline.predicting import PREDICTION, fitted_settings, load_fitted, predict
from napari_pixelgene.pipeline.prepared import FitSettings, Prepared
from napari_pixelgene.pipeline.preparing import REGION, counts_inputs, region_hash
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.store import provenance
from napari_pixelgene.store.ledger import require_name
from napari_pixelgene.store.models import Checkpoint, begin_run, run_meta, save_run
from napari_pixelgene.store.section import SectionStore

__all__ = [
    "PREDICTION", "TRAINING", "FitSettings", "Prepared", "check_needs", "choose_device", "fit", "fitted_settings",
    "load_fitted", "predict", "prepare_fit",
]  # fmt: skip


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
    remarks = trained.fitted.remarks([m.name for m in ready.measured])
    meta = _meta(ready, settings, trained.history, seconds) | {"remarks": list(remarks)}
    save_run(home, run, trained.fitted.arrays(), meta)
    for text in remarks:
        on_event(Note(text, stage=TRAINING))
    inputs = {f"features/{settings.features.encoder}": features_input(home, settings, ready.model)}
    inputs |= counts_inputs(home, ready.chosen[0].captures) | {REGION: region_hash(home)}
    provenance.record(
        home, f"{TRAINING}/{run}", ready.fingerprint, settings, inputs, seconds, provenance.versions("torch")
    )
    return trained.fitted


def _meta(
    ready: Prepared, settings: FitSettings, history: Sequence[Mapping[str, float]], seconds: float
) -> dict[str, Any]:
    return {
        "model": settings.model,
        "model_settings": ready.model.settings.model_dump(exclude_unset=True),
        "features": settings.features.model_dump(),
        "channels": list(ready.data.channels),
        "genes": list(ready.genes.symbols),
        "gene_ids": list(ready.genes.ids),
        "train": [s.name for s in ready.stores],
        "train_files": measured_files(ready.chosen),
        "captures": [m.name for m in ready.measured],
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
