"""The Run dock: chosen, started by a click, followed, cancelled, found again, listed; by real events."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QMainWindow, QPushButton

from mouse import click
from napari_pixelgene import jobs
from napari_pixelgene.gui import recent
from napari_pixelgene.gui.docks import show_dock
from napari_pixelgene.gui.genes.browser import browser_of
from napari_pixelgene.gui.run import closing
from napari_pixelgene.gui.run.dock import RunDock
from napari_pixelgene.gui.session import session_of
from napari_pixelgene.jobs import starting
from napari_pixelgene.store.section import SectionStore

# What every program may use: `tell` writes an event as the terminal does.
HEAD = """
import json, sys, time
def tell(**values): print(json.dumps({**values, "time": round(time.time(), 3)}), flush=True)
def step(stage, done, total, **values):
    tell(event="progress", stage=stage, done=done, total=total, message="", values=values)
def note(text, stage="", level="info"): tell(event="note", text=text, stage=stage, level=level)
"""
LEARNING = (
    "step('features', 0, 4)\nstep('features', 4, 4)\nnote('A corner is blurred.', level='warning')\n"
    + "for n in range(1, 6): step('fit', n, 20, **{'held-out r': n / 10, 'chance': 0.01, 'loss': 1.0})\n"
)
WAIT = "time.sleep(60)\n"
DONE = "note('Held-out r is 0.50; chance gives 0.01.', 'evaluation')\ntell(event='result', run='ridge-1')\n"
FAILED = "tell(event='error', problem='The disk is full.', mend='Free 3 GB.', exit_code=2)\nsys.exit(2)\n"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No job and no recent list of the person who tests is touched, and no job of ours stays alive."""
    monkeypatch.setattr("napari_pixelgene.jobs.folder.user_state_path", lambda *a, **k: tmp_path / "state")
    monkeypatch.setattr(recent, "_file", lambda: tmp_path / "state" / "recent.json")
    yield
    for job in jobs.running():
        job.cancel()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch):
    """From now on a job runs this Python text, and not `pixelgene run`."""

    def use(text: str) -> None:
        def command(config: Path, overwrite: bool = False) -> list[str]:
            return [sys.executable, "-S", "-c", HEAD + text, str(config)]

        monkeypatch.setattr(starting, "command_of", command)

    return use


@pytest.fixture
def section(tmp_path: Path, small_section: Path) -> Path:
    """A section of the test's own, registered, with maps of a run 'first'."""
    return Path(shutil.copytree(small_section, tmp_path / "breast.section.zarr"))


@pytest.fixture
def docked(make_napari_viewer, section, qtbot):
    """The Run dock in napari's window, over that section, ready to run."""
    viewer = make_napari_viewer(show=True)
    session_of(viewer).open(section)
    made = show_dock(viewer, "Run")
    ready(qtbot, made)
    yield made
    made.progress.leave()


@pytest.fixture
def dock(section, qtbot):
    """The same alone, without napari's window, which costs seconds."""
    viewer = ViewerModel()
    session_of(viewer).open(section)
    made = RunDock(viewer)
    qtbot.addWidget(made)
    made.resize(380, 900)
    made.show()
    ready(qtbot, made)
    yield made
    made.progress.leave()


def ready(qtbot, dock) -> None:
    qtbot.waitUntil(lambda: dock.state == "full" and bool(dock.found), timeout=20_000)


def pick(combo, name: str) -> None:
    combo.setCurrentIndex(combo.findData(name))


def settled(qtbot, dock) -> None:
    qtbot.wait(80)


def ended(qtbot, dock) -> None:
    qtbot.waitUntil(lambda: dock.progress.running is None, timeout=5000)


