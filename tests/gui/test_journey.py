"""From a blank window to a gene map by mouse and keys only, on a real canvas. Its pictures are those of the docs.

`PIXELGENE_PICTURES=docs/pictures` writes them there, else they go where the test's other files go; with
`--basetemp=/tmp/slides`, whose name stands in them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QLineEdit, QMenu, QWidget

from mouse import click, ready
from napari_pixelgene.gui.docks import _dock_of
from napari_pixelgene.gui.session import session_of
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

LEFT = Qt.MouseButton.LeftButton
SIZE = (1500, 1000)


class Newcomer:
    """Somebody with a mouse and a keyboard before napari, who counts their clicks."""

    def __init__(self, viewer, qtbot, pictures: Path) -> None:
        self.viewer, self.qtbot, self.pictures = viewer, qtbot, pictures
        self.clicks = 0
        viewer.window.resize(*SIZE)
        self.settle(6)

    def settle(self, turns: int = 3) -> None:
        for _ in range(turns):
            QApplication.processEvents()
            QTest.qWait(40)

    def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        self.qtbot.waitUntil(true, timeout=int(1000 * seconds))

    def press(self, widget: QWidget, at: QPoint | None = None) -> None:
        """A click on a widget that can be seen and is not greyed out."""
        click(widget, at)
        self.clicks += 1
        self.settle()

    def reach(self, widget: QWidget) -> None:
        """Scroll to it, as a person's wheel would."""
        from qtpy.QtWidgets import QScrollArea

        parent = widget.parentWidget()
        while parent is not None and not isinstance(parent, QScrollArea):
            parent = parent.parentWidget()
        if parent is not None:
            parent.ensureWidgetVisible(widget)
            self.settle(1)

    def write(self, field: QLineEdit, text: str) -> None:
        """Click into a field, clear it, type, leave it with Tab."""
        self.press(field)
        QTest.keyClick(field, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(field, text)
        QTest.keyClick(field, Qt.Key.Key_Tab)
        self.settle()

    def choose(self, combo: QComboBox, words: str) -> None:
        """Choose an item by typing its first letters."""
        self.reach(combo)
        combo.setFocus()
        QTest.keyClicks(combo, words)
        self.settle()
        assert combo.currentText().startswith(words)

    def menu(self, *titles: str) -> None:
        """Open menus one in another with the mouse, and click the last entry."""
        bar = self.viewer.window._qt_window.menuBar()
        place: QWidget = bar
        for title in titles:
            actions = {action.text().replace("&", ""): action for action in place.actions()}
            action = actions[title]
            click(place, lambda place=place, action=action: place.actionGeometry(action).center())
            self.settle(2)
            inner = action.menu()
            if isinstance(inner, QMenu):
                self.until(inner.isVisible, 5)
                place = inner
        self.clicks += len(titles)
        self.settle(6)

    def dock(self, title: str):
        found = _dock_of(self.viewer, title)
        assert found is not None, f"the dock {title} is not open"
        return found

    def picture(self, name: str) -> Path:
        """The whole window, for the docs."""
        self.settle(4)
        path = self.pictures / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        slim(path)
        assert path.stat().st_size > 10_000
        return path

    # Canvases

    def click_at(self, native: QWidget, model, xy_um) -> None:
        """Click a place (x, y) in µm on a canvas."""
        ready(native)
        camera = model.scene.camera
        away = (np.array(xy_um) - np.array(camera.center)[:0:-1]) * camera.zoom
        at = QPoint(round(native.width() / 2 + away[0]), round(native.height() / 2 + away[1]))
        assert native.rect().contains(at), "the place is out of view"
        QTest.mouseClick(native, LEFT, pos=at)
        self.settle(1)


def slim(path: Path) -> None:
    """The same picture with 256 colours: a third of the size, and no eye sees it."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


@pytest.fixture
def newcomer(make_napari_viewer, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pictures = Path(os.environ.get("PIXELGENE_PICTURES") or tmp_path / "pictures").absolute()
    one = Newcomer(make_napari_viewer(show=True), qtbot, pictures)
    yield one
    session_of(one.viewer).close()
    vars(one).clear()  # pytest holds it until after napari has looked for leaked widgets


def make_section(person: Newcomer, small_run: SimulatedRun, folder: Path) -> Path:
    """New…: name the H&E and the run, import, wait."""
    dock = person.dock("Section")
    person.picture("section-empty")
    person.press(dock.new_button)
    dialog = dock.new_dialog
    person.write(dialog.he, str(small_run.he))
    person.write(dialog.run, str(small_run.bundle))
    assert dialog.kind.currentData() == "xenium" and "Recognised" in dialog.recognised.text()
    person.write(dialog.name, "tour")
    person.write(dialog.folder, str(folder))
    person.settle(4)
    dialog.grab().save(str(person.pictures / "section-new.png"))
    slim(person.pictures / "section-new.png")
    person.press(dialog.import_button)
    assert not dialog.fault.text
    person.until(lambda: dock.state == "full" or bool(dock.fault.text), 90)
    assert not dock.fault.text
    return folder / "tour.section.zarr"


def register(person: Newcomer, small_run: SimulatedRun) -> None:
    """Click six pairs of the run's own keypoints on both canvases."""
    dock = person.dock("Register")
    person.until(lambda: dock.state == "full" and dock.controls.canvas.native is not None, 30)
    person.press(dock.controls.pick)
    pairs = read_alignment(small_run.keypoints)
    mpp = float(session_of(person.viewer).store.meta()["mpp"])
    main = person.viewer.window._qt_viewer.canvas.native
    far = np.argsort(pairs.fixed_xy @ np.array([1.0, 0.37]))[:: max(1, len(pairs) // 6)][:6]
    for i in far:
        person.click_at(main, person.viewer, pairs.fixed_xy[i] * mpp)
        person.click_at(dock.controls.canvas.native, dock.controls.canvas.model, pairs.moving_xy[i] * 0.2125)
    assert len(dock.work.pairs) == len(far) == 6


def test_from_a_blank_window_to_a_gene_map(newcomer: Newcomer, small_run: SimulatedRun, tmp_path: Path):
    person = newcomer
    person.menu("Plugins", "PixelGene", "All four docks")
    person.until(lambda: all(_dock_of(person.viewer, t) for t in ("Section", "Register", "Run", "Genes")), 20)
    dock = person.dock("Section")
    path = make_section(person, small_run, tmp_path)
    assert any("not registered" in text for text in dock.checks.texts) and dock.next.text() == "Register →"
    person.picture("section-open")
    person.press(dock.next)
    register(person, small_run)

    person.press(person.dock("Register").controls.run)
    store = SectionStore.open(path)
    person.until(lambda: read_capture(store, store.captures()[0]).to_he is not None, 20)
    run = person.dock("Run")
    person.until(lambda: run.state == "full" and run.run.isEnabled(), 60)
    person.choose(run.options.model, "ridge")
    person.until(run.run.isEnabled, 20)
    person.settle(10)
    person.picture("run-before")
    person.press(run.run)
    person.until(lambda: run.progress.running is not None, 20)
    person.until(lambda: run.progress.story is not None and bool(run.progress.story.job.events(0)[0]), 60)
    person.settle(10)
    person.picture("run-running")
    person.until(lambda: run.progress.running is None, 240)
    assert run.progress.story.job.state() == "done", run.progress.story.job.fault()

    person.press(run.next)
    genes = person.dock("Genes")
    person.until(lambda: genes.state == "full", 20)
    wanted = store_genes(path)[3]
    person.press(genes.search)
    QTest.keyClicks(genes.search, wanted.lower())
    QTest.keyClick(genes.search, Qt.Key.Key_Return)
    person.until(lambda: genes.browser.gene == wanted, 10)
    layer = session_of(person.viewer).layer("map")
    assert layer is not None and layer.visible and wanted in layer.name
    QTest.keyClick(genes.search, Qt.Key.Key_Escape)
    assert genes.here.text().startswith(wanted)
    rings = session_of(person.viewer).layer("keypoints")
    assert rings is not None and not rings.visible  # they belong to the Register dock
    person.picture("genes")

    drawn = person.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)
    layer.visible = False
    person.settle()
    without = person.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)
    assert (np.abs(drawn - without).max(-1) > 20).mean() > 0.05  # the map is seen on the canvas
    assert "r" in genes.sentence.text() and "not scored" not in genes.sentence.text()


def store_genes(path: Path) -> list[str]:
    from napari_pixelgene.store.maps import read_maps

    store = SectionStore.open(path)
    return list(read_maps(store, store.mapped_runs()[0]).genes.symbols)
