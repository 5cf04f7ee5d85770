"""Measured maps of a section: spots and bins, older and read-only sections, and why there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import StoreError
from napari_pixelgene.pipeline.aligning import register_matrix
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.measured_maps import open_measured
from napari_pixelgene.pipeline.preparing import ensure_bins
from napari_pixelgene.pipeline.slide import grid_of, require_capture
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.store.alignments import write_alignment
from napari_pixelgene.store.captures import write_capture
from napari_pixelgene.store.section import SectionStore

GENES = GeneTable(("A", "B", "C"))
SHAPES = [(12, 20), (6, 10)]
COUNTS = np.array([[0, 40, 1], [7, 0, 2], [0, 9, 0]])


@pytest.fixture
def spots(tmp_path: Path) -> SectionStore:
    """Three spots of 20 µm, in pixels of 0.5 µm; the last one hangs over the lower edge."""
    store = SectionStore.create(tmp_path / "spots.section.zarr")
    store.update_meta("mpp", 0.5)
    xy = np.array([[61.0, 47.0], [150.0, 50.0], [250.0, 186.0]])
    units = Units(np.array(list("xyz")), xy, sparse.csr_matrix(COUNTS), GENES, Footprint("disk", 20.0), "he_px")
    write_capture(store, Capture("st", "spots", GENES, units), {}, "made")
    return store


def test_a_spot_lies_where_it_was_in_the_unit_of_the_maps(spots: SectionStore):
    found = open_measured(spots, SHAPES, 8.0)
    assert found.unit == "counts per 8 µm square" and found.totals.tolist() == [7, 49, 3]
    fine, coarse = (np.asarray(level) for level in found.levels("B"))
    y, x = (a.ravel() for a in np.mgrid[0.5:12, 0.5:20] * 8)
    for centre, count in zip(np.array([[30.5, 23.5], [75, 25], [125, 93]]), COUNTS[:, 1], strict=True):
        held = np.hypot(x - centre[0], y - centre[1]) <= 10
        np.testing.assert_allclose(fine.ravel()[held], count / held.sum())
        fine.ravel()[held] = np.nan
    assert np.isnan(fine).all() and coarse.shape == (6, 10) and np.isfinite(coarse).sum() < 15


def test_an_older_section_gets_its_columns_once_and_a_read_only_one_never(spots: SectionStore):
    before = np.asarray(open_measured(spots, SHAPES, 8.0).levels("A")[0])
    spots.remove("captures", "st", "by_gene")
    closed = SectionStore.open(spots.path, writable=False)
    np.testing.assert_array_equal(np.asarray(open_measured(closed, SHAPES, 8.0).levels("A")[0]), before)
    assert spots.find("captures", "st", "by_gene") is None
    np.testing.assert_array_equal(np.asarray(open_measured(spots, SHAPES, 8.0).levels("A")[0]), before)
    assert spots.find("captures", "st", "by_gene") is not None


def test_bins_follow_the_present_alignment(tmp_path: Path, small_run):
    store = import_section(tmp_path / "x.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))
    shapes = [grid_of(store).yx_shape]
    with pytest.raises(StoreError, match="not registered"):
        open_measured(store, shapes, 8.0)
    register_matrix(store, small_run.folder / "he_imagealignment.csv")
    with pytest.raises(StoreError, match="not been counted"):
        open_measured(store, shapes, 8.0)
    bins = ensure_bins(store, require_capture(store))
    found = open_measured(store, shapes, 8.0)
    for gene in bins.genes.symbols[::7]:
        values = np.asarray(found.levels(gene)[0]).ravel()
        expected = bins.counts[:, bins.genes.index(gene)].toarray().ravel()
        np.testing.assert_array_equal(values[bins.superpixel], expected)
        assert np.isfinite(values).sum() == len(bins)
    with pytest.raises(StoreError, match="different squares"):
        open_measured(store, [(3, 3)], 8.0)
    capture = require_capture(store)
    moved = Transform(np.array([[1, 0, 40.0], [0, 1, 0], [0, 0, 1]]), "he_px", "he_px")
    assert capture.to_he is not None
    write_alignment(store, capture.name, capture.keypoints, capture.to_he.then(moved), "moved")
    with pytest.raises(StoreError, match="present alignment"):
        open_measured(store, shapes, 8.0)


def test_nothing_measured_is_said(tmp_path: Path):
    with pytest.raises(StoreError, match="Nothing was measured"):
        open_measured(SectionStore.create(tmp_path / "bare.section.zarr"), SHAPES, 8.0)
