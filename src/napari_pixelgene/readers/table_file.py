"""The file under a table: its bytes, zipped or not, and one sentence for all that makes it unreadable."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from napari_pixelgene.errors import InputError

# What the libraries raise over a file that is cut off, or is something else.
UNREADABLE = (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error)


def is_gzip(path: Path) -> bool:
    """By its first bytes, not by its name."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def unzipped(path: Path) -> pa.NativeFile:
    """The file's bytes as pyarrow streams them, unpacked where they are zipped."""
    return pa.input_stream(str(path), compression="gzip" if is_gzip(path) else None)


@contextmanager
def readable(path: Path, what: str = "a table") -> Iterator[None]:
    """What cannot be read within is an InputError that names the file; `what` it was taken for."""
    try:
        yield
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} cannot be read as {what} ({reason}).", "Copy it again from its source: it may be cut off."
        ) from None
