"""What a run says of a section's measured units: a standard AnnData at maps/RUN/points, beside the maps.

`X` (units, genes) holds expected counts of a whole unit, `layers["log1p_cp10k"]` the composition; `obs_names` are the
units' names, `obsm["spatial"]` their centres in H&E µm, `obs["context"]` says which of them the model was shown. Genes
are written in slabs, so that a whole vocabulary needs little memory. Any reader of AnnData opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.store.disk import disk_errors, require_free
from napari_pixelgene.store.documents import read_attributes, write_group
from napari_pixelgene.store.section import SectionStore, make_group, open_group

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray
    from napari_pixelgene.store.ledger import Partial

POINTS, TABLE, LOG = "points", "table", "log1p_cp10k"
_CHUNK = (4096, 64)
# What AnnData writes beside a dense array.
_DENSE = {"encoding-type": "array", "encoding-version": "0.2.0"}


class PointTableWriter:
    """The table being written, some genes at a time."""

    __slots__ = ("_counts", "_log", "_partial")

    def __init__(self, partial: Partial, counts: zarr.Array[Any], log: zarr.Array[Any]) -> None:
        self._partial, self._counts, self._log = partial, counts, log

    def write(self, genes: slice, counts: FloatArray, log: FloatArray) -> None:
        """Write (units, genes of the slab) expected counts and compositions."""
        with disk_errors(self._partial.path):
            self._counts[:, genes], self._log[:, genes] = counts, log

    def finish(self) -> None:
        """Publish."""
        self._partial.publish()


def begin_point_table(
    store: SectionStore,
    run: str,
    genes: GeneTable,
    names: Array,
    xy_um: FloatArray,
    columns: Mapping[str, Array],
    fingerprint: str,
) -> PointTableWriter:
    """Begin the table of a run whose maps are finished: units `names` (n,) at `xy_um` (n, 2), `columns` beside them."""
    import anndata

    partial = store.afresh("maps", run, POINTS)
    shape = (len(names), len(genes))
    require_free(partial.path, shape[0] * shape[1] * 8, f"What '{run}' says of the units")
    with disk_errors(partial.path):
        write_group(partial.path, {"fingerprint": fingerprint, "unit": "expected counts of a whole unit"})
        group = make_group(partial.path)
        table = anndata.AnnData(
            obs={"obs_names": [str(name) for name in names], **columns},
            var={"var_names": list(genes.symbols), "gene_ids": list(genes.ids)},
            obsm={"spatial": np.asarray(xy_um, dtype=np.float64)},
        )
        table.var_names = list(genes.symbols)  # without values they are numbers
        with anndata.settings.override(auto_shard_zarr_v3=False):
            anndata.io.write_elem(group, TABLE, table)
        counts, log = (_array(group, f"{TABLE}/{name}", shape) for name in ("X", f"layers/{LOG}"))
    return PointTableWriter(partial, counts, log)


def read_point_table(store: SectionStore, run: str) -> Any:
    """The table of a run as AnnData, whole. Raises StoreError where a run has none."""
    import anndata

    return anndata.io.read_elem(open_group(store.locate("maps", run, POINTS), writable=False)[TABLE])


def point_table_made_with(store: SectionStore, run: str) -> str | None:
    """What the table of a run was made with; None where there is none."""
    folder = store.find("maps", run, POINTS) if store.find("maps", run) is not None else None
    return None if folder is None else str(read_attributes(folder).get("fingerprint"))


def _array(group: zarr.Group, name: str, shape: tuple[int, int]) -> zarr.Array[Any]:
    chunks = (max(1, min(_CHUNK[0], shape[0])), max(1, min(_CHUNK[1], shape[1])))
    array = group.create_array(name, shape=shape, dtype="float32", chunks=chunks, fill_value=np.nan, overwrite=True)
    array.attrs.update(_DENSE)
    return array
