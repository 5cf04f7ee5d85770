"""Bad input through the window: a sentence where its cause is, what was typed is kept, and the window goes on.

Everything of the two lists of bad input, and which test holds it:

* `test_tables_…`: NaN, negatives, rows and genes twice, counts without a spot, x and y swapped, spots off the tissue or
  the slide, pitch and pixel size that disagree, a missing column, a missing or absurd pixel size
* `test_what_the_dialog_sees_…`: a truncated TIFF, no image, an empty folder, no folder, a number that is none
* `test_a_run_that_broke_off_…`: a truncated Parquet; what was typed is kept, "Correct it…" brings it back
* `test_visium_…`, `test_an_anndata_…`, `test_a_disk_…`: missing images, no raw counts, no free disk
* `test_sections_…`: opened twice, from a newer version, in a folder that cannot be written
* elsewhere: pairs that cannot be fitted (`test_register_values.py`), files of pairs of another kind
  (`test_register.py`), a read-only section in the Tissue box and a foreign layer without a size
  (`test_section_dock.py`), in the Run dock and a disk that fills while it trains (`test_run.py`)
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel, QLineEdit, QPushButton, QWidget

from made_tables import SPOILT, Inputs, legacy_st
from mouse import click
from moved import move_references
from napari_pixelgene import jobs
from napari_pixelgene.gui.section.dock import SectionDock
from napari_pixelgene.jobs import starting

PICTURES = os.environ.get("PIXELGENE_PICTURES")  # a folder: what is shown is saved there, to be looked at


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    for job in jobs.running():
        job.cancel()


@pytest.fixture
def dock(qtbot) -> SectionDock:
    """The Section dock alone, without napari's window, which costs seconds."""
    made = SectionDock(ViewerModel())
    qtbot.addWidget(made)
    made.resize(380, 800)
    made.show()
    return made


class Form:
    """Somebody before the New dialog, with a mouse and a keyboard."""

    def __init__(self, dock: SectionDock, qtbot) -> None:
        self.dock, self.qtbot = dock, qtbot
        click(dock.new_button)
        assert dock.new_dialog is not None
        self.dialog = dock.new_dialog
        self.dialog.activateWindow()  # a line is left only in a window that has the keyboard
        qtbot.waitUntil(self.dialog.isActiveWindow, timeout=5000)

    def write(self, field: QLineEdit, text: object) -> None:
        """In the stead of what stands there."""
        field.setFocus()
        field.selectAll()
        QTest.keyClick(field, Qt.Key.Key_Delete)
        QTest.keyClicks(field, str(text))
        QTest.keyClick(field, Qt.Key.Key_Tab)

    def is_a(self, kind: str) -> None:
        """By the keyboard in the list "It is"."""
        box = self.dialog.kind
        while box.currentData() != kind:
            QTest.keyClick(box, Qt.Key.Key_Down if box.currentIndex() < box.findData(kind) else Qt.Key.Key_Up)

    def asked(self, name: str, text: object) -> None:
        """A field of the kind's own form."""
        widget = self.dialog.form.widget(name)
        self.write(getattr(widget, "line_edit", widget).native, text)

    def import_it(self) -> str:
        """Click Import, wait for how it ends; gives what the dialog says then, nothing when it went well."""
        click(self.dialog.import_button)
        self.qtbot.waitUntil(lambda: not self.dock.job.running, timeout=60_000)
        QApplication.processEvents()
        return self.dialog.fault.text if self.dialog.isVisible() else ""

    def standing(self) -> dict[str, str]:
        """What stands in the dialog's own lines."""
        return {name: getattr(self.dialog, name).text() for name in ("he", "mpp", "run", "name", "folder")}


def picture(widget: QWidget, name: str) -> None:
    if PICTURES:
        QApplication.processEvents()
        widget.grab().save(str(Path(PICTURES) / f"{name}.png"))


def seen(widget: QWidget) -> str:
    """Every word that is shown."""
    return "\n".join(label.text() for label in widget.findChildren(QLabel) if label.isVisible())


def assert_told(text: str, widget: QWidget, *words: str) -> None:
    """One sentence with these words in a red box of this widget; it can be copied, and no traceback is shown."""
    for word in words:
        assert word in text, f"'{word}' is not in: {text}"
    shown = seen(widget)
    assert text in shown and "Traceback" not in shown and "defect of " not in shown
    (copy,) = [b for b in widget.findChildren(QPushButton) if b.isVisible() and b.text() in ("Copy details", "Copied")]
    click(copy)
    assert words[0] in QApplication.clipboard().text()


def fill(form: Form, inputs: Inputs, name: str) -> None:
    form.write(form.dialog.he, inputs.folder / "he.png")
    form.write(form.dialog.mpp, inputs.mpp)
    form.is_a("st")
    form.asked("counts", inputs.folder / "counts.tsv.gz")
    form.asked("spots", inputs.folder / "spots.tsv")
    form.asked("spot_diameter_um", 100)
    form.write(form.dialog.name, name)
    form.write(form.dialog.folder, inputs.folder)


