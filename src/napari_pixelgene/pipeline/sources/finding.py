"""Where the run is in what a person points at: the file or folder itself, or the one beside or below it."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.pipeline.sources.registry import kind_of, recognise

# A folder with more entries holds tiles or the like; looking through it would not be quick.
_MOST_ENTRIES = 500


def find_run(path: Path) -> Path | None:
    """The path of a run that a kind claims: `path`, the folder whose run's files it is one of, or the only folder in
    it that is a run. None where there is none, or several. Quick, reads no more than headers, and never an error."""
    try:
        if kind_of(path) is not None:
            return path
        return _run_below(path) if path.is_dir() else _run_around(path)
    except (OSError, ValueError):  # what cannot be read is not known
        return None


def _run_around(file: Path) -> Path | None:
    source = recognise(file.parent)
    try:
        belongs = source is not None and file in source.files().values()
    except PixelGeneError:  # a part of it is missing
        return None
    return file.parent if belongs else None


def _run_below(folder: Path) -> Path | None:
    with os.scandir(folder) as entries:
        some = list(islice(entries, _MOST_ENTRIES + 1))
    if len(some) > _MOST_ENTRIES:
        return None
    below = [Path(each.path) for each in some if each.is_dir() and not each.name.startswith(".")]
    runs = [each for each in below if kind_of(each) is not None]
    return runs[0] if len(runs) == 1 else None
