"""What a person or a machine sees of long work: bars with time left, plain lines, or JSON lines.

Bars and lines go to standard error, results to standard output; with `--progress json` every event is one line of
JSON on standard output, the last one the result or the error. Warnings and errors go to standard error whatever was
chosen.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from napari_pixelgene.progress import Event, Progress

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

Mode = Literal["auto", "bars", "json", "none"]


class Terminal:
    """Takes the events of the stages (it is the `on_event` of every subcommand) and the result of a subcommand."""

    def __init__(self, mode: Mode = "auto", quiet: bool = False) -> None:
        self.mode: Mode = mode if mode != "auto" else ("bars" if sys.stderr.isatty() else "none")
        self.quiet = quiet
        self._bars: Bars | None = None
        self._told: set[str] = set()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self.mode == "json":
            self.line(event.as_dict())
        if isinstance(event, Progress):
            self._show(event)
        elif event.level != "info":
            self._tell(f"{event.level}: {event.text}")
        elif self.mode != "json" and not self.quiet:
            self._tell(event.text)

    def result(self, values: Mapping[str, Any], text: str = "", as_json: bool = False) -> None:
        """What a subcommand has to say in the end: `values` for machines, `text` for people."""
        self.close()
        if self.mode == "json":
            self.line({"event": "result", **values})
        elif as_json:
            print(json.dumps(_strict(values), indent=2, ensure_ascii=False, allow_nan=False), flush=True)
        elif text:
            print(text, flush=True)

    def line(self, values: Mapping[str, Any]) -> None:
        """One line of JSON on standard output, with its time, which a reader at the other end gets at once."""
        timed = {**_strict(values), "time": round(time.time(), 3)}
        print(json.dumps(timed, ensure_ascii=False, allow_nan=False), flush=True)

    def write(self, text: str) -> None:
        """A line on standard error, above the bars where there are any."""
        if self._bars is not None:
            self._bars.write(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def _tell(self, text: str) -> None:
        """A note once, though several stages say it."""
        if text not in self._told:
            self._told.add(text)
            self.write(text)

    def close(self) -> None:
        """Leave the bars where they are and give the terminal back."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _show(self, event: Progress) -> None:
        if self.mode != "bars" or self.quiet:
            return
        if self._bars is None:
            self._bars = Bars()
        self._bars.show(event)


class Bars:
    """One bar a stage; a stage that begins again, for the next section, gets a new one."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._rich: RichProgress = RichProgress(
            TextColumn("{task.description:<12}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}", markup=False),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, TaskID] = {}
        self._done: dict[str, int] = {}
        self._rich.start()

    def show(self, event: Progress) -> None:
        """Move the bar of the event's stage."""
        if event.stage not in self._tasks or event.done < self._done[event.stage]:
            self._tasks[event.stage] = self._rich.add_task(event.stage, total=event.total, said="")
        self._done[event.stage] = event.done
        self._rich.update(self._tasks[event.stage], completed=event.done, total=event.total, said=said(event))

    def write(self, text: str) -> None:
        """A line above the bars."""
        self._rich.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Draw for the last time."""
        self._rich.stop()


def _strict(value: Any) -> Any:
    """Not a number and infinity are null: JSON has no word for them."""
    if isinstance(value, Mapping):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def said(event: Progress) -> str:
    """The message and the numbers of an event, in short."""
    return "  ".join([event.message, *(f"{name} {value:.3g}" for name, value in event.values.items())]).strip()
