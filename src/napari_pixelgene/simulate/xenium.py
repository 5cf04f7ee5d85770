"""A run's output folder as Xenium Onboard Analysis 3.1 lays it out: tables, masks, morphology image, manifest."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import ZipStore

from napari_pixelgene.arithmetic.tiles import tile_count, tiles
from napari_pixelgene.elements.arrays import FloatArray, IntArray
from napari_pixelgene.progress import OnEvent, Progress
from napari_pixelgene.simulate.detection import Detection
from napari_pixelgene.simulate.genes import Expression
from napari_pixelgene.simulate.morphology import Morphology
from napari_pixelgene.simulate.pyramid import PyramidPlan, write_pyramid
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP, name_of
from napari_pixelgene.simulate.tables import QUALITY, SUFFIX, RunTables, measures
from napari_pixelgene.simulate.transcripts import Molecules, molecules_of

ANALYSIS_VERSION = "xenium-3.1.0.0"
_MASK_CHUNK_PX = 1024
_SUMMARY_ROWS = 16_384
_SUMMARY = (
    "cell_centroid_x",
    "cell_centroid_y",
    "cell_area",
    "nucleus_centroid_x",
    "nucleus_centroid_y",
    "nucleus_area",
    "z_level",
    "nucleus_count",
)


def write_run(folder: Path, detection: Detection, expression: Expression, on_event: OnEvent) -> None:
    """Write the whole output folder of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    molecules = _write_tables(folder, detection, expression, on_event)
    _write_cells_zarr(folder / "cells.zarr.zip", detection, on_event)
    _write_morphology(folder / "morphology_focus", detection, on_event)
    _write_panel(folder / "gene_panel.json", expression)
    _write_manifest(folder / "experiment.xenium", detection, expression, molecules)


def _write_tables(folder: Path, detection: Detection, expression: Expression, on_event: OnEvent) -> int:
    """Shed, assign and write the molecules; a row of blocks is counted when the row below it is done."""
    columns, rows = detection.population.blocks
    with RunTables(folder, detection, expression.programme.genes) as tables:
        pairs: dict[int, list[IntArray]] = {}
        for row in range(rows):
            for column in range(columns):
                on_event(Progress("transcripts", row * columns + column, rows * columns))
                if detection.touches(column, row):
                    found = molecules_of(detection, expression, column, row)
                    tables.add_molecules(found, f"{chr(ord('A') + row % 26)}{column + 1}")
                    _file_under_rows(pairs, found, detection.first)
            _write_row(tables, row - 1, pairs.pop(row - 1, []))
        _write_row(tables, rows - 1, pairs.pop(rows - 1, []))
        on_event(Progress("transcripts", rows * columns, rows * columns))
        return tables.rows


def _file_under_rows(pairs: dict[int, list[IntArray]], found: Molecules, first: IntArray) -> None:
    """Keep (cell, feature) of accepted, assigned molecules under the row of blocks that holds the cell."""
    counted = found.where((found.cell >= 0) & (found.quality >= QUALITY))
    row = np.searchsorted(first[:, 0], counted.cell, side="right") - 1
    for value in np.unique(row):
        mine = row == value
        pairs.setdefault(int(value), []).append(np.stack([counted.cell[mine], counted.feature[mine]]))


def _write_row(tables: RunTables, row: int, pairs: list[IntArray]) -> None:
    """Write the cells of one row of blocks with their counts."""
    if row < 0:
        return
    detection, width = tables.detection, len(tables.features)
    cell, feature = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), dtype=np.int64)
    order = np.argsort(cell, kind="stable")
    cell, feature = cell[order], feature[order]
    for column in range(detection.population.blocks[0]):
        cells, first = detection.block_cells(column, row), detection.first[row, column]
        mine = slice(*np.searchsorted(cell, [first, first + len(cells)]))
        flat = np.bincount((cell[mine] - first) * width + feature[mine], minlength=len(cells) * width)
        tables.add_cells(cells, first + np.arange(len(cells)), flat.reshape(len(cells), width))


def _write_cells_zarr(path: Path, detection: Detection, on_event: OnEvent) -> None:
    """Masks, cell numbers and summaries in a zipped Zarr v2 group, as 10x keeps them."""
    with warnings.catch_warnings():
        # The zip store names a member twice only if a chunk is written twice, which aligned tiles never do.
        warnings.simplefilter("error", UserWarning)
        store = ZipStore(path, mode="w", compression=0)
        root = zarr.create_group(
            store,
            zarr_format=2,
            attributes={
                "major_version": 6,
                "minor_version": 0,
                "number_cells": detection.count,
                "polygon_set_names": ["nucleus", "cell"],
                "segmentation_methods": ["Segmented by nucleus expansion of 5.0µm"],
            },
        )
        _write_summary(root, detection)
        _write_masks(root, detection, on_event)
        store.close()


def _write_summary(root: zarr.Group, detection: Detection) -> None:
    """Per-cell arrays, a whole chunk at a time: a zip file cannot change a chunk it holds."""
    count = detection.count
    numbers = root.create_array("cell_id", shape=(count, 2), chunks=(_SUMMARY_ROWS, 2), dtype="uint32")
    columns: dict[str, Any] = {"column_names": list(_SUMMARY)}
    shape, chunks = (count, len(_SUMMARY)), (_SUMMARY_ROWS, len(_SUMMARY))
    summary = root.create_array("cell_summary", shape=shape, chunks=chunks, dtype="float64", attributes=columns)
    polygons = root.create_group("polygon_sets")
    sets = [polygons.create_group(name) for name in ("0", "1")]
    indices = [s.create_array("cell_index", shape=(count,), chunks=(_SUMMARY_ROWS,), dtype="uint32") for s in sets]
    for group in sets:
        group.create_array("method", shape=(count,), chunks=(_SUMMARY_ROWS,), dtype="uint32", fill_value=0)
    start = 0
    for rows in _whole_chunks(detection):
        part, which = slice(start, start + len(rows)), np.arange(start, start + len(rows))
        summary[part] = rows
        numbers[part] = np.stack([which, np.full(len(rows), SUFFIX)], axis=1)
        for index in indices:
            index[part] = which
        start += len(rows)


