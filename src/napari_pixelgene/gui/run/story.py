"""What a job has told so far, ready to be shown: stages with time left, the held-out r, notes, the log."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_pixelgene.progress import Event, Note, Progress, TimeLeft

if TYPE_CHECKING:
    from napari_pixelgene.jobs import Job

_WORDS = {
    "import": "Reading the files",
    "checks": "Checking",
    "tissue": "Finding the tissue",
    "transcripts": "Reading transcripts",
    "binning": "Counting transcripts in squares",
    "pyramid": "Making the slide quick to read",
    "features": "Looking at the histology",
    "fit": "Learning",
    "predict": "Predicting",
    "maps": "Writing overviews",
    "evaluate": "Scoring on held-out blocks",
}
# How the numbers of an epoch may be called: what was reached, and beside it what chance gives.
_REACHED, _CHANCE = ("held-out r", "held_out_r", "r"), ("chance", "control", "permuted")
_LOG_LINES = 2000


class StageLine:
    """One stage: how far, how long it took or will take. `words`: what it does, for people."""

    def __init__(self, event: Progress, words: str) -> None:
        self.stage, self.words = event.stage, words
        self.over = False  # another one has begun
        self.begun = event.at or time.time()
        self.last = self.begun
        self.left = TimeLeft()
        self.take(event)

    def take(self, event: Progress) -> None:
        """Hear of the next step."""
        self.left.take(event)
        self.last = event.at or time.time()

    def goes_on(self, event: Progress) -> bool:
        """Whether an event is of this line, and not of a stage that begins, or begins again."""
        return event.stage == self.stage and event.total == self.left.total and event.done >= self.left.done

    @property
    def done(self) -> bool:
        """Whether all of it is done."""
        return self.over or self.left.fraction == 1.0

    @property
    def percent(self) -> int | None:
        """0 to 100; None where nobody knows how much there is."""
        if self.done:
            return 100
        return None if self.left.fraction is None else int(100 * self.left.fraction)

    def text(self, running: bool = True) -> str:
        """Percent and time left, or what it took."""
        if self.done or not running:
            share = "" if self.done or self.percent is None else f"{self.percent} % · "
            return f"{share}{duration(self.last - self.begun)}"
        left = self.left.seconds()
        share = "" if self.percent is None else f"{self.percent} %"
        return f"{share} · {duration(left)} left" if left is not None else share


@dataclass(slots=True)
class Curve:
    """Held-out r and chance of every epoch so far."""

    reached: list[float] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)

    def take(self, event: Progress) -> None:
        """Add the numbers of an epoch, if it has any; a training that begins again begins a new curve."""
        reached = _first(event, _REACHED)
        if event.done <= 1 and event.stage == "fit":
            self.reached, self.chance = [], []
        if reached is None or event.stage != "fit":
            return
        chance = _first(event, _CHANCE) or 0.0
        if self.reached[-1:] != [reached] or self.chance[-1:] != [chance]:  # the last word of a stage repeats them
            self.reached.append(reached)
            self.chance.append(chance)

    @property
    def text(self) -> str:
        """The last numbers in words; empty before there are any."""
        if not self.reached:
            return ""
        r, chance = correlation(self.reached[-1]), correlation(self.chance[-1])
        return f"held-out r {r} (chance {chance}), epoch {len(self.reached)}"


class Story:
    """Everything a job has told; `take` the events as they come."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.lines: list[StageLine] = []
        self.queue: StageLine | None = None  # how many slides of a queue are done
        self.curve = Curve()
        self.notes: list[Note] = []
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self.told = 0  # lines of the log so far, also those that were dropped
        self.state = "running"

    def take(self, events: Sequence[Event | dict[str, Any]]) -> None:
        """Hear what is new."""
        for event in events:
            if isinstance(event, Progress):
                self._step(event)
            elif isinstance(event, Note):
                self._note(event)
            elif event.get("event") == "error":
                self._write(f"✗ {event.get('problem', '')} {event.get('mend', '')}")

    def end(self, state: str) -> None:
        """It is over; done, no stage is left behind."""
        self.state = state
        for line in self.lines[-1:] if state == "done" else ():
            line.over = True

    def stages(self, most: int = 6) -> list[StageLine]:
        """The queue, if it is one, and the latest stages, in order."""
        first = [self.queue] if self.queue is not None else []
        return [*first, *self.lines[len(first) - most :]]

    @property
    def verdict(self) -> str:
        """What the scores mean, in a sentence; empty before there are any."""
        said = [note.text for note in self.notes if note.stage == "evaluation"]
        return said[-1] if said else ""

    def _step(self, event: Progress) -> None:
        if event.stage == "queue":
            self._slide(event)
        elif self.lines and self.lines[-1].goes_on(event):
            self.lines[-1].take(event)
        else:
            for line in self.lines[-1:]:
                line.over = True
            self.lines.append(StageLine(event, self._words(event.stage)))
            self._write(self.lines[-1].words)
        self.curve.take(event)
        if event.message and event.stage != "queue":
            self._write(f"{self.lines[-1].words}: {event.message}")

    def _slide(self, event: Progress) -> None:
        """One more slide of a queue is done: its stages make room for those of the next."""
        total = event.total or 0
        words = f"Slide {min(event.done + 1, total)} of {total}"
        if self.queue is None:
            self.queue = StageLine(event, words)
        self.queue.take(event)
        self.queue.words = words
        self.lines = []
        self._write(f"{event.message} is done ({event.done} of {total})" if event.message else words)

    def _words(self, stage: str) -> str:
        again = stage == "fit" and any(line.stage == "fit" for line in self.lines)
        return "Learning with blocks left out" if again else _WORDS.get(stage, stage)

    def _note(self, note: Note) -> None:
        if note.stage != "output" and note not in self.notes:
            self.notes.append(note)
        self._write(f"{'⚠ ' if note.level == 'warning' else ''}{note.text}")

    def _write(self, line: str) -> None:
        if not self.log or self.log[-1] != line:
            self.log.append(line)
            self.told += 1


def correlation(value: float) -> str:
    """Two digits, and never "-0.00"."""
    return f"{round(value, 2) + 0.0:.2f}"


def duration(seconds: float) -> str:
    """`0:42`, `12:05`, `3 h 10`."""
    whole = math.ceil(max(0.0, seconds))
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}"


def _first(event: Progress, names: tuple[str, ...]) -> float | None:
    found = next((event.values[name] for name in names if name in event.values), None)
    return found if found is not None and math.isfinite(found) else None
