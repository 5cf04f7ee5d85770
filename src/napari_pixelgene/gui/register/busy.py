"""One piece of work at a time beside the window: what it is, how far, and a button that stops it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_pixelgene.gui import workers
from napari_pixelgene.gui.dock import button, row
from napari_pixelgene.progress import Note

_POLL_MS, _PATIENCE_S = 100, 5.0


class Busy(QWidget):
    """Hidden while nothing runs. `changed` is emitted when work begins and when it is over."""

    changed = QtSignal()

    def __init__(self, failed: Callable[[BaseException], Any], heard: Callable[[Note], Any]) -> None:
        super().__init__()
        self._failed, self._heard = failed, heard
        self._task: workers.Task | None = None
        self.what = ""
        self._says, self.bar = QLabel(), QProgressBar()
        self.cancel = button("Cancel", self.stop, "Stop it; everything stays as it is")
        line = row(self.bar, self.cancel, stretch=False)
        line.setStretch(0, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._says)
        column.addLayout(line)
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._look)
        self.hide()

    @property
    def running(self) -> bool:
        """Whether something is under way."""
        return self._task is not None

    def run(self, what: str, function: workers.Function, done: Callable[[Any], Any]) -> None:
        """Begin it; `done(value)` is called at its end, unless it is stopped or fails."""
        self.stop()
        self.what = what
        self._says.setText(f"{what}…")
        self.bar.setRange(0, 0)

        def finished(value: Any) -> None:
            self._over()
            done(value)

        def failed(error: BaseException) -> None:
            self._over()
            self._failed(error)

        self._task = workers.start(self, function, finished, failed, self._heard)
        self._timer.start()
        self.show()
        self.changed.emit()

    def stop(self) -> None:
        """Stop it, and wait until its hands are off the section: a step takes a fraction of a second."""
        if self._task is None:
            return
        self._task.cancel()
        self._task.wait(_PATIENCE_S)
        self._over()

    def _over(self) -> None:
        self._task, self.what = None, ""
        self._timer.stop()
        self.hide()
        self.changed.emit()

    def _look(self) -> None:
        step = self._task.progress if self._task is not None else None
        if step is None or not step.total:
            self.bar.setRange(0, 0)
            return
        self.bar.setRange(0, step.total)
        self.bar.setValue(min(step.done, step.total))
