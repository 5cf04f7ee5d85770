"""Somebody with a mouse and keys before the Section dock, for the tests of its dialogs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QLineEdit, QPushButton, QWidget

from mouse import click
from napari_pixelgene.gui.section.dock import SectionDock
from napari_pixelgene.store.section import SectionStore

LEFT = Qt.MouseButton.LeftButton


class Person:
    """Somebody with a mouse and keys before the Section dock of one window, which stays open from kind to kind."""

    def __init__(self, dock: SectionDock, folder: Path) -> None:
        self.dock, self.folder = dock, folder
        look = os.environ.get("PIXELGENE_LOOK")
        self.look = Path(look) if look else None

    @property
    def dialog(self):
        return self.dock.new_dialog

    def wait(self, true: Callable[[], bool], seconds: float = 60) -> None:
        for _ in range(int(seconds * 40)):
            QApplication.processEvents()
            if true():
                return
            QTest.qWait(25)
        raise AssertionError(f"waited {seconds} s in vain: {self.dock.fault.text} {self.dialog.fault.text}")

    def press(self, widget: QWidget) -> None:
        click(widget)

    def write(self, field: QLineEdit, text: object) -> None:
        self.press(field)
        QTest.keyClick(field, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(field, str(text))
        QTest.keyClick(field, Qt.Key.Key_Tab)
        QApplication.processEvents()

    def choose(self, combo: QComboBox, words: str) -> None:
        """Open the list with the mouse and click the line with these words."""
        self.press(combo)
        view = combo.view()
        self.wait(view.isVisible)
        QTest.qWait(QApplication.doubleClickInterval() + 50)  # the click that opened it is over
        row = next(i for i in range(combo.count()) if combo.itemText(i).startswith(words))
        index = combo.model().index(row, combo.modelColumn())
        view.scrollTo(index)

        def chosen() -> bool:  # a list that just came up takes no click for a moment, which a busy machine draws out
            if combo.currentText().startswith(words):
                return True
            if not view.isVisible():  # it was closed by something else: open it again
                click(combo)
                QTest.qWait(QApplication.doubleClickInterval() + 50)
            if view.isVisible():
                QTest.mouseClick(view.viewport(), LEFT, pos=view.visualRect(index).center())
            return combo.currentText().startswith(words)

        self.wait(chosen)
        QApplication.processEvents()

    def new(self) -> None:
        """New…, or what stands for it while nothing is open."""
        found = [b for b in self.dock.findChildren(QPushButton) if b.text() == "New…" and b.isVisible()]
        self.press(found[0] if found else self.dock.new_button)
        self.wait(lambda: self.dialog is not None and self.dialog.isVisible())

    def field(self, name: str) -> QWidget:
        """The widget of a setting of the run; what is folded away is folded out first."""
        assert self.dialog.form is not None
        widget = self.dialog.form.widget(name).native
        if not widget.isVisible():
            self.press(self.dialog.form.more.head)
        return widget

    def fill(self, he: Path | None, run: Path | None, name: str, mpp: str = "") -> None:
        if he is not None:
            self.write(self.dialog.he, he)
        if run is not None:
            self.write(self.dialog.run, run)
        self.write(self.dialog.name, name)
        self.write(self.dialog.folder, self.folder)
        if mpp:
            self.write(self.dialog.mpp, mpp)

    def picture(self, name: str, widget: QWidget) -> None:
        if self.look is not None:
            QTest.qWait(80)
            self.look.mkdir(parents=True, exist_ok=True)
            widget.grab().save(str(self.look / f"{name}.png"))

    def bring(self, name: str) -> SectionStore:
        """Import, and wait until the section is open."""
        self.picture(f"{name}-filled", self.dialog)
        assert self.dialog.height() < 860, "the dialog is taller than a laptop's screen"
        self.press(self.dialog.import_button)
        assert not self.dialog.fault.text, self.dialog.fault.text
        place = self.folder / f"{name}.section.zarr"
        session = self.dock.session
        self.wait(lambda: bool(self.dock.fault.text) or (session.store is not None and session.store.path == place), 60)
        assert not self.dock.fault.text, self.dock.fault.text
        self.wait(lambda: self.dock.state == "full")
        self.picture(f"{name}-open", self.dock)
        assert place.name in self.dock.name.text()
        return SectionStore.open(place)
