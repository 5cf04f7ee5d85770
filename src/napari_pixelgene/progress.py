"""One event type and one callback: how long work tells what it does and hears that it should stop.

Stages call `on_event(Progress(...))` between tiles, epochs or batches. The callback may raise
`errors.Cancelled`; the stage lets it pass after leaving its ledger in order. The same events feed
the terminal's bars, JSON lines for machines, and napari's activity dock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a stage: `done` of `total` (None when unknown), with numbers worth showing.

    `at` is when it happened, in seconds since the epoch, where it was read from a file; 0: now.
    """

    stage: str
    done: int = 0
    total: int | None = None
    message: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    at: float = field(default=0.0, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """The event as plain JSON values."""
        return {
            "event": "progress",
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "message": self.message,
            "values": dict(self.values),
        }


@dataclass(frozen=True, slots=True)
class Note:
    """A line a person must see: what was left out and why (`info`), or what may be wrong (`warning`)."""

    text: str
    level: str = "info"
    stage: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The event as plain JSON values."""
        return {"event": "note", "level": self.level, "stage": self.stage, "text": self.text}


Event = Progress | Note
OnEvent = Callable[[Event], None]


def event_from(values: Mapping[str, Any]) -> Event | None:
    """The inverse of `as_dict`, a null number as NaN; None for a line of another kind (a result, an error)."""
    if values.get("event") == "note":
        return Note(str(values.get("text", "")), str(values.get("level", "info")), str(values.get("stage", "")))
    if values.get("event") != "progress":
        return None
    numbers = {name: math.nan if value is None else float(value) for name, value in values.get("values", {}).items()}
    step = (str(values["stage"]), int(values.get("done", 0)), values.get("total"), str(values.get("message", "")))
    return Progress(*step, numbers, float(values.get("time", 0.0)))


def silent(event: Event) -> None:
    """A callback that listens to nothing."""


def track(items: Iterable[T], stage: str, on_event: OnEvent, total: int | None = None) -> Iterator[T]:
    """Yield `items`, reporting before the first and after each one."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    on_event(Progress(stage, 0, total))
    for done, item in enumerate(items, start=1):
        yield item
        on_event(Progress(stage, done, total))


# A step's weight in the rate falls to a third when this share of the stage has passed since, or these seconds.
_FADE_SHARE, _FADE_S = 0.15, 20.0
# A rate of fewer steps or of a shorter time says nothing.
_LEAST_STEPS, _LEAST_S = 2, 0.5


class TimeLeft:
    """How far the present stage is and how long it will take, from its progress alone.

    Feed it every event with `take`. A stage that goes on where a killed run stopped is judged by what was done
    since; one that begins again, for the next section, is judged afresh.
    """

    def __init__(self) -> None:
        self.stage = ""
        self.done = 0
        self.total: int | None = None
        self._begin(Progress(""), 0.0)

    def take(self, event: Event, now: float | None = None) -> None:
        """Hear one event; `now` is the clock (seconds), for tests."""
        if not isinstance(event, Progress):
            return
        at = now if now is not None else (event.at or time.time())
        if event.stage != self.stage or event.done < self.done or event.total != self.total:
            self._begin(event, at)
        elif event.done > self.done:
            self._advance(event, at)

    @property
    def fraction(self) -> float | None:
        """Share of the stage that is done, 0 to 1; None where its size is not known."""
        return None if self.total is None else min(self.done / max(self.total, 1), 1.0)

    def seconds(self, now: float | None = None) -> float | None:
        """Seconds until the stage ends; None while nobody can know. Counts down between events."""
        if self.total is None or self._steps < _LEAST_STEPS or self._at - self._begun < _LEAST_S:
            return None
        whole = (self.total - self.done) * self._spent / self._made
        return max(0.0, whole - max(0.0, (now if now is not None else time.time()) - self._at))

    def _begin(self, event: Progress, at: float) -> None:
        self.stage, self.done, self.total = event.stage, event.done, event.total
        self._begun = self._at = at
        self._steps, self._spent, self._made = 0, 0.0, 0.0

    def _advance(self, event: Progress, at: float) -> None:
        made, spent = event.done - self.done, max(0.0, at - self._at)
        share = made / max(self.total or 1, 1)
        # Both must be exceeded before what was is forgotten: neither a burst nor a pause may decide alone.
        kept = math.exp(-min(share / _FADE_SHARE, spent / _FADE_S))
        self._spent, self._made = self._spent * kept + spent, self._made * kept + made
        self.done, self._at, self._steps = event.done, at, self._steps + 1