def test_tables_that_are_wrong_are_told_and_corrected_in_the_dialog(dock: SectionDock, tmp_path: Path, qtbot):
    """One fault after the other in the same files, as somebody who mends them meets them; then it is imported."""
    fill(form := Form(dock, qtbot), legacy_st(tmp_path), "A")
    standing = form.standing()
    for spoil, words in SPOILT:
        inputs = legacy_st(tmp_path)
        spoil(inputs)
        inputs.write()
        form.write(form.dialog.mpp, inputs.mpp or "")
        told = form.import_it()
        assert_told(told, form.dialog, *(word.replace("--mpp", "ixel size") for word in words))
        assert form.standing() == standing | {"mpp": str(inputs.mpp or "")}
        assert form.dialog.form.value().spots == tmp_path / "spots.tsv"
        assert not (tmp_path / "A.section.zarr").exists()
        picture(form.dialog, f"table-{spoil.__name__}")
    inputs = legacy_st(tmp_path)
    form.write(form.dialog.mpp, inputs.mpp)
    assert form.import_it() == "" and not dock.fault.text
    assert dock.state == "full" and dock.session.store.path == tmp_path / "A.section.zarr"
    picture(dock, "after-all")


def test_what_the_dialog_sees_at_once_is_told_before_anything_starts(
    dock: SectionDock, tmp_path: Path, small_run, qtbot
):
    slide = tmp_path / "cut.ome.tif"
    slide.write_bytes(small_run.he.read_bytes()[:200_000])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "outs").mkdir()
    form = Form(dock, qtbot)
    dialog = form.dialog
    form.write(dialog.name, "A")
    form.write(dialog.folder, tmp_path)
    for place, word in (
        (tmp_path / "gone.tif", "no file"),
        (tmp_path / "notes.txt", "notes.txt"),
        (slide, "cut.ome.tif"),
    ):
        form.write(dialog.he, place)
        assert_told(dialog.fault.text, dialog, word)  # as soon as the line is left
        told = form.import_it()
        assert_told(told, dialog, word)
    picture(dialog, "truncated-tiff")
    form.write(dialog.he, small_run.he)
    assert not dialog.fault.text
    form.write(dialog.mpp, "0.5 mm")
    assert_told(form.import_it(), dialog, "pixel size '0.5 mm' is not a number")
    form.write(dialog.mpp, "")
    form.write(dialog.run, tmp_path / "outs")
    assert_told(form.import_it(), dialog, "not what it is")
    form.is_a("xenium")
    assert_told(form.import_it(), dialog, "outs is empty")
    picture(dialog, "empty-folder")
    form.write(dialog.folder, tmp_path / "nowhere")
    assert_told(form.import_it(), dialog, "no folder", "nowhere")
    assert not (tmp_path / "A.section.zarr").exists() and dock.state == "empty"


