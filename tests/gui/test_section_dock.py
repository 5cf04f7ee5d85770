"""The Section dock on a real window: open, make, relink, look at checks, paint the tissue; bad input in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMessageBox

from mouse import click
from napari_pixelgene.gui.docks import show_dock
from napari_pixelgene.gui.section.dock import WELCOME, SectionDock
from napari_pixelgene.gui.session import session_of
from napari_pixelgene.pipeline.checking import Check
from napari_pixelgene.pipeline.preparing import ensure_tissue
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_region, read_tissue


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recent sections and jobs of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def section(small_section: Path) -> Path:
    return small_section


@pytest.fixture
def viewer(make_napari_viewer):
    made = make_napari_viewer(show=True)
    made.window.resize(1200, 900)
    return made


@pytest.fixture
def dock(viewer) -> SectionDock:
    shown = show_dock(viewer, "Section")
    QApplication.processEvents()
    return shown


def test_the_first_launch_is_three_sentences_and_two_buttons(dock: SectionDock):
    assert dock.state == "empty" and len(WELCOME) == 3
    assert dock.sample_button.isVisible() and dock.new_button.isVisible()
    assert not dock.fault.text


def test_an_opened_section_is_described_and_its_layers_are_there(dock: SectionDock, section: Path):
    dock.open_path(section)
    assert dock.state == "full" and not dock.fault.text
    store = SectionStore.open(section)
    columns, rows = dock.session.shown.he.yx_shape[::-1]
    assert f"{columns:,} × {rows:,} px · {store.meta()['mpp']:.4g} µm/px" in dock.slide.text()
    assert "transcripts" in dock.captures.text() and "Xenium" in dock.captures.text()
    assert any("is registered by a given matrix" in text for text in dock.checks.texts)
    assert {layer.metadata["napari_pixelgene"]["role"] for layer in dock.session.layers()} >= {"he", "map"}
    click(dock.toggles["he"])
    assert not dock.session.layer("he").visible
    assert dock.next.text() == "Genes →"


def test_what_a_person_hid_stays_hidden_and_the_toggles_say_so(dock: SectionDock, section: Path):
    """Each click does what it says: right after opening, on a slide that was left hidden, beside napari's list."""
    toggle = dock.toggles["he"]
    dock.open_path(section)
    click(toggle)
    dock.session.close()
    dock.open_path(section)
    assert not dock.session.layer("he").visible and not toggle.isChecked()
    QTest.mouseClick(toggle, Qt.MouseButton.LeftButton)  # before the event loop turns
    QTest.qWait(50)
    assert dock.session.layer("he").visible and toggle.isChecked()
    dock.session.layer("he").visible = False
    assert not toggle.isChecked()
    click(toggle)
    assert dock.session.layer("he").visible


def test_a_section_that_cannot_be_opened_leaves_the_old_one(dock: SectionDock, section: Path, tmp_path: Path):
    dock.open_path(section)
    newer = tmp_path / "newer.section.zarr"
    shutil.copytree(section, newer)
    document = json.loads((newer / "zarr.json").read_text())
    document["attributes"]["napari_pixelgene"]["format_version"] = 99
    (newer / "zarr.json").write_text(json.dumps(document))
    dock.open_path(newer)
    assert "has format 99" in dock.fault.text and "Update it" in dock.fault.text
    assert dock.session.store.path == section and dock.state == "full"
    dock.fault._copy.click()
    assert "format 99" in QApplication.clipboard().text()
    count = len(dock.session.viewer.layers)
    dock.open_path(section)  # a second time: nothing doubles
    assert len(dock.session.viewer.layers) == count and not dock.fault.text


def test_a_moved_slide_is_relinked_by_content(dock: SectionDock, section: Path, small_run, tmp_path: Path):
    store = SectionStore.open(section)
    own = tmp_path / "slide" / small_run.he.name
    own.parent.mkdir()
    shutil.copy(small_run.he, own)
    from napari_pixelgene.pipeline.relinking import relink_files

    relink_files(store, own, "he")
    dock.open_path(section)
    moved = tmp_path / "elsewhere" / "renamed.ome.tif"
    moved.parent.mkdir()
    own.rename(moved)
    dock.refresh()
    assert any("is not at" in text for text in dock.checks.texts)
    dock.show_check(Check("missing", "", "relink"))
    from napari_pixelgene.gui.section.relink import RelinkDialog

    dialog = dock.findChild(RelinkDialog)
    wrong = tmp_path / "wrong.ome.tif"
    wrong.write_bytes(moved.read_bytes()[:-9] + b"123456789")
    dialog.take(small_run.bundle)
    assert dialog.fault.text  # no such file there, or other content: said in the dialog
    dialog.take(moved)
    assert not dialog.fault.text and not any("is not at" in text for text in dock.checks.texts)


