"""What goes wrong in a window with its docks: pairs from a file that cannot be trusted, layers that are deleted."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel, QWidget

from mouse import click
from moved import move_references
from napari_pixelgene.gui.docks import _dock_of, open_docks, show_dock
from napari_pixelgene.gui.register import transfer
from napari_pixelgene.gui.session import session_of
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

PICTURES = os.environ.get("PIXELGENE_PICTURES")  # a folder: what is shown is saved there, to be looked at
Rows = list[list[str]]


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def section(tmp_path: Path, small_section: Path) -> Path:
    """A registered section of the test's own, with maps of a run."""
    place = Path(shutil.copytree(small_section, tmp_path / "copy" / "breast.section.zarr"))
    move_references(place, small_section.parent)
    return place


def seen(widget: QWidget) -> str:
    """Every word that is shown."""
    return "\n".join(label.text() for label in widget.findChildren(QLabel) if label.isVisible())


def picture(widget: QWidget, name: str) -> None:
    if PICTURES:
        QApplication.processEvents()
        widget.grab().save(str(Path(PICTURES) / f"{name}.png"))


def fewer(rows: Rows) -> None:
    del rows[2:]


def on_a_line(rows: Rows) -> None:
    for i, row in enumerate(rows[1:]):
        row[:] = [str(100 + 37 * i), str(50 + 74 * i), str(900 - 30 * i), str(400 - 11 * i)]


def twice(rows: Rows) -> None:
    rows[3] = list(rows[2])


def mirrored(rows: Rows) -> None:
    for row in rows[1:]:
        row[2] = str(1400 - float(row[2]))


def no_number(rows: Rows) -> None:
    rows[3][1] = "nan"


FAULTS: tuple[tuple[Callable[[Rows], None], tuple[str, ...]], ...] = (
    (fewer, ("needs 2 pairs", "there is 1")),
    (on_a_line, ("line",)),
    (twice, ("2 and 3",)),
    (mirrored, ("mirror", "tick")),
    (no_number, ("pairs.csv", "line 4", "fixedY")),
)


def test_pairs_that_cannot_be_trusted_are_told_and_others_taken(
    make_napari_viewer, section: Path, small_run, tmp_path: Path, qtbot, monkeypatch
):
    """One file after the other in the Register dock: each is told, undone, and what is stored stays as it was."""
    viewer = make_napari_viewer(show=True)
    dock = show_dock(viewer, "Register")
    session_of(viewer).open(section)
    qtbot.waitUntil(lambda: dock.state == "full", timeout=10_000)
    before = stored(section)
    monkeypatch.setattr(transfer, "ask_open", lambda *_: tmp_path / "pairs.csv")
    for spoil, words in FAULTS:
        with small_run.keypoints.open() as file:
            rows = list(csv.reader(file))
        spoil(rows)
        (tmp_path / "pairs.csv").write_text("\n".join(",".join(row) for row in rows))
        dock.transfer.bring("pairs", None)
        QApplication.processEvents()
        shown = seen(dock)
        assert all(word in shown for word in words), f"{spoil.__name__}: {shown}"
        assert "Traceback" not in shown and "defect" not in shown
        picture(dock, f"pairs-{spoil.__name__}")
        if dock.controls.undo.isEnabled():
            click(dock.controls.undo)
        assert stored(section) == before and dock.work.transform is not None
    shutil.copy(small_run.keypoints, tmp_path / "pairs.csv")
    dock.transfer.bring("pairs", None)
    assert not dock.fault.text and dock.work.fit.error is None and len(dock.work.pairs) > 5


def stored(section: Path) -> list[float]:
    store = SectionStore.open(section)
    transform = read_capture(store, store.captures()[0]).to_he
    return transform.matrix.ravel().tolist()


def test_layers_deleted_in_the_middle_leave_every_dock_working(make_napari_viewer, section: Path, qtbot):
    viewer = make_napari_viewer(show=True)
    open_docks(viewer)
    session = session_of(viewer)
    session.open(section)
    docks = {title: _dock_of(viewer, title) for title in ("Section", "Register", "Run", "Genes")}
    for title in ("Register", "Genes"):  # a dock opens what it needs when it is seen
        show_dock(viewer, title)
        qtbot.waitUntil(lambda title=title: docks[title].state == "full", timeout=20_000)
    viewer.layers.clear()
    QApplication.processEvents()
    for title, each in docks.items():
        show_dock(viewer, title)
        qtbot.waitUntil(lambda each=each: each.state == "full", timeout=20_000)
        assert "defect" not in seen(each) and "Traceback" not in seen(each), title
    table = docks["Genes"].table
    show_dock(viewer, "Genes")
    QTest.keyClick(table, Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: session.layer("map") is not None, timeout=5000)
    show_dock(viewer, "Register")
    QTest.qWait(50)
    docks["Register"].redraw()
    assert not docks["Register"].fault.text
    show_dock(viewer, "Section")
    docks["Section"].open_path(section)
    assert session.layer("he") is not None and not docks["Section"].fault.text