def test_a_run_that_broke_off_keeps_the_dialog_as_it_was_filled(dock: SectionDock, tmp_path: Path, small_run, qtbot):
    run = tmp_path / "outs"
    run.mkdir()
    for name in ("experiment.xenium", "gene_panel.json"):
        shutil.copy(small_run.bundle / name, run)
    whole = (small_run.bundle / "transcripts.parquet").read_bytes()
    (run / "transcripts.parquet").write_bytes(whole[: len(whole) // 2])
    form = Form(dock, qtbot)
    form.write(form.dialog.run, run)
    form.write(form.dialog.he, small_run.he)
    form.write(form.dialog.name, "cut")
    form.write(form.dialog.folder, tmp_path)
    form.asked("min_qv", 25)
    standing = form.standing()
    assert_told(form.import_it(), form.dialog, "transcripts.parquet")
    assert form.standing() == standing and form.dialog.form.value({"bundle": run}).min_qv == 25
    assert "transcripts.parquet" in dock.fault.text  # also when the dialog is closed
    QTest.keyClick(form.dialog, Qt.Key.Key_Escape)
    assert_told(dock.fault.text, dock, "transcripts.parquet")
    picture(dock, "dock-after-escape")
    click(dock.fault.way_out)
    assert form.dialog.isVisible() and form.standing() == standing


def test_visium_without_its_images_asks_for_the_h_and_e(dock: SectionDock, tmp_path: Path, arrays_run, qtbot):
    run = Path(shutil.copytree(arrays_run.visium, tmp_path / "outs"))
    for image in run.glob("spatial/*.png"):
        image.unlink()
    form = Form(dock, qtbot)
    form.write(form.dialog.run, run)
    assert form.dialog.kind.currentData() == "visium" and form.dialog.he.text() == ""
    form.write(form.dialog.name, "V")
    form.write(form.dialog.folder, tmp_path)
    assert_told(form.import_it(), form.dialog, "H&E")
    picture(form.dialog, "visium-without-images")
    form.write(form.dialog.he, arrays_run.he)
    assert form.import_it() == "" and dock.session.store.path == tmp_path / "V.section.zarr"


def test_an_anndata_without_raw_counts_is_told_and_not_guessed(dock: SectionDock, tmp_path: Path, small_run, qtbot):
    anndata = pytest.importorskip("anndata")
    values = np.random.default_rng(2).random((30, 3)).astype(np.float32)
    table = anndata.AnnData(values)
    table.obsm["spatial"] = np.random.default_rng(3).uniform(200, 900, (30, 2))
    table.write_h5ad(tmp_path / "scaled.h5ad")
    form = Form(dock, qtbot)
    form.write(form.dialog.he, small_run.he)
    form.write(form.dialog.run, tmp_path / "scaled.h5ad")
    form.write(form.dialog.name, "D")
    form.write(form.dialog.folder, tmp_path)
    assert_told(form.import_it(), form.dialog, "is not given")  # what positions are
    form.dialog.form.widget("coordinates").value = "he_px"
    assert_told(form.import_it(), form.dialog, "scaled.h5ad", "raw counts")
    picture(form.dialog, "anndata-not-raw")
    assert not (tmp_path / "D.section.zarr").exists()


def test_a_disk_that_is_full_is_told_and_tried_again(dock: SectionDock, tmp_path: Path, qtbot, monkeypatch):
    """A file may not grow beyond 20 kB in the child: the system refuses the write, as a full disk does."""
    whole = starting.command_of
    limited = (
        "import os, resource as r, sys\n"
        "r.setrlimit(r.RLIMIT_FSIZE, (20000, 20000))\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    monkeypatch.setattr(starting, "command_of", lambda *a, **k: [sys.executable, "-c", limited, *whole(*a, **k)])
    pixels = np.random.default_rng(0).integers(90, 240, (300, 4200, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "wide.tif", pixels, photometric="rgb")  # without levels: they are written at import
    form = Form(dock, qtbot)
    form.write(form.dialog.he, tmp_path / "wide.tif")
    form.write(form.dialog.mpp, "0,5")
    form.write(form.dialog.name, "full")
    form.write(form.dialog.folder, tmp_path)
    assert_told(form.import_it(), form.dialog, "room", "Free some space")
    picture(form.dialog, "full-disk")
    monkeypatch.setattr(starting, "command_of", whole)
    assert form.import_it() == "" and dock.state == "full" and not dock.fault.text


@pytest.fixture
def section(tmp_path: Path, small_section: Path) -> Path:
    """A registered section of the test's own, with maps of a run."""
    place = Path(shutil.copytree(small_section, tmp_path / "copy" / "breast.section.zarr"))
    move_references(place, small_section.parent)
    return place


def test_sections_that_cannot_be_opened_or_written_are_told(dock: SectionDock, section: Path, small_run, qtbot):
    dock.open_path(section)
    layers = len(dock.session.viewer.layers)
    dock.open_path(section)
    assert len(dock.session.viewer.layers) == layers and not dock.fault.text
    newer = Path(shutil.copytree(section, section.with_name("newer.section.zarr")))
    document = json.loads((newer / "zarr.json").read_text())
    document["attributes"]["napari_pixelgene"]["format_version"] = 99
    (newer / "zarr.json").write_text(json.dumps(document))
    dock.open_path(newer)
    assert_told(dock.fault.text, dock, "newer.section.zarr", "format 99", "Update it", "pip install --upgrade napari")
    assert dock.session.store.path == section and dock.state == "full"
    picture(dock, "newer-version")
    (newer / "zarr.json").write_text("{ not json")
    dock.open_path(newer)
    assert_told(dock.fault.text, dock, "newer.section.zarr")
    dock.open_path(section)
    assert not dock.fault.text


def test_a_folder_that_cannot_be_written_is_told_in_the_dialog(
    dock: SectionDock, tmp_path: Path, small_run, qtbot, monkeypatch
):
    locked = tmp_path / "locked"
    locked.mkdir()
    # Root may write wherever it likes: what the system would answer somebody else is put in its mouth.
    monkeypatch.setattr("napari_pixelgene.gui.section.new.may_write", lambda path: path != locked)
    form = Form(dock, qtbot)
    form.write(form.dialog.he, small_run.he)
    form.write(form.dialog.name, "A")
    form.write(form.dialog.folder, locked)
    assert_told(form.import_it(), form.dialog, str(locked), "cannot be written", "another folder")
    picture(form.dialog, "read-only-folder")
    form.write(form.dialog.folder, tmp_path)
    assert form.import_it() == "" and dock.session.store.path == tmp_path / "A.section.zarr"