def _whole_chunks(detection: Detection) -> Iterator[FloatArray]:
    """Rows of cell_summary in stage µm, `_SUMMARY_ROWS` at a time."""
    columns, blocks = detection.population.blocks
    waiting = np.zeros((0, len(_SUMMARY)))
    for row, column in np.ndindex(blocks, columns):
        cells = detection.block_cells(column, row)
        centre, area, nucleus_area = measures(detection, cells)
        flat, one = np.zeros(len(cells)), np.ones(len(cells))
        part = np.stack([*centre.T, area, *centre.T, nucleus_area, flat, one], axis=1)
        waiting = np.concatenate([waiting, part])
        if len(waiting) >= _SUMMARY_ROWS:
            yield waiting[:_SUMMARY_ROWS]
            waiting = waiting[_SUMMARY_ROWS:]
    if len(waiting):
        yield waiting


def _write_masks(root: zarr.Group, detection: Detection, on_event: OnEvent) -> None:
    morphology = Morphology(detection)
    group = root.create_group("masks")
    scale = np.diag([1 / MORPHOLOGY_MPP, 1 / MORPHOLOGY_MPP, 1, 1]).astype(np.float32)
    group.create_array("homogeneous_transform", data=scale)
    side = _MASK_CHUNK_PX
    arrays = [
        group.create_array(n, shape=morphology.yx_shape, chunks=(side, side), dtype="uint32", fill_value=0)
        for n in "01"
    ]
    total = tile_count(morphology.yx_shape, side)
    for n, tile in enumerate(tiles(morphology.yx_shape, side)):
        on_event(Progress("masks", n, total))
        for array, labels in zip(arrays, morphology.masks(tile), strict=True):
            array[tile.region] = labels
    on_event(Progress("masks", total, total))


def _write_morphology(folder: Path, detection: Detection, on_event: OnEvent) -> None:
    folder.mkdir(exist_ok=True)
    morphology = Morphology(detection)
    metadata = {
        "UUID": name_of(detection.settings, "morphology"),
        "PhysicalSizeX": MORPHOLOGY_MPP,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": MORPHOLOGY_MPP,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": ["DAPI"]},
    }
    options = {"photometric": "minisblack", "compression": "zlib", "compressionargs": {"level": 1}}
    plan = PyramidPlan(morphology.yx_shape, 1, "uint16", MORPHOLOGY_MPP, 1024, options, metadata)
    write_pyramid(folder / "morphology_focus_0000.ome.tif", plan, morphology.render, "morphology", on_event)


def _write_panel(path: Path, expression: Expression) -> None:
    """The panel as a list of targets."""
    genes = expression.programme.genes
    targets = [
        {
            "codewords": [n],
            "info": {"gene_coverage": 8},
            "source": {"category": "base_panel", "identity": {"design_id": "simulated", "name": "Simulated panel"}},
            "type": {"data": {"id": id_, "name": symbol}, "descriptor": "gene"},
        }
        for n, (symbol, id_) in enumerate(zip(genes.symbols, genes.ids, strict=True))
    ]
    payload = {
        "chemistry": {"name": "Xenium"},
        "panel": {"identity": {"design_id": "simulated", "name": "Simulated panel"}},
        "targets": targets,
    }
    path.write_text(json.dumps({"metadata": {}, "payload": payload}), encoding="utf-8")


def _write_manifest(path: Path, detection: Detection, expression: Expression, molecules: int) -> None:
    """experiment.xenium: what the run says of itself, and where its files are."""
    settings = detection.settings
    names = {key: name_of(settings, key) for key in ("experiment_uuid", "cassette_uuid", "roi_uuid")}
    area_um2 = settings.width_um * settings.height_um * settings.measured**2
    manifest = {
        "major_version": 6,
        "minor_version": 0,
        "patch_version": 0,
        "run_name": "simulated",
        "run_start_time": "2025-01-01T00:00:00Z",
        "region_name": f"seed_{settings.seed}",
        "preservation_method": "ffpe",
        "num_cells": detection.count,
        "transcripts_per_cell": settings.transcripts_per_cell,
        "transcripts_per_100um": 100 * molecules / area_um2,
        "cassette_name": "simulated",
        "slide_id": "0000000",
        "panel_design_id": "simulated",
        "panel_name": "Simulated panel",
        "panel_organism": "Human",
        "panel_tissue_type": "Synthetic",
        "panel_num_targets_predesigned": len(expression.programme.genes),
        "panel_num_targets_custom": 0,
        "pixel_size": MORPHOLOGY_MPP,
        "instrument_sn": "SIMULATED",
        "instrument_sw_version": "3.1.0.0",
        "analysis_sw_version": ANALYSIS_VERSION,
        "segmentation_stain": "Nuclei",
        "z_step_size": 3.0,
        **names,
        "images": {"morphology_focus_filepath": "morphology_focus/morphology_focus_0000.ome.tif"},
        "xenium_explorer_files": {"cells_zarr_filepath": "cells.zarr.zip"},
    }
    path.write_text(json.dumps(manifest, indent=2), encoding="utf-8")
