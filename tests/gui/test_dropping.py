"""Files and folders dropped anywhere on napari's window by real drag events: runs and sections are ours, no more."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from napari_pixelgene.gui.docks import _dock_of, _holder, show_dock
from napari_pixelgene.gui.session import session_of
from napari_pixelgene.pipeline.sources.finding import find_run

COPY, LEFT, PLAIN = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def viewer(make_napari_viewer):
    """A shown window."""
    return make_napari_viewer(show=True)


@pytest.fixture
def opened(monkeypatch) -> list[list[str]]:
    """What napari itself was asked to open, which it does not."""
    from napari._qt.qt_viewer import QtViewer

    names: list[list[str]] = []
    monkeypatch.setattr(QtViewer, "_qt_open", lambda self, filenames, **more: names.append(filenames))
    return names


def dropped(widget, *places, held=PLAIN) -> None:
    """A drag that enters over a widget and is dropped there; Qt finds who takes it."""
    mime = QMimeData()
    mime.setUrls([QUrl(each) if isinstance(each, str) else QUrl.fromLocalFile(str(each)) for each in places])
    enter = QDragEnterEvent(QPoint(30, 30), COPY, mime, LEFT, held)
    QApplication.sendEvent(widget, enter)
    if enter.isAccepted():
        QApplication.sendEvent(widget, QDropEvent(QPointF(30, 30), COPY, mime, LEFT, held))
    QApplication.processEvents()


def places_on(viewer) -> list:
    """The empty canvas with its welcome, napari's list of layers, and our own dock."""
    qt = viewer.window._qt_viewer
    return [qt._welcome_widget, qt.canvas.native, qt.dockLayerList, _dock_of(viewer, "Section")]


def offered(viewer, qtbot):
    """The New dialog, once it is open."""
    qtbot.waitUntil(lambda: _dock_of(viewer, "Section") is not None, timeout=10_000)
    dock = _dock_of(viewer, "Section")
    qtbot.waitUntil(lambda: dock.new_dialog is not None and dock.new_dialog.isVisible(), timeout=10_000)
    return dock.new_dialog


def text(path: Path, words: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(words.encode()) if path.suffix == ".gz" else words.encode())
    return path


@pytest.fixture
def runs(tmp_path: Path, small_run, arrays_run) -> dict[str, tuple[Path, str, Path]]:
    """By words: what is dropped, its kind, and what stands in the dialog. Every folder has a name of its own."""
    home = tmp_path / "freely named"
    xenium = home / "block 7 left"
    xenium.mkdir(parents=True)
    for name in ("experiment.xenium", "transcripts.parquet"):
        shutil.copy(small_run.bundle / name, xenium)
    visium = Path(shutil.copytree(arrays_run.folder / "visium" / "outs", home / "parent" / "any name"))
    hd = Path(shutil.copytree(arrays_run.folder / "visium_hd" / "outs", home / "my HD"))
    cosmx = home / "flat"
    text(cosmx / "S1_tx_file.csv", "fov,x_global_px,y_global_px,target\n1,5,6,ACTB\n")
    prefix = home / "her2"
    text(prefix / "cnts.csv", "id,ACTB\na,1\n")
    text(prefix / "locs-raw.csv", "id,x,y\na,10,20\n")
    merscope = home / "region_0"
    table = text(merscope / "detected_transcripts.csv", ",global_x,global_y,gene\n0,1.5,2.5,ACTB\n")
    gem = text(home / "chip" / "E1.txt.gz", "#FileFormat=GEMv0.1\ngeneID\tx\ty\tMIDCount\nActb\t3\t4\t2\n")
    store = home / "something.zarr"
    text(store / "zarr.json", json.dumps({"zarr_format": 3, "attributes": {"spatialdata_attrs": {"version": "0.2"}}}))
    anndata_zarr = home / "mine.zarr"
    text(anndata_zarr / ".zattrs", json.dumps({"encoding-type": "anndata"}))
    h5ad = home / "x" / "some.h5ad"
    h5ad.parent.mkdir()
    h5ad.write_bytes(b"\x89HDF\r\n\x1a\n")
    matrix = next(visium.glob("*filtered_feature_bc_matrix.h5"))
    return {
        "a Xenium folder": (xenium, "xenium", xenium),
        "its transcripts": (xenium / "transcripts.parquet", "xenium", xenium),
        "a Visium folder": (visium, "visium", visium),
        "its matrix": (matrix, "visium", visium),
        "the folder around it": (visium.parent, "visium", visium),
        "a Visium HD folder": (hd, "visium-hd", hd),
        "a CosMx folder": (cosmx, "cosmx", cosmx),
        "a prefix folder": (prefix, "prefix", prefix),
        "its counts": (prefix / "cnts.csv", "prefix", prefix),
        "a MERSCOPE folder": (merscope, "table", table),
        "a GEM file": (gem, "table", gem),
        "a SpatialData store": (store, "spatialdata", store),
        "an AnnData store": (anndata_zarr, "anndata", anndata_zarr),
        "an h5ad file": (h5ad, "anndata", h5ad),
    }


def test_every_kind_of_run_under_any_name_is_ours_anywhere_on_the_window(viewer, opened, runs, qtbot):
    show_dock(viewer, "Genes")
    show_dock(viewer, "Section")
    for turn, (words, (path, kind, run)) in enumerate(runs.items()):
        place = places_on(viewer)[turn % 4]
        dropped(place, path)
        dialog = offered(viewer, qtbot)
        assert (words, dialog.kind.currentData()) == (words, kind)
        assert Path(dialog.run.text()) == run or kind == "table", words
        dialog.reject()
        QApplication.processEvents()
    assert not viewer.layers and not opened


