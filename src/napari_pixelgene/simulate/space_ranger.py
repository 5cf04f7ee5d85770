"""Files as Space Ranger 3 writes them: matrix, positions, scale factors, reduced images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import h5py
import imagecodecs
import numpy as np
import polars as pl
import tifffile
from scipy import sparse

from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
from napari_pixelgene.elements.genes import GeneTable

VERSION = "spaceranger-3.1.2"
MATRIX = "filtered_feature_bc_matrix.h5"
SCALEFACTORS = "scalefactors_json.json"
_LOWRES_PX = 600
_COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")


@dataclass(frozen=True, slots=True)
class Places:
    """Spots or bins in array order: barcodes (n,) text, (row, column) (n, 2), H&E pixels (n, 2) (x, y), tissue (n,)."""

    barcodes: Array
    row_column: IntArray
    xy_px: FloatArray
    in_tissue: BoolArray

    def frame(self) -> pl.DataFrame:
        """The table of positions."""
        columns = [self.barcodes, self.in_tissue.astype(np.int64), *self.row_column.T, *self.xy_px.T[::-1]]
        return pl.DataFrame(dict(zip(_COLUMNS, columns, strict=True)))


def write_matrix(
    path: Path, barcodes: Array, counts: sparse.csr_matrix, genes: GeneTable, chemistry: str, library: str
) -> None:
    """A filtered matrix (barcodes, genes), its columns sorted by barcode."""
    order = np.argsort(barcodes, kind="stable")
    by_barcode = sparse.csr_matrix(counts[order])
    by_barcode.sort_indices()
    with h5py.File(path, "w") as file:
        file.attrs.update({"filetype": "matrix", "version": 2, "chemistry_description": chemistry})
        file.attrs.update({"software_version": VERSION, "original_gem_groups": np.array([1])})
        file.attrs["library_ids"] = np.array([library.encode()])
        group = file.create_group("matrix")
        packed = {"compression": "gzip", "compression_opts": 1}
        group.create_dataset("barcodes", data=np.asarray(barcodes)[order].astype("S"), **packed)
        group.create_dataset("data", data=by_barcode.data.astype(np.int32), **packed)
        for key in ("indices", "indptr"):
            group.create_dataset(key, data=getattr(by_barcode, key).astype(np.int64), **packed)
        group.create_dataset("shape", data=np.array(by_barcode.shape[::-1], dtype=np.int32))
        write_features(group, genes)


def write_features(group: h5py.Group, genes: GeneTable) -> None:
    """The table of features inside a group of an HDF5 file."""
    table = group.create_group("features")
    kinds = {"feature_type": ["Gene Expression"] * len(genes), "genome": ["GRCh38"] * len(genes)}
    for name, values in {"id": genes.ids, "name": genes.symbols, **kinds}.items():
        table.create_dataset(name, data=np.array(values, dtype="S"))
    table.create_dataset("_all_tag_keys", data=np.array([b"genome"]))


def write_images(folder: Path, he: Path, longest_px: int) -> dict[str, float]:
    """Hires and lowres images from the slide's pyramid, and their scale factors."""
    with tifffile.TiffFile(he) as tiff:
        levels = tiff.series[0].levels
        full_px = levels[0].shape[1]
        small = [level for level in levels[1:] if max(level.shape[:2]) <= longest_px]
        hires = small[0].asarray() if small else _shrunk(levels[-1].asarray(), 2.0)
    lowres = _shrunk(hires, max(1.0, max(hires.shape[:2]) / _LOWRES_PX))
    for name, pixels in (("tissue_hires_image", hires), ("tissue_lowres_image", lowres)):
        (folder / f"{name}.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
    return {"tissue_hires_scalef": hires.shape[1] / full_px, "tissue_lowres_scalef": lowres.shape[1] / full_px}


def _shrunk(pixels: Array, by: float) -> Array:
    rows, columns = (max(1, round(side / by)) for side in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA))


def write_scalefactors(folder: Path, factors: Mapping[str, float]) -> None:
    """`scalefactors_json.json`."""
    (folder / SCALEFACTORS).write_text(json.dumps(dict(factors), indent=4), encoding="utf-8")
