"""References: found after a move, refused when the content changed, mended by relink."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store import references as refs
from napari_pixelgene.store.section import SectionStore


def big_file(path: Path, seed: int = 0, mib: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.random.default_rng(seed).bytes(mib << 20))
    return path


def pyramid(path: Path, seed: int = 1) -> Image:
    full = np.random.default_rng(seed).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    return Image((full, full[::2, ::2]), 0.5, path)


@pytest.fixture
def store(tmp_path: Path) -> SectionStore:
    return SectionStore.create(tmp_path / "project" / "a.section.zarr")


def test_a_file_beside_the_section_moves_with_it(store: SectionStore, tmp_path: Path) -> None:
    path = big_file(tmp_path / "project" / "xenium" / "transcripts.parquet")
    ref = refs.reference(path, store.path)
    assert ref["path"] == "xenium/transcripts.parquet" and ref["size"] == 3 << 20
    shutil.move(tmp_path / "project", tmp_path / "moved")
    assert refs.resolve(ref, tmp_path / "moved" / store.path.name) == tmp_path / "moved/xenium/transcripts.parquet"


def test_near_is_one_folder_up_and_far_is_absolute(store: SectionStore, tmp_path: Path) -> None:
    near, far = (
        big_file(tmp_path / "raw" / "he.tif", mib=1),
        big_file(tmp_path.parent / f"{tmp_path.name}-far" / "he.tif", mib=1),
    )
    assert refs.reference(near, store.path)["path"] == "../raw/he.tif"
    assert refs.reference(far, store.path)["path"] == far.as_posix()
    assert refs.resolve(refs.reference(near, store.path), store.path) == near
    assert refs.resolve(refs.reference(far, store.path), store.path) == far


def test_a_missing_file_names_itself_and_the_mend(store: SectionStore, tmp_path: Path) -> None:
    path = big_file(tmp_path / "project" / "he.tif")
    ref = refs.reference(path, store.path)
    path.unlink()
    with pytest.raises(StoreError, match=r"he\.tif, which is not there\..*pixelgene relink a\.section\.zarr"):
        refs.resolve(ref, store.path)
    with pytest.raises(StoreError, match="no file"):
        refs.reference(path, store.path)


def test_changed_content_is_refused_and_a_touched_file_is_not(store: SectionStore, tmp_path: Path) -> None:
    path = big_file(tmp_path / "project" / "he.tif")
    ref = refs.reference(path, store.path)
    os.utime(path, (1, 1))
    assert not refs.changed(ref, store.path) and refs.resolve(ref, store.path) == path
    with path.open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"other")
    with pytest.raises(StoreError, match="not the one"):
        refs.resolve(ref, store.path)
    with path.open("ab") as file:
        file.write(b"longer")
    assert refs.changed(ref, store.path)


def test_relink_takes_the_same_content_only(store: SectionStore, tmp_path: Path) -> None:
    path = big_file(tmp_path / "project" / "t.parquet")
    refs.set_reference(store, "he", refs.reference(path, store.path))
    elsewhere, other = tmp_path / "disk" / "renamed.parquet", big_file(tmp_path / "disk" / "other.parquet", seed=9)
    shutil.move(path, elsewhere)
    with pytest.raises(StoreError, match="other content"):
        refs.relink(refs.references(store)["he"], other, store.path)
    refs.set_reference(store, "he", refs.relink(refs.references(store)["he"], elsewhere, store.path))
    assert refs.require_reference(store, "he") == elsewhere
    with pytest.raises(StoreError, match=r"no 'morphology'. It refers to: he\."):
        refs.require_reference(store, "morphology")


def test_an_image_written_anew_with_the_same_pixels_is_accepted(store: SectionStore, tmp_path: Path) -> None:
    path = big_file(tmp_path / "project" / "he.tif")
    ref = refs.reference(pyramid(path), store.path)
    rewritten = big_file(tmp_path / "project" / "he.ome.tif", seed=2)
    with pytest.raises(StoreError, match="other content"):
        refs.relink(ref, pyramid(rewritten, seed=3), store.path)
    new = refs.relink(ref, pyramid(rewritten), store.path)
    assert new["path"] == "he.ome.tif" and refs.content_hash(new) == refs.content_hash(ref) != ref["hash"]


def test_the_pixel_hash_reads_only_the_smallest_level_and_little_of_it() -> None:
    class Guarded:
        shape, dtype = (9000, 5000, 3), np.dtype(np.uint8)

        def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
            rows, columns = (len(range(*part.indices(side))) for part, side in zip(key, self.shape, strict=False))
            assert rows <= 2048 and columns <= 2048
            return np.full((rows, columns, 3), 7, np.uint8)

    level = Guarded()
    assert refs.pixel_hash(Image((level,))) == refs.pixel_hash(Image((level,)))
    assert refs.pixel_hash(Image((level,))) != refs.pixel_hash(Image((level, np.zeros((4, 4, 3), np.uint8))))


def test_a_folder_is_known_by_its_files(store: SectionStore, tmp_path: Path) -> None:
    folder = tmp_path / "project" / "he.ome.zarr"
    big_file(folder / "0" / "c" / "0", mib=1)
    ref = refs.reference(folder, store.path)
    assert ref["size"] == 1 << 20 and not refs.changed(ref, store.path)
    big_file(folder / "0" / "c" / "1", mib=1)
    assert refs.changed(ref, store.path)


def test_an_image_in_memory_cannot_be_referred_to(store: SectionStore) -> None:
    with pytest.raises(StoreError, match="in memory"):
        refs.reference(Image((np.zeros((4, 4, 3), np.uint8),)), store.path)
