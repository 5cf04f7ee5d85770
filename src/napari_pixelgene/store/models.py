"""Runs: what was learned as safetensors, what it was learned from as JSON beside it. Never a pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from napari_pixelgene.elements.arrays import Array
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.disk import disk_errors, require_free
from napari_pixelgene.store.documents import plain, read_attributes, read_json, write_bytes, write_group, write_json
from napari_pixelgene.store.ledger import Partial
from napari_pixelgene.store.scores import copy_scores
from napari_pixelgene.store.section import SectionStore

WEIGHTS, CARD, CHECKPOINT = "model.safetensors", "model.json", "checkpoint.safetensors"


def begin_run(store: SectionStore, run: str, fingerprint: str) -> Partial:
    """Begin or continue a run, so that epochs can be kept with `Checkpoint` until `save_run`."""
    return store.begin("models", run, fingerprint=fingerprint)


def save_run(store: SectionStore, run: str, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Publish a run. `meta` holds settings, gene table, history, versions and `fingerprint`; a NaN becomes null."""
    fingerprint = str(meta.get("fingerprint", ""))
    size = sum(np.asarray(values).nbytes for values in arrays.values())
    require_free(store.path, size, f"The model of run '{run}'")
    partial = begin_run(store, run, fingerprint)
    with disk_errors(partial.path):
        write_group(partial.path, {"fingerprint": fingerprint})
        write_json(partial.path / CARD, meta)
        write_bytes(partial.path / WEIGHTS, _packed(arrays, {}))
        (partial.path / CHECKPOINT).unlink(missing_ok=True)
    partial.publish()


def load_run(store: SectionStore, run: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the meta of a run."""
    folder = store.locate("models", run)
    return _unpacked(folder / WEIGHTS), read_json(folder / CARD)


def run_meta(store: SectionStore, run: str) -> dict[str, Any]:
    """The meta of a run, without its arrays."""
    return read_json(store.locate("models", run) / CARD)


def copy_run(source: SectionStore, target: SectionStore, run: str) -> None:
    """Copy a run and its scores into another section, in the stead of an older one; the same is left alone."""
    origin = source.locate("models", run)
    place = target.find("models", run)
    if source.path == target.path:
        return
    if place is None or not _same(origin, place):
        _copy(origin, target, run)
    copy_scores(source, target, run)


def _copy(origin: Path, target: SectionStore, run: str) -> None:
    require_free(target.path, (origin / WEIGHTS).stat().st_size, f"The model of run '{run}'")
    partial = target.afresh("models", run)
    with disk_errors(partial.path):
        for name in (WEIGHTS, CARD):
            shutil.copyfile(origin / name, partial.path / name)
        write_group(partial.path, read_attributes(origin))
    partial.publish()


class Checkpoint:
    """The last finished epoch of an unfinished run: one file, replaced in one step."""

    __slots__ = ("path",)

    def __init__(self, partial: Partial) -> None:
        self.path = partial.path / CHECKPOINT

    def save(self, arrays: Mapping[str, Array], meta: Mapping[str, Any] | None = None) -> None:
        """Keep these arrays, and `meta` with them."""
        with disk_errors(self.path):
            write_bytes(self.path, _packed(arrays, meta or {}))

    def load(self) -> dict[str, Array] | None:
        """The arrays kept last, or None."""
        return _unpacked(self.path) if self.path.exists() else None

    def meta(self) -> dict[str, Any]:
        """The meta kept last, {} when there is none."""
        if not self.path.exists():
            return {}
        content = self.path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        found: dict[str, Any] = json.loads(header.get("__metadata__", {}).get("meta", "{}"))
        return found


def _packed(arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> bytes:
    dense = {name: np.ascontiguousarray(values).reshape(np.shape(values)) for name, values in arrays.items()}
    for name, values in dense.items():
        if values.dtype.kind not in "biuf":
            raise StoreError(f"The array '{name}' is of type {values.dtype}.", "Keep text and objects in the meta.")
    packed: bytes = save(dense, metadata={"meta": json.dumps(plain(meta))})
    return packed


def _unpacked(path: Path) -> dict[str, Array]:
    try:
        arrays: dict[str, Array] = load_file(path)
    except (FileNotFoundError, SafetensorError) as error:
        raise StoreError(f"{path} cannot be read: {error}.", "Restore it, or train again.") from None
    return arrays


def _same(a: Path, b: Path) -> bool:
    """Whether two runs are the same to the last byte."""
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in (CARD, WEIGHTS))
