"""What is shown where: bars on a terminal, nothing but notes in a pipe, JSON lines for machines."""

from __future__ import annotations

import io
import json
import sys
import time

import pytest

from napari_pixelgene.cli.terminal import Terminal, said
from napari_pixelgene.progress import Event, Note, Progress

EVENTS: list[Event] = [
    Progress("features", 0, 4),
    Progress("features", 4, 4),
    Note("3 spots are left out."),
    Note("It is coarse.", "warning"),
    Note("3 spots are left out."),
    Progress("fit", 1, 2, values={"loss": 0.51234, "r": 0.3}),
]


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def play(terminal: Terminal) -> None:
    with terminal:
        for event in EVENTS:
            terminal(event)
        terminal.result({"run": "first"}, "Done.")


def test_in_a_pipe_there_are_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    play(Terminal())
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["3 spots are left out.", "warning: It is coarse."]
    assert shown.out == "Done.\n"


def test_quiet_keeps_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    play(Terminal(quiet=True))
    assert capsys.readouterr().err == "warning: It is coarse.\n"


def test_json_is_one_event_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    play(Terminal("json"))
    shown = capsys.readouterr()
    lines = [json.loads(line) for line in shown.out.splitlines()]
    times = [line.pop("time") for line in lines]
    assert times == sorted(times) and abs(times[0] - time.time()) < 60
    assert lines[:-1] == [event.as_dict() for event in EVENTS]
    assert lines[-1] == {"event": "result", "run": "first"}
    assert shown.err == "warning: It is coarse.\n"


def test_a_terminal_gets_bars_with_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    assert terminal.mode == "bars"
    play(terminal)
    shown = screen.getvalue()
    assert "features" in shown and "4/4" in shown and "loss 0.512  r 0.3" in shown
    assert "-:--:--" in shown or "0:00:0" in shown
    assert "warning: It is coarse." in shown


def test_numbers_are_short() -> None:
    assert said(Progress("fit", 1, 2, "stopped", {"loss": 0.123456})) == "stopped  loss 0.123"


def test_what_is_not_a_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal("json")(Progress("fit", 1, 2, values={"r": float("nan"), "loss": 0.5}))
    assert '"values": {"r": null, "loss": 0.5}' in capsys.readouterr().out