def test_a_run_is_chosen_started_and_followed_to_its_verdict(docked, qtbot, program, section) -> None:
    dock = docked
    assert dock.sections.train == dock.sections.predict == (section,)
    assert dock.name.text() == "pixel2gene-1" and dock.run.isEnabled()
    assert dock.options.genes.spec == "panel" and "24" in dock.options.genes.kind.currentText()
    pick(dock.options.model, "ridge")
    dock.options.forms["ridge"].widget("components").value = 5
    settled(qtbot, dock)
    assert dock.name.text() == "ridge-1"
    program(LEARNING + DONE)
    heard: list[str] = []
    dock.session.changed.connect(heard.append)
    click(dock.run)
    (job,) = jobs.all()
    config = tomllib.loads(job.config.read_text(encoding="utf-8"))
    assert config["fit"]["train"] == config["predict"]["sections"] == [str(section)]
    assert config["fit"]["model"] == "ridge" and config["fit"]["model_settings"] == {"components": 5}
    assert config["fit"]["run"] == "ridge-1" and config["fit"]["genes"] == "panel" and "evaluate" in config
    assert job.sections == (section.resolve(),)
    ended(qtbot, dock)
    story = dock.progress.story
    assert [(line.words, line.percent) for line in story.lines] == [
        ("Looking at the histology", 100),
        ("Learning", 100),
    ]
    assert story.curve.reached == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5]) and set(story.curve.chance) == {0.01}
    assert "r 0.50" in dock.progress.numbers.text() and "chance 0.01" in dock.progress.numbers.text()
    assert dock.progress.notes.text() == "⚠ A corner is blurred."
    assert "Held-out r is 0.50" in dock.progress.said.text() and dock.next.isVisible()
    assert set(heard) >= {"runs", "maps"}
    asked: list[str] = []
    dock.session.asked.disconnect()  # the other docks are tested elsewhere
    dock.session.asked.connect(asked.append)
    click(dock.next)
    assert asked == ["Genes"]


def test_cancel_stops_the_child_and_says_what_was_kept(dock, qtbot, program) -> None:
    program(LEARNING + WAIT)
    click(dock.run)
    job = dock.progress.running
    qtbot.waitUntil(lambda: len(dock.progress.story.curve.reached) == 5, timeout=5000)
    settled(qtbot, dock)
    assert not dock.run.isEnabled() and "is still running" in dock.run.toolTip()
    bar = dock.progress.bars[1]
    assert bar.name.text() == "Learning" and bar.bar.value() == 25 and bar.left.text().startswith("25 %")
    click(dock.progress.cancel)
    assert dock.progress.cancel.text() == "Cancelling…" and not dock.progress.cancel.isEnabled()
    qtbot.waitUntil(lambda: job.state() == "cancelled", timeout=2000)
    ended(qtbot, dock)
    assert "Looking at the histology" in dock.progress.said.text()
    assert "Learning 25 %" in dock.progress.said.text() and "Run continues it" in dock.progress.said.text()
    qtbot.waitUntil(dock.run.isEnabled, timeout=3000)
    assert dock.name.text() == "pixel2gene-1"  # the same name continues it


def test_a_running_job_is_found_again_by_another_napari(dock, qtbot, program) -> None:
    program(LEARNING + WAIT)
    click(dock.run)
    qtbot.waitUntil(lambda: len(dock.progress.story.lines) == 2, timeout=5000)
    other = RunDock(ViewerModel())
    qtbot.addWidget(other)
    other.show()
    qtbot.waitUntil(lambda: other.progress.running is not None and len(other.progress.story.lines) == 2, timeout=5000)
    assert other.progress.running.id == dock.progress.running.id
    assert other.progress.title.text() == "pixel2gene-1 on breast"
    click(other.progress.cancel)
    ended(qtbot, dock)
    assert dock.progress.story.state == "cancelled"


def test_a_run_that_fails_says_why_and_what_to_do(dock, qtbot, program) -> None:
    program(LEARNING + FAILED)
    click(dock.run)
    ended(qtbot, dock)
    assert dock.progress.fault.text == "✗ The disk is full. Free 3 GB."
    assert dock.next.isHidden() and "The disk is full." in dock.progress.log.toPlainText()


