"""The pairs as a table: number, switch, residual as a bar with its µm, and why a pair does not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QStyledItemDelegate, QTableWidget, QTableWidgetItem

from napari_pixelgene.gui.register.fitting import Row

_NUMBER, _USE, _RESIDUAL, _WHY = range(4)
_GOOD, _OUT, _OFF = QColor("#0090c8"), QColor("#e06c00"), QColor("#8a8a8a")
_BAR = Qt.ItemDataRole.UserRole
_ROW_PX, _LEAST_PX, _MOST_PX = 24, 78, 260


class PairTable(QTableWidget):
    """`show_rows` fills it; `chosen(index)` and `switched(index, on)` tell what a person did."""

    chosen = Signal(int)
    switched = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__(0, 4)
        self.setHorizontalHeaderLabels(["#", "use", "off by", "why"])
        number = QTableWidgetItem("#")
        number.setToolTip("N goes to the next pair, Shift+N to the one before, 1 to 9 to that one")
        self.setHorizontalHeaderItem(_NUMBER, number)
        self.verticalHeader().hide()
        self.setTabKeyNavigation(False)  # Tab leaves the table
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setItemDelegateForColumn(_RESIDUAL, _Bar(self))
        self._widths()
        self.setMinimumHeight(_LEAST_PX)
        self.itemSelectionChanged.connect(self._selected)
        self.itemChanged.connect(self._changed)

    def keyPressEvent(self, event: Any) -> None:
        """Letters and digits are the dock's keys; there is nothing here to search for by typing."""
        if event.text().isalnum():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def show_rows(self, rows: Sequence[Row], selected: int | None, half: str = "") -> None:
        """The pairs, and a last line for the half one: `half` says where it waits for its partner."""
        self.blockSignals(True)
        count = len(rows) + bool(half)
        self.setRowCount(count)
        self.setMaximumHeight(min(_MOST_PX, max(_LEAST_PX, _ROW_PX * (count + 2))))
        self.clearSpans()
        worst = max([1.0, *(row.residual_um for row in rows if np.isfinite(row.residual_um) and row.trusted)])
        for i, row in enumerate(rows):
            self._fill(i, row, worst)
        if half:
            self._fill_half(count - 1, half)
        self.clearSelection()
        if selected is not None and selected < count:
            self.selectRow(selected)
        self.blockSignals(False)

    def _fill(self, i: int, row: Row, worst: float) -> None:
        use = QTableWidgetItem()
        use.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
        use.setCheckState(Qt.CheckState.Checked if row.enabled else Qt.CheckState.Unchecked)
        use.setToolTip("Whether this pair takes part in the fit")
        known = bool(np.isfinite(row.residual_um))
        residual = QTableWidgetItem(_length(row.residual_um) if known else "–")
        residual.setData(_BAR, (min(1.0, row.residual_um / worst) if known else 0.0, _colour(row)))
        residual.setToolTip("How far the point lies from where the model puts it (its residual), in µm on the H&E")
        why = QTableWidgetItem(row.why)
        why.setToolTip(row.why)
        for column, item in enumerate((QTableWidgetItem(str(row.number)), use, residual, why)):
            self.setItem(i, column, item)

    def _fill_half(self, i: int, half: str) -> None:
        for column, text in enumerate((str(i + 1), "", "", "")):
            self.setItem(i, column, QTableWidgetItem(text))
        self.setItem(i, _USE, QTableWidgetItem(half))
        self.setSpan(i, _USE, 1, 3)

    def _widths(self) -> None:
        header = self.horizontalHeader()
        header.setMinimumSectionSize(24)
        for column, width in ((_NUMBER, 24), (_USE, 32), (_RESIDUAL, 98)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, width)
        header.setSectionResizeMode(_WHY, QHeaderView.ResizeMode.Stretch)
        self.verticalHeader().setDefaultSectionSize(_ROW_PX)

    def _selected(self) -> None:
        rows = self.selectionModel().selectedRows()
        if rows:
            self.chosen.emit(rows[0].row())

    def _changed(self, item: QTableWidgetItem) -> None:
        if item.column() == _USE and item.flags() & Qt.ItemFlag.ItemIsUserCheckable:
            self.switched.emit(item.row(), item.checkState() == Qt.CheckState.Checked)


class _Bar(QStyledItemDelegate):
    """A bar on the left, the number on the right."""

    def paint(self, painter: Any, option: Any, index: Any) -> None:
        """Draw the cell."""
        share, colour = index.data(_BAR) or (0.0, _OFF)
        option.displayAlignment = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        super().paint(painter, option, index)
        room = QRectF(option.rect).adjusted(4, 8, -62, -8)
        room.setWidth(max(0.0, room.width()) * share)
        painter.fillRect(room, colour)

    def initStyleOption(self, option: Any, index: Any) -> None:
        """Numbers stand right."""
        super().initStyleOption(option, index)
        option.displayAlignment = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def _length(um: float) -> str:
    """Short enough to stand beside its bar."""
    return f"{um:.1f} µm" if um < 99.95 else f"{um:.0f} µm" if um < 999.5 else f"{um / 1000:.1f} mm"


def _colour(row: Row) -> QColor:
    return _OFF if not row.enabled else _GOOD if row.trusted else _OUT
