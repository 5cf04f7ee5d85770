"""The child's lines of JSON: what is new since a position, and the last one, without reading the file again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_pixelgene.progress import Event, Note, event_from

# At most so many bytes at once, so that whoever follows from a window never stalls; the rest comes with the next call.
_AT_ONCE = 1 << 20
_BLOCK = 1 << 13
ENDS = ("result", "error")


def read_new(path: Path, after: int) -> tuple[list[Event | dict[str, Any]], int]:
    """Events of the complete lines from byte `after` on, results and errors as plain values; the new position."""
    content = _read(path, after, _AT_ONCE)
    whole = content[: content.rfind(b"\n") + 1]
    if not whole and len(content) == _AT_ONCE:  # one line longer than that
        content = _read(path, after, path.stat().st_size - after)
        whole = content[: content.rfind(b"\n") + 1]
    return [_event(line) for line in whole.splitlines() if line.strip()], after + len(whole)


def ending(path: Path) -> dict[str, Any] | None:
    """The last complete line where it tells how the run ended."""
    line = _last_line(path)
    if not line.startswith(b"{"):
        return None
    values = _parsed(line)
    return values if values is not None and values.get("event") in ENDS else None


def last_lines(path: Path, count: int) -> str:
    """The end of a text file, at most `count` lines."""
    try:
        size = path.stat().st_size
        start = max(0, size - count * 400)
        text = _read(path, start, size - start).decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-count:]).strip()


def _read(path: Path, start: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)
    except FileNotFoundError:
        return b""


def _last_line(path: Path) -> bytes:
    """The last line that ends in a newline, looked for from the end."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return b""
    length = _BLOCK
    while True:
        tail = _read(path, max(0, size - length), min(length, size))
        complete = tail[: tail.rfind(b"\n")]
        before = complete.rfind(b"\n")
        if before >= 0 or length >= size:
            return complete[before + 1 :]
        length *= 4


def _event(line: bytes) -> Event | dict[str, Any]:
    """One line; what is no event of ours (a library that prints) is a note, never lost."""
    values = _parsed(line)
    if values is None:
        return Note(line.decode("utf-8", "replace"), stage="output")
    try:
        return event_from(values) or values
    except (KeyError, TypeError, ValueError):
        return Note(line.decode("utf-8", "replace"), stage="output")


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None
