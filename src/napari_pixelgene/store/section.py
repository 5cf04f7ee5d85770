"""A section on disk: NAME.section.zarr, one Zarr v3 group that a person can move, inspect and open elsewhere.

Here it is made, opened and listed; what is in it has a file each: captures, tissue, features, models, maps.
Paths are looked up through `locate`, which knows finished elements only.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import zarr

from napari_pixelgene.errors import StoreError
from napari_pixelgene.store import ledger
from napari_pixelgene.store.disk import disk_errors, may_write, read_only
from napari_pixelgene.store.documents import NAMESPACE, read_attributes, read_json, update_attributes, write_group

SUFFIX = ".section.zarr"
FORMAT_VERSION = 1
ROOMS = ("images", "captures", "tissue", "features", "models", "maps")


class SectionStore:
    """A handle on a section: a path and whether it may be written. Holds nothing open and caches nothing."""

    __slots__ = ("path", "writable")

    def __init__(self, path: Path, writable: bool) -> None:
        self.path = path
        self.writable = writable

    def __repr__(self) -> str:
        return f"SectionStore({str(self.path)!r}, writable={self.writable})"

    @classmethod
    def create(cls, path: Path, overwrite: bool = False) -> SectionStore:
        """Make an empty section. An existing section is replaced only when asked; anything else never is."""
        path = Path(path).absolute()
        require_suffix(path)
        if path.exists():
            _make_way(path, overwrite)
        with disk_errors(path):
            for room in ROOMS:
                write_group(path / room, {})
            write_group(path, {"format_version": FORMAT_VERSION, "provenance": {}})
        return cls(path, True)

    @classmethod
    def open(cls, path: Path, writable: bool = True) -> SectionStore:
        """Open a section; reads one small file."""
        path = Path(path).absolute()
        _check(path)
        if writable and not may_write(path):
            error = read_only(path)
            raise StoreError(error.problem, f"Open it for reading only. {error.mend}")
        return cls(path, writable)

    @property
    def name(self) -> str:
        """The file's name without `.section.zarr`."""
        return self.path.name.removesuffix(SUFFIX)

    @property
    def root(self) -> zarr.Group:
        """The section as a Zarr group."""
        return open_group(self.path, self.writable)

    def meta(self) -> dict[str, Any]:
        """The attributes under `napari_pixelgene`, as they are on disk now."""
        return read_attributes(self.path)

    def update_meta(self, key: str, value: Any) -> None:
        """Set one attribute under `napari_pixelgene`, in one step."""
        self.require_writable()
        with disk_errors(self.path):
            update_attributes(self.path, {key: value})

    def require_writable(self) -> None:
        """Refuse when the section was opened for reading only."""
        if not self.writable:
            raise StoreError(f"The section {self.path} was opened for reading only.", "Open it with writable=True.")

    def captures(self) -> list[str]:
        """Names of the captures."""
        return self.names("captures")

    def encoders(self) -> list[str]:
        """Names of the encoders whose features are here."""
        return [unquote(name) for name in self.names("features")]

    def runs(self) -> list[str]:
        """Names of the runs whose model is here."""
        return self.names("models")

    def mapped_runs(self) -> list[str]:
        """Names of the runs whose maps are here."""
        return self.names("maps")

    def names(self, *parents: str) -> list[str]:
        """Finished elements of a room, or of an element within it."""
        folder = self.find(*parents)
        return ledger.names(folder) if folder else []

    def find(self, *names: str) -> Path | None:
        """The folder of a finished element by its names from the root, or None."""
        folder: Path | None = self.path
        for name in names:
            folder = ledger.locate(folder, ledger.require_name(name)) if folder else None
        return folder

    def locate(self, *names: str) -> Path:
        """The folder of a finished element, or the error that lists those there are."""
        folder = self.find(*names)
        if folder is None:
            there = ", ".join(self.names(*names[:-1])) or "nothing"
            raise StoreError(
                f"The section {self.name} has no finished '{'/'.join(names)}'.",
                f"In '{'/'.join(names[:-1])}' there is: {there}. Run the stage that makes it.",
            )
        return folder

    def group(self, *names: str) -> zarr.Group:
        """A finished element as a Zarr group, for reading."""
        return open_group(self.locate(*names), writable=False)

    def array(self, *names: str) -> zarr.Array[Any]:
        """A finished element that is one array, for reading."""
        return zarr.open_array(self.locate(*names), mode="r")

    def begin(self, *names: str, fingerprint: str) -> ledger.Partial:
        """Begin or continue an element. Its parent must be there; rooms are made when a section lacks one."""
        self.require_writable()
        if len(names) == 2 and self.find(names[0]) is None:
            with disk_errors(self.path):
                write_group(self.path / names[0], {})
        return ledger.Partial.begin(self.locate(*names[:-1]), names[-1], fingerprint)

    def afresh(self, *names: str) -> ledger.Partial:
        """Begin an element that is written whole: nothing of an earlier attempt stays."""
        partial = self.begin(*names, fingerprint="")
        if partial.resumed:
            partial.discard()
        return self.begin(*names, fingerprint="") if partial.resumed else partial

    def remove(self, *names: str) -> None:
        """Delete a finished element."""
        self.require_writable()
        ledger.remove(self.locate(*names[:-1]), names[-1])


def element_of(encoder: str) -> str:
    """The name of the element with an encoder's features: what no file name may hold is written with percent signs."""
    return quote(encoder, safe=" ()+,=@")


def open_group(path: Path, writable: bool) -> zarr.Group:
    """A Zarr v3 group at a folder that is one."""
    return zarr.open_group(path, mode="r+" if writable else "r", zarr_format=3, use_consolidated=False)


def make_group(path: Path) -> zarr.Group:
    """The group at `path`, made if it is not there yet."""
    return zarr.open_group(path, mode="a", zarr_format=3, use_consolidated=False)


def require_suffix(path: Path) -> None:
    """Refuse a name that no section can have, before anything is read."""
    if not path.name.endswith(SUFFIX) or path.name == SUFFIX:
        raise StoreError(f"A section's name ends in {SUFFIX}, which '{path.name}' does not.", _named(path))


def _named(path: Path) -> str:
    return f"Name it {path.name.split('.')[0] or 'slide'}{SUFFIX}."


def _make_way(path: Path, overwrite: bool) -> None:
    """Delete the section at `path` when told to, and refuse to delete anything that is none."""
    if not overwrite:
        raise StoreError(
            f"There is something at {path} already.", "Open it, choose another name, or allow overwriting."
        )
    _check(path)
    with disk_errors(path):
        (path / "zarr.json").unlink()
        shutil.rmtree(path)


def _check(path: Path) -> None:
    """Refuse what is not a section, or one that a newer version wrote."""
    if not path.exists():
        raise StoreError(f"There is no section at {path}.", "Check the path, or make it with `pixelgene import`.")
    document = read_json(path / "zarr.json") if (path / "zarr.json").is_file() else {}
    version = document.get("attributes", {}).get(NAMESPACE, {}).get("format_version")
    if not isinstance(version, int):
        raise StoreError(f"{path} is not a section.", f"Give a folder NAME{SUFFIX} made by napari-pixelgene.")
    if version > FORMAT_VERSION:
        raise StoreError(
            f"The section {path} has format {version}; this napari-pixelgene reads up to {FORMAT_VERSION}.",
            "Update it: pip install --upgrade napari-pixelgene.",
        )
