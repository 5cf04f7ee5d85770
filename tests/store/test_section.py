"""Making, opening and listing a section, and every way that can go wrong."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import zarr

from napari_pixelgene.errors import StoreError
from napari_pixelgene.store import disk, section
from napari_pixelgene.store.documents import read_json, write_group, write_json
from napari_pixelgene.store.section import SectionStore


@pytest.fixture
def store(tmp_path: Path) -> SectionStore:
    return SectionStore.create(tmp_path / "liver.section.zarr")


def test_a_new_section_is_a_zarr_v3_group_others_can_walk(store: SectionStore) -> None:
    root = zarr.open_group(store.path, mode="r")
    assert root.metadata.zarr_format == 3
    assert set(root.group_keys()) == set(section.ROOMS)
    assert root.attrs["napari_pixelgene"] == {"format_version": 1, "provenance": {}}
    assert store.name == "liver"
    assert store.captures() == store.runs() == store.encoders() == store.mapped_runs() == []


def test_attributes_of_others_survive_and_stale_handles_see_changes(store: SectionStore) -> None:
    store.root.attrs["someone"] = {"else": 1}
    other = SectionStore.open(store.path)
    store.update_meta("mpp", 0.2737)
    other.update_meta("organ", "Leber")
    assert store.meta() == {"format_version": 1, "provenance": {}, "mpp": 0.2737, "organ": "Leber"}
    assert zarr.open_group(store.path, mode="r").attrs["someone"] == {"else": 1}


def test_a_kill_while_attributes_are_written_leaves_the_old_ones(
    store: SectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.update_meta("mpp", 0.5)

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.update_meta("mpp", 0.25)
    assert SectionStore.open(store.path).meta()["mpp"] == 0.5


def test_only_finished_elements_are_listed(store: SectionStore) -> None:
    partial = store.begin("features", "uni", fingerprint="a")
    write_group(partial.path, {})
    assert store.encoders() == []
    with pytest.raises(StoreError, match=r"no finished 'features/uni'.*there is: nothing"):
        store.group("features", "uni")
    partial.publish()
    assert store.encoders() == ["uni"]
    assert isinstance(store.group("features", "uni"), zarr.Group)
    store.remove("features", "uni")
    assert store.encoders() == []


def test_a_moved_section_opens(store: SectionStore, tmp_path: Path) -> None:
    store.update_meta("mpp", 0.3)
    moved = tmp_path / "elsewhere" / "kidney.section.zarr"
    moved.parent.mkdir()
    shutil.move(store.path, moved)
    assert SectionStore.open(moved).meta()["mpp"] == 0.3 and SectionStore.open(moved).name == "kidney"


@pytest.mark.parametrize("name", ["liver.zarr", ".section.zarr", "liver"])
def test_the_name_must_say_what_it_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match=r"ends in \.section\.zarr"):
        SectionStore.create(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_an_existing_path_is_kept_unless_asked(store: SectionStore) -> None:
    store.update_meta("mpp", 0.5)
    with pytest.raises(StoreError, match="already"):
        SectionStore.create(store.path)
    assert "mpp" not in SectionStore.create(store.path, overwrite=True).meta()


def test_overwriting_never_deletes_a_folder_that_is_no_section(tmp_path: Path) -> None:
    folder = tmp_path / "photos.section.zarr"
    folder.mkdir()
    (folder / "wedding.jpg").write_text("precious")
    with pytest.raises(StoreError, match="not a section"):
        SectionStore.create(folder, overwrite=True)
    assert (folder / "wedding.jpg").exists()


def test_what_is_not_a_section_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no section at"):
        SectionStore.open(tmp_path / "nowhere.section.zarr")
    zarr.open_group(tmp_path / "other.zarr", mode="w", zarr_format=3)
    zarr.open_group(tmp_path / "older.zarr", mode="w", zarr_format=2)
    (tmp_path / "file.section.zarr").write_text("x")
    for name in ("other.zarr", "older.zarr", "file.section.zarr"):
        with pytest.raises(StoreError, match="is not a section"):
            SectionStore.open(tmp_path / name)


def test_a_newer_format_names_the_mend(store: SectionStore) -> None:
    document = read_json(store.path / "zarr.json")
    document["attributes"]["napari_pixelgene"]["format_version"] = 2
    write_json(store.path / "zarr.json", document)
    with pytest.raises(StoreError, match=r"format 2; .* up to 1\. Update it"):
        SectionStore.open(store.path)


def test_a_spoilt_document_is_named(store: SectionStore) -> None:
    (store.path / "zarr.json").write_text('{"zarr_format": 3,')
    with pytest.raises(StoreError, match=r"zarr\.json is not valid JSON"):
        SectionStore.open(store.path)


def test_read_only(store: SectionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = SectionStore.open(store.path, writable=False)
    for attempt in (
        lambda: reading.update_meta("mpp", 1.0),
        lambda: reading.begin("features", "x", fingerprint="a"),
        lambda: reading.remove("features", "x"),
    ):
        with pytest.raises(StoreError, match="for reading only"):
            attempt()
    monkeypatch.setattr(section, "may_write", lambda path: False)
    with pytest.raises(StoreError, match=r"cannot be written\. Open it for reading only"):
        SectionStore.open(store.path)
    assert SectionStore.open(store.path, writable=False).meta()["format_version"] == 1


@pytest.mark.skipif(os.name == "nt" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="root may write anywhere")
def test_a_folder_without_permission_is_a_sentence(store: SectionStore) -> None:
    (store.path / "features").chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written"):
        store.begin("features", "x", fingerprint="a")
    (store.path / "features").chmod(0o700)


def test_a_full_disk_is_told_before_it_is_full(store: SectionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(store.path)._replace(free=3_000_000_000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: usage)
    disk.require_free(store.path / "maps" / "not yet", 2_900_000_000, "Maps of 'a'")
    with pytest.raises(StoreError, match=r"Maps of 'a' needs 3\.0 GB .* has 3\.0 GB free"):
        disk.require_free(store.path, 2_999_000_000, "Maps of 'a'")
    with pytest.raises(StoreError, match="is full"), disk.disk_errors(store.path):
        raise OSError(28, "No space left on device")


def test_values_json_has_not_become_null(store: SectionStore) -> None:
    import numpy as np

    store.update_meta("history", {"loss": [np.float32(0.5), float("nan")], "n": np.int64(3), "at": Path("a/b")})
    assert json.loads((store.path / "zarr.json").read_text())["attributes"]["napari_pixelgene"]["history"] == {
        "loss": [0.5, None],
        "n": 3,
        "at": "a/b",
    }
