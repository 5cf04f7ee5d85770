"""A person's strokes and training region: kept apart, used by what comes after, which then is stale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.errors import StoreError
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.describing import stale
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.learning import FitSettings, fit, prepare_fit
from napari_pixelgene.pipeline.preparing import edit_tissue, ensure_tissue
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.stages.tissue import TissueSettings
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_region, read_tissue, write_region

RIDGE = FitSettings(genes="panel", model="ridge", folds=FoldSettings(block_um=150, folds=3, partitions=1))


@pytest.fixture
def store(tmp_path: Path, small_run: SimulatedRun) -> SectionStore:
    made = import_section(tmp_path / "a.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))
    register_keypoints(made, small_run.keypoints)
    return made


def test_strokes_survive_finding_the_tissue_anew(store: SectionStore) -> None:
    found = ensure_tissue(store).mask
    place = tuple(np.argwhere(found)[len(np.argwhere(found)) // 2])
    drawn = found.copy()
    drawn[place] = False
    drawn[0, :3] = True
    edited = edit_tissue(store, drawn)
    np.testing.assert_array_equal(edited.mask, drawn)
    ensure_tissue(store, TissueSettings(min_area_um2=15_000))
    again = read_tissue(store)
    assert not again.mask[place] and again.mask[0, :3].all()
    assert "edited by hand" in again.source
    edit_tissue(store, read_tissue(store, edited=False).mask)  # everything taken back
    assert store.find("tissue", "edits") is None


def test_only_units_in_the_region_are_learned_from(store: SectionStore) -> None:
    whole = prepare_fit([store], RIDGE)
    fit([store], "r", RIDGE)
    assert stale(store) == {}
    region = np.zeros_like(read_tissue(store).mask)
    region[: region.shape[0] // 3] = True
    write_region(store, region)
    assert "training/r" in stale(store)

    said: list[Event] = []
    some = prepare_fit([store], RIDGE, on_event=said.append)
    assert some.fingerprint != whole.fingerprint
    inside = whole.measured[0].xy_um[:, 1] < region.shape[0] // 3 * 8
    assert 0 < len(some.measured[0]) == inside.sum() < len(whole.measured[0])
    assert (some.measured[0].xy_um[:, 1] < region.shape[0] // 3 * 8).all()
    assert any(isinstance(e, Note) and f"{inside.sum():,} of" in e.text and "region" in e.text for e in said)

    write_region(store, np.zeros_like(region))
    assert read_region(store) is None and "training/r" not in stale(store)


def test_a_region_without_units_is_told(store: SectionStore) -> None:
    region = ~read_tissue(store).mask if store.find("tissue", "mask") else ~ensure_tissue(store).mask
    write_region(store, region & (np.arange(region.shape[1]) < 2))
    with pytest.raises(StoreError, match="No unit"):
        prepare_fit([store], RIDGE)
