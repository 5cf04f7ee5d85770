"""A job as it runs: a bar a stage with the time left, the held-out r beside chance, notes, the log, and Cancel."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QLabel, QPlainTextEdit, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from napari_pixelgene.gui import workers
from napari_pixelgene.gui.dock import allow, button, row, words
from napari_pixelgene.gui.faults import FaultBox
from napari_pixelgene.gui.fold import Fold
from napari_pixelgene.gui.following import Follower
from napari_pixelgene.gui.run.plot import CurvePlot
from napari_pixelgene.gui.run.story import StageLine, Story, duration
from napari_pixelgene.jobs import Job

# Times that count up or down are drawn again so often.
_CLOCK_MS = 500
_STAGES = 6


class ProgressBox(QWidget):
    """`follow(job)` shows it until it ends; then `ended(Story)` is emitted, once."""

    ended = Signal(object)
    stage_done = Signal(object)  # a stage has ended, or begun: something may be new in the section

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("progress")
        self.story: Story | None = None
        self._follower: Follower | None = None
        self.title, self.said = words("", "running"), words("", "said")
        self.title.setStyleSheet("font-weight: bold;")
        self.bars = [_Bar() for _ in range(_STAGES)]
        self.plot, self.numbers = CurvePlot(), words("", "numbers")
        self.notes = words("", "run-notes")
        self.fault = FaultBox()
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(2000)
        self.log.setFixedHeight(140)
        self.fold = Fold("Log")
        self.cancel = button("Cancel", self._cancel)
        self._written = 0
        self._task: Any = None
        self._clock = QTimer(self)
        self._clock.setInterval(_CLOCK_MS)
        self._clock.timeout.connect(self._draw)
        self._lay_out()
        self.hide()

    @property
    def running(self) -> Job | None:
        """The job that is followed and has not ended."""
        return self._follower.job if self._follower is not None else None

    def follow(self, job: Job) -> None:
        """Show a job from its beginning."""
        self.leave()
        self.story = Story(job)
        self._written = 0
        self.log.clear()
        self.fault.clear()
        self.said.clear()
        self.title.setText(job.title)
        allow(self.cancel, tip="Stop it at once. What was finished is kept.")
        self.cancel.setText("Cancel")
        self.cancel.show()
        self._follower = Follower(job, self)
        self._follower.heard.connect(self._hear)
        self._follower.ended.connect(self._end)
        self._clock.start()
        self._draw()
        self.show()

    def leave(self) -> None:
        """Follow no longer; the job itself goes on."""
        self._clock.stop()
        if self._follower is not None:
            self._follower.stop()
            self._follower.deleteLater()
        self._follower = self.story = None
        self.hide()

    def _hear(self, events: list[Any]) -> None:
        assert self.story is not None
        before = len(self.story.lines)
        self.story.take(events)
        self._draw()
        if len(self.story.lines) > max(before, 1):
            self.stage_done.emit(self.story)

    def _draw(self) -> None:
        seen = self.story
        if seen is None:
            return
        running = seen.state == "running"
        lines = seen.stages(_STAGES)
        for bar, line in zip(self.bars, [*lines, *[None] * (_STAGES - len(lines))], strict=True):
            bar.show_line(line, running and line is not None and line in (seen.queue, lines[-1]))
        self.plot.setVisible(len(seen.curve.reached) > 0)
        self.plot.show_curve(seen.curve.reached, seen.curve.chance)
        _say(self.numbers, seen.curve.text)
        said = "" if running else seen.verdict  # which stands above
        warnings = [f"⚠ {note.text}" for note in seen.notes if note.level == "warning" and note.text != said]
        _say(self.notes, "\n".join(warnings[-3:]))
        if running and not self.said.text().startswith("Cancelling"):
            _say(self.said, "" if lines else f"Starting… {duration(seen.job.seconds())}")
        self._write(seen)

    def _write(self, seen: Story) -> None:
        """Append what the log has not shown yet."""
        new = min(seen.told - self._written, len(seen.log))
        for line in list(seen.log)[len(seen.log) - new :]:
            self.log.appendPlainText(line)
        self._written = seen.told

    def _end(self, state: str) -> None:
        seen = self.story
        assert seen is not None and self._follower is not None
        self._clock.stop()
        self._follower.deleteLater()
        self._follower = None
        seen.end(state)
        self._draw()
        self.cancel.hide()
        took = duration(seen.job.seconds())
        if state == "done":
            _say(self.said, f"✓ Done in {took}. {seen.verdict}".strip())
        elif state == "cancelled":
            _say(self.said, f"■ Stopped after {took}. {kept(seen)}")
        else:
            _say(self.said, "")
            self.fault.say(*(seen.job.fault() or ("The run did not end well.", "See the log.", "")))
        self.ended.emit(seen)

    def _cancel(self) -> None:
        job = self.running
        if job is None:
            return
        allow(self.cancel, "It is being stopped.")
        self.cancel.setText("Cancelling…")
        _say(self.said, "Cancelling…")
        self._task = workers.start(self, lambda on_event: job.cancel(), lambda _: None, self.fault.tell)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(0, 1)
        for line, bar in enumerate(self.bars):
            grid.addWidget(bar.name, 2 * line, 0)
            grid.addWidget(bar.left, 2 * line, 1, Qt.AlignmentFlag.AlignRight)
            grid.addWidget(bar.bar, 2 * line + 1, 0, 1, 2)
        self.fold.inside.addWidget(self.log)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 6)
        column.addWidget(self.title)
        column.addLayout(grid)
        for widget in (self.plot, self.numbers, self.said, self.notes, self.fault, self.fold):
            column.addWidget(widget)
        column.addLayout(row(self.cancel))


class _Bar:
    """The widgets of one stage."""

    def __init__(self) -> None:
        self.name, self.left, self.bar = QLabel(), QLabel(), QProgressBar()
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.bar.setStyleSheet("QProgressBar::chunk { background: #2a9df4; }")  # napari's own is hardly seen

    def show_line(self, line: StageLine | None, running: bool) -> None:
        """Show a stage; None hides all of it."""
        for widget in (self.name, self.left, self.bar):
            widget.setVisible(line is not None)
        if line is None:
            return
        self.name.setText(line.words)
        self.left.setText(line.text(running))
        known = line.percent is not None or not running
        self.bar.setRange(0, 100 if known else 0)
        self.bar.setValue(line.percent or 0)
        self.bar.setAccessibleName(f"{line.words} {line.text(running)}")


def kept(seen: Story) -> str:
    """What a run that was stopped leaves behind."""
    done = [line.words for line in seen.lines if line.done]
    half = [f"{line.words} {line.percent} %" for line in seen.lines[-1:] if line.percent and not line.done]
    found = list(dict.fromkeys([*done, *half]))
    if not found:
        return "Nothing was finished yet."
    return f"Kept: {'; '.join(found)}. Run continues it."


def _say(label: QLabel, text: str) -> None:
    if label.text() != text:
        label.setText(text)
    label.setVisible(bool(text))
