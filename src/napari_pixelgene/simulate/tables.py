"""The tables of a Xenium output folder, written block by block: transcripts, cells, boundaries and the count matrix."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.simulate.cells import VERTICES, Cells
from napari_pixelgene.simulate.detection import Detection
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP
from napari_pixelgene.simulate.transcripts import CODEWORDS, PROBES, UNASSIGNED, Molecules

QUALITY = 20.0
SUFFIX = 1
_ROWS = 250_000
_TRANSCRIPTS = pa.schema(
    [
        ("transcript_id", pa.uint64()),
        ("cell_id", pa.string()),
        ("overlaps_nucleus", pa.uint8()),
        ("feature_name", pa.string()),
        ("x_location", pa.float32()),
        ("y_location", pa.float32()),
        ("z_location", pa.float32()),
        ("qv", pa.float32()),
        ("fov_name", pa.string()),
        ("nucleus_distance", pa.float32()),
        ("codeword_index", pa.int32()),
        ("codeword_category", pa.string()),
        ("is_gene", pa.bool_()),
    ]
)
_BOUNDARY = pa.schema(
    [("cell_id", pa.string()), ("vertex_x", pa.float32()), ("vertex_y", pa.float32()), ("label_id", pa.int64())]
)
_COUNTS = (
    "transcript_counts",
    "control_probe_counts",
    "genomic_control_counts",
    "control_codeword_counts",
    "unassigned_codeword_counts",
    "deprecated_codeword_counts",
)
_CELLS = pa.schema(
    [
        ("cell_id", pa.string()),
        ("x_centroid", pa.float64()),
        ("y_centroid", pa.float64()),
        *[(name, pa.int64()) for name in _COUNTS],
        ("total_counts", pa.int64()),
        ("cell_area", pa.float64()),
        ("nucleus_area", pa.float64()),
        ("nucleus_count", pa.int64()),
        ("segmentation_method", pa.string()),
    ]
)


def cell_ids(number: IntArray) -> Array:
    """10x's names of cells: eight letters a to p for the number's hexadecimal digits, then the data set's suffix."""
    digits = (np.asarray(number, dtype=np.int64)[:, None] >> np.arange(28, -1, -4)) & 0xF
    letters = (digits + ord("a")).astype(np.uint8).view("S8").ravel().astype("U8")
    return np.char.add(letters, f"-{SUFFIX}")


class Features:
    """Genes and controls in the order of the count matrix: names, ids, classes."""

    def __init__(self, genes: GeneTable) -> None:
        controls = [
            ("NegControlProbe", "Negative Control Probe", "negative_control_probe", PROBES),
            ("NegControlCodeword", "Negative Control Codeword", "negative_control_codeword", CODEWORDS),
            ("UnassignedCodeword", "Unassigned Codeword", "unassigned_codeword", UNASSIGNED),
        ]
        self.genes = len(genes)
        extra = [(f"{name}_{n + 1:05d}", kind, code) for name, kind, code, count in controls for n in range(count)]
        self.names = [*genes.symbols, *(e[0] for e in extra)]
        self.ids = [*genes.ids, *(e[0] for e in extra)]
        self.types = ["Gene Expression"] * len(genes) + [e[1] for e in extra]
        self.categories = ["predesigned_gene"] * len(genes) + [e[2] for e in extra]
        self.kind_of = np.repeat([0, 1, 3, 4], [len(genes), PROBES, CODEWORDS, UNASSIGNED])

    def __len__(self) -> int:
        return len(self.names)


