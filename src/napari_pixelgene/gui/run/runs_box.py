"""The list of a section's runs, and what can be done with one: open its maps, again with changes, details, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHeaderView, QPlainTextEdit, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from napari_pixelgene.gui.dock import allow, button, row, words
from napari_pixelgene.gui.faults import FaultBox
from napari_pixelgene.gui.run.history import STATES, Row

_COLUMNS = ("Run", "r (chance)", "Time", "Model")
_LEAST, _MOST = 3, 8
_ROOMY = 330


class RunsBox(QWidget):
    """`show_rows` lists them.

    `opened`, `again`, `asked` (details), `used` (predict with it) and `deleted` name the row a person means.
    """

    opened, again, asked, deleted = Signal(object), Signal(object), Signal(object), Signal(object)
    used = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.list = QTreeWidget()
        self.list.setHeaderLabels(_COLUMNS)
        self.list.setRootIsDecorated(False)
        self.list.setStyleSheet("QTreeWidget::item { padding: 3px 0; }")
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setAccessibleName("Runs of this section")
        self.none = words("No run yet.", "no-runs")
        self.said = words("", "run-said")
        self.fault = FaultBox()
        self._detailed = ""  # whose details are open
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setFixedHeight(180)
        self.details.hide()
        self.open = button("Open", lambda: self._tell("opened"))
        self.repeat = button("Again…", lambda: self._tell("again"))
        self.use = button("Predict with it", lambda: self._tell("used"))
        self.more = button("Details", self._toggle_details)
        self.delete = button("Delete…", lambda: self._tell("deleted"))
        self.list.itemSelectionChanged.connect(self._selected)
        self.list.itemActivated.connect(lambda *_: self._tell("opened"))
        self._lay_out()
        self.show_rows([])

    def resizeEvent(self, event: Any) -> None:
        """In a narrow dock the model, which names of runs mostly say, is left to the tooltip and the details."""
        super().resizeEvent(event)
        self.list.setColumnHidden(3, self.width() < _ROOMY)

    @property
    def chosen(self) -> Row | None:
        """The selected row."""
        selected = self.list.selectedItems()
        return self.rows[self.list.indexOfTopLevelItem(selected[0])] if selected else None

    def show_rows(self, rows: Sequence[Row]) -> None:
        """List these; the one that was selected stays so."""
        before = self.chosen.name if self.chosen is not None else ""
        self.rows = list(rows)
        self.list.blockSignals(True)  # nothing was chosen anew: what is read of a run stays open
        self.list.clear()
        for each in self.rows:
            item = QTreeWidgetItem([f"{each.sign} {each.name}", each.score or "–", each.took, each.model])
            item.setToolTip(0, f"{each.name} ({each.model}): {STATES[each.state]}")
            item.setToolTip(1, each.verdict or "It was not scored on held-out blocks.")
            self.list.addTopLevelItem(item)
            if each.name == before:
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)
        for widget in (self.list, self.open, self.repeat, self.use, self.more, self.delete):
            widget.setVisible(bool(rows))
        self.none.setVisible(not rows)
        shown = min(max(len(rows), _LEAST), _MOST)
        self.list.setFixedHeight(28 + (self.list.fontMetrics().height() + 8) * shown)
        self._selected()

    def select(self, name: str) -> None:
        """Select the run of that name."""
        for place, each in enumerate(self.rows):
            item = self.list.topLevelItem(place)
            if each.name == name and item is not None:
                self.list.setCurrentItem(item)

    def show_details(self, text: str) -> None:
        """Fill the field below the list."""
        self.details.setPlainText(text)
        self._detailed = self.chosen.name if self.chosen is not None else ""
        self.details.show()

    def _selected(self) -> None:
        chosen = self.chosen
        none = "" if chosen is not None else "Choose a run in the list."
        running = chosen is not None and chosen.state == "running"
        unmapped = "" if chosen is None or chosen.mapped else "It has no maps of this section."
        allow(self.open, none or unmapped, "Show its maps.")
        allow(self.repeat, none, "Put its settings into the form, under a new name.")
        unfinished = "" if chosen is None or chosen.about is not None else "It was not finished."
        allow(self.use, none or unfinished, "Predict the sections ticked above with this run, as it is.")
        allow(self.more, none, "Settings, genes, versions, verdict.")
        allow(self.delete, none or ("It is running: cancel it first." if running else ""), "Delete it and its maps.")
        if chosen is None or chosen.name != self._detailed:
            self.details.hide()
        self.said.setText(chosen.verdict if chosen is not None else "")
        self.said.setVisible(bool(self.said.text()))
        self._tell_fault(chosen)

    def _tell_fault(self, chosen: Row | None) -> None:
        self.fault.clear()
        fault = chosen.job.fault() if chosen is not None and chosen.job is not None else None
        if fault is not None:
            self.fault.say(*fault)

    def _toggle_details(self) -> None:
        if self.details.isVisible():
            self.details.hide()
        else:
            self._tell("asked")

    def _tell(self, signal: str) -> None:
        if self.chosen is not None and (signal != "opened" or self.chosen.mapped):
            getattr(self, signal).emit(self.chosen)

    def _lay_out(self) -> None:
        header = self.list.header()
        assert header is not None
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for place in (1, 2, 3):
            header.setSectionResizeMode(place, QHeaderView.ResizeMode.ResizeToContents)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.none)
        column.addWidget(self.list)
        column.addLayout(row(self.open, self.use, self.repeat))
        column.addLayout(row(self.more, self.delete))
        column.addWidget(self.said)
        column.addWidget(self.fault)
        column.addWidget(self.details)
