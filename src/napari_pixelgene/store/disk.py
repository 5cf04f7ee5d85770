"""The disk itself: is there room, may we write, and what to say when not."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_pixelgene.errors import StoreError

# A file system that is filled to the last byte makes other programs fail too.
_MARGIN = 1.02
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT}


def in_words(size: float) -> str:
    """A number of bytes as a person says it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def require_free(path: Path, size: int, what: str) -> None:
    """Refuse to begin what will not fit: `size` bytes for `what` on the disk that holds `path`."""
    place = path
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if size * _MARGIN > free:
        raise StoreError(
            f"{what} needs {in_words(size)} and the disk of {place} has {in_words(free)} free.",
            "Free some space, or put the section on another disk.",
        )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """A full or read-only disk becomes a sentence; everything else passes unchanged."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreError(
                f"The disk of {path} is full.", "Free some space and run again: what is finished is kept."
            ) from error
        if error.errno in _UNWRITABLE:
            raise read_only(path) from error
        raise


def read_only(path: Path) -> StoreError:
    """The error for a place that takes no writes."""
    return StoreError(f"{path} cannot be written.", "Copy it to a folder of yours, or ask for write permission.")


def may_write(path: Path) -> bool:
    """Whether this user may write into a folder."""
    return os.access(path, os.W_OK)
