"""Begin a job: refuse what would meet another one, lay out its folder, start the child."""

from __future__ import annotations

import os
import platform
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.jobs import process
from napari_pixelgene.jobs.folder import alone, home, prune, running
from napari_pixelgene.jobs.job import CONFIG, ERRORS, EVENTS, Job

_MODULE = "napari_pixelgene.cli.main"
# What the child prints is UTF-8 on every system.
_ALWAYS = {"PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def start(
    title: str, config_toml: str, sections: Sequence[Path] = (), kind: str = "run", overwrite: bool = False
) -> Job:
    """Run a settings file (what `pixelgene run` reads, all paths absolute) in a process that outlives this one.

    `sections` are those it writes into: while another job writes into one of them, PixelGeneError says which.
    `overwrite` replaces runs of the same name. `kind` is a word for lists: run, import, queue.
    """
    places = tuple(Path(section).resolve() for section in sections)
    try:
        with alone():
            _refuse_two(places)
            prune()
            return _begin(title, config_toml, places, kind, overwrite)
    except OSError as error:
        raise PixelGeneError(
            f"The run cannot be started: {error.strerror or error} ({error.filename or home()}).",
            "Free some space, or make that folder writable.",
        ) from error


def command_of(config: Path, overwrite: bool = False) -> list[str]:
    """What the child is: the same command that a shell or a cluster runs."""
    more = ["--overwrite"] if overwrite else []
    return [sys.executable, "-X", "faulthandler", "-m", _MODULE, "run", str(config), *more, "--progress", "json"]


def environment() -> dict[str, str]:
    """What the child finds besides our own: one core is left to the window, unless a person said otherwise.

    Threads that spin while they wait for one another come to a standstill as soon as somebody else wants a core:
    an epoch of 0.9 s on one thread took 26 s on two beside other work, and 4 s once they slept while waiting.
    """
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    wanted = {"OMP_NUM_THREADS": str(max(1, cores - 1)), "OMP_WAIT_POLICY": "PASSIVE"}
    return {**_ALWAYS, **{name: os.environ.get(name, value) for name, value in wanted.items()}}


def _refuse_two(places: Sequence[Path]) -> None:
    """Two runs that write one section at once would spoil each other's work."""
    for job in running() if places else ():
        taken = [place for place in job.sections if place in places]
        if taken:
            raise PixelGeneError(
                f"'{job.title}' is working on {taken[0].name} already.", "Wait until it is done, or cancel it."
            )


def _begin(title: str, config_toml: str, places: tuple[Path, ...], kind: str, overwrite: bool) -> Job:
    folder = home() / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    folder.mkdir()
    command = command_of(folder / CONFIG, overwrite)
    (folder / CONFIG).write_text(config_toml, encoding="utf-8")
    job = Job(folder, title, kind, tuple(command), time.time(), places, platform.node())
    job.save()
    child = process.launch(command, folder, folder / EVENTS, folder / ERRORS, environment())
    try:
        born = float(child.create_time())
    except psutil.Error:  # it has ended already
        born = time.time()
    job = replace(job, pid=child.pid, born=born)
    job.save()
    return job
