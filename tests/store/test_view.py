"""How a section was left: a file of its own, which a broken one never spoils."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.view import VIEW, read_view, write_view


def test_a_view_comes_back_and_leaves_the_root_alone(tmp_path: Path):
    store = SectionStore.create(tmp_path / "a.section.zarr")
    root = (store.path / "zarr.json").read_bytes()
    assert read_view(store) == {}
    write_view(store, {"gene": "ERBB2", "camera": {"zoom": 2.5}})
    write_view(store, {"gene": "Ä/β", "camera": None})
    assert read_view(store) == {"gene": "Ä/β", "camera": None}
    assert (store.path / "zarr.json").read_bytes() == root
    assert SectionStore.open(store.path).captures() == []


def test_a_broken_file_opens_as_if_it_were_none(tmp_path: Path):
    store = SectionStore.create(tmp_path / "a.section.zarr")
    for content in (b"{", b"[1]", b"\xff\xfe"):
        (store.path / VIEW).write_bytes(content)
        assert read_view(store) == {}


def test_a_section_opened_for_reading_keeps_nothing(tmp_path: Path):
    store = SectionStore.create(tmp_path / "a.section.zarr")
    with pytest.raises(StoreError, match="reading only"):
        write_view(SectionStore.open(store.path, writable=False), {"gene": "A"})
    assert not (store.path / VIEW).exists()
