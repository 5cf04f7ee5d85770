"""File ▸ Open Sample: the simulated section, made once in a child process and kept in the person's cache.

Making it takes about a minute, in which the window stays alive; from then on it opens at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from napari_pixelgene.errors import PixelGeneError, StoreError
from napari_pixelgene.gui.reader import read_section, show_scale_bar

if TYPE_CHECKING:
    from napari.utils.progress import progress

    from napari_pixelgene.gui.layers import LayerData

_POLL_S = 0.05
# What a killed attempt left behind is thrown away after so long.
_ABANDONED_S = 3600.0


def simulated_section() -> list[LayerData]:
    """napari's sample: the layers of the simulated section, which is made if it is not there yet."""
    from napari.utils.notifications import show_info

    path = sample_path()
    if not path.exists():
        show_info("PixelGene makes its sample, only once: about a minute.")
        make_once(path)
    layers = read_section(path)
    show_scale_bar()
    return layers


def sample_path() -> Path:
    """Where the section is kept: a folder in the cache, one for each way it can be made."""
    from platformdirs import user_cache_path

    from napari_pixelgene.pipeline.sample import LEARNING, SECTION, TISSUE

    recipe = f"{TISSUE.model_dump_json()} {LEARNING.model_dump_json()}"
    name = hashlib.blake2b(recipe.encode(), digest_size=6).hexdigest()
    return user_cache_path("napari-pixelgene") / "samples" / name / SECTION


Heard = Callable[[dict[str, Any]], None]


def make_once(path: Path, module: str = "napari_pixelgene.pipeline.sample", heard: Heard | None = None) -> None:
    """Make the section beside its place and rename it, so that a half-made one is never opened.

    `module` is run with the folder to fill as its argument. `heard` gets its progress events a few times a second; when
    it raises `Cancelled`, the child is ended and nothing stays.
    """
    folder = path.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    _forget_abandoned(folder.parent)
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
    try:
        _run_child([sys.executable, "-u", "-m", module, str(partial)], heard)
        if not path.exists():  # a second napari may have been quicker
            os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _forget_abandoned(folder: Path) -> None:
    for each in folder.glob("*.partial-*"):
        if time.time() - each.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(each, ignore_errors=True)


def _run_child(command: list[str], heard: Heard | None = None) -> None:
    """Run a command that tells its progress as JSON lines; Qt's events are served meanwhile."""
    from napari.utils import progress

    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert child.stdout is not None
    reader = Thread(target=_drain, args=(child.stdout, lines), daemon=True)
    reader.start()
    said: deque[str] = deque(maxlen=20)
    with _dies_with_the_window(child), progress(total=0, desc="sample") as bar:
        while child.poll() is None or reader.is_alive() or not lines.empty():
            latest = _taken(lines, said)
            _show_latest(latest, bar)
            if heard is not None:
                heard(latest or {})
            _serve_window()
            time.sleep(_POLL_S)
    if child.returncode:
        raise _failure(child.returncode, said)


def _drain(stream: Any, lines: queue.SimpleQueue[str]) -> None:
    with stream:
        for line in stream:
            lines.put(line)


def _taken(lines: queue.SimpleQueue[str], said: deque[str]) -> dict[str, Any] | None:
    """The last progress event of all lines that came since; everything else is kept in `said`."""
    latest = None
    while not lines.empty():
        line = lines.get()
        event = _event(line)
        if event is not None and event["event"] == "progress":
            latest = event
        elif line.strip():
            said.append(line.strip())
    return latest


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _show_latest(event: dict[str, Any] | None, bar: progress) -> None:
    if event is None:
        return
    bar.set_description(f"sample: {event['stage']}")
    if event["total"]:
        bar.total = event["total"]
        bar.update(event["done"] - bar.n)


def _serve_window() -> None:
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is not None:
        QApplication.processEvents()


@contextmanager
def _dies_with_the_window(child: subprocess.Popen[str]) -> Iterator[None]:
    """End the child when the last window closes, or when we leave early."""
    from qtpy.QtWidgets import QApplication

    app = QApplication.instance()
    if isinstance(app, QApplication):
        app.lastWindowClosed.connect(child.terminate)
    try:
        yield
    finally:
        if isinstance(app, QApplication):
            app.lastWindowClosed.disconnect(child.terminate)
        if child.poll() is None:
            child.terminate()
        child.wait()


def _failure(code: int, said: deque[str]) -> PixelGeneError:
    """What the child said last, as an error a person can read."""
    event = _event(said[-1]) if said else None
    if event is not None and event["event"] == "error":
        return PixelGeneError(f"The sample could not be made. {event['problem']}", event["mend"])
    if code < 0:
        return StoreError("The sample was not finished: its process was ended.", "Open it again to begin anew.")
    last = " ".join(list(said)[-3:]) or "It said nothing."
    return StoreError(f"The sample could not be made (exit code {code}). {last}", "Look at `pixelgene doctor`.")
