"""Tissue and folds: the mask a stage found, a person's strokes over it, and who is held out when.

`tissue/mask` and `tissue/edits` are apart, so that finding the tissue anew keeps the strokes. `tissue/region`, where a
person drew one, is the only part of the tissue that models learn from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_pixelgene.elements.arrays import Array, BoolArray
from napari_pixelgene.elements.tissue import Folds, Tissue
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.arrays import read_arrays, write_arrays
from napari_pixelgene.store.documents import read_attributes
from napari_pixelgene.store.section import SectionStore

# Values of the edits.
UNTOUCHED, ADDED, ERASED = 0, 1, 2


def write_tissue(store: SectionStore, tissue: Tissue, fingerprint: str = "") -> None:
    """Publish the mask (rows, columns) that a stage or a file gave."""
    write_arrays(
        store,
        "tissue",
        "mask",
        arrays={"mask": np.asarray(tissue.mask, dtype=bool)},
        fingerprint=fingerprint,
        attributes={"source": tissue.source},
    )


def write_edits(store: SectionStore, edits: Array) -> None:
    """Publish a person's strokes (rows, columns): 0 untouched, 1 added, 2 erased."""
    arrays, _ = read_arrays(store, "tissue", "mask")
    edits = np.asarray(edits)
    if edits.shape != arrays["mask"].shape or not np.isin(edits, (UNTOUCHED, ADDED, ERASED)).all():
        raise StoreError(
            f"Edits of shape {edits.shape} do not fit the mask of shape {arrays['mask'].shape}.",
            "Give an array of the mask's shape with 0 (untouched), 1 (added) and 2 (erased).",
        )
    write_arrays(store, "tissue", "edits", arrays={"edits": edits.astype(np.uint8)}, fingerprint="")


def read_tissue(store: SectionStore, edited: bool = True) -> Tissue:
    """The mask, with a person's strokes applied unless told otherwise."""
    arrays, values = read_arrays(store, "tissue", "mask")
    mask: BoolArray = arrays["mask"].astype(bool)
    if not edited or store.find("tissue", "edits") is None:
        return Tissue(mask, values["source"])
    edits = read_arrays(store, "tissue", "edits")[0]["edits"]
    if edits.shape != mask.shape:
        raise StoreError(
            f"The tissue edits have shape {edits.shape}, the mask {mask.shape}.", "Erase the edits, or draw them anew."
        )
    return Tissue((mask | (edits == ADDED)) & (edits != ERASED), f"{values['source']}, edited by hand")


def write_region(store: SectionStore, region: BoolArray) -> None:
    """Publish where to train, (rows, columns); an empty region is none, and everything is learned from again."""
    region = np.asarray(region, dtype=bool)
    if region.any():
        write_arrays(store, "tissue", "region", arrays={"region": region}, fingerprint="")
    elif store.find("tissue", "region") is not None:
        store.remove("tissue", "region")


def read_region(store: SectionStore) -> BoolArray | None:
    """Where to train, or None where a person drew nothing."""
    if store.find("tissue", "region") is None:
        return None
    return np.asarray(read_arrays(store, "tissue", "region")[0]["region"], dtype=bool)


def write_folds(store: SectionStore, name: str, folds: Folds, fingerprint: str = "") -> None:
    """Publish the folds of one unit set, such as a capture's."""
    write_arrays(
        store,
        "captures",
        name,
        "folds",
        arrays={"fold": folds.fold, "origin": folds.origin},
        fingerprint=fingerprint,
        attributes={"count": folds.count, "block_um": folds.block_um},
    )


def read_folds(store: SectionStore, name: str) -> Folds:
    """The folds of a capture's units."""
    arrays, values = read_arrays(store, "captures", name, "folds")
    return Folds(arrays["fold"], int(values["count"]), float(values["block_um"]), arrays["origin"])


def tissue_source(store: SectionStore) -> dict[str, Any]:
    """Where the mask came from, without reading it."""
    return read_attributes(store.locate("tissue", "mask"))
