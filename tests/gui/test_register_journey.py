"""From a blank window to a matrix in a file by mouse and keys: opened, clicked, fitted, looked at, checked, exported.

The matrix is read as plain numbers and held against the truth in µm. `PIXELGENE_PICTURES=docs/pictures` takes the
pictures of picking, of the map and, where Chromium is there to draw it, of the report; with `--basetemp=/tmp/slides`,
whose name stands in the report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QScrollArea

from napari_pixelgene.gui import recent
from napari_pixelgene.gui.docks import _dock_of
from napari_pixelgene.gui.register import judging
from napari_pixelgene.gui.session import session_of
from register_person import LEFT, MORPHOLOGY_MPP, MPP

SIZE, WIDTH = (1500, 1000), 420
# Places of the run that a person recognises, spread over the tissue, in morphology pixels.
SPOTS = np.array(
    [[420, 500], [2200, 610], [640, 2600], [2100, 2470], [1400, 900], [1210, 2110], [500, 1500], [2000, 1500]], float
)
FIELD = np.stack(np.meshgrid(np.linspace(300, 2250, 9), np.linspace(300, 2700, 9)), axis=-1).reshape(-1, 2)
NONE = Qt.KeyboardModifier.NoModifier


class Newcomer:
    """Somebody with a mouse and a keyboard before a napari in which nothing is open."""

    def __init__(self, viewer, qtbot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        viewer.window.resize(*SIZE)
        self.settle(5)

    def settle(self, turns: int = 2) -> None:
        for _ in range(turns):
            QApplication.processEvents()
            QTest.qWait(30)

    def until(self, true, seconds: float = 60) -> None:
        self.qtbot.waitUntil(true, timeout=int(1000 * seconds))

    def dock(self, title):
        return _dock_of(self.viewer, title)

    def menu(self, *titles) -> None:
        """Open menus one in another with the mouse, and click the last entry."""
        place = self.viewer.window._qt_window.menuBar()
        for title in titles:
            action = {each.text().replace("&", ""): each for each in place.actions()}[title]
            QTest.mouseClick(place, LEFT, pos=place.actionGeometry(action).center())
            self.settle()
            if isinstance(inner := action.menu(), QMenu):
                self.until(inner.isVisible, 5)
                place = inner
        self.settle(4)

    def press(self, widget) -> None:
        """A click on what can be seen and is not greyed out."""
        for area in self.dock("Register").findChildren(QScrollArea) if self.dock("Register") else ():
            if area.isAncestorOf(widget):
                area.ensureWidgetVisible(widget)
        self.until(lambda: widget.isVisible() and widget.height() > 8, 20)
        self.settle(1)
        assert widget.isEnabled(), f"{widget.text()}: {widget.toolTip()}"
        QTest.mouseClick(widget, LEFT, pos=QPoint(8, widget.height() // 2))
        self.settle()

    def entry(self, button, text) -> None:
        """A button's menu, opened with the mouse, and one entry of it clicked."""
        menu = button.menu()

        def choose() -> None:
            if not menu.isVisible():
                QTimer.singleShot(50, choose)
                return
            action = next(each for each in menu.actions() if each.text().replace("&&", "&").startswith(text))
            QTest.mouseClick(menu, LEFT, pos=menu.actionGeometry(action).center())

        QTimer.singleShot(50, choose)
        self.press(button)

    def click(self, native, model, um) -> None:
        """A click at a place (x, y) in µm of a canvas."""
        camera = model.scene.camera
        away = (np.array(um) - np.array(camera.center)[:0:-1]) * camera.zoom
        at = QPoint(round(native.width() / 2 + away[0]), round(native.height() / 2 + away[1]))
        assert native.rect().contains(at), "the place is out of view"
        QTest.mouseClick(native, LEFT, pos=at)
        self.settle(1)

    def key(self, key, modifier=NONE) -> None:
        QTest.keyClick(self.viewer.window._qt_viewer.canvas.native, key, modifier)
        self.settle()

    def picture(self, name) -> None:
        """The whole window, for the docs."""
        if folder := os.environ.get("PIXELGENE_PICTURES"):
            self.settle(5)
            path = Path(folder) / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            self.viewer.screenshot(str(path), canvas_only=False, flash=False)
            slim(path)


