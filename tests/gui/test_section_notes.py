"""What was said of one section, or of none, stands over no other; nor what is said late of a section that is gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Event

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_pixelgene.gui import recent
from napari_pixelgene.gui.section import tissue
from napari_pixelgene.gui.section.dock import SectionDock
from napari_pixelgene.progress import Note


@pytest.fixture
def dock(qtbot, tmp_path, monkeypatch) -> SectionDock:
    """Without napari's window, which costs seconds."""
    monkeypatch.setattr(recent, "_file", lambda: tmp_path / "recent.json")
    made = SectionDock(ViewerModel())
    qtbot.addWidget(made)
    return made


@pytest.fixture
def other(small_section: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_section, tmp_path / "other.section.zarr"))


def test_notes_and_faults_go_with_their_section(dock, unregistered, other):
    dock.notes.add("Said while nothing was open.")
    dock.open_path(unregistered)
    assert "mirror.section.zarr is not registered" in dock.notes.text() and "nothing was open" not in dock.notes.text()
    dock.fault.say("A mask could not be read.")
    dock.session.open(other)  # as napari's menu or a drop does
    assert dock.notes.isHidden() and not dock.notes.text() and not dock.fault.text
    dock.notes.add("Written: a.csv")
    dock.session.close()
    assert dock.notes.isHidden() and not dock.notes.text()


def test_a_tissue_that_is_found_when_its_section_is_gone_is_not_told_of_the_next(
    dock, unregistered, other, monkeypatch, qtbot
):
    begun, go_on, ended = Event(), Event(), Event()

    def slow(store, settings, on_event):
        begun.set()
        go_on.wait(10)
        on_event(Note(f"Tissue covers 59% of {store.path.name}."))
        ended.set()

    monkeypatch.setattr(tissue, "ensure_tissue", slow)
    dock.open_path(other)
    dock.tissue.find_tissue()
    assert begun.wait(10) and not dock.tissue.find_button.isEnabled()
    dock.open_path(unregistered)
    assert dock.tissue.find_button.isEnabled() and "being found" not in dock.tissue.status.text()
    go_on.set()
    qtbot.waitUntil(ended.is_set, timeout=10_000)
    qtbot.wait(50)
    assert "Tissue covers" not in dock.notes.text() and dock.session.layer("tissue") is None and not dock.fault.text


def test_a_dock_that_goes_takes_nobody_elses_ears_with_it(dock, other):
    """All four docks, opened a second time, give way one Section dock to another."""
    heard = []
    dock.session.closing.connect(lambda: heard.append("closing"))
    second = SectionDock(dock.session.viewer)
    second.deleteLater()
    QApplication.sendPostedEvents(second, QEvent.Type.DeferredDelete)
    dock.open_path(other)
    dock.notes.add("Written: a.csv")
    dock.session.close()
    assert heard == ["closing"] and dock.notes.isHidden()
