"""Counts gene by gene: the columns of a table of units or bins, so that one gene is read without the others.

Beside the counts (CSR, a row a unit) stands `by_gene/`: the same counts as CSC, a gene's units side by side, in chunks
small enough that a gene costs one or two of them. It is derived: an older section gets it when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from scipy import sparse

from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.arrays import put, take
from napari_pixelgene.store.disk import disk_errors, require_free
from napari_pixelgene.store.documents import read_attributes, write_group
from napari_pixelgene.store.section import SectionStore, make_group, open_group

BY_GENE = "by_gene"
# Entries a chunk and a shard: 64,000 entries decode in under a millisecond, a shard is one file of some 16 MB.
_CHUNK, _SHARD = 1 << 16, 1 << 22
# Entries turned from rows to columns at once: 200 MB, whatever the table's size.
_AT_ONCE = 1 << 24


class GeneColumns:
    """The columns of a table on disk: `column(gene)` reads one gene's units and counts."""

    __slots__ = ("_data", "_indices", "_starts", "shape", "totals")

    def __init__(self, folder: Path) -> None:
        group = open_group(folder, writable=False)
        self._starts: IntArray = take(group, "starts")
        self.totals: FloatArray = take(group, "totals")  # (genes,) counts over all units
        self._indices, self._data = (zarr.open_array(folder / name, mode="r") for name in ("indices", "data"))
        self.shape = (int(read_attributes(folder)["units"]), len(self.totals))

    def column(self, gene: int) -> tuple[IntArray, FloatArray]:
        """Units (k,) ascending, and their counts (k,), of those that hold any of a gene."""
        part = slice(int(self._starts[gene]), int(self._starts[gene + 1]))
        return np.asarray(self._indices[part]), np.asarray(self._data[part])


class ColumnsInMemory:
    """The same from a table that lies in memory: for a section that cannot be written."""

    __slots__ = ("_columns", "shape", "totals")

    def __init__(self, counts: sparse.csr_matrix) -> None:
        self._columns = counts.tocsc()
        self.shape = (int(counts.shape[0]), int(counts.shape[1]))
        self.totals: FloatArray = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()

    def column(self, gene: int) -> tuple[IntArray, FloatArray]:
        """Units (k,) ascending, and their counts (k,), of those that hold any of a gene."""
        part = slice(self._columns.indptr[gene], self._columns.indptr[gene + 1])
        return self._columns.indices[part], self._columns.data[part]


def put_by_gene(folder: Path, counts: sparse.csr_matrix) -> None:
    """Write `folder`/by_gene from counts (units, genes) of an element that is being written."""
    place = folder / BY_GENE
    require_free(folder, counts.data.nbytes + counts.indices.nbytes, "The counts gene by gene")
    _fill(place, counts)


def add_by_gene(store: SectionStore, *names: str, counts: sparse.csr_matrix) -> None:
    """Publish by_gene of a finished element (`"captures", "run", "bins"`) that was written without."""
    partial = store.afresh(*names, BY_GENE)
    require_free(partial.path, counts.data.nbytes + counts.indices.nbytes, "The counts gene by gene")
    with disk_errors(partial.path):
        _fill(partial.path, counts)
    partial.publish()


def find_columns(store: SectionStore, *names: str) -> GeneColumns | None:
    """The columns of an element's counts, or None where they were not written yet."""
    folder = store.find(*names, BY_GENE)
    return None if folder is None else GeneColumns(folder)


def _fill(folder: Path, counts: sparse.csr_matrix) -> None:
    units, genes = counts.shape
    write_group(folder, {"units": int(units)})
    group = make_group(folder)
    per_gene = np.bincount(counts.indices, minlength=genes).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(per_gene)])
    put(group, "starts", starts)
    put(group, "totals", np.asarray(counts.sum(axis=0), dtype=np.float64).ravel())
    indices = _array(group, "indices", int(starts[-1]), np.dtype(np.int32))
    data = _array(group, "data", int(starts[-1]), _narrow(counts.data))
    for first, last, write in _slabs(starts):
        part = counts[:, first:last].tocsc()
        indices[write], data[write] = part.indices, part.data.astype(data.dtype)


def _slabs(starts: IntArray) -> Iterator[tuple[int, int, slice]]:
    """Genes [first, last) that are turned at once, and where their entries lie."""
    first, genes = 0, len(starts) - 1
    while first < genes:
        last = int(np.searchsorted(starts, starts[first] + _AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), genes)
        yield first, last, slice(int(starts[first]), int(starts[last]))
        first = last


def _narrow(data: Array) -> np.dtype[Any]:
    """The smallest type that holds these counts exactly."""
    if data.dtype.kind not in "iu":
        return np.dtype(np.float32)
    least, most = (int(data.min()), int(data.max())) if data.size else (0, 0)
    if least < 0:
        raise StoreError(f"The counts hold {least}, and nothing can be counted less than 0 times.", "Import again.")
    return np.min_scalar_type(most)


def _array(group: zarr.Group, name: str, size: int, dtype: np.dtype[Any]) -> zarr.Array[Any]:
    chunk = min(_CHUNK, max(size, 1))
    shard = None if size <= _CHUNK else (-(-min(size, _SHARD) // chunk) * chunk,)
    return group.create_array(name, shape=(size,), dtype=dtype, chunks=(chunk,), shards=shard, overwrite=True)