def test_what_cannot_be_trained_on_says_why(dock, qtbot, tmp_path, section) -> None:
    bare = SectionStore.open(shutil.copytree(section, tmp_path / "bare.section.zarr"))
    bare.remove("captures", bare.captures()[0])
    (tmp_path / "gone.section.zarr").mkdir()
    recent.remember(tmp_path / "gone.section.zarr")
    recent.remember(bare.path)
    dock.refresh()
    qtbot.waitUntil(lambda: len(dock.found) == 3, timeout=3000)
    settled(qtbot, dock)
    train, predict = (dock.sections.box(what, bare.path) for what in ("train", "predict"))
    assert not train.isEnabled() and "Nothing was measured" in train.toolTip() and predict.isEnabled()
    assert not dock.sections.box("predict", tmp_path / "gone.section.zarr").isEnabled()
    click(predict)
    click(dock.sections.box("train", section))
    settled(qtbot, dock)
    assert dock.sections.predict == (section, bare.path) and dock.sections.train == ()
    assert not dock.run.isEnabled() and dock.why.text() == "Choose a section to train on."


def test_the_history_lists_opens_repeats_and_deletes(dock, qtbot, program, section, monkeypatch) -> None:
    store = SectionStore.open(section)
    learned(store)
    pick(dock.options.model, "ridge")
    program(FAILED)
    settled(qtbot, dock)
    click(dock.run)
    ended(qtbot, dock)
    qtbot.waitUntil(lambda: [row.sign for row in dock.runs.rows] == ["✗", "✓"], timeout=5000)
    failed, kept = dock.runs.rows
    assert (failed.name, failed.sign, failed.model, failed.score) == ("ridge-1", "✗", "ridge", "")
    assert (kept.name, kept.sign, kept.model, kept.score) == ("first", "✓", "ridge", "0.31 (0.02)")
    dock.runs.select("ridge-1")
    assert dock.runs.fault.text == "✗ The disk is full. Free 3 GB."
    assert not dock.runs.open.isEnabled() and dock.runs.open.toolTip() == "It has no maps of this section."
    dock.runs.select("first")
    assert (
        dock.runs.said.text() == "Held-out r is 0.31; chance gives 0.02. No simple explanation stands beside it."
        and not dock.runs.fault.text
    )
    click(dock.runs.more)
    qtbot.waitUntil(dock.runs.details.isVisible, timeout=10_000)
    dock.runs.show_rows(dock.runs.rows)  # as when a job ends meanwhile
    assert dock.runs.details.isVisible()
    text = dock.runs.details.toPlainText()
    assert "components = 3" in text and "torch 9.9" in text and "LOW, HIGH" in text
    asked: list[str] = []
    dock.session.asked.disconnect()
    dock.session.asked.connect(asked.append)
    click(dock.runs.open)
    assert asked == ["Genes"]
    click(dock.runs.repeat)
    settled(qtbot, dock)
    qtbot.waitUntil(lambda: dock.options.value().model_settings == {"components": 3}, timeout=3000)
    assert dock.options.genes.spec == "variable:2" and dock.name.text() == "ridge-1"
    monkeypatch.setattr("napari_pixelgene.gui.run.runs_part.confirmed", lambda *_: True)
    for name in ("first", "ridge-1"):
        dock.runs.select(name)
        click(dock.runs.delete)
        qtbot.waitUntil(lambda name=name: name not in [row.name for row in dock.runs.rows], timeout=3000)
    assert store.runs() == [] and store.mapped_runs() == [] and jobs.all() == []


