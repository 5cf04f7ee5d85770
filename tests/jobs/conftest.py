"""Jobs of small programs instead of `pixelgene run`, in a state folder of the test's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from following import Started
from napari_pixelgene import jobs
from napari_pixelgene.jobs import starting

# What every program may use: `tell` writes an event as the terminal does.
_HEAD = """
import json, os, signal, subprocess, sys, time
def tell(**values): print(json.dumps({**values, "time": round(time.time(), 3)}), flush=True)
def step(done, total, **values): tell(event="progress", stage="fit", done=done, total=total, message="", values=values)
"""


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No job of the person who tests is touched, and none of ours stays alive."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("napari_pixelgene.jobs.folder.user_state_path", lambda *a, **k: tmp_path / "state" / "ours")
    yield
    for job in jobs.running():
        job.cancel()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Started:
    """Start a job that runs this Python text; its settings file is the last argument."""

    def begin(text: str, sections: tuple[Path, ...] = (), title: str = "Train") -> jobs.Job:
        def command(config: Path, overwrite: bool = False) -> list[str]:
            return [sys.executable, "-c", _HEAD + text, str(config)]

        monkeypatch.setattr(starting, "command_of", command)
        return jobs.start(title, "[fit]\n", sections)

    return begin
