"""Only tissue worth learning from: the tick in the Section dock gives HistoSweep's mask, and its source says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pixelgene.gui.docks import show_dock
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_tissue


def test_the_tick_gives_the_quality_mask(
    make_napari_viewer, qtbot, section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    viewer = make_napari_viewer(show=True)
    dock = show_dock(viewer, "Section")
    QApplication.processEvents()
    dock.open_path(section)
    box = dock.tissue
    for widget in (box.clean, box.find_button):
        qtbot.waitUntil(lambda widget=widget: widget.isVisible() and widget.isEnabled() and widget.height() > 8)
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=QPoint(12, widget.height() // 2))
    qtbot.waitUntil(lambda: box._task is None, timeout=60_000)
    found = read_tissue(SectionStore.open(section))
    assert found.source.startswith("HistoSweep") and 0.05 < found.fraction < 1
    assert not dock.fault.text and not box.fault.text
