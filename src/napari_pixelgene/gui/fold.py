"""A line that folds out what is seldom needed."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget


class Fold(QWidget):
    """A line with ▸ that folds out what is `inside`."""

    def __init__(self, title: str, open_: bool = False) -> None:
        super().__init__()
        self.head = QToolButton()
        self.head.setText(title)
        self.head.setCheckable(True)
        self.head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.head.setStyleSheet("QToolButton { border: none; background: transparent; }")
        self.holder = QWidget()
        self.inside = QVBoxLayout(self.holder)
        self.inside.setContentsMargins(8, 0, 0, 0)
        self.head.toggled.connect(self._toggle)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.head)
        column.addWidget(self.holder)
        self.head.setChecked(open_)
        self._toggle(open_)

    def _toggle(self, on: bool) -> None:
        self.head.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self.holder.setVisible(on)
