"""10x's matrices in both forms: the same counts, and what each fault says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers import feature_matrix
from napari_pixelgene.readers.feature_matrix import FeatureMatrix, read_matrix
from space_ranger import GENES, Run

COUNTS = np.array([[0, 7, 1, 2], [3, 0, 0, 0], [0, 0, 5, 0]])
BARCODES = ["CCC-1", "AAA-1", "GGG-1"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, [], list(BARCODES), COUNTS.copy())


def assert_is_what_was_written(found: FeatureMatrix, told: list[Event]) -> None:
    assert found.barcodes.tolist() == BARCODES
    assert found.counts.dtype == np.int32
    assert found.counts.toarray().tolist() == COUNTS.tolist()
    counts, genes = found.of_genes(told.append)
    assert genes.symbols == ("ERBB2", "CD8A", "ERBB2_ENSG03") and genes.ids == ("ENSG01", "ENSG02", "ENSG03")
    assert counts.toarray().tolist() == [[0, 7, 2], [3, 0, 0], [0, 0, 0]]
    texts = [e.text for e in told if isinstance(e, Note)]
    assert any("1 Antibody Capture" in text for text in texts) and any("named ERBB2" in text for text in texts)


@pytest.mark.parametrize("text", ["S", "object"])
@pytest.mark.parametrize("block", [1 << 24, 2])
def test_hdf5_reads_in_blocks_of_any_size(run: Run, text: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_matrix, "_BLOCK", block)
    found = read_matrix(run.write_h5(text=text))
    assert_is_what_was_written(found, [])
    assert found.facts == {"software": "spaceranger-9.9.9"}


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_of_text_holds_the_same(run: Run, packed: bool) -> None:
    assert_is_what_was_written(read_matrix(run.write_mtx(packed=packed)), [])


def test_whole_numbers_may_be_written_as_fractions_and_in_any_order(run: Run) -> None:
    shuffled = {"data": np.array([2.0, 7.0, 1.0, 3.0, 5.0]), "indices": np.array([3, 1, 2, 0, 2], dtype=np.int64)}
    found = read_matrix(run.write_h5(**shuffled))
    assert_is_what_was_written(found, [])
    assert found.counts.indices.tolist() == [1, 2, 3, 0, 2]


@given(arrays(np.int64, st.tuples(st.integers(1, 6), st.just(4)), elements=st.integers(0, 3)))
def test_any_counts_come_back(tmp_path_factory: pytest.TempPathFactory, counts: np.ndarray) -> None:
    run = Run(tmp_path_factory.mktemp("any"), [], [f"B{i}-1" for i in range(len(counts))], counts)
    for found in (read_matrix(run.write_h5()), read_matrix(run.write_mtx())):
        assert np.array_equal(found.counts.toarray(), counts)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"data": np.array([7, -1, 2, 3, 5])}, ["'CCC-1'", "'CD3'", "-1"]),
        ({"data": np.array([7, 1, 2, 3.5, 5])}, ["'AAA-1'", "'ERBB2'", "3.5"]),
        ({"data": np.array([7, 1, 2, 3, np.nan])}, ["'GGG-1'", "'CD3'", "nan"]),
        ({"data": np.array([7, 1, 2, 3, 2**31])}, ["'GGG-1'", "2.14748e+09"]),
        ({"data": np.array([7, 1, 2, 3])}, ["5", "4"]),
        ({"indices": np.array([1, 2, 3, 0, 4])}, ["beyond its 4"]),
        ({"indptr": np.array([0, 3, 2, 5])}, ["3 barcodes"]),
        ({"indptr": np.array([0, 3, 5])}, ["3 barcodes"]),
    ],
)
@pytest.mark.parametrize("block", [1 << 24, 2])
def test_entries_that_are_no_counts_are_named(
    run: Run, broken: dict[str, Any], words: list[str], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_matrix, "_BLOCK", block)
    path = run.write_h5(**broken)
    with pytest.raises(InputError) as caught:
        read_matrix(path)
    assert all(word in caught.value.problem for word in [path.name, *words]), caught.value.problem
    assert caught.value.mend


def test_a_cut_off_file_another_file_and_none_are_told(run: Run) -> None:
    path = run.write_h5()
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(InputError, match="cannot be read"):
        read_matrix(path)
    path.write_bytes(b"not a matrix")
    with pytest.raises(InputError, match="cannot be read"):
        read_matrix(path)
    with pytest.raises(InputError, match="no file"):
        read_matrix(path.with_name("none.h5"))


def test_what_is_wrong_with_a_folder_is_told(run: Run) -> None:
    folder = run.write_mtx()
    packed = folder / "matrix.mtx.gz"
    whole = packed.read_bytes()
    packed.write_bytes(whole[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        read_matrix(folder)
    packed.write_bytes(whole)
    (folder / "barcodes.tsv.gz").unlink()
    with pytest.raises(InputError, match=r"neither barcodes\.tsv\.gz nor"):
        read_matrix(folder)
    (folder / "barcodes.tsv").write_text("CCC-1\nAAA-1\n")
    with pytest.raises(InputError, match="4 × 3, but there are 4 features and 2"):
        read_matrix(folder)


def test_repeated_barcodes_and_runs_without_genes_are_refused(run: Run) -> None:
    run.barcodes = ["CCC-1", "AAA-1", "CCC-1"]
    with pytest.raises(InputError, match="'CCC-1' stands twice, the second time as number 3"):
        read_matrix(run.write_h5())
    run.barcodes, run.genes = list(BARCODES), [(a, b, "Antibody Capture") for a, b, _ in GENES]
    with pytest.raises(InputError, match="no 'Gene Expression'"):
        read_matrix(run.write_h5()).of_genes()
