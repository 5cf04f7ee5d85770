"""Work beside the window: a function in a thread, with its notes and its end told on the window's own thread.

For work of seconds whose inside is numpy or I/O. Anything longer is a job (`jobs/`), a process of its own: a busy
Python thread would make the window stutter. A plain thread and one queued signal: napari's own workers change
Python's warning filters while they run, and two at once leave them changed, so that files still open are told to a
person as warnings.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from threading import Thread
from typing import Any, NamedTuple

from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]

from napari_pixelgene.errors import Cancelled
from napari_pixelgene.progress import Event, Note, Progress

Function = Callable[[Callable[[Event], None]], Any]


class _Outcome(NamedTuple):
    """What a function gave or raised, and what it had to say."""

    value: Any
    error: BaseException | None
    notes: list[Note]


class Task(QObject):
    """A running function. `cancel()` stops it at its next event; then neither `done` nor `failed` is called.

    `progress` is its latest step, to be looked at on a timer.
    """

    _ended = QtSignal(object)

    def __init__(self, function: Function, hand_over: Callable[[_Outcome], None]) -> None:
        super().__init__()
        self.cancelled = False
        self.progress: Progress | None = None
        self._hand_over: Callable[[_Outcome], None] | None = hand_over
        self._ended.connect(self._end)  # a slot of an object of the window's thread: called there
        self._thread = Thread(target=self._run, args=(function,), daemon=True)
        _RUNNING.add(self)  # until it has ended, also when whoever asked is gone
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._hand_over is not None

    def cancel(self) -> None:
        """Let it stop at its next event."""
        self.cancelled = True

    def wait(self, seconds: float) -> None:
        """Until its thread has ended, or for so long."""
        self._thread.join(seconds)

    def _run(self, function: Function) -> None:
        notes: list[Note] = []

        def on_event(event: Event) -> None:
            if self.cancelled:
                raise Cancelled
            if isinstance(event, Note):
                notes.append(event)
            else:
                self.progress = event

        try:
            outcome = _Outcome(function(on_event), None, notes)
        except BaseException as error:  # noqa: BLE001 - handed on to whoever asked
            outcome = _Outcome(None, error, notes)
        self._ended.emit(outcome)

    def _end(self, outcome: _Outcome) -> None:
        hand_over, self._hand_over = self._hand_over, None
        _RUNNING.discard(self)
        if hand_over is not None and not self.cancelled:
            hand_over(outcome)


_RUNNING: set[Task] = set()
_PATIENCE_S = 5.0


@atexit.register
def _stop_all() -> None:
    """At the end of the process: a thread that is cut off in the middle of C++ takes the process down with it."""
    for task in list(_RUNNING):
        task.cancel()
    for task in list(_RUNNING):
        task.wait(_PATIENCE_S)


def start(
    owner: QObject,
    function: Function,
    done: Callable[[Any], None],
    failed: Callable[[BaseException], None],
    heard: Callable[[Note], None] | None = None,
) -> Task:
    """Run `function(on_event)` in a thread; `done`, `failed` and `heard` (its notes, at the end) are called
    on the window's thread, unless `owner` is gone by then."""

    def hand_over(outcome: _Outcome) -> None:
        if _gone(owner):
            return
        if heard is not None:
            for note in outcome.notes:
                heard(note)
        if outcome.error is not None:
            failed(outcome.error)
        else:
            done(outcome.value)

    return Task(function, hand_over)


def _gone(owner: QObject) -> bool:
    """Whether Qt has deleted the widget meanwhile."""
    try:
        owner.objectName()
    except RuntimeError:
        return True
    return False