def slim(path: Path) -> None:
    """The same picture with 256 colours: a third of the size, and no eye sees it."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def picture_of_page(page: Path) -> None:
    """The report as a browser draws it."""
    folder, browser = os.environ.get("PIXELGENE_PICTURES"), shutil.which("chromium")
    if folder and browser:
        path = (Path(folder) / "register-report.png").absolute()
        look = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1500,950", f"--screenshot={path}"]
        subprocess.run([browser, *look, page.as_uri()], check=True, capture_output=True, timeout=120)
        slim(path)


@pytest.fixture
def newcomer(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(recent, "_file", lambda: tmp_path / "recent.json")
    one = Newcomer(make_napari_viewer(show=True), qtbot)
    yield one
    session_of(one.viewer).close()
    vars(one).clear()  # pytest holds it until after napari has looked for leaked widgets


def opened(person: Newcomer, section: Path, monkeypatch):
    """The menu, the Section dock, the section, and on to Register."""
    person.menu("Plugins", "PixelGene", "All four docks")
    person.until(lambda: all(person.dock(t) for t in ("Section", "Register", "Run", "Genes")), 30)
    dock = person.dock("Section")
    assert dock.state == "empty"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(section))
    person.press(dock.open_button)
    person.until(lambda: dock.state == "full", 60)
    assert any("not registered" in text for text in dock.checks.texts) and dock.next.text() == "Register →"
    person.press(dock.next)
    register = person.dock("Register")
    person.until(lambda: register.state == "full" and register.controls.canvas.native is not None, 60)
    person.viewer.window._qt_window.resizeDocks([holder(register)], [WIDTH], Qt.Orientation.Horizontal)
    person.settle(5)
    return register


def holder(dock):
    found = dock.parent()
    while found.metaObject().className() != "QtViewerDockWidget":
        found = found.parent()
    return found


def picked(person: Newcomer, register, truth) -> None:
    """Eight spots in both pictures; the third shows that one lies in a mirror, which is ticked; auto fits."""
    controls = register.controls
    person.press(controls.pick)
    main = person.viewer.window._qt_viewer.canvas.native
    for i, (there, here) in enumerate(zip(SPOTS, truth.apply(SPOTS), strict=True)):
        for area in register.findChildren(QScrollArea):
            area.verticalScrollBar().setValue(0)
        person.viewer.reset_view()
        controls.canvas.fit()
        person.settle(1)
        person.click(main, person.viewer, here * MPP)
        with register.views.link.alone():
            controls.canvas.model.reset_view()
        person.settle(1)
        person.click(controls.canvas.native, controls.canvas.model, there * MORPHOLOGY_MPP)
        assert len(register.work.pairs) == i + 1
        if i == 2:
            assert "mirrored" in controls.fit_fault.text
            person.press(controls.models.mirror)
    assert register.work.fit.transform is not None and not controls.fit_fault.text


def looked_at(person: Newcomer, register) -> None:
    """Squares, swipe, arrows, by keys; then undone and done again, and the dock says what."""
    look = register.controls.look
    for key, toggle in ((Qt.Key.Key_C, look.checkers), (Qt.Key.Key_S, look.swipe), (Qt.Key.Key_A, look.arrows)):
        person.key(key)
        assert toggle.isChecked()
        person.key(key)
        assert not toggle.isChecked()
    person.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert "Undone: set pair 8." in register.controls.hint.text() and len(register.work.pairs) == 7
    person.key(Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert len(register.work.pairs) == 8


def checked(person: Newcomer, register, tmp_path, monkeypatch) -> None:
    verdict = register.controls.verdict
    shown: list[Path] = []
    monkeypatch.setattr(judging, "open_page", shown.append)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "qc.html"), ""))
    person.press(verdict.report)
    person.until(lambda: bool(shown) or bool(register.fault.text), 120)
    assert not register.fault.text and verdict.says.text().startswith("● Good")
    person.press(verdict.map)
    assert session_of(person.viewer).layer("quality") is not None
    picture_of_page(shown[0])


def test_from_a_blank_window_to_an_exported_matrix(newcomer, unregistered, truth, tmp_path, monkeypatch):
    person, section = newcomer, unregistered.with_name("breast.section.zarr")  # its name stands in the pictures
    shutil.copytree(unregistered, section)
    register = opened(person, section, monkeypatch)
    picked(person, register, truth)
    person.picture("register")
    looked_at(person, register)
    checked(person, register, tmp_path, monkeypatch)
    person.viewer.reset_view()
    QTest.mouseClick(register.notes, LEFT)  # put away
    person.picture("register-checked")

    file = tmp_path / "matrix.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
    person.entry(register.controls.export, "Matrix CSV")
    person.until(file.exists, 20)
    assert not register.fault.text and "Written: matrix.csv" in register.notes.text()
    to_run = np.loadtxt(file, delimiter=",")  # Xenium Explorer's: pixels of the H&E to those of the run
    here = np.column_stack([truth.apply(FIELD), np.ones(len(FIELD))])
    there = here @ to_run.T
    off_um = np.hypot(*(there[:, :2] / there[:, 2:] - FIELD).T) * MORPHOLOGY_MPP
    assert np.median(off_um) < 2.0 and off_um.max() < 6.0
