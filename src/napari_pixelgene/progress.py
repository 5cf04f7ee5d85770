"""One event type and one callback: how long work tells what it does and hears that it should stop.

Stages call `on_event(Progress(...))` between tiles, epochs or batches. The callback may raise
`errors.Cancelled`; the stage lets it pass after leaving its ledger in order. The same events feed
the terminal's bars, JSON lines for machines, and napari's activity dock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a stage: `done` of `total` (None when unknown), with numbers worth showing."""

    stage: str
    done: int = 0
    total: int | None = None
    message: str = ""
    values: Mapping[str, float] = field(default_factory=dict)

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
