"""Processes by id and time of birth: is it still the one we started, and how to end it with its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

# A process that was asked to end is killed after so long; so it is gone within two seconds.
GRACE_S = 1.5
_AFTER_KILL_S = 0.3
# Clocks are set while a run works; a process id comes back much later than that.
_SAME_BIRTH_S = 2.0

# Children of this process, by process id: who started one must ask after it, or it stays as a zombie.
_children: dict[int, subprocess.Popen[bytes]] = {}


def launch(
    command: Sequence[str], folder: Path, output: Path, errors: Path, extra: Mapping[str, str]
) -> psutil.Process:
    """Start a process that outlives this one: a group of its own, output into files, no input, a lower priority."""
    if sys.platform == "win32":
        group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    else:
        group = {"start_new_session": True}
    with output.open("ab") as out, errors.open("ab") as err:
        child = subprocess.Popen(
            list(command),
            cwd=folder,
            env={**os.environ, **extra},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            **group,  # type: ignore[call-overload]
        )
    _children[child.pid] = child
    found = psutil.Process(child.pid)
    with suppress(psutil.Error):  # windows stay fluent while a run uses every core
        found.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 5)
    return found


def alive(pid: int, born: float, mark: str) -> psutil.Process | None:
    """The process of that id if it is still the same one: born then, or with `mark` in its command."""
    exit_code(pid)
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        same = abs(process.create_time() - born) < _SAME_BIRTH_S or any(mark in word for word in process.cmdline())
    except psutil.Error:
        return None
    return process if same else None


def exit_code(pid: int) -> int | None:
    """How a child of this process ended; None while it runs, or where it is nobody's child here."""
    child = _children.get(pid)
    return child.poll() if child is not None else None


def end(process: psutil.Process) -> None:
    """Ask a process, its children and its group to end, and kill what is left after `GRACE_S`."""
    tree = _tree(process)
    _tell(process, tree, signal.SIGTERM)
    left = _left(tree, GRACE_S)
    if left:
        _tell(process, left, getattr(signal, "SIGKILL", signal.SIGTERM))
        _left(left, _AFTER_KILL_S)


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return [process]


def _tell(leader: psutil.Process, processes: Sequence[psutil.Process], number: int) -> None:
    if hasattr(os, "killpg") and _there(leader):
        with suppress(OSError):
            os.killpg(leader.pid, number)
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def _left(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Who is still there when all have ended or the time is over."""
    until = time.monotonic() + seconds
    while (left := [p for p in processes if _there(p)]) and time.monotonic() < until:
        time.sleep(0.01)
    return left


def _there(process: psutil.Process) -> bool:
    exit_code(process.pid)
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
