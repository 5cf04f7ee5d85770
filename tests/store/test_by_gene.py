"""Counts gene by gene: the same numbers as the rows, narrow on disk, read without the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from napari_pixelgene.elements.bins import Bins
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store import by_gene
from napari_pixelgene.store.bins import write_bins
from napari_pixelgene.store.by_gene import ColumnsInMemory, GeneColumns, add_by_gene, find_columns, put_by_gene
from napari_pixelgene.store.documents import write_group
from napari_pixelgene.store.section import SectionStore


def counts(units: int = 57, genes: int = 11, most: int = 5, seed: int = 1) -> sparse.csr_matrix:
    """Genes from rare to common; gene 3 is never seen."""
    rng = np.random.default_rng(seed)
    dense = rng.integers(0, most + 1, (units, genes)) * (rng.random((units, genes)) < np.linspace(0.02, 0.9, genes))
    dense[:, 3] = 0
    return sparse.csr_matrix(dense.astype(np.int32))


def test_every_gene_is_its_column(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(by_gene, "_AT_ONCE", 40)  # several slabs, one of them a single gene with more than that
    table = counts()
    put_by_gene(tmp_path, table)
    found = GeneColumns(tmp_path / "by_gene")
    dense = table.toarray()
    assert found.shape == dense.shape
    np.testing.assert_array_equal(found.totals, dense.sum(axis=0))
    for columns in (found, ColumnsInMemory(table)):
        for gene in range(dense.shape[1]):
            units, values = columns.column(gene)
            np.testing.assert_array_equal(units, np.flatnonzero(dense[:, gene]))
            np.testing.assert_array_equal(values, dense[units, gene])
    assert len(found.column(3)[0]) == 0


@pytest.mark.parametrize(("most", "dtype"), [(255, np.uint8), (256, np.uint16), (70_000, np.uint32)])
def test_counts_are_narrow_and_exact(tmp_path: Path, most: int, dtype: type):
    table = counts(most=most)
    table.data[0] = most
    put_by_gene(tmp_path, table)
    gene = int(table.indices[0])
    units, values = GeneColumns(tmp_path / "by_gene").column(gene)
    assert values.dtype == dtype and most in values
    np.testing.assert_array_equal(values, table.toarray()[units, gene])


def test_a_gene_reads_a_chunk_and_not_the_table(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(by_gene, "_CHUNK", 64)
    monkeypatch.setattr(by_gene, "_SHARD", 256)
    table = counts(units=900, genes=20)
    put_by_gene(tmp_path, table)
    found = GeneColumns(tmp_path / "by_gene")
    assert found._indices.chunks == (64,) and found._indices.shards == (256,)
    units, values = found.column(19)  # spans chunks and shards
    assert len(units) > 256
    np.testing.assert_array_equal(values, table.toarray()[units, 19])


def test_less_than_nothing_is_refused(tmp_path: Path):
    table = counts()
    table.data[2] = -1
    with pytest.raises(StoreError, match="hold -1"):
        put_by_gene(tmp_path, table)


def test_bins_bring_it_along_and_older_ones_get_it(tmp_path: Path):
    store = SectionStore.create(tmp_path / "a.section.zarr")
    write_group(store.path / "captures" / "run", {})
    table = counts()
    genes = GeneTable(tuple(f"G{i}" for i in range(table.shape[1])))
    bins = Bins(np.arange(57) * 3, table, np.ones(57), genes, (20, 30))
    write_bins(store, "run", bins, "made")
    first = find_columns(store, "captures", "run", "bins")
    assert first is not None and first.column(10)[1].sum() == table[:, 10].sum()
    store.remove("captures", "run", "bins", "by_gene")
    assert find_columns(store, "captures", "run", "bins") is None
    add_by_gene(store, "captures", "run", "bins", counts=table)
    second = find_columns(store, "captures", "run", "bins")
    assert second is not None
    np.testing.assert_array_equal(second.column(10)[0], first.column(10)[0])


def test_nothing_counted_is_no_error(tmp_path: Path):
    put_by_gene(tmp_path, sparse.csr_matrix((4, 3), dtype=np.int32))
    found = GeneColumns(tmp_path / "by_gene")
    assert [len(found.column(gene)[0]) for gene in range(3)] == [0, 0, 0]
