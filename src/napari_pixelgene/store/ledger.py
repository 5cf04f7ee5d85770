"""Unfinished elements: a folder `NAME.partial` with a ledger of what is done in it, published by one rename.

Readers see finished elements only. An old element is moved aside to `NAME.replaced` for the moment between the
two renames; `locate` knows that name too, so a reader finds the old element or the new one after a kill at any
moment, and nothing in between. What a killed run left behind is put in order by the next `begin` of that name.

The ledger is a text file: a header with the fingerprint of settings and inputs, then one finished key a line,
each on the disk before `mark` returns. A torn last line is a key that is not done. This guards against killed
processes; the chunks themselves are left to the file system, which loses the youngest of them in a power cut.
Two runs that write the same element at once are not guarded against.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.disk import disk_errors

LEDGER = ".ledger"
PARTIAL, REPLACED = ".partial", ".replaced"
# What zarr's LocalStore leaves when it is killed between writing a chunk and renaming it.
_TORN_CHUNK = re.compile(r"\.[0-9a-f]{32}\.partial$")
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def require_name(name: str) -> str:
    """`name` if every file system can hold an element of that name."""
    reserved = name.endswith((PARTIAL, REPLACED, ".", " ")) or name.startswith((".", " ")) or name == "zarr.json"
    if not name or reserved or _FORBIDDEN.search(name) or len(name) > 200:
        raise StoreError(
            f"'{name}' cannot name a part of a section.",
            "Use letters, digits, spaces, '-', '_' and inner dots, and end in neither .partial nor .replaced.",
        )
    return name


def locate(parent: Path, name: str) -> Path | None:
    """The folder of a finished element, or None."""
    final = parent / name
    if (final / "zarr.json").exists():
        return final
    aside = parent / (name + REPLACED)
    return aside if (aside / "zarr.json").exists() else None


def names(parent: Path) -> list[str]:
    """Finished elements of a folder, sorted."""
    if not parent.is_dir():
        return []
    found = {entry.name.removesuffix(REPLACED) for entry in parent.iterdir() if not entry.name.endswith(PARTIAL)}
    return sorted(name for name in found if not name.startswith(".") and locate(parent, name))


def remove(parent: Path, name: str) -> None:
    """Delete a finished element: out of sight in one rename, then gone."""
    _settle(parent, name)
    partial = parent / (name + PARTIAL)
    with disk_errors(parent):
        _discard(partial)
        if (parent / name).exists():
            os.rename(parent / name, partial)
            _discard(partial)


class Partial:
    """An element that is being written. Write below `path`, `mark` what is finished, `publish` when all is."""

    __slots__ = ("_done", "name", "parent", "path", "resumed")

    def __init__(self, parent: Path, name: str, finished: set[str], resumed: bool) -> None:
        self.parent = parent
        self.name = name
        self.path = parent / (name + PARTIAL)
        self.resumed = resumed
        self._done = finished

    @classmethod
    def begin(cls, parent: Path, name: str, fingerprint: str) -> Partial:
        """Continue the unfinished element of that fingerprint, or start afresh; a different one is discarded."""
        require_name(name)
        with disk_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            _settle(parent, name)
            path = parent / (name + PARTIAL)
            finished = _read(path / LEDGER, fingerprint)
            if finished is not None:
                return cls(parent, name, finished, True)
            _discard(path)
            path.mkdir()
            _append(path / LEDGER, json.dumps({"fingerprint": fingerprint}))
        return cls(parent, name, set(), False)

    def done(self, key: str) -> bool:
        """Whether that tile, fold or epoch is finished."""
        return key in self._done

    def mark(self, key: str) -> None:
        """Say that a tile, fold or epoch is finished. Its data must have been written before."""
        with disk_errors(self.path):
            _append(self.path / LEDGER, json.dumps(key))
        self._done.add(key)

    @property
    def finished(self) -> frozenset[str]:
        """All keys that are done."""
        return frozenset(self._done)

    def publish(self) -> Path:
        """Put the element in its place, in the stead of an older one; gives the place."""
        final, aside = self.parent / self.name, self.parent / (self.name + REPLACED)
        with disk_errors(self.parent):
            _sweep(self.path)
            if final.exists():
                os.rename(final, aside)
            os.rename(self.path, final)
            (final / LEDGER).unlink()
            _discard(aside)
        return final

    def discard(self) -> None:
        """Give up what was written so far."""
        with disk_errors(self.parent):
            _discard(self.path)


def _settle(parent: Path, name: str) -> None:
    """Finish or undo what a killed publication left behind."""
    final, aside = parent / name, parent / (name + REPLACED)
    if aside.exists() and not final.exists():
        os.rename(aside, final)
    _discard(aside)
    (final / LEDGER).unlink(missing_ok=True)


def _discard(folder: Path) -> None:
    """Delete a folder; its ledger and its metadata first, so that a half-deleted one is never continued or read."""
    if folder.exists():
        (folder / LEDGER).unlink(missing_ok=True)
        (folder / "zarr.json").unlink(missing_ok=True)
        shutil.rmtree(folder)


def _sweep(folder: Path) -> None:
    """Remove the torn chunk files of earlier kills."""
    for path in folder.rglob("*" + PARTIAL):
        if path.is_file() and _TORN_CHUNK.search(path.name):
            path.unlink()


def _append(ledger: Path, line: str) -> None:
    with ledger.open("ab") as file:
        file.write(line.encode("utf-8") + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _read(ledger: Path, fingerprint: str) -> set[str] | None:
    """The finished keys, or None where the ledger is missing, garbled, or of another fingerprint."""
    try:
        content = ledger.read_bytes()
    except FileNotFoundError:
        return None
    whole = content[: content.rfind(b"\n") + 1]
    try:
        header, *keys = [json.loads(line) for line in whole.splitlines()] or [None]
    except ValueError:
        return None
    if header != {"fingerprint": fingerprint}:
        return None
    if len(whole) < len(content):
        os.truncate(ledger, len(whole))
    return set(keys)
