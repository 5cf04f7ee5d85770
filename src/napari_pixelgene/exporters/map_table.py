"""Maps as a table of larger squares or of cells: AnnData (.h5ad), written some genes at a time.

`X` holds expected counts (float32), `obsm["spatial"]` centres in H&E µm, `var["gene_ids"]` ids,
`uns["napari_pixelgene"]` the run and the unit in words.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from napari_pixelgene.elements.arrays import Array, FloatArray
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError

_ROWS = 4096
# What AnnData writes beside a dense array.
_DENSE = {"encoding-type": "array", "encoding-version": "0.2.0"}


@dataclass(frozen=True, slots=True)
class Rows:
    """What the rows are: unique `names` (n,), centres `xy_um` (n, 2), `columns` of n values beside them, `notes`."""

    names: Array
    xy_um: FloatArray
    columns: Mapping[str, Array]
    notes: Mapping[str, Any]


@contextmanager
def map_table(path: Path, rows: Rows, genes: GeneTable, share: int) -> Iterator[Any]:
    """An array (rows, genes) to write into, `share` genes at a time; the file is there whole or not at all."""
    import anndata
    import h5py

    part = path.with_name(path.name + ".partial")
    shape = (len(rows.names), len(genes))
    try:
        anndata.AnnData(
            sparse.csr_matrix(shape, dtype=np.float32),  # stands in for the values, which are written below
            obs={"obs_names": [str(name) for name in rows.names], **rows.columns},
            var={"var_names": list(genes.symbols), "gene_ids": list(genes.ids)},
            obsm={"spatial": np.asarray(rows.xy_um, dtype=np.float64)},
            uns={"napari_pixelgene": dict(rows.notes)},
        ).write_h5ad(part)
        with h5py.File(part, "r+") as file:
            del file["X"]
            chunks = (min(shape[0], _ROWS), min(shape[1], share))
            values = file.create_dataset("X", shape, np.float32, chunks=chunks, compression="gzip", compression_opts=1)
            values.attrs.update(_DENSE)
            yield values
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.", "Choose another place.") from None
    finally:
        part.unlink(missing_ok=True)
