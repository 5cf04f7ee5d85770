"""Captures, bins and alignments: what goes in comes out to the last bit, and anndata opens it without us."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from napari_pixelgene.arithmetic.splines import Spline
from napari_pixelgene.elements.alignment import Bend, Keypoints, Transform
from napari_pixelgene.elements.bins import Bins
from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.tissue import Folds
from napari_pixelgene.elements.transcripts import Transcripts
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store import references
from napari_pixelgene.store.alignments import decode_alignment, encode_alignment, read_alignment, write_alignment
from napari_pixelgene.store.bins import bins_rows, read_bins, read_bins_notes, write_bins
from napari_pixelgene.store.captures import read_capture, write_capture
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_folds, write_folds

GENES = GeneTable(("EPCAM", "ACTA2", "HLA-A", "Ä/β"), ("ENSG1", "ENSG2", "ENSG3", "ENSG4"))
MATRIX = np.array([[0.4, -0.11, 1234.567], [0.1, 0.41, -1.0 / 3.0], [1e-7, -2e-8, 1.0]])


def random_counts(rows: int, columns: int = 4, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    return sparse.csr_matrix(rng.poisson(0.7, (rows, columns)).astype(np.int32))


def visium_units(n: int = 30) -> Units:
    rng = np.random.default_rng(3)
    ids = np.array([f"AACÄ-{i}" for i in range(n)])
    return Units(
        ids, rng.random((n, 2)) * 9e4, random_counts(n), GENES, Footprint("disk", 55.0), "he_px", rng.random(n)
    )


@pytest.fixture
def store(tmp_path: Path) -> SectionStore:
    return SectionStore.create(tmp_path / "a.section.zarr")


@pytest.fixture
def transcripts(tmp_path: Path) -> Transcripts:
    path = tmp_path / "transcripts.parquet"
    path.write_bytes(b"PAR1 not really")
    return Transcripts(path, GENES, 12_165_021, lambda: iter(()), "stage_um", {"qv": "20 and above"})


def same(a: sparse.csr_matrix, b: sparse.csr_matrix) -> bool:
    parts = ("data", "indices", "indptr")
    return all(
        np.array_equal(getattr(a, p), getattr(b, p)) and getattr(a, p).dtype == getattr(b, p).dtype for p in parts
    )


def test_units_come_back_to_the_last_bit(store: SectionStore) -> None:
    units = visium_units()
    write_capture(store, Capture("core 1", "visium", GENES, units), {}, "f00")
    stored = read_capture(store, "core 1")
    back = stored.element().units
    assert back is not None and store.captures() == ["core 1"]
    assert (stored.technology, stored.units_count, stored.fingerprint, stored.genes) == ("visium", 30, "f00", GENES)
    assert same(back.counts, units.counts) and np.array_equal(back.xy, units.xy)
    assert np.array_equal(back.library, units.library) and np.array_equal(back.ids, units.ids)
    assert (back.genes, back.footprint, back.frame) == (GENES, Footprint("disk", 55.0), "he_px")
    assert same(stored.unit_rows(11, 17), sparse.csr_matrix(units.counts[11:17]))
    assert back.lattice is None


def test_columns_and_rows_of_an_array_come_back(store: SectionStore) -> None:
    places = np.random.default_rng(1).permutation(60).reshape(30, 2)
    write_capture(store, Capture("a", "visium", GENES, replace(visium_units(), lattice=places)), {})
    back = read_capture(store, "a").units()
    assert back is not None and back.lattice is not None and back.lattice.dtype == np.int64
    np.testing.assert_array_equal(back.lattice, places)
    table = anndata.read_zarr(store.path / "captures" / "a" / "counts")  # as Space Ranger calls them
    assert table.obs["array_col"].tolist() == places[:, 0].tolist()
    assert table.obs["array_row"].tolist() == places[:, 1].tolist()


def test_anndata_opens_a_capture_without_us(store: SectionStore, recwarn: pytest.WarningsRecorder) -> None:
    units = visium_units()
    write_capture(store, Capture("a", "visium", GENES, units), {})
    table = anndata.read_zarr(store.path / "captures" / "a" / "counts")
    assert table.var_names.tolist() == list(GENES.symbols) and table.var["gene_ids"].tolist() == list(GENES.ids)
    assert (table.layers["counts"] != units.counts).nnz == 0 and table.layers["counts"].dtype == np.int32
    assert np.array_equal(table.obsm["spatial"], units.xy) and np.array_equal(table.obs["library"], units.library)
    assert table.uns["footprint"] == {"shape": "disk", "size_um": 55.0} and table.uns["frame"] == "he_px"
    assert isinstance(anndata.io.read_elem(store.root["captures/a/counts"]), anndata.AnnData)
    assert [str(w.message) for w in recwarn if "zarr" in str(w.message)] == []


def test_transcripts_are_a_reference(store: SectionStore, transcripts: Transcripts) -> None:
    to_morphology = Transform(np.diag([1 / 0.2125, 1 / 0.2125, 1.0]), "stage_um", "morphology_px")
    capture = Capture("x", "xenium", GENES, transcripts=transcripts, stage_to_morphology=to_morphology)
    with pytest.raises(StoreError, match="neither units nor a reference to transcripts"):
        write_capture(store, capture, {})
    write_capture(store, capture, {"transcripts": references.reference(transcripts.path, store.path)})
    stored = read_capture(store, "x")
    assert stored.units() is None and stored.genes == GENES
    assert stored.transcripts == {"rows": 12_165_021, "filters": {"qv": "20 and above"}, "frame": "stage_um"}
    assert references.require_reference(store, "captures/x/transcripts") == transcripts.path
    assert stored.stage_to_morphology is not None and stored.stage_to_morphology.name == "stage_to_morphology"
    assert np.array_equal(stored.stage_to_morphology.matrix, to_morphology.matrix)
    again = stored.element(transcripts)
    assert again.transcripts is transcripts and again.to_he is None and again.keypoints is None


def test_a_capture_s_reference_is_relinked_in_place(
    store: SectionStore, transcripts: Transcripts, tmp_path: Path
) -> None:
    capture = Capture("x", "xenium", GENES, transcripts=transcripts)
    write_capture(store, capture, {"transcripts": references.reference(transcripts.path, store.path)})
    moved = transcripts.path.rename(tmp_path / "moved.parquet")
    key = "captures/x/transcripts"
    references.set_reference(store, key, references.relink(references.references(store)[key], moved, store.path))
    assert references.require_reference(store, key) == moved and store.meta().get("references") is None


def test_an_import_anew_keeps_the_clicks_and_drops_what_is_derived(store: SectionStore) -> None:
    capture = Capture("a", "visium", GENES, visium_units())
    write_capture(store, capture, {})
    assert read_alignment(store, "a") == (None, None)
    keypoints = Keypoints(np.array([[1.5, 2.25], [3.0, 4.0]]), np.array([[9.5, 8.0], [7.0, 6.125]]))
    write_alignment(store, "a", keypoints, Transform(MATRIX, "morphology_px", "he_px", "homography"))
    write_bins(store, "a", random_bins(), "t1")
    write_capture(store, capture, {})
    back, transform = read_alignment(store, "a")
    assert back is not None and np.array_equal(back.fixed_xy, keypoints.fixed_xy)
    assert transform is not None and np.array_equal(transform.matrix, MATRIX)
    assert store.find("captures", "a", "bins") is None
    own = Capture("a", "visium", GENES, visium_units(), to_he=Transform(np.eye(3), "he_px", "he_px"))
    write_capture(store, own, {})
    assert read_capture(store, "a").to_he is not None and read_capture(store, "a").keypoints is None


def test_nothing_of_a_killed_import_stays(store: SectionStore) -> None:
    partial = store.begin("captures", "a", fingerprint="")
    (partial.path / "left over").write_text("x")
    write_capture(store, Capture("a", "visium", GENES, visium_units()), {})
    assert not (store.path / "captures" / "a" / "left over").exists()


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    matrix=hnp.arrays(np.float64, (3, 3), elements=finite),
    moving=hnp.arrays(np.float64, (5, 2), elements=finite),
    loo=hnp.arrays(np.float64, 5, elements=st.floats(allow_infinity=False)),
    enabled=hnp.arrays(bool, 5),
)
def test_alignments_come_back_to_the_last_bit(
    tmp_path: Path, matrix: np.ndarray, moving: np.ndarray, loo: np.ndarray, enabled: np.ndarray
) -> None:
    from napari_pixelgene.store.documents import read_json, write_json

    transform = Transform(matrix, "morphology_px", "he_px", "affine", loo, loo / 3, enabled, loo)
    write_json(tmp_path / "a.json", encode_alignment(Keypoints(moving, moving[::-1], enabled=enabled), transform))
    keypoints, back = decode_alignment(read_json(tmp_path / "a.json"))
    assert keypoints is not None and back is not None and back.inlier is not None
    assert keypoints.moving_xy.tobytes() == moving.tobytes() and back.matrix.tobytes() == matrix.tobytes()
    assert np.array_equal(back.loo_um, loo, equal_nan=True) and np.array_equal(back.inlier, enabled)  # type: ignore[arg-type]
    assert np.array_equal(keypoints.enabled, enabled) and (back.source, back.kind) == ("morphology_px", "affine")


def test_a_bend_comes_back_to_the_last_bit(store: SectionStore) -> None:
    write_capture(store, Capture("a", "visium", GENES, visium_units()), {})
    rng = np.random.default_rng(0)
    spline = Spline(rng.normal(0, 1e4, (8, 2)), rng.normal(0, 1e-7, (8, 2)), rng.normal(0, 1, (3, 2)))
    bent = Transform(MATRIX, "morphology_px", "he_px", "spline", bend=Bend(spline, np.diag([3.7, 3.7, 1]), True))
    write_alignment(store, "a", None, bent)
    back = read_alignment(store, "a")[1]
    assert back is not None and back.same_map(bent) and back.bend is not None and back.bend.backwards


def test_keypoints_without_a_transform(store: SectionStore) -> None:
    write_capture(store, Capture("a", "visium", GENES, visium_units()), {})
    write_alignment(store, "a", Keypoints(np.zeros((0, 2)), np.zeros((0, 2)), "stage_um", "he_px"), None)
    keypoints, transform = read_alignment(store, "a")
    assert transform is None and keypoints is not None
    assert keypoints.moving_xy.shape == (0, 2) and keypoints.moving_frame == "stage_um"
    with pytest.raises(StoreError, match="no finished 'captures/b'"):
        read_alignment(store, "b")


def random_bins(n: int = 25, seed: int = 1) -> Bins:
    rng = np.random.default_rng(seed)
    flat = np.sort(rng.choice(40 * 60, n, replace=False)).astype(np.int64)
    return Bins(flat, random_counts(n, seed=seed), rng.random(n) * 100, GENES, (40, 60))


def test_bins_come_back_and_open_in_anndata_at_their_centres(store: SectionStore) -> None:
    write_capture(store, Capture("a", "visium", GENES, visium_units()), {})
    bins = random_bins()
    write_bins(store, "a", bins, "t1", {"outside the slide": np.int64(17)})
    back = read_bins(store, "a")
    assert same(back.counts, bins.counts) and np.array_equal(back.superpixel, bins.superpixel)
    assert back.superpixel.dtype == np.int64 and np.array_equal(back.library, bins.library)
    assert (back.genes, back.yx_shape, back.superpixel_um) == (GENES, (40, 60), 8.0)
    assert read_bins_notes(store, "a") == {"outside the slide": 17}
    assert same(bins_rows(store, "a", 3, 9), sparse.csr_matrix(bins.counts[3:9]))
    table = anndata.read_zarr(store.path / "captures/a/bins/counts")
    row, column = divmod(int(bins.superpixel[7]), 60)
    assert table.obsm["spatial"][7].tolist() == [column * 8 + 4.0, row * 8 + 4.0]


def test_folds(store: SectionStore) -> None:
    write_capture(store, Capture("a", "visium", GENES, visium_units()), {})
    dealt = np.random.default_rng(0).integers(0, 10, (2, 30)).astype(np.int8)
    folds = Folds(dealt, 10, 500.0, np.array([[-12.5, 3.0], [-400.0, -77.25]]))
    write_folds(store, "a", folds, "f")
    back = read_folds(store, "a")
    assert np.array_equal(back.fold, folds.fold) and back.fold.dtype == np.int8
    assert (back.count, back.block_um, back.partitions) == (10, 500.0, 2)
    assert back.origin.tobytes() == folds.origin.tobytes()
