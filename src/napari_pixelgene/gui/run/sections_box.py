"""Which sections to train on and to predict: two ticks a section, and the reason where one cannot be set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_pixelgene.gui.dock import allow, button, row, words
from napari_pixelgene.gui.run.candidates import Candidate

# So many are shown before a person asks for the others.
_SHOWN = 4


class SectionsBox(QWidget):
    """`show(candidates)` lists them; `train` and `predict` are what is ticked; `changed` when a person ticks."""

    changed = Signal()
    asked_for_more = Signal()  # "Add…"

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Candidate] = []
        self._ticks: dict[str, dict[Path, QCheckBox]] = {"train": {}, "predict": {}}
        self._wanted: dict[str, set[Path]] = {"train": set(), "predict": set()}
        self._all = False
        self._grid_holder = QWidget()
        self.add = button("Add…", self.asked_for_more.emit, "Add a section from a folder.")
        self.more = button("", self._show_all)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._grid_holder)
        column.addLayout(row(self.add, self.more))

    @property
    def train(self) -> tuple[Path, ...]:
        """Sections to train on, in the list's order."""
        return self._ticked("train")

    @property
    def predict(self) -> tuple[Path, ...]:
        """Sections to predict, in the list's order."""
        return self._ticked("predict")

    def box(self, what: str, path: Path) -> QCheckBox:
        """The tick of a section, `what` being train or predict."""
        return self._ticks[what][path]

    def show_candidates(self, found: Sequence[Candidate]) -> None:
        """List sections; what was ticked stays, what cannot be done is unticked."""
        if list(found) != self.found:  # a tick is not taken away under the mouse
            self.found = list(found)
            self._draw()

    def choose(self, train: Sequence[Path], predict: Sequence[Path]) -> None:
        """Tick these and no others."""
        self._wanted = {"train": set(train), "predict": set(predict)}
        self._draw()

    def _draw(self) -> None:
        old, self._grid_holder = self._grid_holder, QWidget()
        grid = QGridLayout(self._grid_holder)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(0, 1)
        for column, title in enumerate(("Train on", "Predict"), start=1):
            grid.addWidget(QLabel(title), 0, column)
        self._ticks = {"train": {}, "predict": {}}
        shown = self.found if self._all else self._first()
        for each in shown:
            self._add_row(grid, each)
        self.more.setText(f"{len(self.found) - len(shown)} more")
        self.more.setVisible(len(shown) < len(self.found))
        layout = self.layout()
        assert layout is not None
        layout.replaceWidget(old, self._grid_holder)
        old.deleteLater()

    def _first(self) -> list[Candidate]:
        """The first few, and all that are ticked."""
        wanted = self._wanted["train"] | self._wanted["predict"]
        return [each for place, each in enumerate(self.found) if place < _SHOWN or each.path in wanted]

    def _add_row(self, grid: QGridLayout, each: Candidate) -> None:
        line = grid.rowCount()
        name = _Elided(each.name)
        name.setToolTip(str(each.path))
        grid.addWidget(name, line, 0)
        for column, (what, why) in enumerate((("train", each.not_trained), ("predict", each.not_predicted)), start=1):
            tick = QCheckBox()
            tick.setAccessibleName(f"{'Train on' if what == 'train' else 'Predict'} {each.name}")
            allow(tick, why, tick.accessibleName())
            tick.setChecked(not why and each.path in self._wanted[what])
            tick.toggled.connect(lambda on, what=what, path=each.path: self._tick(what, path, on))
            self._ticks[what][each.path] = tick
            grid.addWidget(tick, line, column, Qt.AlignmentFlag.AlignCenter)
        if each.not_trained:
            reason = words(each.not_trained)
            reason.setStyleSheet("margin-left: 12px; font-style: italic;")
            grid.addWidget(reason, line + 1, 0, 1, 3)

    def _tick(self, what: str, path: Path, on: bool) -> None:
        (self._wanted[what].add if on else self._wanted[what].discard)(path)
        self.changed.emit()

    def _ticked(self, what: str) -> tuple[Path, ...]:
        why = {each.path: each.not_trained if what == "train" else each.not_predicted for each in self.found}
        return tuple(path for path, reason in why.items() if not reason and path in self._wanted[what])

    def _show_all(self) -> None:
        self._all = True
        self._draw()


class _Elided(QLabel):
    """A name that may be cut in the middle, and never makes its dock wider."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._whole = text
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def resizeEvent(self, event: object) -> None:
        """Cut it to the width there is."""
        self.setText(self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideMiddle, self.width() - 8))
