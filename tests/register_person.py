"""Somebody with a mouse and a keyboard before the Register dock, for the tests of its window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget

from mouse import click, ready
from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.exporters.alignments import write_alignment_json
from napari_pixelgene.gui.docks import show_dock
from napari_pixelgene.gui.register import transfer
from napari_pixelgene.gui.session import session_of
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

MPP, MORPHOLOGY_MPP = 0.5, 0.2125
LEFT = Qt.MouseButton.LeftButton
PLACES = np.array(
    [[420.3, 500.1], [2300.2, 610.7], [640.9, 2600.4], [2190.6, 2470.2], [1400.5, 900.3], [1210.8, 2110.9]]
)


class Person:
    """Somebody with a mouse and a keyboard before the Register dock."""

    def __init__(self, viewer, qtbot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        viewer.window.resize(1000, 700)
        self.session = session_of(viewer)
        self.dock = show_dock(viewer, "Register")
        self.asked = []
        self.session.asked.disconnect()  # the other docks have tests of their own
        self.session.asked.connect(self.asked.append)

    def open(self, section: Path) -> None:
        self.session.open(section)
        self.qtbot.waitUntil(lambda: self.dock.state == "full", timeout=10000)
        self.qtbot.waitUntil(lambda: self.dock.controls.canvas.native is not None, timeout=5000)
        QTest.qWait(60)

    def native(self, side):
        return self.viewer.window._qt_viewer.canvas.native if side == "fixed" else self.dock.controls.canvas.native

    def model(self, side):
        return self.viewer if side == "fixed" else self.dock.controls.canvas.model

    def look(self, side, xy_um, zoom=None) -> None:
        camera = self.model(side).scene.camera
        camera.center = (0, xy_um[1], xy_um[0])
        if zoom is not None:
            camera.zoom = zoom
        QTest.qWait(5)

    def place(self, side, xy_um) -> QPoint:
        """The canvas pixel of a place in µm, by the camera."""
        camera, native = self.model(side).scene.camera, self.native(side)
        away = (np.array(xy_um) - np.array(camera.center)[:0:-1]) * camera.zoom
        return QPoint(round(native.width() / 2 + away[0]), round(native.height() / 2 + away[1]))

    def um(self, side, at: QPoint):
        """The place in µm under a canvas pixel, by the camera."""
        camera, native = self.model(side).scene.camera, self.native(side)
        middle = np.array(camera.center)[:0:-1]
        return middle + (np.array([at.x(), at.y()]) - np.array([native.width(), native.height()]) / 2) / camera.zoom

    def click(self, side, xy_um):
        """Click there; returns the place that was really hit."""
        ready(self.native(side))
        at = self.place(side, xy_um)
        hit = self.um(side, at)
        QTest.mouseClick(self.native(side), LEFT, pos=at)
        QTest.qWait(5)
        return hit

    def drag(self, side, start: QPoint, stop: QPoint) -> None:
        native = self.native(side)
        QTest.mousePress(native, LEFT, pos=start)
        for t in (0.3, 0.7, 1.0):
            QTest.mouseMove(native, QPoint(*(round(a + t * (b - a)) for a, b in zip(xy(start), xy(stop), strict=True))))
            QTest.qWait(20)
        QTest.mouseRelease(native, LEFT, pos=stop)
        QTest.qWait(20)

    def key(self, side, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.native(side), key, modifier)
        QTest.qWait(5)

    def pair(self, morphology_px, he_px) -> None:
        """A pair clicked in both images, the whole of each in view."""
        self.click("fixed", np.array(he_px) * MPP)
        self.click("moving", np.array(morphology_px) * MORPHOLOGY_MPP)

    def press(self, button) -> None:
        click(button)
        QTest.qWait(5)

    @property
    def pairs(self):
        return self.dock.work.pairs

    def stored(self):
        return read_capture(SectionStore.open(self.dock.session.store.path), "run")


def xy(point: QPoint):
    return point.x(), point.y()


def registered(person, section, truth, monkeypatch, tmp_path):
    """The section open with six exact pairs, mirrored, fitted by a homography."""
    person.open(section)
    bring(person, monkeypatch, write_json(tmp_path, Keypoints(PLACES, truth.apply(PLACES))))
    person.press(person.dock.controls.models.mirror)
    person.press(person.dock.controls.models.radio("homography"))


def write_json(folder, keypoints=None, transform=None):
    write_alignment_json(folder / "given.json", keypoints, transform)
    return folder / "given.json"


def bring(person, monkeypatch, path, direction=None):
    monkeypatch.setattr(transfer, "ask_open", lambda *_: path)
    person.dock.transfer.bring("a file", direction)


def holder_of(dock):
    holder = dock.parent()
    while not isinstance(holder, QDockWidget):
        holder = holder.parent()
    return holder
