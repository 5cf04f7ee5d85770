"""napari is about to close while a run is at work: leave it running, stop it, or stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget

from napari_pixelgene.jobs import Job

Answer = Literal["leave", "stop", "stay"]


class ClosingQuestion(QObject):
    """Asks before a window closes. `running` gives the job that is followed there, or None."""

    def __init__(self, window: QMainWindow, running: Callable[[], Job | None], parent: QObject) -> None:
        super().__init__(parent)
        self._running = running
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Hold the window back when a person wants to stay."""
        if event is None or event.type() != QEvent.Type.Close or not isinstance(watched, QWidget):
            return False
        job = self._running()
        if job is None or job.state() != "running":
            return False
        answer = ask(job, watched)
        if answer == "stop":
            job.cancel()
        if answer == "stay":
            event.ignore()
        return answer == "stay"


def ask(job: Job, parent: QWidget) -> Answer:
    """The question itself; Escape stays."""
    box = QMessageBox(parent)
    box.setWindowTitle("PixelGene")
    box.setIcon(QMessageBox.Icon.Question)
    box.setText(f"'{job.title}' is still running.")
    box.setInformativeText("Left running, it goes on without napari and is found again at the next start.")
    leave = box.addButton("Leave it running", QMessageBox.ButtonRole.AcceptRole)
    stop = box.addButton("Stop it", QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton("Stay", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(leave)
    box.setEscapeButton(stay)
    box.exec()
    answers: dict[object, Answer] = {leave: "leave", stop: "stop"}
    return answers.get(box.clickedButton(), "stay")


def window_of(widget: QWidget) -> QMainWindow | None:
    """The main window that a docked, or floating, widget belongs to."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QMainWindow):
        parent = parent.parentWidget()
    return parent
