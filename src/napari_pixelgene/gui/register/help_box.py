"""Help with the pairs: the buttons, what is proposed as a list, and the question whether a rough alignment stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDoubleSpinBox,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pixelgene.gui.dock import allow, button, row, words
from napari_pixelgene.pipeline.matching import SNAP_UM
from napari_pixelgene.stages.matching import ROUGH_UM

if TYPE_CHECKING:
    from napari_pixelgene.gui.register.helping import Helping

_COLUMNS = (
    ("#", "The number of a pair, or the letter of a new one"),
    ("shift", "How far the run would have to be moved there, in µm on the tissue"),
    ("sure", "How far the match stands above the next best and above chance; from 33 % on it is clear"),
    ("why not", "Why it cannot be taken"),
)
_CHOOSE = "Choose a proposal in the list first"


@dataclass(frozen=True, slots=True)
class Line:
    """One proposal as the list shows it."""

    label: str
    shift: str
    sure: str
    why_not: str = ""


class HelpBox(QWidget):
    """Buttons that ask `helping`; `show_*` fill the rest."""

    def __init__(self, helping: Helping) -> None:
        super().__init__()
        # Stands beside the list of images, at the top.
        self.rough = button("Rough alignment", helping.align, "")
        self.suggest, self.snap = button("Suggest pairs", helping.suggest), button("Snap pairs", helping.snap)
        self.far = _radius(ROUGH_UM, "How far from where the run is drawn a match is sought")
        self.near = _radius(SNAP_UM, "How far from its own place a pair may be moved")
        self.ask = RoughQuestion(helping)  # at the top as well
        self.heading, self.list = words("", "proposed"), ProposalTable()
        self.list.chosen.connect(helping.choose)
        self.accept = button("Accept", helping.accept)
        self.reject = button("Reject", helping.reject)
        self.accept_all = button("Accept all", helping.accept_all)
        self.reject_all = button("Reject all", helping.reject_all)
        self.off = button("", helping.switch_off, "")
        self._offered = QWidget()
        for each in (self.accept, self.reject, self.accept_all, self.reject_all, self.suggest, self.snap):
            each.setMinimumWidth(48)
        self._place()

    def _place(self) -> None:
        inside = QVBoxLayout(self._offered)
        inside.addWidget(self.heading)
        inside.addWidget(self.list)
        inside.addLayout(row(self.accept, self.reject, self.accept_all, self.reject_all, stretch=False))
        inside.addWidget(self.off)
        column = QVBoxLayout(self)
        for asks, radius in ((self.suggest, self.far), (self.snap, self.near)):
            line = row(asks, QLabel("within"), radius, stretch=False)
            line.setStretch(0, 3)
            line.setStretch(2, 2)
            column.addLayout(line)
        column.addWidget(self._offered)
        for layout in (inside, column):
            layout.setContentsMargins(0, 0, 0, 0)

    def show_offer(self, text: str, lines: Sequence[Line], chosen: int | None, able: int, off: str) -> None:
        """The proposals that stand, or none (`text` empty); `able` of them can be taken, `off` names doubtful pairs."""
        self._offered.setVisible(bool(text))
        why = lines[chosen].why_not if chosen is not None else ""
        self.heading.setText(f"{text}\n{lines[chosen].label}: {why}" if chosen is not None and why else text)
        self.list.show_lines(lines, chosen)
        why_not = lines[chosen].why_not if chosen is not None else _CHOOSE
        allow(self.accept, why_not, "Take this proposal: one step, which Undo takes back (Y)")
        allow(self.reject, "" if chosen is not None else _CHOOSE, "Put this proposal away; Undo brings it back (D)")
        nothing = "" if able else "There is none that can be taken"
        allow(self.accept_all, nothing, f"Take the {able} that have a clear match, in one step (Shift+Y)")
        allow(self.reject_all, "", "Put all of them away; Undo brings them back (Shift+D)")
        self.off.setVisible(bool(off))
        self.off.setText(off)
        self.off.setToolTip(
            "They lie over 15 µm from where the other pairs put them, and no match says otherwise: beside pairs that "
            "are true they bend the fit. One step, which Undo takes back."
        )


class RoughQuestion(QWidget):
    """What the rough alignment says of itself, and whether it stays."""

    def __init__(self, helping: Helping) -> None:
        super().__init__()
        self.says = words("", "rough")
        self.keep = button("Keep it", helping.keep, "The run lies so from now on, until pairs do better; one step")
        self.discard = button("Discard", helping.discard, "As it was before")
        self.other = button("The other way round", helping.turn_round, "Look at the next best placement")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.says)
        column.addLayout(row(self.keep, self.discard, stretch=False))
        column.addWidget(self.other)
        self.hide()

    def show_words(self, text: str, other: bool) -> None:
        """The question, or nothing to ask."""
        self.says.setText(text)
        self.other.setVisible(other)
        self.setVisible(bool(text))


class ProposalTable(QTableWidget):
    """A line a proposal; `chosen(line)` when a person goes to one."""

    chosen = QtSignal(int)

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        for column, (text, tip) in enumerate(_COLUMNS):
            head = QTableWidgetItem(text)
            head.setToolTip(tip)
            self.setHorizontalHeaderItem(column, head)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(24)
        for column, width in enumerate((28, 72, 52)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, width)
        header.setSectionResizeMode(3, QHeaderView.ResizeMode.Stretch)
        self.setMinimumHeight(100)
        self.setMaximumHeight(220)
        self.itemSelectionChanged.connect(self._selected)

    def keyPressEvent(self, event: Any) -> None:
        """Letters and digits are the dock's keys."""
        if event.text().isalnum():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def show_lines(self, lines: Sequence[Line], chosen: int | None) -> None:
        """Fill it."""
        with QSignalBlocker(self):
            self.setRowCount(len(lines))
            for i, line in enumerate(lines):
                for column, text in enumerate((line.label, line.shift, line.sure, line.why_not)):
                    item = QTableWidgetItem(text)
                    item.setToolTip(text)
                    if column in (1, 2):
                        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                    self.setItem(i, column, item)
            self.clearSelection()
            if chosen is not None:
                self.selectRow(chosen)

    def _selected(self) -> None:
        if rows := self.selectionModel().selectedRows():
            self.chosen.emit(rows[0].row())


def _radius(value: float, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(5.0, 500.0)
    box.setDecimals(0)
    box.setSingleStep(10)
    box.setValue(value)
    box.setSuffix(" µm")
    box.setKeyboardTracking(False)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setToolTip(tip)
    return box
