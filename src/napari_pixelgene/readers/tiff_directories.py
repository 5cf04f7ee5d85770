"""How far into a file its TIFF directories point: a copy that broke off ends before that.

tifffile skips what it cannot reach and goes on with fewer levels or without a description; here such a
file is found out. Written from the TIFF 6.0 and BigTIFF layouts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Bytes of a value by its TIFF type.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SUB_IFDS = 330


@dataclass(frozen=True, slots=True)
class _Layout:
    order: str  # "<" or ">"
    big: bool

    def unpack(self, code: str, data: bytes) -> int:
        """One integer; `code` W is an offset, N the number of tags."""
        code = {"W": "Q" if self.big else "I", "N": "Q" if self.big else "H"}.get(code, code)
        return int(struct.unpack_from(self.order + code, data)[0])

    @property
    def word(self) -> int:
        return 8 if self.big else 4

    @property
    def number(self) -> int:
        return 8 if self.big else 2


def reach(path: Path) -> int:
    """The byte behind the last one that a directory of the file names, its tiles excepted."""
    with path.open("rb") as file:
        head = file.read(16)
        layout = _Layout("<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+"))
        waiting, seen, furthest = [layout.unpack("W", head[layout.word :])], {0}, 0
        while waiting:
            at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            for end, directory in _named(file, layout, at):
                furthest = max(furthest, end)
                waiting.append(directory)
    return furthest


def _named(file: BinaryIO, layout: _Layout, at: int) -> Iterator[tuple[int, int]]:
    """What the directory at `at` names: (byte behind it, a further directory or 0)."""
    file.seek(at)
    number = file.read(layout.number)
    if len(number) < layout.number:
        yield at + layout.number, 0
        return
    width = 4 + 2 * layout.word
    size = layout.unpack("N", number) * width
    tags = file.read(size + layout.word)
    yield at + layout.number + size + layout.word, 0
    if len(tags) < size + layout.word:
        return
    yield 0, layout.unpack("W", tags[size:])
    for start in range(0, size, width):
        yield from _tag(file, layout, tags[start : start + width])


def _tag(file: BinaryIO, layout: _Layout, tag: bytes) -> Iterator[tuple[int, int]]:
    code, kind = layout.unpack("H", tag), layout.unpack("H", tag[2:])
    count, value = layout.unpack("W", tag[4:]), tag[4 + layout.word :]
    size = count * _TYPE_BYTES.get(kind, 0)
    if size > layout.word:
        offset = layout.unpack("W", value)
        yield offset + size, 0
        if code == _SUB_IFDS:
            file.seek(offset)
            value = file.read(size)
    if code == _SUB_IFDS:
        each = "Q" if _TYPE_BYTES.get(kind) == 8 else "I"
        for i in range(min(count, len(value) // (8 if each == "Q" else 4))):
            yield 0, layout.unpack(each, value[i * (8 if each == "Q" else 4) :])
