"""The demo: the whole flow on a simulated slide whose truth is known, from top to bottom.

Stages that a former call finished are not repeated; `diary.json` keeps how long they took then.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.held_out import shown_and_hidden
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.judging import judge_run, write_metrics
from napari_pixelgene.pipeline.learning import FitSettings, fit, predict
from napari_pixelgene.pipeline.preparing import ensure_bins, ensure_features, ensure_tissue
from napari_pixelgene.pipeline.reporting import Told, report_content
from napari_pixelgene.pipeline.slide import require_capture
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.pipeline.window import STAGE as WINDOW
from napari_pixelgene.pipeline.window import leave_open, person_is_there, save_screenshot
from napari_pixelgene.progress import Event, Note, OnEvent, silent
from napari_pixelgene.report.page import build_report
from napari_pixelgene.simulate.known import read_truth
from napari_pixelgene.simulate.run import simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.stages.evaluation import EvaluationSettings
from napari_pixelgene.stages.folds import FoldSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_pixelgene.pipeline.kept_scores import Evaluation
    from napari_pixelgene.report.content import ReportContent
    from napari_pixelgene.settings import Section
    from napari_pixelgene.simulate.known import KnownTruth

SECTION, RUN = "demo.section.zarr", "demo"
# What fits into five minutes on two cores, set-up aside. A run of one's own learns longer, with more members.
QUICK = {"epochs": 6, "batch_units": 64, "learning_rate": 0.003, "hidden": 128}


_FINISHED = ("nothing to do.", "nothing to train.", "nothing to predict.")


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What is simulated, and how it is learned and scored."""

    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(genes="all", folds=FoldSettings(partitions=1), model_settings=QUICK)
    )
    evaluation: EvaluationSettings = field(default_factory=lambda: EvaluationSettings(permutations=20, halves=10))


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Where things are, and what they say: mean held-out scores of the `shown` genes and of the `hidden` ones."""

    report: Path
    metrics: Path
    section: Path
    screenshot: Path | None
    shown: dict[str, float]
    hidden: dict[str, float]
    seconds: float

    def scores_in_words(self) -> tuple[str, ...]:
        """What was reached of what could be."""
        shown, hidden = self.shown, self.hidden
        lines = [
            f"Of {shown['genes']:.0f} genes that the histology shows, the mean held-out r is "
            f"{shown['pearson_mean']:.2f}; the simulator's own rates reach {shown['true_rates_pearson_mean']:.2f} on "
            "the same counts."
        ]
        if hidden:
            lines.append(
                f"Of {hidden['genes']:.0f} genes that it does not show, the mean is {hidden['pearson_mean']:+.2f}: it "
                "must be near 0, or the score would not be honest.".replace("-0.00", "0.00").replace("+0.00", "0.00")
            )
        return tuple(lines)

    def __str__(self) -> str:
        picture = [f"Window:  {self.screenshot}"] if self.screenshot else []
        places = [f"Report:  {self.report}", f"Numbers: {self.metrics}", *picture, f"Section: {self.section}"]
        return "\n".join([*self.scores_in_words(), *places, f"{self.seconds:.0f} s of work."])


def run_demo(
    folder: Path = Path("demo"),
    on_event: OnEvent = silent,
    width_um: float = 3000,
    height_um: float = 3000,
    genes: int = 120,
    seed: int = 0,
    window: bool = True,
) -> DemoResult:
    """Simulate a slide into `folder` and do everything with it, up to `report.html`, `metrics.json` and, where there
    is a screen, `screenshot.png`. With `window` the section is left open in napari for a person at a terminal."""
    hidden = min(SimulationSettings().hidden_genes, genes // 4)
    settings = DemoSettings(
        SimulationSettings.make(
            {"width_um": width_um, "height_um": height_um, "genes": genes, "hidden_genes": hidden, "seed": seed}
        )
    )
    settings = replace(settings, fit=settings.fit.replace(seed=seed))
    return run_demo_with(folder, settings, on_event, window)


def run_demo_with(folder: Path, settings: DemoSettings, on_event: OnEvent = silent, window: bool = True) -> DemoResult:
    """The demo with settings of one's own."""
    folder = Path(folder).absolute()
    diary = _Diary.begin(folder, settings, on_event)
    on_event = diary.hear
    with diary.stage("simulate"):
        _simulate(folder, settings, on_event)
    with diary.stage("import"):
        store = import_section(
            folder / SECTION,
            folder / "simulation" / "he.ome.tif",
            XeniumSource(bundle=_bundle(folder)),
            on_event=on_event,
        )
    with diary.stage("register"):
        registration = register_keypoints(store, folder / "simulation" / "keypoints.csv", on_event=on_event)
    with diary.stage("tissue"):
        ensure_tissue(store, on_event=on_event)
    with diary.stage("count transcripts"):
        ensure_bins(store, require_capture(store), on_event)
    with diary.stage("features"):
        ensure_features(store, settings.fit.features, on_event)
    with diary.stage("train"):
        fit([store], RUN, settings.fit, on_event)
    with diary.stage("predict"):
        predict(store, RUN, on_event=on_event)
    with diary.stage("evaluate"):
        evaluation = judge_run(RUN, [store], (), settings.fit, settings.evaluation, on_event)
    with diary.stage("maps and pictures"):
        told = Told("PixelGene demo", _done(settings), (), {}, _chosen(settings), registration, _truth(folder))
        content = report_content(store, settings.fit, evaluation, told, on_event)
    with diary.stage("screenshot"):
        screenshot = save_screenshot(store.path, folder / "screenshot.png", _best(content), on_event)
    content = replace(content, seconds=diary.seconds, notes=diary.notes)
    result = _write(folder, evaluation, content, screenshot)
    if window and person_is_there():
        leave_open(store.path, _best(content), on_event)
    return result


