"""How a section was left: gene, contrast, camera, pins. One small file of its own at the root.

Not an attribute of the root: a run in another process changes those, and two writers would lose one another's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.disk import disk_errors
from napari_pixelgene.store.documents import read_json, write_json
from napari_pixelgene.store.section import SectionStore

VIEW = "view.json"


def read_view(store: SectionStore) -> dict[str, Any]:
    """What was left, {} where nothing was or where it cannot be read: a section opens all the same."""
    with suppress(StoreError, OSError):
        return read_json(store.path / VIEW)
    return {}


def write_view(store: SectionStore, view: Mapping[str, Any]) -> None:
    """Keep a view, in the stead of an older one. A section that is gone meanwhile is left alone."""
    store.require_writable()
    if store.path.is_dir():
        with disk_errors(store.path):
            write_json(store.path / VIEW, view)
