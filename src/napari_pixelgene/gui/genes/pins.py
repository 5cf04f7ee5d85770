"""Pinned genes as a small list to jump between."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QListView, QListWidget, QListWidgetItem


class PinList(QListWidget):
    """Chips side by side, as many lines as they need; `picked(gene)` jumps, `dropped(gene)` unpins (Delete)."""

    picked = QtSignal(str)
    dropped = QtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("pins")
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setSpacing(2)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setToolTip("Pinned genes. Click one to see it; Delete unpins it.")
        self.setFixedHeight(2 * (self.fontMetrics().height() + 12))
        self.itemClicked.connect(lambda item: self.picked.emit(item.text()))
        self.itemActivated.connect(lambda item: self.picked.emit(item.text()))
        self.hide()

    def set_pins(self, genes: Sequence[str], shown: str = "") -> None:
        """Show these; the one whose map is shown is marked."""
        if [self.item(i).text() for i in range(self.count())] != list(genes):
            self.clear()
            for gene in genes:
                self.addItem(QListWidgetItem(gene))
        for i, gene in enumerate(genes):
            self.item(i).setSelected(gene == shown)
        self.setVisible(bool(genes))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Delete unpins."""
        item = self.currentItem()
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and item is not None:
            self.dropped.emit(item.text())
            return
        super().keyPressEvent(event)