@dataclass(slots=True)
class _Diary:
    """Seconds of every stage in flow order, and what was said on the way, kept in `diary.json`.

    A stage that a former call finished keeps its time and its notes.
    """

    path: Path
    settings: dict[str, Any]
    seconds: dict[str, float]
    notes: list[str]
    on_event: OnEvent

    @classmethod
    def begin(cls, folder: Path, settings: DemoSettings, on_event: OnEvent) -> _Diary:
        """Go on in a folder that holds the same demo; what another one left there is made anew."""
        path, asked = folder / "diary.json", _plain(settings)
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if kept.get("settings") == asked:
            return cls(path, asked, kept["seconds"], kept["notes"], on_event)
        for old in (folder / "simulation", folder / SECTION) if kept else ():
            shutil.rmtree(old, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        return cls(path, asked, {}, [], on_event)

    def hear(self, event: Event) -> None:
        """Pass an event on, and keep the sentences that a report repeats."""
        if isinstance(event, Note) and event.stage != WINDOW and not event.text.endswith(_FINISHED):
            self.notes += [] if event.text in self.notes else [event.text]
        self.on_event(event)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is inside."""
        start = time.monotonic()
        yield
        now = round(time.monotonic() - start, 2)
        self.seconds[name] = max(now, self.seconds.get(name, 0.0))
        kept = {"settings": self.settings, "seconds": self.seconds, "notes": self.notes}
        self.path.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def _simulate(folder: Path, settings: DemoSettings, on_event: OnEvent) -> None:
    """Write the slide once; the mark comes last, so that a killed simulation is made again."""
    mark = folder / "simulation" / "finished"
    if not mark.exists():
        simulate_run(folder / "simulation", settings.simulation, on_event)
        mark.touch()


def _bundle(folder: Path) -> Path:
    return folder / "simulation" / "outs"


def _truth(folder: Path) -> KnownTruth:
    return read_truth(folder / "simulation" / "truth")


def _chosen(settings: DemoSettings) -> dict[str, Section]:
    return {"Simulation": settings.simulation, "Training": settings.fit, "Evaluation": settings.evaluation}


def _plain(settings: DemoSettings) -> dict[str, Any]:
    """The settings as JSON holds them."""
    plain: dict[str, Any] = json.loads(json.dumps({k: v.model_dump() for k, v in _chosen(settings).items()}))
    return plain


def _done(settings: DemoSettings) -> tuple[str, ...]:
    """The flow in sentences."""
    made, learned = settings.simulation, settings.fit
    members = learned.folds.folds * learned.folds.partitions
    return (
        f"A tissue of {made.width_um / 1000:g} × {made.height_um / 1000:g} mm with {made.genes} genes was simulated "
        "and written as a real Xenium run and an H&E slide. Its truth was put aside until the end.",
        f"The run was laid on the slide from points clicked with an error of {made.click_sd_um:g} µm in each image.",
        "Transcripts were counted in squares of 8 µm of the slide, and every square was described by the texture and "
        "stain of its surroundings.",
        f"A {learned.model} ensemble of {members} members learned to tell the counts from the histology. "
        f"This is a quick training ({_in_words(learned.model_settings)}); a run of one's own learns longer.",
        f"It was judged by cross-validation: the tissue was dealt into {learned.folds.folds} parts made of blocks of "
        f"{learned.folds.block_um:g} µm, and each part was predicted by a member that had not learned from it.",
    )


def _in_words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items()) or "default settings"


def _best(content: ReportContent) -> str | None:
    """The gene that pictures and window show."""
    return content.panels[0].gene if content.panels else None


def _write(folder: Path, evaluation: Evaluation, content: ReportContent, screenshot: Path | None) -> DemoResult:
    """`metrics.json` with the demo's own numbers beside the scores, and the page."""
    scores, truth = evaluation.sections[0], content.truth
    assert truth is not None
    parts = shown_and_hidden(scores, truth)
    metrics = {**evaluation.metrics, "seconds": dict(content.seconds)}
    metrics["sections"][scores.name]["simulated"] = parts
    write_metrics(replace(evaluation, metrics=metrics), folder / "metrics.json")
    result = DemoResult(
        folder / "report.html",
        folder / "metrics.json",
        folder / SECTION,
        screenshot,
        parts["shown"],
        parts.get("hidden", {}),
        sum(content.seconds.values()),
    )
    page = build_report(replace(content, summary=result.scores_in_words()))
    result.report.write_text(page, encoding="utf-8")
    return result
