"""One job: a folder with what was asked, what the child says, and how it ended.

job.json       who it is: title, kind, command, process id and its time of birth, start, sections, host
config.toml    what `pixelgene run` reads
events.jsonl   the child's standard output: one event a line, the last one a result or an error
errors.txt     the child's standard error
cancelled      there once a person has stopped it
"""

from __future__ import annotations

import json
import os
import platform
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psutil

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.jobs import process
from napari_pixelgene.jobs.stream import ending, last_lines, read_new
from napari_pixelgene.progress import Event

State = Literal["running", "done", "failed", "cancelled", "lost"]
CARD, CONFIG, EVENTS, ERRORS, MARK = "job.json", "config.toml", "events.jsonl", "errors.txt", "cancelled"
STOPPED = 130
KEPT = "What was finished is kept: run it again to continue."
# Between the card and the process id lie milliseconds; a card without one that is older was never started.
_STARTING_S = 30.0
_LINES = 40


class Fault(NamedTuple):
    """Why a job did not end well: a sentence, the next step, and the text behind "Details" (may be empty)."""

    problem: str
    mend: str
    details: str


@dataclass(frozen=True, slots=True)
class Job:
    """A run as a child process, followed through its folder; every question reads what is there now."""

    folder: Path
    title: str
    kind: str
    command: tuple[str, ...]
    started: float  # seconds since the epoch
    sections: tuple[Path, ...] = ()  # that it writes into
    host: str = ""
    pid: int = 0  # 0: not started yet
    born: float = 0.0  # when its process was made, as the system says

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def config(self) -> Path:
        """The settings file, to run again with changes."""
        return self.folder / CONFIG

    def state(self) -> State:
        """What has become of it."""
        end = self._end()
        if end is None and self._process() is None:
            end = self._end()  # it may have ended between the two questions
            return self._fate() if end is None else _of(end)
        return "running" if end is None else _of(end)

    def events(self, after: int = 0) -> tuple[list[Event | dict[str, Any]], int]:
        """What it told since position `after`, and the position to ask from next time.

        Progress and notes are events; the result and the error, plain values under `event`. At most 1 MB at once:
        ask again until the position stands still.
        """
        return read_new(self.folder / EVENTS, after)

    def result(self) -> dict[str, Any] | None:
        """What it has to say in the end; None before that, and where it did not end well."""
        end = self._end()
        return end if end is not None and end["event"] == "result" else None

    def seconds(self) -> float:
        """How long it has worked, or did until it ended."""
        if self.state() == "running":
            return max(0.0, time.time() - self.started)
        last = max((p.stat().st_mtime for name in (EVENTS, ERRORS) if (p := self.folder / name).exists()), default=0.0)
        return max(0.0, last - self.started)

    def cancel(self) -> None:
        """Stop it with all it started: asked first, killed after 1.5 s. Returns within two seconds."""
        found = self._process()
        if found is None or self.state() != "running":
            return
        (self.folder / MARK).touch()
        process.end(found)

    def fault(self) -> Fault | None:
        """Why it failed or was lost; None for every other state."""
        state = self.state()
        if state == "lost":
            return self._lost()
        if state != "failed":
            return None
        said = last_lines(self.folder / ERRORS, _LINES)
        end = self._end()
        if end is None:
            return Fault(*self._crash(), said)
        details = _listed(end.get("failed")) or _details(end.get("details")) or said
        return Fault(str(end.get("problem", "")), str(end.get("mend", "")), details)

    def save(self) -> None:
        """Write the card, in one step."""
        values = {
            "title": self.title, "kind": self.kind, "command": list(self.command), "started": self.started,
            "sections": [str(path) for path in self.sections], "host": self.host, "pid": self.pid, "born": self.born,
        }  # fmt: skip
        new = self.folder / f".{CARD}.new"
        new.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(new, self.folder / CARD)

    def _end(self) -> dict[str, Any] | None:
        return ending(self.folder / EVENTS)

    def _process(self) -> psutil.Process | None:
        if not self.pid or self.host != platform.node():
            return None
        return process.alive(self.pid, self.born, str(self.folder))

    def _fate(self) -> State:
        """Of a job whose process is gone and that did not say how it ended."""
        if not self.pid and time.time() - self.started < _STARTING_S:
            return "running"
        if (self.folder / MARK).exists():
            return "cancelled"
        known = self.pid and self.host == platform.node() and self.born > psutil.boot_time() - 1
        return "failed" if known else "lost"

    def _lost(self) -> Fault:
        if self.host != platform.node():
            problem = f"It was started on the computer '{self.host}'; only there can be seen what became of it."
            return Fault(problem, f"Look there, or run it again here. {KEPT}", "")
        why = "The computer was restarted" if self.pid else "It was interrupted before it had begun"
        return Fault(f"{why}, and the run with it.", KEPT, last_lines(self.folder / ERRORS, _LINES))

    def _crash(self) -> tuple[str, str]:
        """Words for a process that ended without a word."""
        if not (self.folder / EVENTS).exists() or (self.folder / EVENTS).stat().st_size == 0:
            return "The run could not begin.", "See the details; `pixelgene doctor` tells what is missing."
        code = process.exit_code(self.pid)
        if code == -getattr(signal, "SIGKILL", 9):
            return (
                "The run was killed by the system, most likely because the memory was not enough.",
                f"Close other programs or choose fewer genes. {KEPT}",
            )
        if code is not None and code < 0:
            return f"The run crashed ({_signal(-code)}).", f"{KEPT} If it crashes again, report it with the details."
        return (
            "The run ended without saying why: it crashed, was killed, or the memory was not enough.",
            f"Close other programs or choose fewer genes. {KEPT}",
        )


def read_job(folder: Path) -> Job:
    """The job of a folder. Raises PixelGeneError where its card is missing or no card."""
    try:
        values = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return Job(
            folder, str(values["title"]), str(values["kind"]), tuple(values["command"]), float(values["started"]),
            tuple(map(Path, values["sections"])), str(values["host"]), int(values["pid"]), float(values["born"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PixelGeneError(f"{folder / CARD} is not the card of a job ({error}).", "Delete that folder.") from None


def _of(end: dict[str, Any]) -> State:
    if end["event"] == "result":
        return "done"
    return "cancelled" if end.get("exit_code") == STOPPED else "failed"


def _details(path: Any) -> str:
    return last_lines(Path(path), 200) if path else ""


def _listed(failed: Any) -> str:
    """What failed of many, a line each."""
    return "\n".join(f"{f['what']}: {f['problem']} {f['mend']}".strip() for f in failed or ())


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
