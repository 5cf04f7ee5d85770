"""A dialog whose fields are never squeezed: it grows with what it holds, and scrolls beyond a laptop's screen."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import QDialog, QFrame, QScrollArea, QWidget

_MOST_PX, _SLACK_PX = 540, 6


class TallDialog(QDialog):
    """A message that comes makes it taller."""

    def event(self, event: Any) -> bool:
        """Qt itself forgets paragraphs that wrap."""
        done = bool(super().event(event))
        layout = self.layout()
        if event.type() == QEvent.Type.LayoutRequest and layout is not None and layout.hasHeightForWidth():
            self.setMinimumHeight(layout.minimumHeightForWidth(self.width()))
        return done


class TallPage(QScrollArea):
    """Holds `page`, as tall as it needs to be."""

    def __init__(self, page: QWidget) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(page)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._fit)
        page.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Grow with what comes into the page, once that is laid out."""
        if event.type() == QEvent.Type.LayoutRequest:
            self._later.start()
        return bool(super().eventFilter(watched, event))

    def resizeEvent(self, event: Any) -> None:
        """Paragraphs that wrap need another height."""
        super().resizeEvent(event)
        self._later.start()

    def sizeHint(self) -> QSize:
        """No more than it needs."""
        return QSize(super().sizeHint().width(), self.minimumHeight())

    def _fit(self) -> None:
        page = self.widget()
        layout = page.layout() if page is not None else None
        if layout is None:
            return
        tall = [layout.totalHeightForWidth(self.viewport().width()), layout.totalMinimumSize().height()]
        self.setMinimumHeight(min(max(tall) + _SLACK_PX, _MOST_PX))