def test_a_section_whose_slide_moved_asks_for_it_when_opened(dock: SectionDock, section: Path, small_run, tmp_path):
    from napari_pixelgene.gui.section.relink import RelinkDialog
    from napari_pixelgene.pipeline.relinking import relink_files

    own = tmp_path / "slide" / small_run.he.name
    own.parent.mkdir()
    shutil.copy(small_run.he, own)
    relink_files(SectionStore.open(section), own, "he")
    moved = tmp_path / "archive" / own.name
    moved.parent.mkdir()
    own.rename(moved)
    dock.open_path(section)
    dialog = dock.findChild(RelinkDialog)
    assert dock.state == "empty" and dialog is not None and own.name in dialog.listed.text()
    dialog.take(moved.parent)
    assert dock.state == "full" and dock.session.store.path == section and not dock.fault.text


def test_what_lies_off_the_tissue_is_shown(dock: SectionDock, section: Path):
    store = SectionStore.open(section)
    ensure_tissue(store)
    from napari_pixelgene.pipeline.training_data import measured_units

    measured_units(store)
    dock.open_path(section)
    line = next(text for text in dock.checks.texts if "off the tissue" in text)
    dock.show_check(Check("good", line, "off tissue"))
    points = dock.session.layer("off tissue")
    mask = read_tissue(store).mask
    place = (np.asarray(points.data) / 8).astype(int)
    assert len(place) and not mask[place[:, 0], place[:, 1]].any()


def stroke(viewer, start_um, stop_um):
    """A real drag over the canvas from (x, y) to (x, y) in µm."""
    QTest.qWait(300)  # the window settles: docks were added a moment ago
    drawn = viewer.window._qt_viewer.canvas
    canvas = drawn.native

    def world(x, y):
        return np.array(drawn._map_canvas2world((x, y), drawn.view))[[-1, -2]]

    origin, right, down = world(0, 0), world(100, 0), world(0, 100)
    matrix = np.stack([(right - origin) / 100, (down - origin) / 100], axis=1)

    def at(xy):
        return QPoint(*np.round(np.linalg.solve(matrix, np.array(xy) - origin)).astype(int))

    QTest.mouseMove(canvas, at(start_um))
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at(start_um))
    for share in np.linspace(0, 1, 6):
        QTest.mouseMove(canvas, at(np.array(start_um) * (1 - share) + np.array(stop_um) * share))
        QTest.qWait(15)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at(stop_um))
    QApplication.processEvents()


def test_paint_out_saves_is_undone_and_survives(viewer, dock: SectionDock, section: Path, qtbot):
    ensure_tissue(SectionStore.open(section))
    dock.open_path(section)
    before = read_tissue(SectionStore.open(section)).mask.copy()
    width, height = dock.session.shown.he.size_um
    click(dock.tissue.out_button)
    stroke(viewer, (0.4 * width, 0.5 * height), (0.6 * width, 0.55 * height))
    qtbot.waitUntil(lambda: SectionStore.open(section).find("tissue", "edits") is not None, timeout=6000)
    qtbot.waitUntil(lambda: not dock.tissue._timer.isActive() and not dock.tissue._differs("tissue"), timeout=6000)
    now = read_tissue(SectionStore.open(section)).mask
    gone = before & ~now
    assert gone.sum() > 100 and not (now & ~before).any()
    rows, columns = np.nonzero(gone)
    left, right = 0.4 * width - 52, 0.6 * width + 52  # the stroke and half a brush of 12 squares
    top, bottom = 0.5 * height - 52, 0.55 * height + 52
    assert left <= columns.min() * 8 and (columns.max() + 1) * 8 <= right and (columns.max() + 1) * 8 > right - 60
    assert top <= rows.min() * 8 and (rows.max() + 1) * 8 <= bottom and (rows.max() + 1) * 8 > bottom - 60
    assert "edited by hand" in dock.tissue.status.text()
    click(dock.tissue.find_button)
    qtbot.waitUntil(lambda: dock.tissue._task is None, timeout=10_000)
    np.testing.assert_array_equal(read_tissue(SectionStore.open(section)).mask, now)
    layer = dock.session.layer("tissue")
    layer.undo()
    qtbot.waitUntil(lambda: bool(read_tissue(SectionStore.open(section)).mask.sum() > now.sum()), timeout=6000)


def test_train_only_here_is_kept_and_taken_back(viewer, dock: SectionDock, section: Path, qtbot, monkeypatch):
    ensure_tissue(SectionStore.open(section))
    dock.open_path(section)
    width, height = dock.session.shown.he.size_um
    click(dock.tissue.region_button)
    stroke(viewer, (0.3 * width, 0.5 * height), (0.5 * width, 0.5 * height))
    qtbot.waitUntil(lambda: read_region(SectionStore.open(section)) is not None, timeout=6000)
    assert "Models learn from" in dock.tissue.status.text()
    monkeypatch.setattr(QMessageBox, "question", lambda *a: QMessageBox.StandardButton.No)
    click(dock.tissue.reset_button)
    assert read_region(SectionStore.open(section)) is not None
    monkeypatch.setattr(QMessageBox, "question", lambda *a: QMessageBox.StandardButton.Yes)
    click(dock.tissue.reset_button)
    assert read_region(SectionStore.open(section)) is None and dock.session.layer("region") is None


