"""Counts as standard AnnData inside our group, and rows of it without the rest.

Raw integers stand in `layers["counts"]` (CSR) and only there; unique symbols in `var_names`, ids in
`var["gene_ids"]`. anndata is imported when a table is written or read, not when a section is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from napari_pixelgene.elements.arrays import Array, FloatArray
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.store.section import make_group, open_group

COUNTS = "counts"


def put_table(
    folder: Path,
    counts: sparse.csr_matrix,
    genes: GeneTable,
    ids: Array,
    xy: FloatArray,
    columns: Mapping[str, Array],
    notes: Mapping[str, Any],
) -> None:
    """Write `folder`/counts: rows `ids` with positions `xy` (n, 2), `columns` beside them and `notes` in `uns`."""
    import anndata

    table = anndata.AnnData(
        obs={"obs_names": [str(one) for one in ids], **columns},
        var={"var_names": list(genes.symbols), "gene_ids": list(genes.ids)},
        layers={COUNTS: counts},
        obsm={"spatial": np.asarray(xy)},
        uns=dict(notes),
    )
    with anndata.settings.override(auto_shard_zarr_v3=False):
        anndata.io.write_elem(make_group(folder), COUNTS, table)


def take_table(folder: Path) -> Any:
    """The AnnData at `folder`/counts, whole."""
    import anndata

    return anndata.io.read_elem(open_group(folder, writable=False)[COUNTS])


def take_part(folder: Path, part: str) -> Any:
    """A part of the AnnData at `folder`/counts (`"obs"`, `"obsm/spatial"`), without the counts."""
    import anndata

    return anndata.io.read_elem(open_group(folder, writable=False)[f"{COUNTS}/{part}"])


def take_rows(folder: Path, start: int, stop: int) -> sparse.csr_matrix:
    """Rows [start, stop) of the counts at `folder`; reads no others."""
    import anndata

    group = open_group(folder, writable=False)[f"{COUNTS}/layers/{COUNTS}"]
    return sparse.csr_matrix(anndata.io.sparse_dataset(group)[start:stop])


def take_column(folder: Path, name: str) -> Array:
    """One column beside the rows, such as `library`, without the counts."""
    import anndata

    return np.asarray(anndata.io.read_elem(open_group(folder, writable=False)[f"{COUNTS}/obs/{name}"]))


def take_positions(folder: Path) -> FloatArray:
    """Positions (n, 2) of the rows, without the counts."""
    import anndata

    return np.asarray(anndata.io.read_elem(open_group(folder, writable=False)[f"{COUNTS}/obsm/spatial"]))


def counts_of(folder: Path) -> sparse.csr_matrix:
    """The counts at `folder`, whole."""
    return sparse.csr_matrix(take_part(folder, f"layers/{COUNTS}"))


def genes_in(folder: Path) -> GeneTable:
    """The gene table of the AnnData at `folder`/counts, without the counts."""
    var = take_part(folder, "var")
    return GeneTable(tuple(map(str, var.index)), tuple(map(str, var["gene_ids"])))


def genes_of(table: Any) -> GeneTable:
    """The gene table of an AnnData of ours."""
    return GeneTable(tuple(map(str, table.var_names)), tuple(map(str, table.var["gene_ids"])))
