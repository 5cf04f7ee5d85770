"""Files a section refers to and does not copy: the H&E, the morphology image, the transcripts.

A reference says where the file is, how large and how old, and two hashes: one of the file (its first and last MiB
and its size), which needs no reader, and for an image one of the pixels of its smallest level, which survives a
rewrite of the container. Nothing here opens an image: the pipeline hands in what a reader gave it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.disk import disk_errors
from napari_pixelgene.store.documents import read_attributes, update_attributes
from napari_pixelgene.store.section import SectionStore

Reference = dict[str, Any]
ATTRIBUTE = "references"
_MIB = 1 << 20
# A pyramid that stops early is judged by the middle of its smallest level.
_WINDOW = 2048


def reference(source: Image | Path, store_path: Path) -> Reference:
    """How to find a file again, and to know it: path, size, mtime, hashes.

    The path is relative to the store's folder where the file lies beside or below it, else absolute.
    """
    path = _path_of(source)
    if not path.exists():
        raise StoreError(f"There is no file {path}.", "Check the path.")
    status = path.stat()
    found: Reference = {
        "path": _written(path, store_path),
        "size": _size(path),
        "mtime": status.st_mtime,
        "hash": file_hash(path),
    }
    if isinstance(source, Image):
        found["pixels"] = pixel_hash(source)
    return found


def resolve(ref: Mapping[str, Any], store_path: Path) -> Path:
    """The file a reference means, if it is there and the same; else the error that says so."""
    path = whereabouts(ref, store_path)
    if not path.exists():
        raise StoreError(
            f"The section {store_path.name} refers to {path}, which is not there.",
            f"Tell where it is now: pixelgene relink {store_path.name}.",
        )
    if changed(ref, store_path):
        raise StoreError(
            f"The file {path} is not the one that {store_path.name} was made from.",
            f"Put the original back, or accept a file with the same pixels: pixelgene relink {store_path.name}.",
        )
    return path


def changed(ref: Mapping[str, Any], store_path: Path) -> bool:
    """Whether the file is another one by now. Reads it only when its time stamp moved."""
    path = whereabouts(ref, store_path)
    if _size(path) != ref["size"]:
        return True
    return bool(path.stat().st_mtime != ref["mtime"] and file_hash(path) != ref["hash"])


def relink(ref: Mapping[str, Any], source: Image | Path, store_path: Path) -> Reference:
    """The reference to where the same content lies now; other content is refused."""
    new = reference(source, store_path)
    same_pixels = "pixels" in ref and new.get("pixels") == ref["pixels"]
    if not same_pixels and (new["size"], new["hash"]) != (ref["size"], ref["hash"]):
        raise StoreError(
            f"{_path_of(source)} has other content than the file {ref['path']} that {store_path.name} was made from.",
            "Give the file the section was made from, or import this one as a new section.",
        )
    return new


def references(store: SectionStore) -> dict[str, Reference]:
    """Every reference of a section by its key: `he`, `captures/NAME/transcripts`, `captures/NAME/morphology/0`, …"""
    found: dict[str, Reference] = dict(store.meta().get(ATTRIBUTE, {}))
    for name in store.captures():
        own = read_attributes(store.locate("captures", name)).get(ATTRIBUTE, {})
        found.update({f"captures/{name}/{key}": ref for key, ref in own.items()})
    return found


def set_reference(store: SectionStore, key: str, ref: Mapping[str, Any]) -> None:
    """Write a reference down under its key, in the stead of an older one. A capture holds its own."""
    store.require_writable()
    folder, own_key = store.path, key
    if key.startswith("captures/"):
        _, name, own_key = key.split("/", 2)
        folder = store.locate("captures", name)
    known = read_attributes(folder).get(ATTRIBUTE, {})
    with disk_errors(folder):
        update_attributes(folder, {ATTRIBUTE: {**known, own_key: dict(ref)}})


def require_reference(store: SectionStore, key: str) -> Path:
    """The file of a reference by its key."""
    known = references(store)
    if key not in known:
        raise StoreError(f"The section {store.name} has no '{key}'.", f"It refers to: {', '.join(known) or 'nothing'}.")
    return resolve(known[key], store.path)


def content_hash(ref: Mapping[str, Any]) -> str:
    """What a stage names as its input's hash: the pixels where there are any, else the file."""
    return str(ref.get("pixels") or ref["hash"])


def file_hash(path: Path) -> str:
    """Hash of the first and last MiB of a file and of its size; of a folder, of its files' names and sizes."""
    digest = hashlib.blake2b(str(_size(path)).encode(), digest_size=16)
    if path.is_dir():
        for file in sorted(_files(path)):
            digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        digest.update(stream.read(_MIB))
        stream.seek(max(_MIB, path.stat().st_size - _MIB))
        digest.update(stream.read(_MIB))
    return digest.hexdigest()


def pixel_hash(image: Image) -> str:
    """Hash of the smallest level's pixels, its shape and dtype, and the shape of level 0."""
    level = image.levels[-1]
    starts = [max(0, (side - _WINDOW) // 2) for side in level.shape[:2]]
    window = np.ascontiguousarray(level[tuple(slice(start, start + _WINDOW) for start in starts)])
    shapes = f"{tuple(map(int, image.levels[0].shape))} {tuple(map(int, level.shape))} {window.dtype.str}"
    digest = hashlib.blake2b(shapes.encode(), digest_size=16)
    digest.update(window.tobytes())
    return digest.hexdigest()


def _path_of(source: Image | Path) -> Path:
    path = source.path if isinstance(source, Image) else source
    if path is None:
        raise StoreError("An image in memory cannot be referred to.", "Write it to a file, or into the section.")
    return Path(path).absolute()


def _written(path: Path, store_path: Path) -> str:
    """The path as text: relative when the two travel together, that is when one folder holds both."""
    home = Path(store_path).absolute().parent
    for near in (home, home.parent):
        if path.is_relative_to(near) and near != Path(near.anchor):
            return PurePosixPath(*Path(os.path.relpath(path, home)).parts).as_posix()
    return path.as_posix()


def whereabouts(ref: Mapping[str, Any], store_path: Path) -> Path:
    """Where the file should be, whether or not it is."""
    return Path(os.path.normpath(Path(store_path).absolute().parent / ref["path"]))


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in _files(path))
    return path.stat().st_size


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
