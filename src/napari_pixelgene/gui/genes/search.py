"""The search box above the gene list."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QLineEdit


class SearchBox(QLineEdit):
    """The search box: Enter takes the first gene, ↓ goes to the list, Esc empties it."""

    entered = QtSignal()
    left_down = QtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("gene-search")
        self.setPlaceholderText("Search a gene: symbol or Ensembl id")
        self.setClearButtonEnabled(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter, ↓ and Esc; the rest is typing."""
        key = event.key()
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered.emit()
        elif key == Qt.Key.Key_Down:
            self.left_down.emit()
        elif key == Qt.Key.Key_Escape and self.text():
            self.clear()
        else:
            super().keyPressEvent(event)
