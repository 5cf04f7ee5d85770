"""A section in napari from below the roof: the window is a process of its own, since only `gui/` may know a screen."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from napari_pixelgene.progress import Note, OnEvent, silent

STAGE = "window"
_PROGRAM = "napari_pixelgene.gui.screenshot"
# Set by scripts/with_display.sh around a screen that nobody sees.
VIRTUAL = "PIXELGENE_VIRTUAL_DISPLAY"
_LONGEST_S = 120


def save_screenshot(section: Path, out: Path, gene: str | None = None, on_event: OnEvent = silent) -> Path | None:
    """A picture of the section in a real napari window as PNG; None, with the reason in a note, where none can be."""
    why_not = _no_window()
    if why_not:
        on_event(Note(f"{why_not}, so no picture of the window is saved.", stage=STAGE))
        return None
    try:
        done = subprocess.run(_command(section, out, gene), capture_output=True, text=True, timeout=_LONGEST_S)
        fault = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    except subprocess.TimeoutExpired:
        fault = f"no window within {_LONGEST_S} s"
    if fault:
        on_event(Note(f"The picture of the window could not be saved ({fault}).", "warning", STAGE))
        return None
    return out


def leave_open(section: Path, gene: str | None = None, on_event: OnEvent = silent) -> None:
    """Open the section in a napari that stays when this process has ended."""
    nowhere = subprocess.DEVNULL
    subprocess.Popen(
        _command(section, None, gene), stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
    )
    on_event(Note("The section opens in napari; close the window when you have seen enough.", stage=STAGE))


def person_is_there() -> bool:
    """Whether somebody can see a window: a terminal, napari, and a screen that is not a virtual one."""
    return sys.stdout.isatty() and not os.environ.get(VIRTUAL) and not _no_window()


def _no_window() -> str:
    """Why no window can be opened, not even on a virtual screen; empty where one can."""
    if find_spec("napari") is None:
        return "napari is not installed"
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "There is no screen"
    return ""


def _command(section: Path, out: Path | None, gene: str | None) -> list[str]:
    """Save as `out`, or leave open without one."""
    places = [str(section), *([str(out)] if out else [])]
    return [sys.executable, "-m", _PROGRAM, *places, *(["--gene", gene] if gene else [])]
