"""A handwritten Space Ranger folder: few spots, an array turned and stretched in a known way, barcodes in no order."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
import polars as pl
from scipy import sparse
from scipy.io import mmwrite

GENES = [
    ("ENSG01", "ERBB2", "Gene Expression"),
    ("ENSG02", "CD8A", "Gene Expression"),
    ("PROT1", "CD3", "Antibody Capture"),
    ("ENSG03", "ERBB2", "Gene Expression"),
]
NAMES = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")


@dataclass
class Run:
    """What is written; a test may break any part. A spot is (barcode, in_tissue, row, column, pixel row and column)."""

    folder: Path
    spots: list[list[Any]]
    barcodes: list[str]
    counts: np.ndarray  # (barcodes, features)
    genes: list[tuple[str, str, str]] = field(default_factory=lambda: list(GENES))
    factors: dict[str, Any] = field(default_factory=dict)

    def write_h5(self, name: str = "filtered_feature_bc_matrix.h5", text: str = "S", **arrays: Any) -> Path:
        """The matrix as HDF5; `arrays` take the place of what would be written, `text` is S or object."""
        table = sparse.csr_matrix(self.counts)
        self.folder.mkdir(parents=True, exist_ok=True)
        written = {"data": table.data, "indices": table.indices, "indptr": table.indptr} | arrays
        with h5py.File(self.folder / name, "w") as file:
            file.attrs["software_version"] = "spaceranger-9.9.9"
            group = file.create_group("matrix")
            group["shape"] = np.array(self.counts.shape[::-1])
            for key, values in written.items():
                group[key] = values
            group["barcodes"] = _words(self.barcodes, text)
            for key, values in zip(("id", "name", "feature_type"), zip(*self.genes, strict=True), strict=True):
                group[f"features/{key}"] = _words(values, text)
        return self.folder / name

    def write_mtx(self, name: str = "filtered_feature_bc_matrix", packed: bool = True) -> Path:
        """The matrix as a folder of text files."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        mmwrite(folder / "matrix.mtx", sparse.coo_matrix(self.counts.T))
        (folder / "barcodes.tsv").write_text("\n".join(self.barcodes) + "\n")
        (folder / "features.tsv").write_text("\n".join("\t".join(gene) for gene in self.genes) + "\n")
        for each in list(folder.iterdir()) if packed else []:
            (folder / f"{each.name}.gz").write_bytes(gzip.compress(each.read_bytes()))
            each.unlink()
        return folder

    def write_spatial(self, positions: str = "tissue_positions.csv", header: bool = True) -> None:
        """Positions (CSV or Parquet) and scale factors."""
        spatial = self.folder / "spatial"
        spatial.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame(self.spots, schema=list(NAMES), orient="row")
        path = spatial / positions
        if path.suffix == ".parquet":
            frame.write_parquet(path)
        else:
            frame.write_csv(path, include_header=header)
        (spatial / "scalefactors_json.json").write_text(json.dumps(self.factors))

    def write_image(self, name: str, yx_shape: tuple[int, int]) -> Path:
        """A picture of nothing in `spatial`."""
        path = self.folder / "spatial" / name
        path.write_bytes(imagecodecs.png_encode(np.full((*yx_shape, 3), 200, dtype=np.uint8)))
        return path

    def write(self) -> Path:
        """The whole folder in its usual form."""
        self.write_h5()
        self.write_spatial()
        return self.folder


def _words(values: Sequence[str], kind: str) -> np.ndarray:
    if kind == "S":
        return np.array(values, dtype="S")
    return np.array([v.encode() for v in values], dtype=object)
