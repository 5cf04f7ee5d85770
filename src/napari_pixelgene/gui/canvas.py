"""A second napari canvas inside a dock, with its own pan and zoom.

Floating a dock breaks the OpenGL surface in it (`stack.md`), so the canvas is taken out before its dock floats and
made anew, over the same model, in the next turn of the event loop. What is drawn lives in the model and survives.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any
from weakref import ref

from napari.components import ViewerModel
from napari.qt import QtViewer
from qtpy.QtCore import QSize, QTimer
from qtpy.QtWidgets import QDockWidget, QSizePolicy, QVBoxLayout, QWidget

_LOWEST_PX = 180


class Canvas(QWidget):
    """A canvas over `model`, a ViewerModel of its own. It is drawn from the first time it is shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ViewerModel()
        self._drawn: Any = None
        self._held: QDockWidget | None = None
        self._to_fit = False
        # Whoever follows this canvas' camera is not to follow it when it is only fitted, and hears of it afterwards.
        self.quiet: Callable[[], AbstractContextManager[Any]] = nullcontext
        self.fitted: Callable[[], None] = lambda: None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.setMinimumHeight(_LOWEST_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """As wide as the dock, and not much lower than wide."""
        return QSize(340, 300)

    @property
    def native(self) -> Any | None:
        """The widget that takes the mouse; None while nothing is drawn."""
        return None if self._drawn is None else self._drawn.canvas.native

    def showEvent(self, event: Any) -> None:
        """Draw in the next turn, when the window it lies in is settled; see to it that the dock around can float."""
        super().showEvent(event)
        self._hold(_dock_around(self))
        QTimer.singleShot(0, self._again)

    def draw(self) -> None:
        """Make the canvas, where there is none."""
        if self._drawn is not None:
            return
        self.model.canvas.size = (max(self.height(), _LOWEST_PX), max(self.width(), _LOWEST_PX))
        self._drawn = QtViewer(self.model)
        self._drawn.setAcceptDrops(False)  # a file dropped here would land in no section
        self._drawn.dims.hide()
        self._column.addWidget(self._drawn)
        if self._to_fit:
            QTimer.singleShot(0, self._fit_now)

    def fit(self) -> None:
        """Show the whole of what is there; as soon as there is a canvas of its final size."""
        self._to_fit = self._drawn is None
        with self.quiet():
            self.model.reset_view()
        self.fitted()

    def drop(self) -> None:
        """Take the canvas away; the model stays."""
        if self._drawn is None:
            return
        drawn, self._drawn = self._drawn, None
        self._column.removeWidget(drawn)
        for visual in drawn.layer_to_visual.values():
            visual.close()  # else it goes on following its layer, without a surface to draw on
        drawn.hide()
        drawn.setParent(None)  # its surface must not be painted once more while the dock around it moves
        drawn.close()  # it deletes itself

    def _hold(self, dock: QDockWidget | None) -> None:
        """Replace the dock's way to float by one that takes the canvas out first."""
        if dock is None or dock is self._held:
            return
        self._held = dock
        features = QDockWidget.DockWidgetFeature
        dock.setFeatures(dock.features() & ~features.DockWidgetFloatable)
        vars(dock)["setFloating"] = _floating(ref(dock), ref(self))

    def _fit_now(self) -> None:
        with suppress(RuntimeError):
            self.fit()

    def _again(self) -> None:
        with suppress(RuntimeError):  # the window may have closed meanwhile
            if self.isVisible():
                self.draw()


def _floating(dock: Any, canvas: Any) -> Any:
    """The dock's `setFloating`, for weak references to it and to the canvas in it."""

    def set_floating(on: bool) -> None:
        held, drawn = dock(), canvas()
        if held is None or on == held.isFloating():
            return
        if drawn is not None:
            drawn.drop()
        QDockWidget.setFloating(held, on)
        if drawn is not None:
            QTimer.singleShot(0, drawn._again)

    return set_floating


def _dock_around(widget: QWidget) -> QDockWidget | None:
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
