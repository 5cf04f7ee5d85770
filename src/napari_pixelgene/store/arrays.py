"""Small arrays in a group: masks, folds, statistics, gene tables. Written whole, read whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_pixelgene.elements.arrays import Array
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.store.disk import disk_errors
from napari_pixelgene.store.documents import read_attributes, write_group
from napari_pixelgene.store.section import SectionStore, make_group, open_group

# One array's chunk, in values along its first two axes.
_CHUNK = 2048


def put(group: zarr.Group, name: str, values: Array, dimension_names: tuple[str, ...] | None = None) -> None:
    """Write one array into a group, in the stead of an older one."""
    values = np.asarray(values)
    text = values.dtype.kind in "UOT"
    chunks = tuple(max(1, min(side, _CHUNK if values.ndim > 1 else _CHUNK**2)) for side in values.shape)
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=str if text else values.dtype,
        chunks=chunks,
        dimension_names=dimension_names,
        overwrite=True,
    )
    array[...] = values.astype(object) if text else values


def take(group: zarr.Group, name: str) -> Array:
    """One array of a group, whole."""
    array = group[name]
    assert isinstance(array, zarr.Array)
    return np.asarray(array[...])


def write_arrays(
    store: SectionStore,
    *names: str,
    arrays: Mapping[str, Array],
    fingerprint: str,
    attributes: Mapping[str, Any] | None = None,
) -> Path:
    """Publish an element that is a handful of arrays with attributes; gives its place.

    `names` is its path from the root, as in `write_arrays(store, "captures", "a", "quality", arrays=…)`.
    """
    partial = store.afresh(*names)
    with disk_errors(partial.path):
        write_group(partial.path, {**(attributes or {}), "fingerprint": fingerprint})
        group = make_group(partial.path)
        for name, values in arrays.items():
            put(group, name, values)
    return partial.publish()


def read_arrays(store: SectionStore, *names: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the attributes of an element that `write_arrays` wrote."""
    folder = store.locate(*names)
    group = open_group(folder, writable=False)
    return {name: take(group, name) for name in group.array_keys()}, read_attributes(folder)


def put_genes(group: zarr.Group, genes: GeneTable) -> None:
    """A gene table as two arrays of text, `genes/symbol` and `genes/id`."""
    table = group.require_group("genes")
    put(table, "symbol", np.array(genes.symbols, dtype=object))
    put(table, "id", np.array(genes.ids, dtype=object))


def take_genes(group: zarr.Group) -> GeneTable:
    """The gene table of a group."""
    symbols, ids = (take(group, f"genes/{column}").tolist() for column in ("symbol", "id"))
    return GeneTable(tuple(map(str, symbols)), tuple(map(str, ids)))