def learned(store: SectionStore) -> None:
    """A stored ridge run 'first', scored, for the maps of that name."""
    import numpy as np

    from napari_pixelgene.pipeline.learning import FitSettings
    from napari_pixelgene.store.models import save_run
    from napari_pixelgene.store.scores import write_scores

    settings = FitSettings(model="ridge", model_settings={"components": 3}, genes="variable:2")
    meta = {
        "model": "ridge", "model_settings": {"components": 3}, "features": settings.features.model_dump(),
        "genes": ["LOW", "HIGH"], "gene_ids": ["", ""], "train": [store.name], "settings": settings.model_dump(),
        "seconds": 65.0, "device": "cpu", "versions": {"torch": "9.9"}, "fingerprint": "made by hand",
    }  # fmt: skip
    save_run(store, "first", {"weights": np.zeros(2)}, meta)
    log = {"pearson_mean": 0.31, "permuted_pearson_mean": 0.02}
    write_scores(store, "first", {"sections": {store.name: {"log": log}}}, {"gene": ["LOW", "HIGH"]})


@pytest.mark.parametrize(("answer", "state"), [("stay", "running"), ("leave", "running"), ("stop", "cancelled")])
def test_closing_a_window_asks_about_a_running_run(qtbot, program, monkeypatch, answer, state) -> None:
    program(WAIT)
    job = jobs.start("Train", "[fit]")
    asked: list[str] = []
    monkeypatch.setattr(closing, "ask", lambda job, parent: asked.append(job.title) or answer)
    window = QMainWindow()
    qtbot.addWidget(window)
    question = closing.ClosingQuestion(window, lambda: job, window)
    window.show()
    closed = window.close()
    assert asked == ["Train"] and job.state() == state
    assert closed == (answer != "stay") and window.isVisible() == (answer == "stay")
    job.cancel()
    asked.clear()
    window.show()
    assert window.close() and asked == [] and question.parent() is window


def test_napari_stays_when_a_person_wants_to(docked, qtbot, program, monkeypatch) -> None:
    dock = docked
    program(WAIT)
    click(dock.run)
    job = dock.progress.running
    monkeypatch.setattr(closing, "ask", lambda job, parent: "stay")
    window = closing.window_of(dock)
    assert not window.close() and window.isVisible() and job.state() == "running"
    job.cancel()


def test_a_run_that_is_there_predicts_the_ticked_sections(dock, qtbot, program, section) -> None:
    runs = dock.runs
    learned(SectionStore.open(section))
    runs.look()
    qtbot.waitUntil(lambda: bool(runs.rows), timeout=5000)
    done = next(row for row in runs.rows if row.about is not None)
    runs.select(done.name)
    program(DONE)
    dock.sections.choose([section], [])
    click(runs.use)
    assert "ticked under Predict" in runs.fault.text
    dock.sections.choose([], [section])
    click(runs.use)
    assert not runs.fault.text
    job = jobs.all()[0]
    written = tomllib.loads(job.config.read_text())
    assert list(written) == ["predict"] and job.sections == (section.resolve(),)
    step = written["predict"]
    assert step["run"] == done.name and step["source"] == str(section) and step["sections"] == [str(section)]
    qtbot.waitUntil(lambda: dock.progress.running is None, timeout=10000)


def test_a_stopped_run_is_continued_under_its_name_and_another_is_not_overwritten(dock, qtbot, program, section):
    program(WAIT)
    click(dock.run)
    click(dock.progress.cancel)
    ended(qtbot, dock)
    store = SectionStore.open(section)
    learned(store)
    (section / "models" / "first").rename(section / "models" / "pixel2gene-1")  # it was stopped after the training
    dock.refresh()
    qtbot.waitUntil(lambda: "pixel2gene-1" in dock.found[0].runs, timeout=3000)
    settled(qtbot, dock)
    assert dock.name.text() == "pixel2gene-1" and dock.run.isEnabled()
    dock.options.general.widget("seed").value = 7
    settled(qtbot, dock)
    assert not dock.run.isEnabled() and "There is a run 'pixel2gene-1' already" in dock.why.text()
    dock.name.clear()
    qtbot.keyClicks(dock.name, "another")
    settled(qtbot, dock)
    assert dock.run.isEnabled()


