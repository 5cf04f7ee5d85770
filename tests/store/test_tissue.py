"""The mask, and a person's strokes over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store import tissue
from napari_pixelgene.store.section import SectionStore


@pytest.fixture
def store(tmp_path: Path) -> SectionStore:
    return SectionStore.create(tmp_path / "a.section.zarr")


@pytest.fixture
def mask() -> np.ndarray:
    return np.random.default_rng(0).random((37, 91)) > 0.4


def test_a_mask_comes_back_with_its_source(store: SectionStore, mask: np.ndarray) -> None:
    tissue.write_tissue(store, Tissue(mask, "Otsu on saturation"), "f")
    back = tissue.read_tissue(store)
    assert np.array_equal(back.mask, mask) and back.mask.dtype == bool and back.source == "Otsu on saturation"
    assert tissue.tissue_source(store) == {"source": "Otsu on saturation", "fingerprint": "f"}
    assert np.array_equal(zarr.open_group(store.path, mode="r")["tissue/mask/mask"][:], mask)


def test_strokes_survive_a_new_mask(store: SectionStore, mask: np.ndarray) -> None:
    tissue.write_tissue(store, Tissue(mask, "Otsu"))
    edits = np.zeros(mask.shape, np.uint8)
    edits[3:9, 5:40], edits[20:30, 50:] = tissue.ADDED, tissue.ERASED
    tissue.write_edits(store, edits)
    tissue.write_tissue(store, Tissue(~mask, "a file"))
    expected = ~mask
    expected[3:9, 5:40], expected[20:30, 50:] = True, False
    back = tissue.read_tissue(store)
    assert np.array_equal(back.mask, expected) and back.source == "a file, edited by hand"
    assert np.array_equal(tissue.read_tissue(store, edited=False).mask, ~mask)


def test_strokes_that_do_not_fit_are_refused(store: SectionStore, mask: np.ndarray) -> None:
    tissue.write_tissue(store, Tissue(mask))
    for wrong in (np.zeros((91, 37), np.uint8), np.full(mask.shape, 3, np.uint8)):
        with pytest.raises(StoreError, match="do not fit"):
            tissue.write_edits(store, wrong)
    tissue.write_edits(store, np.zeros(mask.shape, np.uint8))
    tissue.write_tissue(store, Tissue(mask[1:]))
    with pytest.raises(StoreError, match=r"edits have shape \(37, 91\), the mask \(36, 91\)"):
        tissue.read_tissue(store)
