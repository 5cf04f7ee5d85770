"""Waiting for another process: what tests of jobs and of windows over them share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_pixelgene.jobs import Job

# Starts a job that runs a Python text: (text, sections, title) -> the job.
Started = Callable[..., "Job"]


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
