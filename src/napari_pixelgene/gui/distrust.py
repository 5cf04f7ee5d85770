"""What is held against the registrations that somebody is about to rely on, said where they decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui import workers
from napari_pixelgene.gui.dock import button, row, words
from napari_pixelgene.gui.levels import LOOKS, SIGNS

if TYPE_CHECKING:
    from napari_pixelgene.gui.session import Session
    from napari_pixelgene.pipeline.trust import Distrust
    from napari_pixelgene.progress import Event
    from napari_pixelgene.store.section import SectionStore


class DistrustBox(QFrame):
    """Hidden until `show_found`; a sentence a registration, and a button that opens its section in Register."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._found: list[tuple[Path, Distrust]] = []
        self._task: Any = None
        self.labels: list[QLabel] = []
        self.buttons: list[QPushButton] = []
        self.hide()

    @property
    def text(self) -> str:
        """All that is shown; empty when nothing is."""
        return "\n".join(label.text() for label in self.labels)

    def look(self, store: SectionStore | None) -> None:
        """Show what is held against a section, read in a thread; None: no section is open."""
        if self._task is not None:
            self._task.cancel()
        self._task = None
        if store is None:
            self.show_found(())
            return

        def read(_: Callable[[Event], None]) -> tuple[Distrust, ...]:
            from napari_pixelgene.pipeline.trust import distrusted

            return distrusted(store)

        self._task = workers.start(
            self, read, lambda found: self.show_found([(store.path, each) for each in found]), self._nothing
        )

    def _nothing(self, _: BaseException) -> None:
        """A verdict of another version, or spoilt: as if it had never been made."""
        self.show_found(())

    def show_found(self, found: Sequence[tuple[Path, Distrust]]) -> None:
        """What is held against sections, by their path; nothing hides the box."""
        if list(found) == self._found:  # a button is not taken away under the mouse
            return
        self._found = list(found)
        for old in (*self.labels, *self.buttons):
            old.hide()
            old.deleteLater()
        self.labels, self.buttons = [], []
        for path, each in self._found:
            self._add(path, each)
        self.setVisible(bool(self._found))

    def _add(self, path: Path, each: Distrust) -> None:
        background, ink = LOOKS[each.level]
        label = words(f"{SIGNS[each.level]} {each.words}", "distrust")
        label.setStyleSheet(f"background: {background}; color: {ink}; padding: 3px; border-radius: 3px;")
        tip = "Go to Register: check it, look at its worst places, add pairs"
        go = button("Look in Register →", partial(self._go, path), tip)
        self.labels.append(label)
        self.buttons.append(go)
        self._column.addWidget(label)
        self._column.addLayout(row(go))

    def _go(self, path: Path) -> None:
        try:
            self._session.open(path)  # nothing happens where it is the one that is open
        except PixelGeneError as error:
            self._session.warn(str(error))
            return
        self._session.asked.emit("Register")