def test_a_folder_of_slides_is_queued_and_ends_in_a_table(dock, qtbot, program, section, tmp_path, small_run) -> None:
    learned(SectionStore.open(section))
    dock.runs.look()
    qtbot.waitUntil(lambda: dock.queue.run.count() == 1, timeout=3000)
    slides = tmp_path / "slides"
    slides.mkdir()
    for name in ("a.ome.tif", "b.ome.tif"):
        shutil.copyfile(small_run.he, slides / name)
    table = slides / "predicted" / "results.csv"
    program(
        "step('queue', 0, 2)\nstep('features', 1, 4)\nstep('queue', 1, 2)\nstep('features', 2, 4)\n"
        f"from pathlib import Path; t = Path({str(table)!r}); t.parent.mkdir(parents=True, exist_ok=True)\n"
        "t.write_text('slide,section,status,tissue_mm2,seconds,error\\n"
        "/x/a.ome.tif,/y/a.section.zarr,done,12.34,65,\\n/x/b.ome.tif,/y/b,failed,,1,It is torn. Scan it again.\\n')\n"
        "time.sleep(0.5)\n" + FAILED
    )
    dock.queue_fold.head.click()
    assert not dock.queue.start.isEnabled() and "Choose a folder" in dock.queue.start.toolTip()
    qtbot.keyClicks(dock.queue.folder, str(slides))
    click(dock.queue.start)
    qtbot.waitUntil(lambda: dock.progress.running is not None, timeout=5000)
    job = dock.progress.running
    assert job.kind == "queue" and job.title == "first on 2 slides of slides"
    config = tomllib.loads(job.config.read_text(encoding="utf-8"))
    assert [Path(step["he"]).name for step in config["import"]] == ["a.ome.tif", "b.ome.tif"]
    assert config["predict"]["run"] == "first" and config["predict"]["source"] == str(section)
    qtbot.waitUntil(lambda: dock.progress.bars[0].name.text() == "Slide 2 of 2", timeout=5000)
    assert dock.progress.bars[0].bar.value() == 50 and dock.progress.bars[1].bar.value() == 50
    ended(qtbot, dock)
    cells = [[dock.queue.table.item(r, c).text() for c in range(3)] for r in range(2)]
    assert cells == [["a.ome.tif", "✓ 1:05", "12.3"], ["b.ome.tif", "✗ failed", ""]]
    assert dock.queue.table.item(1, 0).toolTip() == "It is torn. Scan it again."
    assert dock.queue.told.text().startswith("1 of 2 slides predicted, 1 failed")


def test_what_it_costs_is_said_before_it_is_started(dock, qtbot, monkeypatch) -> None:
    line = dock.cost.line
    qtbot.waitUntil(lambda: bool(line.text()), timeout=5000)
    assert re.fullmatch(r"(About|A few) .+ · [\d.]+ [MG]B memory · [\d.]+ [kMG]B on disk", line.text())
    assert re.search(r"held-out blocks \(\+ .+\)", dock.options.score.text()) and dock.cost.warnings.isHidden()
    before = line.text()
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**20))
    form = dock.options.forms["pixel2gene"]
    form.widget("epochs").value = 50 * form.value().epochs
    qtbot.waitUntil(lambda: line.text() != before, timeout=5000)
    assert "and 1 MB are free" in dock.cost.warnings.text()
    dock.options.genes.set_spec("file:/nowhere/genes.txt")
    qtbot.waitUntil(lambda: "/nowhere/genes.txt" in dock.cost.warnings.text(), timeout=5000)
    assert line.isHidden()


