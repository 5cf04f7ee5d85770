"""BigWarp's files and SpatialData stores, into the window and out of it, by its menus and the dialog of a store."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.gui.register import transfer
from napari_pixelgene.gui.register.landmark_dialog import LandmarkDialog
from napari_pixelgene.pipeline.landmark_files import StoreElements
from register_person import LEFT, PLACES, bring, write_json


def entry(menu, text):
    """An entry of the Import or the Export menu, chosen."""
    action = next(a for a in menu.actions() if a.text().replace("&&", "&").startswith(text))
    assert action.isEnabled(), action.toolTip()
    action.trigger()


def in_dialog(does):
    """While a modal dialog of a store is open, do this in it."""

    def look():
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, LandmarkDialog):
            does(dialog)
        else:
            QTimer.singleShot(50, look)

    QTimer.singleShot(50, look)


def same_pairs(person, truth):
    np.testing.assert_allclose([p.moving for p in person.pairs.pairs], PLACES, atol=1e-6)
    np.testing.assert_allclose([p.fixed for p in person.pairs.pairs], truth.apply(PLACES), atol=1e-6)


def emptied(person):
    while len(person.pairs):
        person.dock.editor.select(0)
        person.dock.editor.delete()


def test_pairs_go_through_bigwarp_and_a_store_and_come_back(person, section, truth, monkeypatch, tmp_path):
    pytest.importorskip("spatialdata")
    person.open(section)
    dock, controls = person.dock, person.dock.controls
    dock.editor.mirror(True)
    bring(person, monkeypatch, write_json(tmp_path, Keypoints(PLACES, truth.apply(PLACES))))
    opens, saves = controls.import_.menu(), controls.export.menu()

    # In µm, which the file does not say: it is asked.
    monkeypatch.setattr(transfer, "ask_save", lambda *_: tmp_path / "um.csv")
    entry(saves, "Landmarks CSV, in µm")
    emptied(person)
    monkeypatch.setattr(transfer, "ask_open", lambda *_: tmp_path / "um.csv")
    monkeypatch.setattr(transfer, "ask_unit", lambda *_: None)
    entry(opens, "Landmarks of BigWarp")
    assert len(person.pairs) == 0  # a person changed their mind
    monkeypatch.setattr(transfer, "ask_unit", lambda *_: "um")
    entry(opens, "Landmarks of BigWarp")
    same_pairs(person, truth)
    assert dock.work.history.undoable == "imported um.csv" and not dock.fault.text

    # A new store, and more landmarks into it under another name.
    store = tmp_path / "study.zarr"
    monkeypatch.setattr(transfer, "ask_save", lambda *_: store)
    entry(saves, "Landmarks in a new store")
    monkeypatch.setattr(transfer, "ask_folder", lambda *_: store)
    monkeypatch.setattr(transfer, "ask_name", lambda _, taken: "second" if taken == "landmarks_moving" else None)
    entry(saves, "Landmarks into a store")
    assert not dock.fault.text and "Written: study.zarr" in dock.notes.text()
    emptied(person)

    def take(dialog):
        assert dialog.moving.currentText() == "landmarks_moving" and dialog.ok.isEnabled()
        assert {dialog.fixed.itemText(i) for i in range(dialog.fixed.count())} >= {"second_fixed", "landmarks_fixed"}
        dialog.moving.setCurrentText("second_moving")
        dialog.fixed.setCurrentText("second_fixed")
        QTest.mouseClick(dialog.ok, LEFT)

    in_dialog(take)
    entry(opens, "Landmarks of a SpatialData store")
    same_pairs(person, truth)
    assert dock.work.history.undoable == "imported study.zarr"

    monkeypatch.setattr(transfer, "ask_folder", lambda *_: tmp_path)
    entry(opens, "Landmarks of a SpatialData store")
    assert "is no SpatialData store" in dock.fault.text


def test_a_store_whose_elements_are_called_otherwise_is_asked_for_them(qtbot, tmp_path):
    found = StoreElements(("cells", "he_points", "xenium_points"), ("he",), ("", ""))
    dialog = LandmarkDialog(None, tmp_path / "a.zarr", found)
    qtbot.addWidget(dialog)
    assert not dialog.ok.isEnabled() and dialog.ok.toolTip() == "Choose two elements"
    dialog.moving.setCurrentText("he_points")
    dialog.fixed.setCurrentText("he_points")
    assert not dialog.ok.isEnabled()
    dialog.moving.setCurrentText("xenium_points")
    dialog.images[1].setCurrentText("he")
    assert dialog.ok.isEnabled()
    value = dialog.value()
    assert value.elements == ("xenium_points", "he_points") and value.images == ("", "he") and value.system == ""
