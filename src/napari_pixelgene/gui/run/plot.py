"""A small plot that is drawn anew every epoch: held-out r, and beside it what chance gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

# Told apart by the colour-blind, on light and on dark; chance is dashed besides.
_REACHED, _CHANCE = QColor("#2a9df4"), QColor("#e69f00")
_LEFT, _RIGHT, _UP, _DOWN = 30, 6, 6, 6


class CurvePlot(QWidget):
    """`show_curve(reached, chance)`; values are correlations."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._reached: list[float] = []
        self._chance: list[float] = []
        self.setAccessibleName("Held-out correlation of every epoch, and what chance gives")
        self.setToolTip("Blue: correlation with counts the model has not learned from. Orange, dashed: chance.")

    def sizeHint(self) -> QSize:
        """Low and as wide as there is room."""
        return QSize(280, 84)

    def show_curve(self, reached: Sequence[float], chance: Sequence[float]) -> None:
        """Draw these."""
        if len(reached) != len(self._reached) or list(reached) != self._reached:
            self._reached, self._chance = list(reached), list(chance)
            self.update()

    def place(self, index: int, value: float) -> QPointF:
        """Where a value lies in the widget."""
        low, high = self._limits()
        area = self._area()
        steps = max(len(self._reached) - 1, 1)
        share = (value - low) / (high - low)
        return QPointF(area.left() + area.width() * index / steps, area.bottom() - area.height() * share)

    def paintEvent(self, event: Any) -> None:
        """Axis, zero, both lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().text().color()
        faint = QColor(ink)
        faint.setAlpha(90)
        low, high = self._limits()
        painter.setPen(QPen(faint, 1))
        for value in (low, 0.0, high):
            at = self.place(0, value)
            painter.drawLine(at, QPointF(self._area().right(), at.y()))
        painter.setPen(ink)
        for value in {0.0, high}:
            box = QRectF(0, self.place(0, value).y() - 8, _LEFT - 4, 16)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{value:.1f}")
        self._line(painter, self._chance, QPen(_CHANCE, 1.6, Qt.PenStyle.DashLine))
        self._line(painter, self._reached, QPen(_REACHED, 2.2))
        painter.end()

    def _line(self, painter: QPainter, values: Sequence[float], pen: QPen) -> None:
        painter.setPen(pen)
        points = [self.place(index, value) for index, value in enumerate(values)]
        if len(points) == 1:
            painter.drawEllipse(points[0], 2, 2)
        painter.drawPolyline(QPolygonF(points))

    def _area(self) -> QRectF:
        return QRectF(_LEFT, _UP, max(1, self.width() - _LEFT - _RIGHT), max(1, self.height() - _UP - _DOWN))

    def _limits(self) -> tuple[float, float]:
        """A round range that holds zero and all values."""
        values = [0.0, 0.2, *self._reached, *self._chance]
        low, high = min(values), max(values)
        return (low - 0.02 if low < 0 else 0.0), -(-high // 0.1) * 0.1