class RunTables:
    """Open tables of one folder; `add_molecules` and `add_cells` append, leaving the block closes them."""

    def __init__(self, folder: Path, detection: Detection, genes: GeneTable) -> None:
        self.detection = detection
        self.features = Features(genes)
        self.rows = 0
        self._pending: list[pa.Table] = []
        self._transcripts = pq.ParquetWriter(folder / "transcripts.parquet", _TRANSCRIPTS, compression="zstd")
        self._cells = pq.ParquetWriter(folder / "cells.parquet", _CELLS, compression="zstd")
        self._outlines = {
            name: pq.ParquetWriter(folder / f"{name}_boundaries.parquet", _BOUNDARY, compression="zstd")
            for name in ("cell", "nucleus")
        }
        self._matrix = _Matrix(folder / "cell_feature_matrix.h5", self.features, detection.count)

    def __enter__(self) -> RunTables:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        for writer in (self._transcripts, self._cells, *self._outlines.values(), self._matrix):
            writer.close()

    def add_molecules(self, found: Molecules, fov: str) -> None:
        """Append rows to transcripts.parquet."""
        self._pending.append(self._transcript_rows(found, fov))
        if sum(table.num_rows for table in self._pending) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._transcripts.write_table(pa.concat_tables(self._pending))
            self._pending.clear()

    def _transcript_rows(self, found: Molecules, fov: str) -> pa.Table:
        names, place = np.unique(found.cell, return_inverse=True)
        labels = np.where(names >= 0, cell_ids(np.maximum(names, 0)), "UNASSIGNED")
        x, y = found.xy_um.astype(np.float32).T
        # A run's rows are numbered across all of them; 10x's numbers are large and unique too.
        numbers = np.arange(self.rows, self.rows + len(found), dtype=np.uint64) + np.uint64(2**48)
        self.rows += len(found)
        columns = [
            numbers,
            _named(labels, place),
            found.in_nucleus.astype(np.uint8),
            _named(self.features.names, found.feature),
            x,
            y,
            found.z_um,
            found.quality,
            _named([fov], np.zeros(len(found), dtype=np.int32)),
            found.nucleus_distance_um,
            found.feature.astype(np.int32),
            _named(self.features.categories, found.feature),
            found.feature < self.features.genes,
        ]
        return pa.Table.from_arrays([pa.array(c) for c in columns], schema=_TRANSCRIPTS)

    def add_cells(self, cells: Cells, number: IntArray, counts: IntArray) -> None:
        """Append cells with their counts (cells, features) of accepted molecules, in the order of their numbers."""
        if not len(cells):
            return
        ids = cell_ids(number)
        self._matrix.add(ids, counts)
        centre, area, nucleus_area = measures(self.detection, cells)
        by_class = np.stack([counts[:, self.features.kind_of == k].sum(axis=1) for k in range(len(_COUNTS))], axis=1)
        columns = [ids, *centre.T, *by_class.T, by_class.sum(axis=1), area, nucleus_area]
        columns += [np.ones(len(cells), dtype=np.int64), np.full(len(cells), "Segmented by nucleus expansion of 5.0µm")]
        self._cells.write_table(pa.Table.from_arrays([pa.array(c) for c in columns], schema=_CELLS))
        for name, outline in (("cell", cells.cell_um), ("nucleus", cells.nucleus_um)):
            self._outlines[name].write_table(self._outline_rows(ids, number, outline))

    def _outline_rows(self, ids: Array, number: IntArray, outline_um: FloatArray) -> pa.Table:
        closed = np.concatenate([outline_um, outline_um[:, :1]], axis=1)
        x, y = on_stage_um(self.detection, closed).reshape(-1, 2).astype(np.float32).T
        owner = np.repeat(np.arange(len(ids)), VERTICES + 1)
        return pa.Table.from_arrays(
            [_named(ids, owner), pa.array(x), pa.array(y), pa.array(number[owner] + 1)], schema=_BOUNDARY
        )


def measures(detection: Detection, cells: Cells) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centres (n, 2) in stage µm, areas of cells and nuclei in µm²."""
    cell, nucleus = (on_stage_um(detection, outline) for outline in (cells.cell_um, cells.nucleus_um))
    return cell.mean(axis=1), _areas(cell), _areas(nucleus)


def on_stage_um(detection: Detection, points_um: FloatArray) -> FloatArray:
    """H&E µm (..., 2) to stage µm."""
    flat = detection.um_to_morphology.apply(points_um.reshape(-1, 2)) * MORPHOLOGY_MPP
    return flat.reshape(points_um.shape)


def _named(names: Any, which: IntArray) -> pa.Array:
    """Strings by their place in a list."""
    return pa.DictionaryArray.from_arrays(pa.array(which.astype(np.int32)), pa.array(list(names), pa.string())).cast(
        pa.string()
    )


def _areas(outline: FloatArray) -> FloatArray:
    """Areas (n,) of polygons (n, v, 2)."""
    following = np.roll(outline, -1, axis=1)
    return np.asarray(
        np.abs((outline[..., 0] * following[..., 1] - outline[..., 1] * following[..., 0]).sum(axis=1)) / 2
    )


class _Matrix:
    """cell_feature_matrix.h5 in Cell Ranger's layout (columns are cells), grown a block at a time."""

    def __init__(self, path: Path, features: Features, cells: int) -> None:
        self._file = h5py.File(path, "w")
        self._file.attrs.update(
            {
                "filetype": "matrix",
                "version": 2,
                "chemistry_description": "Xenium",
                "original_gem_groups": np.array([SUFFIX]),
            }
        )
        self._file.attrs["library_ids"] = np.array([b"simulated"])
        group = self._file.create_group("matrix")
        table = group.create_group("features")
        for name, values in (
            ("id", features.ids),
            ("name", features.names),
            ("feature_type", features.types),
            ("genome", ["Unknown"] * len(features)),
        ):
            table.create_dataset(name, data=np.array(values, dtype="S"))
        table.create_dataset("_all_tag_keys", data=np.array([b"genome"]))
        group.create_dataset("shape", data=np.array([len(features), cells], dtype=np.int32))
        for name, kind in (("barcodes", "S10"), ("data", np.int32), ("indices", np.int64), ("indptr", np.int64)):
            group.create_dataset(
                name, shape=(0,), maxshape=(None,), chunks=(80_000,), dtype=kind, compression="gzip", compression_opts=1
            )
        self._group = group
        _append(group["indptr"], np.zeros(1, dtype=np.int64))

    def add(self, ids: Array, counts: IntArray) -> None:
        """Append columns: counts (cells, features)."""
        cell, feature = np.nonzero(counts)
        start = len(self._group["data"])
        _append(self._group["barcodes"], ids.astype("S10"))
        _append(self._group["data"], counts[cell, feature])
        _append(self._group["indices"], feature)
        _append(self._group["indptr"], start + np.cumsum(np.count_nonzero(counts, axis=1)))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def _append(dataset: Any, values: Array) -> None:
    size = len(dataset)
    dataset.resize((size + len(values),))
    dataset[size:] = values