def test_without_a_dock_of_ours_napari_has_everything(viewer, opened, runs, qtbot):
    path = runs["a CosMx folder"][0]
    canvas = viewer.window._qt_viewer.canvas.native
    dropped(canvas, path)
    assert opened.pop() == [str(path)]
    show_dock(viewer, "Genes")  # any of the four
    dropped(canvas, path)
    assert offered(viewer, qtbot).kind.currentData() == "cosmx" and not opened
    offered(viewer, qtbot).reject()
    for title in ("Section", "Genes"):
        viewer.window.remove_dock_widget(_dock_of(viewer, title))
    dropped(canvas, path)
    assert opened.pop() == [str(path)]


def test_what_is_not_ours_is_napari_s_as_before(viewer, opened, runs, tmp_path: Path):
    dock = show_dock(viewer, "Section")
    canvas = viewer.window._qt_viewer.canvas.native
    image = tmp_path / "foreign.tif"
    tifffile.imwrite(image, np.zeros((8, 9), np.uint8))
    table = text(tmp_path / "foreign.csv", "a,b\n1,2\n")
    (tmp_path / "empty").mkdir()
    two = runs["a Xenium folder"][0].parent  # a folder with several runs in it
    run = runs["a CosMx folder"][0]
    for places in ((image,), (table,), (tmp_path / "empty",), (two,), (run, image), (run, runs["a prefix folder"][0])):
        dropped(canvas, *places)
        assert opened.pop() == [str(each) for each in places]
    dropped(canvas, "https://example.org/slide.tif")
    assert opened.pop() == ["https://example.org/slide.tif"]
    dropped(canvas, run, held=Qt.KeyboardModifier.AltModifier)
    assert opened.pop() == [str(run)]
    assert dock.new_dialog is None


def test_a_foreign_image_still_becomes_a_layer(make_napari_viewer, tmp_path: Path):
    viewer = make_napari_viewer(show=True)
    show_dock(viewer, "Section")
    image = tmp_path / "foreign.tif"
    tifffile.imwrite(image, np.arange(72, dtype=np.uint8).reshape(8, 9))
    dropped(viewer.window._qt_viewer.canvas.native, image)
    assert [layer.name for layer in viewer.layers] == ["foreign"]


def test_a_section_is_opened_in_the_stead_of_the_one_that_is_open(
    viewer, opened, small_section: Path, tmp_path: Path, qtbot
):
    from moved import move_references

    other = Path(shutil.copytree(small_section, tmp_path / "copy" / "other.section.zarr"))
    move_references(other, small_section.parent)
    dock = show_dock(viewer, "Section")
    canvas = viewer.window._qt_viewer.canvas.native
    for path in (small_section, other):
        dropped(canvas, path)
        qtbot.waitUntil(lambda path=path: dock.session.store is not None and dock.session.store.path == path)
    assert not opened and len(dock.session.layers("he")) == 1
    broken = tmp_path / "broken.section.zarr"
    broken.mkdir()
    dropped(canvas, broken)
    qtbot.waitUntil(lambda: bool(dock.fault.text))
    assert "is not a section" in dock.fault.text and dock.session.store.path == other


def test_two_windows_take_their_own(make_napari_viewer, runs, qtbot):
    one, two = make_napari_viewer(show=True), make_napari_viewer(show=True)
    docks = [show_dock(each, "Section") for each in (one, two)]
    dropped(two.window._qt_viewer.canvas.native, runs["a prefix folder"][0])
    assert offered(two, qtbot).kind.currentData() == "prefix" and docks[0].new_dialog is None
    offered(two, qtbot).reject()
    two.close()
    dropped(one.window._qt_viewer.canvas.native, runs["a Visium folder"][0])
    assert offered(one, qtbot).kind.currentData() == "visium"
    offered(one, qtbot).reject()
    assert session_of(one).store is None


def test_a_floating_dock_takes_runs_too(viewer, runs, qtbot):
    dock = show_dock(viewer, "Genes")
    _holder(dock).setFloating(True)
    QApplication.processEvents()
    dropped(dock, runs["a prefix folder"][0])
    assert offered(viewer, qtbot).kind.currentData() == "prefix"
    offered(viewer, qtbot).reject()


def test_on_the_section_dock_an_address_is_told_and_a_slide_is_the_h_and_e(viewer, tmp_path: Path, qtbot):
    dock = show_dock(viewer, "Section")
    dropped(dock, "https://example.org/slide.tif")
    assert "save it on this computer first" in dock.fault.text and dock.new_dialog is None
    image = tmp_path / "slide.tif"
    tifffile.imwrite(
        image, np.full((80, 90, 3), 240, np.uint8), photometric="rgb", resolution=(4e4, 4e4), resolutionunit=3
    )
    dropped(dock, image)
    assert offered(viewer, qtbot).he.text() == str(image) and not dock.fault.text
    offered(viewer, qtbot).reject()


def test_finding_a_run_reads_no_large_file(tmp_path: Path, monkeypatch):
    """What begins like nothing we know is not read on; a table of one endless line neither."""
    for name in ("a.csv", "b.tif", "c.h5", "detected_transcripts.csv"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 40)
        assert find_run(tmp_path / name) is None
