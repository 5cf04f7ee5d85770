"""All jobs of this user: where they are kept, which are there, which work on a section; old ones are forgotten."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from platformdirs import user_state_path

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.jobs.job import CARD, Job, read_job

# So many finished jobs are kept.
KEPT_JOBS = 50
_LOCK = ".lock"


def home() -> Path:
    """The folder of all jobs; it need not be there yet."""
    return user_state_path("napari-pixelgene", appauthor=False) / "jobs"


def all_jobs() -> list[Job]:
    """Every job, the newest first."""
    return sorted(_jobs(), key=lambda job: (job.started, job.id), reverse=True)


def running() -> list[Job]:
    """Jobs that are at work, also those an earlier napari started; the newest first."""
    return [job for job in all_jobs() if job.state() == "running"]


def find(job_id: str) -> Job | None:
    """The job of that id, None where it was forgotten."""
    folder = home() / job_id
    return read_job(folder) if (folder / CARD).is_file() else None


def working_on(section: Path) -> Job | None:
    """The running job that writes into a section."""
    place = Path(section).resolve()
    return next((job for job in running() if place in job.sections), None)


def forget(job: Job) -> None:
    """Delete a job's folder; what it made stays in its sections. A running one is refused."""
    if job.state() == "running":
        raise PixelGeneError(f"'{job.title}' is still running.", "Cancel it first.")
    _delete(job.folder)


def prune() -> None:
    """Keep the newest finished jobs only."""
    finished = [job for job in all_jobs() if job.state() != "running"]
    for job in finished[KEPT_JOBS:]:
        _delete(job.folder)


@contextmanager
def alone() -> Iterator[None]:
    """Only one process at a time may start jobs; the lock is the system's, so a kill releases it."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / _LOCK).open("a+b") as file:
        _lock(file)
        yield


def _jobs() -> Iterator[Job]:
    folders = home().iterdir() if home().is_dir() else ()
    for folder in folders:
        if (folder / CARD).is_file():
            try:
                yield read_job(folder)
            except PixelGeneError:
                _delete(folder)  # nobody could run, follow or show it


def _delete(folder: Path) -> None:
    """The card first: a half-deleted job is none."""
    (folder / CARD).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _lock(file: IO[bytes]) -> None:
    """Wait for the lock; it goes when the file is closed."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX)
