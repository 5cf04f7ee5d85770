"""Work beside the window: a function in a thread, with its notes and its end told on the window's own thread.

For work of seconds whose inside is numpy or I/O. Anything longer is a job (`jobs.py`), a process of its own:
a busy Python thread would make the window stutter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject

from napari_pixelgene.errors import Cancelled
from napari_pixelgene.progress import Event, Note


class _Outcome:
    """What a function gave or raised; never raised in the thread, where Qt's wrapper swallows some errors."""

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.value, self.error = value, error


class Task(QObject):
    """A running function. `cancel()` stops it at its next event; then neither `done` nor `failed` is called."""

    def __init__(self, worker: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._worker = worker
        self.cancelled = False

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._worker is not None and bool(self._worker.is_running)

    def let_go(self) -> None:
        """It has ended: the worker's signal holds whoever asked, who holds this, and no collector sees that circle."""
        if self._worker is not None:
            self._worker.returned.disconnect()
            self._worker = None

    def cancel(self) -> None:
        """Let it stop at its next event."""
        self.cancelled = True


def start(
    owner: QObject,
    function: Callable[[Callable[[Event], None]], Any],
    done: Callable[[Any], None],
    failed: Callable[[BaseException], None],
    heard: Callable[[Note], None] | None = None,
) -> Task:
    """Run `function(on_event)` in a thread; `done`, `failed` and `heard` (its notes, at the end) are called
    on the window's thread."""
    from napari.qt.threading import create_worker

    task: Task

    def work() -> tuple[_Outcome, list[Note]]:
        notes: list[Note] = []

        def on_event(event: Event) -> None:
            if task.cancelled:
                raise Cancelled
            if isinstance(event, Note):
                notes.append(event)

        try:
            outcome = _Outcome(function(on_event))
        except BaseException as error:  # noqa: BLE001 - handed on to whoever asked
            outcome = _Outcome(error=error)
        return outcome, notes

    worker = create_worker(work, _start_thread=False)
    task = Task(worker, owner)

    def ended(result: tuple[_Outcome, list[Note]]) -> None:
        outcome, notes = result
        task.let_go()
        if task.cancelled or _gone(owner):
            return
        if heard is not None:
            for note in notes:
                heard(note)
        if outcome.error is not None:
            failed(outcome.error)
        else:
            done(outcome.value)

    worker.returned.connect(ended)
    worker.start()
    return task


def _gone(owner: QObject) -> bool:
    """Whether Qt has deleted the widget meanwhile."""
    try:
        owner.objectName()
    except RuntimeError:
        return True
    return False