def test_a_read_only_section_says_why(dock: SectionDock, section: Path, monkeypatch):
    monkeypatch.setattr("napari_pixelgene.store.section.may_write", lambda path: False)
    dock.open_path(section)
    assert dock.state == "full" and "(read only)" in dock.name.text()
    assert not dock.tissue.find_button.isEnabled() and dock.tissue.find_button.toolTip()


def test_a_foreign_layer_without_units_is_told(dock: SectionDock, section: Path):
    dock.open_path(section)
    dock.session.viewer.add_image(np.zeros((40, 60)), name="mine")
    assert "mine" in dock.notes.text() and "µm" in dock.notes.text()


def test_two_viewers_have_two_sections(make_napari_viewer, section: Path):
    other = section.with_name("other.section.zarr")
    shutil.copytree(section, other)
    one, two = make_napari_viewer(), make_napari_viewer()
    docks = [SectionDock(each) for each in (one, two)]
    docks[0].open_path(section)
    docks[1].open_path(other)
    assert session_of(one).store.path == section and session_of(two).store.path == other
    docks[0].session.close()
    assert not one.layers and two.layers and session_of(two).store is not None
    for each in docks:
        each.close()
        each.deleteLater()


def test_a_dropped_section_is_adopted(viewer, dock: SectionDock, section: Path):
    viewer.open(section, plugin="napari-pixelgene")
    assert dock.session.store.path == section and dock.state == "full"
    count = len(viewer.layers)
    viewer.layers.remove(dock.session.layer("map"))
    dock.refresh()
    assert dock.state == "full" and len(viewer.layers) == count - 1
    assert not dock.toggles["map"].isChecked()
    click(dock.toggles["map"])  # what was deleted comes back
    assert len(viewer.layers) == count and dock.session.layer("map").visible


def test_a_run_that_is_named_is_never_ignored(dock: SectionDock, small_run, tmp_path: Path):
    dock.new()
    dialog = dock.new_dialog
    (tmp_path / "empty").mkdir()
    dialog.he.setText(str(small_run.he))
    dialog.run.setText(str(tmp_path / "empty"))
    dialog._run_changed()
    dialog.folder.setText(str(tmp_path))
    dialog.name.setText("odd")
    dialog.start()
    assert "not what it is" in dialog.fault.text and not (tmp_path / "odd.section.zarr").exists()
    dialog.run.clear()
    dialog.mpp.setText("50")
    dialog.start()
    assert "50 µm per pixel" in dialog.fault.text
    dialog.reject()


def test_an_open_layer_is_taken_as_the_h_and_e(viewer, dock: SectionDock, tmp_path: Path, qtbot):
    rng = np.random.default_rng(4)
    pixels = np.full((500, 640, 3), 244, dtype=np.uint8)
    pixels[60:430, 80:560] = rng.integers([150, 70, 130], [215, 140, 190], (370, 480, 3))
    viewer.add_image(pixels, name="my slide", rgb=True)
    dock.new()
    dialog = dock.new_dialog
    dialog.layer.setCurrentIndex(dialog.layer.findText("layer: my slide"))
    assert dialog.name.text() == "my-slide" and not dialog.he.isVisible()
    dialog.folder.setText(str(tmp_path))
    dialog.start()
    assert "pixel size of the layer 'my slide' is not given" in dialog.fault.text
    dialog.mpp.setText("0.5")
    dialog.start()
    assert not dialog.fault.text
    qtbot.waitUntil(lambda: dock.session.store is not None or bool(dock.fault.text), timeout=60_000)
    assert not dock.fault.text and dock.session.shown.he.mpp == 0.5
    np.testing.assert_array_equal(np.asarray(dock.session.shown.he.levels[0][...]), pixels)
    assert "captures" not in dock.captures.text() and "Nothing was measured" in dock.captures.text()


def test_all_four_docks_keep_the_view_and_the_keys(viewer, section: Path, qtbot):
    from napari_pixelgene.gui.docks import _dock_of, open_docks

    open_docks(viewer)
    session = session_of(viewer)
    session.open(section)
    register = _dock_of(viewer, "Register")
    qtbot.waitUntil(lambda: register.state == "full", timeout=10_000)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 210.0, 330.0), 2.2
    show_dock(viewer, "Register")
    qtbot.waitUntil(lambda: register.controls.canvas.native is not None, timeout=5000)
    qtbot.wait(200)
    assert viewer.scene.camera.zoom == pytest.approx(2.2) and viewer.scene.camera.center[-1] == pytest.approx(330)
    click(register.controls.pick)
    show_dock(viewer, "Genes")
    qtbot.waitUntil(lambda: not register.controls.pick.isChecked(), timeout=3000)
    assert not register._in_front

    dock = show_dock(viewer, "Section")
    dock.tissue.find_tissue()
    qtbot.waitUntil(lambda: dock.tissue._task is None, timeout=10_000)
    viewer.reset_view()
    before = session.layer("tissue").data.copy()
    click(dock.tissue.out_button)
    width, height = session.shown.he.size_um
    stroke(viewer, (0.4 * width, 0.5 * height), (0.6 * width, 0.5 * height))
    assert session.layer("tissue").data.sum() < before.sum()
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: bool(np.array_equal(session.layer("tissue").data, before)), timeout=3000)
