"""Genes nobody measured are told beside the list, before anything is started."""

from __future__ import annotations

from pathlib import Path

from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_pixelgene import jobs
from napari_pixelgene.gui.run.dock import RunDock
from napari_pixelgene.gui.run.genes_box import GenesBox
from napari_pixelgene.gui.session import session_of


def test_a_list_with_unknown_genes_is_refused_where_it_is_given(
    small_section: Path, tmp_path: Path, qtbot, monkeypatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    viewer = ViewerModel()
    session_of(viewer).open(small_section)
    dock = RunDock(viewer)
    qtbot.addWidget(dock)
    dock.resize(380, 900)
    dock.show()
    qtbot.waitUntil(lambda: dock.state == "full" and bool(dock.found), timeout=20_000)
    listed, known = tmp_path / "genes.txt", sorted(dock.found[0].genes)[3]
    listed.write_text(f"{known}\nNOSUCHGENE\n")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(listed), ""))
    genes = dock.findChild(GenesBox)
    genes.kind.setFocus()
    QTest.keyClick(genes.kind, Qt.Key.Key_End)  # to the last choice, which asks for the file at once
    assert genes.kind.currentData() == "file" and genes.file.text() == str(listed)
    qtbot.waitUntil(dock.why.isVisible, timeout=5000)
    assert "genes.txt" in dock.why.text() and "NOSUCHGENE" in dock.why.text() and known not in dock.why.text()
    assert not dock.run.isEnabled() and dock.run.toolTip() == dock.why.text() and not jobs.running()
    listed.write_text(f"{known}\n")
    genes.file.selectAll()
    QTest.keyClicks(genes.file, str(listed))
    qtbot.waitUntil(dock.run.isEnabled, timeout=5000)
    assert not dock.why.isVisible()
