"""A mouse for the tests of windows: it clicks what a person could, once that stands still, or says why not."""

from __future__ import annotations

import time
from collections.abc import Callable

from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QScrollArea, QWidget

LEFT = Qt.MouseButton.LeftButton
Place = QPoint | Callable[[], QPoint] | None
_PATIENCE_S = 60.0
_STILL_TURNS = 2


def click(widget: QWidget, at: Place = None) -> None:
    """A left click at a place of the widget, or in its middle; a function is asked for it once all stands still."""
    QTest.mouseClick(widget, LEFT, pos=ready(widget, at))
    QApplication.processEvents()


def ready(widget: QWidget, at: Place = None) -> QPoint:
    """Scroll to the widget and wait until a mouse reaches that place of it and nothing has moved for two turns."""
    end = time.monotonic() + _PATIENCE_S
    still, before = 0, None
    while True:
        _scroll_to(widget)
        QApplication.processEvents()
        place = at() if callable(at) else at or _own_place(widget)
        why = _out_of_reach(widget, place)
        now = (place, widget.size(), widget.mapTo(widget.window(), QPoint(0, 0)), widget.window().size())
        still = still + 1 if not why and now == before else 0
        if still >= _STILL_TURNS:
            return place
        assert time.monotonic() < end, f"{widget.objectName() or widget} cannot be clicked: {why or 'it keeps moving'}"
        before = now
        if why:
            pause(10)


def pause(milliseconds: int) -> None:
    """Let the window live for so long, in the stead of `QTest.qWait`: vispy's own keeps a core busy all the while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def _own_place(widget: QWidget) -> QPoint:
    """The middle; of a check box that is wider than its words, its box."""
    middle = widget.rect().center()
    if not isinstance(widget, QAbstractButton) or widget.hitButton(middle):
        return middle
    return QPoint(8, middle.y())


def _scroll_to(widget: QWidget) -> None:
    around = widget.parentWidget()
    while around is not None and not around.isWindow():
        if isinstance(around, QScrollArea) and around.widget() is not None and around.widget().isAncestorOf(widget):
            around.ensureWidgetVisible(widget)
        around = around.parentWidget()


def _out_of_reach(widget: QWidget, place: QPoint) -> str:
    """Why a mouse would not hit the widget there, or nothing."""
    if not widget.isVisible():
        return "it is not shown"
    if not widget.isEnabled():
        return f"it is greyed out: {widget.toolTip()}"
    if not widget.visibleRegion().contains(place):
        return f"{place} is cut off by what is around it"
    if isinstance(widget, QAbstractButton) and not widget.hitButton(place):
        return f"{place} is beside it"
    window = widget.window()
    found = window.childAt(widget.mapTo(window, place))
    if widget is not window and found is not widget and not (found is not None and widget.isAncestorOf(found)):
        return f"{found} lies over it"
    return ""