def test_a_real_run_ends_in_maps_over_the_slide(dock, qtbot, section) -> None:
    pick(dock.options.model, "ridge")
    dock.options.general._groups["folds"].widget("block_um").value = 150
    dock.options.score.setChecked(False)
    settled(qtbot, dock)
    click(dock.run)
    job = dock.progress.running
    qtbot.waitUntil(lambda: dock.progress.running is None, timeout=60_000)
    assert dock.progress.story.state == "done", dock.progress.fault.text
    assert [line.stage for line in dock.progress.story.lines if line.stage in ("features", "fit", "predict")] == [
        "features", "fit", "predict",
    ]  # fmt: skip
    assert job.result()["predicted"] == [str(section)]
    layer = dock.session.layer("map")
    assert layer.metadata["napari_pixelgene"]["run"] == "ridge-1" and layer.visible
    qtbot.waitUntil(lambda: [(row.name, row.sign) for row in dock.runs.rows] == [("ridge-1", "✓")], timeout=5000)
    assert dock.name.text() == "ridge-2"


def test_another_section_is_chosen_when_it_is_opened_and_a_run_on_the_first_goes_on(
    dock, qtbot, program, section, tmp_path
) -> None:
    go_on = tmp_path / "go on"
    program(LEARNING + f"import os\nwhile not os.path.exists({str(go_on)!r}): time.sleep(0.02)\n" + DONE)
    click(dock.run)
    other = Path(shutil.copytree(section, tmp_path / "other.section.zarr"))
    dock.session.open(other)
    qtbot.waitUntil(lambda: dock.sections.train == (other,) == dock.sections.predict, timeout=3000)
    settled(qtbot, dock)
    assert not dock.run.isEnabled() and "'pixel2gene-1 on breast' is still running" in dock.why.text()
    heard: list[str] = []
    dock.session.changed.connect(heard.append)
    go_on.touch()
    ended(qtbot, dock)
    assert heard == [] and dock.next.isHidden()  # nothing of what is open is new
    assert dock.sections.train == (other,) and "Held-out r is 0.50" in dock.progress.said.text()


def test_a_section_that_cannot_be_written_is_not_trained_on(dock, qtbot, section, monkeypatch) -> None:
    monkeypatch.setattr("napari_pixelgene.store.section.may_write", lambda path: False)
    dock.refresh()
    qtbot.waitUntil(lambda: bool(dock.found[0].not_trained), timeout=3000)
    settled(qtbot, dock)
    assert dock.sections.train == () and not dock.run.isEnabled()
    assert dock.why.text().startswith("breast cannot be trained on.")


def test_without_a_section_the_dock_says_what_to_do(qtbot) -> None:
    made = RunDock(ViewerModel())
    qtbot.addWidget(made)
    made.show()
    assert made.state == "empty"
    asked: list[str] = []
    made.session.asked.connect(asked.append)
    (to_section,) = [b for b in made.findChildren(QPushButton) if b.text() == "← Section" and b.isVisible()]
    click(to_section)
    assert asked == ["Section"]


def test_maps_are_shown_as_soon_as_they_are_there_before_the_scores(dock, qtbot, program, section) -> None:
    maps = section / "maps"
    program(
        "import shutil\nstep('predict', 1, 2)\n"
        f"shutil.copytree({str(maps / 'first')!r}, {str(maps / 'pixel2gene-1')!r})\n"
        "step('fit', 1, 9)\ntime.sleep(60)\n"
    )
    browser = browser_of(dock.session)
    assert browser.maps.run == "first"
    click(dock.run)
    qtbot.waitUntil(lambda: browser.maps.run == "pixel2gene-1", timeout=5000)
    assert dock.progress.running is not None


def test_a_run_that_cannot_be_scored_says_so_once_and_leaves_no_stage_behind(dock, qtbot, program) -> None:
    """The scores end it before their stage is done: the run is done all the same."""
    why = "'ridge-1' is not scored: too little was measured."
    program(f"step('maps', 0, 3)\nnote({why!r}, 'evaluation', 'warning')\ntell(event='result', run='ridge-1')\n")
    click(dock.run)
    ended(qtbot, dock)
    box = dock.progress
    assert box.story.state == "done" and box.said.text().endswith(why) and not box.notes.isVisible()
    assert box.story.lines[-1].done and "%" not in box.story.lines[-1].text(running=False)
