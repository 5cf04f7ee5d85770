"""Ready-made vectors of image patches: the .h5 files of HEST, STPath and TRIDENT (specs/stpath.md section 5).

HEST and STPath write `embeddings` (n, c), `coords` (n, 2) and `barcodes` (n, 1) bytes; TRIDENT and CLAM `features`
instead, without barcodes. Coordinates are pixels of the slide's finest level. Most writers mean the patch's top left
corner, some its centre, and only some say how wide a patch is (`patch_size_level0`): who reads them has to find out
against places that are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from napari_pixelgene.errors import InputError

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray

_VECTORS = ("embeddings", "features")
_HOW = "Give an .h5 with 'embeddings' (or 'features') and 'coords', as HEST and TRIDENT write them."


@dataclass(frozen=True, slots=True)
class Embeddings:
    """`vectors` (n, c) float32 of patches at `xy_px` (n, 2), as the file has them; `barcodes` (n,) or none;
    `patch_px`, the side of a patch on the finest level, 0 where the file does not tell."""

    path: Path
    vectors: FloatArray
    xy_px: FloatArray
    barcodes: tuple[str, ...] = ()
    patch_px: float = 0.0

    def __len__(self) -> int:
        return len(self.vectors)


def read_embeddings(path: Path) -> Embeddings:
    """The vectors of a file. Raises InputError that names what is missing or does not fit, and the first bad row."""
    with _opened(path) as file:
        name = next((key for key in _VECTORS if key in file), None)
        if name is None or "coords" not in file:
            there = ", ".join(sorted(file)) or "nothing"
            raise InputError(f"{path} has no '{(name and 'coords') or 'embeddings'}' (it has: {there}).", _HOW)
        vectors = _rows(file[name], path, name).astype(np.float32, copy=False)
        xy_px = _rows(file["coords"], path, "coords").astype(np.float64)
        barcodes = _texts(file["barcodes"]) if "barcodes" in file else ()
        patch_px = _patch(file["coords"].attrs)
    if xy_px.shape != (len(vectors), 2) or (barcodes and len(barcodes) != len(vectors)):
        raise InputError(
            f"{path} has {len(vectors):,} vectors, coordinates of shape {xy_px.shape} and {len(barcodes):,} barcodes.",
            "Each vector needs one pair of coordinates, and a barcode each or none at all.",
        )
    _require_finite(path, vectors, xy_px)
    _require_unique(path, barcodes)
    return Embeddings(path, vectors, xy_px, barcodes, patch_px)


def embeddings_width(path: Path) -> int:
    """How many numbers a vector of the file has, without reading them."""
    with _opened(path) as file:
        name = next((key for key in _VECTORS if key in file), None)
        if name is None or not isinstance(file[name], h5py.Dataset):
            raise InputError(f"{path} has no 'embeddings'.", _HOW)
        return int(file[name].shape[-1])


def _opened(path: Path) -> h5py.File:
    if not path.is_file():
        raise InputError(f"There is no file of embeddings {path}.", _HOW)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path} is no HDF5 file: {str(error).splitlines()[0]}.", _HOW) from None


def _rows(dataset: Any, path: Path, name: str) -> Array:
    """A table (n, c); one that was written for a batch of one slide (1, n, c) too."""
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"'{name}' in {path} is no table.", _HOW)
    values = np.asarray(dataset[...])
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
        raise InputError(f"'{name}' in {path} has shape {values.shape} and type {values.dtype}.", _HOW)
    return values


def _texts(dataset: Any) -> tuple[str, ...]:
    """Barcodes as text, written as (n,) or (n, 1) of bytes or text."""
    values = np.asarray(dataset[...]).ravel().tolist()
    return tuple(one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in values)


def _patch(attributes: Mapping[str, Any]) -> float:
    try:
        return float(np.ravel(attributes.get("patch_size_level0", 0))[0])
    except (TypeError, ValueError, IndexError):
        return 0.0


def _require_finite(path: Path, vectors: FloatArray, xy_px: FloatArray) -> None:
    bad = ~(np.isfinite(vectors).all(axis=1) & np.isfinite(xy_px).all(axis=1))
    if bad.any():
        raise InputError(
            f"{path} has {int(bad.sum()):,} rows that are not finite, the first is row {int(bad.argmax()) + 1}.",
            "Make these embeddings again, or leave the rows out.",
        )


def _require_unique(path: Path, barcodes: tuple[str, ...]) -> None:
    seen: dict[str, int] = {}
    for row, barcode in enumerate(barcodes, start=1):
        if barcode in seen:
            raise InputError(
                f"{path} has the barcode '{barcode}' in rows {seen[barcode]} and {row}.",
                "It was appended to twice: make it again.",
            )
        seen[barcode] = row
