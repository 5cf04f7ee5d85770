"""Counts binned on superpixels under a transform: derived from a capture, kept apart from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import sparse

from napari_pixelgene.elements.arrays import FloatArray, IntArray
from napari_pixelgene.elements.bins import Bins
from napari_pixelgene.store import tables
from napari_pixelgene.store.by_gene import put_by_gene
from napari_pixelgene.store.disk import disk_errors, require_free
from napari_pixelgene.store.documents import plain, read_attributes, write_group
from napari_pixelgene.store.section import SectionStore

BINS = "bins"


def write_bins(
    store: SectionStore, name: str, bins: Bins, fingerprint: str, notes: Mapping[str, Any] | None = None
) -> None:
    """Publish the bins of capture `name`. `fingerprint` is that of the transform and the settings they were made under;
    `notes` says what was left out (outside the slide, of low quality)."""
    partial = store.afresh("captures", name, BINS)
    require_free(partial.path, bins.counts.data.nbytes + bins.counts.indices.nbytes, f"The bins of '{name}'")
    values = {
        "fingerprint": fingerprint,
        "yx_shape": list(bins.yx_shape),
        "superpixel_um": bins.superpixel_um,
        "notes": plain(notes or {}),
    }
    columns = {"superpixel": bins.superpixel, "library": bins.library}
    footprint = {"footprint": {"shape": "square", "size_um": bins.superpixel_um}, "frame": "he_um"}
    with disk_errors(partial.path):
        write_group(partial.path, values)
        tables.put_table(partial.path, bins.counts, bins.genes, bins.superpixel, _centres_um(bins), columns, footprint)
        put_by_gene(partial.path, bins.counts)
    partial.publish()


def read_bins(store: SectionStore, name: str) -> Bins:
    """The bins of a capture, whole."""
    folder = store.locate("captures", name, BINS)
    values = read_attributes(folder)
    table = tables.take_table(folder)
    rows, columns = values["yx_shape"]
    return Bins(
        superpixel=table.obs["superpixel"].to_numpy(),
        counts=sparse.csr_matrix(table.layers[tables.COUNTS]),
        library=table.obs["library"].to_numpy(),
        genes=tables.genes_of(table),
        yx_shape=(int(rows), int(columns)),
        superpixel_um=float(values["superpixel_um"]),
    )


def read_bins_notes(store: SectionStore, name: str) -> dict[str, Any]:
    """What was left out when the bins were made."""
    notes: dict[str, Any] = read_attributes(store.locate("captures", name, BINS))["notes"]
    return notes


def bins_rows(store: SectionStore, name: str, start: int, stop: int) -> sparse.csr_matrix:
    """Counts of bins [start, stop), without reading the others."""
    return tables.take_rows(store.locate("captures", name, BINS), start, stop)


def read_bin_totals(store: SectionStore, name: str) -> tuple[IntArray, FloatArray]:
    """Superpixel (n,) and total (n,) of every bin, without the counts."""
    folder = store.locate("captures", name, BINS)
    return tables.take_column(folder, "superpixel"), tables.take_column(folder, "library")


def _centres_um(bins: Bins) -> FloatArray:
    rows, columns = np.divmod(bins.superpixel, bins.yx_shape[1])
    return (np.stack([columns, rows], axis=1) + 0.5) * bins.superpixel_um
