"""A registration that was judged badly is said in Run and in Genes, with the way to Register, until it is mended."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_pixelgene.gui import recent
from napari_pixelgene.gui.genes.dock import GenesDock
from napari_pixelgene.gui.run.dock import RunDock
from napari_pixelgene.gui.session import VERDICT
from napari_pixelgene.gui.wording import in_window
from napari_pixelgene.pipeline.drafting import keep_transform
from napari_pixelgene.pipeline.verdict import judge_registration
from napari_pixelgene.stages.verdict import VerdictSettings
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

LEFT = Qt.MouseButton.LeftButton
QUICK = VerdictSettings(least_places=8, most_places=12)


@pytest.fixture(autouse=True)
def own_recent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_pixelgene.jobs.folder.user_state_path", lambda *a, **k: tmp_path / "state")
    monkeypatch.setattr(recent, "_file", lambda: tmp_path / "recent.json")


def shift(path: Path, um: float) -> None:
    """Lay the run off its place, and judge it there."""
    store = SectionStore.open(path)
    name = store.captures()[0]
    there = read_capture(store, name).to_he
    moved = np.array([[1.0, 0, um / 0.5], [0, 1, 0], [0, 0, 1]]) @ there.matrix
    keep_transform(store, name, replace(there, matrix=moved, kind="given"))
    judge_registration(store, settings=QUICK)


@pytest.fixture
def docks(qtbot):
    """Run and Genes over one session, without napari's window, which costs seconds; and what they asked for."""
    viewer = ViewerModel()
    made = RunDock(viewer), GenesDock(viewer)
    for each in made:
        qtbot.addWidget(each)
        each.resize(380, 900)
        each.show()
    yield made
    made[0].progress.leave()


def test_run_and_genes_warn_and_lead_to_register(docks, qtbot, small_section, tmp_path) -> None:
    bad, fair = (Path(shutil.copytree(small_section, tmp_path / f"{n}.section.zarr")) for n in ("bad", "fair"))
    shift(bad, 40.0)
    shift(fair, 7.0)
    run, genes = docks
    session, asked = run.session, []
    session.asked.connect(asked.append)
    session.open(fair)
    qtbot.waitUntil(genes.distrust.isVisible, timeout=10_000)
    assert "was judged “look here”: look at its worst places" in genes.distrust.text

    session.open(bad)
    qtbot.waitUntil(lambda: run.state == "full" and len(run.found) == 2, timeout=20_000)
    qtbot.waitUntil(lambda: run.distrust.isVisible(), timeout=5000)
    name = SectionStore.open(bad).captures()[0]
    told = f"✗ The registration of '{name}' on bad was judged “do not use”"
    assert run.distrust.text.startswith(told) and len(run.distrust.buttons) == 1
    assert run.run.isEnabled()  # it warns; a person decides
    run.sections.box("train", fair).setChecked(True)
    qtbot.waitUntil(lambda: len(run.distrust.buttons) == 2, timeout=5000)
    run.sections.box("train", bad).setChecked(False)
    qtbot.waitUntil(lambda: run.distrust.text.startswith("▲ The registration") and "fair" in run.distrust.text)
    run.sections.box("train", fair).setChecked(False)
    qtbot.waitUntil(lambda: not run.distrust.isVisible(), timeout=5000)
    run.sections.box("train", fair).setChecked(True)
    qtbot.waitUntil(run.distrust.isVisible, timeout=5000)

    # The button of another section opens it first.
    QTest.mouseClick(run.distrust.buttons[0], LEFT)
    assert session.store.path == fair and asked == ["Register"]
    session.open(bad)
    qtbot.waitUntil(lambda: genes.distrust.text.startswith(told), timeout=10_000)
    QTest.mouseClick(genes.distrust.buttons[0], LEFT)
    assert session.store.path == bad and asked == ["Register"] * 2

    # Mended and judged anew, nobody says it any more.
    shift(bad, -40.0)
    session.changed.emit(VERDICT)
    qtbot.waitUntil(lambda: not genes.distrust.isVisible(), timeout=10_000)
    qtbot.waitUntil(lambda: " on bad was" not in run.distrust.text, timeout=10_000)
    run.sections.box("train", bad).setChecked(True)
    run.sections.box("train", fair).setChecked(False)
    qtbot.waitUntil(lambda: not run.distrust.isVisible(), timeout=5000)


def test_the_engines_warning_names_the_dock_and_no_command() -> None:
    said = in_window("It was judged so. See where: pixelgene register breast.section.zarr --report qc.html")
    assert said == "It was judged so. See where in the Register dock."
