"""A job in the window: followed on a timer through its folder, shown as one bar with the time left, cancelled at once.

Nothing here waits: a turn of the timer reads what is new of the child's lines and returns.
"""

from __future__ import annotations

from threading import Thread
from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_pixelgene.jobs import Job
from napari_pixelgene.progress import Note, Progress, TimeLeft

EVERY_MS = 150


class Follower(QObject):
    """Follows one job. `heard(list)` has the events of a turn, `ended(state)` comes once, after the last of them."""

    heard = QtSignal(list)
    ended = QtSignal(str)

    def __init__(self, job: Job, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.job = job
        self.left = TimeLeft()
        self.latest: Progress | None = None
        self._position = 0
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """Read what is new; called by the timer."""
        state = self.job.state()  # asked first: what is written until it ends is read below
        events, position = self.job.events(self._position)
        moved = position > self._position
        self._position = position
        for event in events:
            if isinstance(event, Progress):
                self.left.take(event)
                self.latest = event
        if events:
            self.heard.emit(events)
        if state != "running" and not moved:
            self.stop()
            self.ended.emit(state)

    def stop(self) -> None:
        """Follow no longer; the job itself goes on."""
        self._timer.stop()


class JobBar(QWidget):
    """What a job does, how far it is, how long it will take, and a button that stops it. Hidden when there is none.

    `ended(state, follower)` comes when it has ended; `noted(Note)` for what it says meanwhile, all in `said`.
    """

    ended = QtSignal(str, object)
    noted = QtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.follower: Follower | None = None
        self.said: list[Note] = []
        self._what = QLabel()
        self._what.setWordWrap(True)
        self._bar = QProgressBar()
        self._bar.setTextVisible(True)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.clicked.connect(self.cancel)
        line = QHBoxLayout()
        line.addWidget(self._bar, 1)
        line.addWidget(self.cancel_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._what)
        column.addLayout(line)
        self.hide()

    @property
    def running(self) -> bool:
        """Whether a job is followed."""
        return self.follower is not None

    def follow(self, job: Job) -> Follower:
        """Show a job from its beginning on, also one that another napari started."""
        self.let_go()
        self.said = []
        follower = self.follower = Follower(job, self)
        follower.heard.connect(self._hear)
        follower.ended.connect(self._end)
        self._what.setText(job.title)
        self._bar.setRange(0, 0)
        self.cancel_button.setEnabled(True)
        self.cancel_button.setText("Cancel")
        self.show()
        return follower

    def let_go(self) -> None:
        """Follow no longer; the job goes on."""
        if self.follower is not None:
            self.follower.stop()
            self.follower.deleteLater()
            self.follower = None
        self.hide()

    def cancel(self) -> None:
        """Stop the child and what it started; what it finished is kept."""
        if self.follower is None:
            return
        self.cancel_button.setEnabled(False)
        self.cancel_button.setText("Cancelling…")
        # The child is given up to two seconds to end by itself; the window must not wait for it.
        Thread(target=self.follower.job.cancel, daemon=True).start()

    def _hear(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, Note):
                self.said.append(event)
                self.noted.emit(event)
        if self.follower is not None and self.follower.latest is not None:
            self._show(self.follower)

    def _show(self, follower: Follower) -> None:
        latest, left = follower.latest, follower.left
        assert latest is not None
        self._what.setText(" · ".join(part for part in (follower.job.title, latest.stage, latest.message) if part))
        fraction = left.fraction
        if fraction is None:
            self._bar.setRange(0, 0)
            return
        self._bar.setRange(0, 1000)
        self._bar.setValue(round(1000 * fraction))
        self._bar.setFormat(f"{fraction:.0%}{in_time(left.seconds())}")
        self._bar.setAlignment(Qt.AlignmentFlag.AlignCenter)

    def _end(self, state: str) -> None:
        follower = self.follower
        self.follower = None
        self.hide()
        self.ended.emit(state, follower)
        if follower is not None:
            follower.deleteLater()


def in_time(seconds: float | None) -> str:
    """Time left in words, with its separator; nothing while nobody can know."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f" · {max(1, round(seconds))} s left"
    minutes = round(seconds / 60)
    return f" · {minutes} min left" if minutes < 90 else f" · {seconds / 3600:.1f} h left"
