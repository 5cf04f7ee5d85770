"""Slides and runs dropped on napari: a slide is a pyramid in µm, a run goes into the New dialog."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QApplication

from napari_pixelgene.gui.docks import _dock_of
from napari_pixelgene.gui.dropped import get_reader
from napari_pixelgene.gui.session import session_of

PLUGIN = "napari-pixelgene"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def dropped(viewer, path: Path, qtbot):
    """Open it as napari opens what is dropped; gives the New dialog."""
    viewer.open(str(path), plugin=PLUGIN)
    qtbot.waitUntil(lambda: _dock_of(viewer, "Section") is not None, timeout=10_000)
    dock = _dock_of(viewer, "Section")
    qtbot.waitUntil(lambda: dock.new_dialog is not None and dock.new_dialog.isVisible(), timeout=5000)
    return dock.new_dialog


def test_a_slide_is_shown_in_um_and_offered_as_an_h_and_e(make_napari_viewer, tmp_path: Path, qtbot):
    slide = tmp_path / "slide.svs"  # an SVS is a TIFF that says so
    pixels = np.random.default_rng(0).integers(0, 255, (300, 410, 3), dtype=np.uint8)
    note = "Aperio Image Library v1\n410x300 |AppMag = 40|MPP = 0.25"
    tifffile.imwrite(slide, pixels, tile=(128, 128), photometric="rgb", description=note)
    viewer = make_napari_viewer()
    (layer,) = viewer.open(str(slide), plugin=PLUGIN)
    assert tuple(layer.scale) == (0.25, 0.25) and tuple(layer.translate) == (0.125, 0.125)
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"] and layer.rgb
    np.testing.assert_array_equal(np.asarray(layer.data[0][10:20, 30:50]), pixels[10:20, 30:50])


def test_a_run_opens_the_new_dialog_with_it(make_napari_viewer, small_run, qtbot):
    viewer = make_napari_viewer(show=True)
    dialog = dropped(viewer, small_run.bundle / "experiment.xenium", qtbot)
    assert dialog.kind.currentData() == "xenium" and Path(dialog.run.text()).name == "experiment.xenium"
    assert not viewer.layers and session_of(viewer).store is None
    dialog.reject()
    QApplication.processEvents()


def test_an_anndata_asks_what_it_cannot_say(make_napari_viewer, tmp_path: Path, qtbot):
    file = tmp_path / "some.h5ad"
    file.write_bytes(b"\x89HDF\r\n\x1a\n")
    viewer = make_napari_viewer(show=True)
    dialog = dropped(viewer, file, qtbot)
    assert dialog.kind.currentData() == "anndata" and "say below" in dialog.recognised.text()
    assert dialog.form.widget("coordinates").value is None
    dialog.reject()


def test_what_is_not_ours_is_left_alone(tmp_path: Path, small_run):
    folder = tmp_path / "outs"
    folder.mkdir()
    assert get_reader(str(folder)) is None
    table = tmp_path / "x.csv"
    table.write_text("a,b\n1,2\n")
    assert get_reader(str(table)) is None and get_reader([str(folder)]) is None
    shutil.copy(small_run.bundle / "experiment.xenium", folder)
    assert get_reader(str(folder)) is not None
