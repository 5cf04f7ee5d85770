"""The gene table: a model over plain arrays that makes nothing for a row before it is seen, and its view."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeyEvent, QMouseEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_pixelgene.elements.arrays import IntArray
from napari_pixelgene.gui.genes.rows import CONTROL, GENE, HEADINGS, HELD_OUT, PIN, TIPS, TOTAL, GeneRows

_ROLE = Qt.ItemDataRole
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
# Room for these, the arrow of the sorted column included.
_WIDEST = {HELD_OUT: "held-out r ▾▾", CONTROL: "chance ▾", TOTAL: "total ▾", PIN: "★"}
Index = QModelIndex | QPersistentModelIndex


class GeneModel(QAbstractTableModel):
    """`rows` seen through a search and a sorting: `order[i]` is the gene in row i of the view."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: GeneRows | None = None
        self.order: IntArray = np.zeros(0, dtype=np.int64)
        self.pins: frozenset[str] = frozenset()
        self.search, self.column, self.descending = "", GENE, False

    def take(self, rows: GeneRows | None) -> None:
        """Other genes: the best predicted first where they were scored, else by name."""
        self.rows = rows
        scored = rows is not None and rows.scored
        self.column, self.descending = (HELD_OUT, True) if scored else (GENE, False)
        self.arrange()

    def find(self, text: str) -> None:
        """Keep the rows that a search finds."""
        self.search = text
        self.arrange()

    def arrange(self) -> None:
        """Search and sort anew."""
        self.beginResetModel()
        none = np.zeros(0, dtype=np.int64)
        asked = (self.search, self.column, self.descending, self.pins)
        self.order = none if self.rows is None else self.rows.order(*asked)
        self.endResetModel()

    def set_pins(self, pins: frozenset[str]) -> None:
        """Other genes are pinned."""
        if pins == self.pins:
            return  # nothing is drawn anew
        self.pins = pins
        if len(self.order):
            self.dataChanged.emit(self.index(0, PIN), self.index(len(self.order) - 1, PIN))

    def gene(self, row: int) -> str:
        """The gene in a row of the view."""
        assert self.rows is not None
        return self.rows.genes.symbols[int(self.order[row])]

    def row_of(self, gene: str) -> int:
        """The view's row of a gene, -1 where it is not among those found."""
        if self.rows is None or gene not in self.rows.genes:
            return -1
        found = np.flatnonzero(self.order == self.rows.genes.index(gene))
        return int(found[0]) if len(found) else -1

    # Qt's questions

    def rowCount(self, parent: Index | None = None) -> int:
        """Genes that were found."""
        return 0 if parent is not None and parent.isValid() else len(self.order)

    def columnCount(self, parent: Index | None = None) -> int:
        """gene, held-out r, chance, total, pin."""
        return 0 if parent is not None and parent.isValid() else len(HEADINGS)

    def data(self, index: Index, role: int = _ROLE.DisplayRole) -> Any:
        """Text, tooltip and alignment of one cell."""
        if not index.isValid() or self.rows is None:
            return None
        row, column = int(self.order[index.row()]), index.column()
        if role == _ROLE.DisplayRole:
            return self.rows.text(row, column, self.rows.genes.symbols[row] in self.pins)
        if role == _ROLE.ToolTipRole:
            return self.rows.tip(row, column)
        if role == _ROLE.TextAlignmentRole:
            return _LEFT if column == GENE else Qt.AlignmentFlag.AlignCenter if column == PIN else _RIGHT
        return None

    def headerData(self, section: int, orientation: Any, role: int = _ROLE.DisplayRole) -> Any:
        """Headings with what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == _ROLE.ToolTipRole:
            return TIPS[section]
        return HEADINGS[section] if role == _ROLE.DisplayRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column."""
        asked = (column, order == Qt.SortOrder.DescendingOrder)
        if asked != (self.column, self.descending):
            self.column, self.descending = asked
            self.arrange()


class GeneTableView(QTableView):
    """`walked(gene)` when a row is clicked or reached with the keys, `starred(gene)` when it is to be (un)pinned."""

    walked = QtSignal(str)
    starred = QtSignal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.genes = GeneModel()
        self.setModel(self.genes)
        self.setObjectName("gene-table")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)  # Tab leaves the table
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(180)
        self.marked, self._pressed_on, self._quiet = "", -1, False  # `marked`: the gene whose row is chosen
        self._headers()
        self.selectionModel().currentRowChanged.connect(self._row_changed)
        self.clicked.connect(self._clicked)
        self.genes.modelReset.connect(lambda: self.mark(self.marked))

    def mark(self, gene: str) -> None:
        """Select a gene's row without walking to it; none where it is not among those found."""
        self.marked = gene
        row = self.genes.row_of(gene)
        self._quiet = True
        if row >= 0:
            self.selectRow(row)
            self.setCurrentIndex(self.genes.index(row, GENE))
            self.scrollTo(self.genes.index(row, GENE))
        else:
            self.clearSelection()
        self._quiet = False

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter pins; everything else is the table's own."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self.starred.emit(self.genes.gene(self.currentIndex().row()))
            return
        super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Remember which row was chosen before."""
        self._pressed_on = self.currentIndex().row() if self.selectionModel().hasSelection() else -1
        super().mousePressEvent(event)

    def show_sorting(self) -> None:
        """The header's arrow where the model sorts, without sorting again."""
        order = Qt.SortOrder.DescendingOrder if self.genes.descending else Qt.SortOrder.AscendingOrder
        self.horizontalHeader().setSortIndicator(self.genes.column, order)

    def _headers(self) -> None:
        down = self.verticalHeader()
        down.hide()
        down.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)  # 18,000 rows are not measured one by one
        down.setDefaultSectionSize(self.fontMetrics().height() + 6)
        across = self.horizontalHeader()
        across.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        across.setSectionResizeMode(GENE, QHeaderView.ResizeMode.Stretch)
        across.setHighlightSections(False)
        across.setMinimumSectionSize(20)
        across.setStyleSheet("QHeaderView::section { padding: 2px; }")
        wide = self.fontMetrics().horizontalAdvance
        for column in range(GENE + 1, len(HEADINGS)):
            across.resizeSection(column, wide(_WIDEST[column]) + 10)
        self.setSortingEnabled(True)
        self.show_sorting()

    def _row_changed(self, now: QModelIndex, _: QModelIndex) -> None:
        if not self._quiet and now.isValid():
            self.marked = self.genes.gene(now.row())
            self.walked.emit(self.marked)

    def _clicked(self, index: QModelIndex) -> None:
        gene = self.genes.gene(index.row())
        if index.column() == PIN:
            self.starred.emit(gene)
        elif index.row() == self._pressed_on:
            self.walked.emit(gene)  # the same row again: shown again, where a person hid or deleted it
