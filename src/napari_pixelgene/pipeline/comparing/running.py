"""All cells of a comparison, one after the other, each in a process of its own; what is finished stays finished.

A cell leaves a JSON file, and arrays beside it, in `FOLDER/cells`; both are named by what it compares and hold a hash
of all that it depends on, so that a comparison that was stopped, or whose file gained a model, does only what is new. A
cell that fails leaves its error there, and the others go on; it is tried again the next time.
"""

from __future__ import annotations

import json
import multiprocessing
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.pipeline.comparing.tasks import Cell, cells_of
from napari_pixelgene.pipeline.learning import choose_device
from napari_pixelgene.pipeline.preparing import counts_inputs, ensure_features, region_hash
from napari_pixelgene.progress import Note, OnEvent, Progress, silent
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.store import provenance
from napari_pixelgene.store.features import features_fingerprint
from napari_pixelgene.store.section import SectionStore

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from napari_pixelgene.pipeline.comparing.settings import CompareSettings

STAGE = "compare"
_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a cell: its values, or why it failed; `arrays` is where its predictions lie."""

    cell: Cell
    values: dict[str, Any]
    arrays: Path

    @property
    def error(self) -> str:
        """Why it failed; empty where it did not."""
        return str(self.values.get("error", ""))


def run_comparison(settings: CompareSettings, folder: Path, on_event: OnEvent = silent) -> list[Outcome]:
    """Do what is not done yet and return all outcomes, in the order of the file."""
    cells = cells_of(settings)
    place = folder / "cells"
    place.mkdir(parents=True, exist_ok=True)
    missing = _make_features(settings, cells, on_event)
    outcomes = []
    for done, cell in enumerate(cells):
        on_event(Progress(STAGE, done, len(cells), message=cell.key))
        outcomes.append(_outcome(settings, cell, place, missing.get(cell.encoder, ""), on_event))
    on_event(Progress(STAGE, len(cells), len(cells)))
    return outcomes


def _make_features(settings: CompareSettings, cells: Sequence[Cell], on_event: OnEvent) -> dict[str, str]:
    """Features once for all models; returns why an encoder has none."""
    missing: dict[str, str] = {}
    device = choose_device(settings.device)
    for encoder in dict.fromkeys(cell.encoder for cell in cells):
        try:
            for path in settings.sections:
                ensure_features(SectionStore.open(path), FeatureSettings(encoder=encoder), on_event, device)
        except PixelGeneError as error:
            missing[encoder] = str(error)
            on_event(Note(f"{encoder}: {error}", "warning", STAGE))
    return missing


def _outcome(settings: CompareSettings, cell: Cell, place: Path, missing: str, on_event: OnEvent) -> Outcome:
    report, arrays = place / f"{cell.key}.json", place / f"{cell.key}.npz"
    if missing:
        return Outcome(cell, {"error": missing}, arrays)
    key = _fingerprint(settings, cell)
    kept = _kept(report)
    if kept.get("fingerprint") == key and not kept.get("error"):
        return Outcome(cell, kept, arrays)
    values = {**_in_a_process(settings, cell, arrays, on_event), "fingerprint": key}
    _write(report, values)
    if "error" in values:
        on_event(Note(f"{cell.key} failed: {values['error']}", "warning", STAGE))
    return Outcome(cell, values, arrays)


def _kept(report: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _write(report: Path, values: dict[str, Any]) -> None:
    part = report.with_suffix(".part")
    part.write_text(json.dumps(values, indent=1), encoding="utf-8")
    part.replace(report)


def _fingerprint(settings: CompareSettings, cell: Cell) -> str:
    """Of everything the cell depends on but the device."""
    chosen = settings.fit_settings(cell.choice, cell.encoder).model_dump(exclude={"device"})
    chosen |= {"split": settings.split.model_dump(), "evaluation": settings.evaluation().model_dump()}
    inputs = {"captures": ",".join(cell.task.captures), "share": f"{cell.task.share:g}"}
    for i, path in enumerate((*cell.task.train, *cell.task.test)):
        store = SectionStore.open(path)
        inputs[f"counts/{i}"] = provenance.fingerprint({}, counts_inputs(store))
        inputs[f"region/{i}"] = region_hash(store)
        inputs[f"features/{i}"] = features_fingerprint(store, cell.encoder)
    return provenance.fingerprint(chosen, inputs)


def _in_a_process(settings: CompareSettings, cell: Cell, arrays: Path, on_event: OnEvent) -> dict[str, Any]:
    """The cell's values, or its error; progress is passed on. Stopped from outside, it stops with us."""
    context = multiprocessing.get_context("spawn")
    told: Queue[Any] = context.Queue()
    child = context.Process(target=_child, args=(settings, cell, arrays, told), daemon=True)
    child.start()
    try:
        while True:
            alive = child.is_alive()
            while not told.empty():
                what, value = told.get()
                if what == "event":
                    on_event(value)
                else:
                    return dict(value)
            if not alive:
                return {"error": f"its process ended with code {child.exitcode}: most often memory ran out."}
            time.sleep(_WAIT_S)
    finally:
        child.terminate()
        child.join()


def _child(settings: CompareSettings, cell: Cell, arrays: Path, told: Queue[Any]) -> None:
    """Runs in the process: one cell, its arrays to a file, its values back."""
    from napari_pixelgene.pipeline.comparing.cell import run_cell

    try:
        found = run_cell(settings, cell, lambda event: told.put(("event", event)))
        part = arrays.with_suffix(".part.npz")
        np.savez_compressed(part, allow_pickle=False, **found.arrays)
        part.replace(arrays)
        values = {**found.values, "peak_mb": round(_peak_bytes() / 1e6)}
    except PixelGeneError as error:
        values = {"error": str(error)}
    except Exception as error:  # noqa: BLE001  a defect of one model must not lose the others; it is shown in full
        values = {"error": f"{type(error).__name__}: {error}", "details": traceback.format_exc()}
    told.put(("result", values))
    told.close()
    told.join_thread()


def _peak_bytes() -> int:
    """The most memory this process has held."""
    with suppress(OSError, StopIteration):  # Linux hands ru_maxrss down: a child would begin with what its parent held
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
