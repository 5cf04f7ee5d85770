"""The same tissue on a Visium and on a Visium HD slide: molecules shed anew at the truth's rates, caught by the array.

Each is a measurement of its own, as on a neighbouring section that lies exactly over the first: cells and rates are
those of the Xenium run, the molecules are drawn again. Space Ranger was given `he.ome.tif`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
from napari_pixelgene.progress import OnEvent, Progress
from napari_pixelgene.simulate.capture_area import BIN_SIZES_UM, FINEST_UM, SPOT_UM, CaptureArea
from napari_pixelgene.simulate.cells import BLOCK_UM, Population
from napari_pixelgene.simulate.genes import Expression
from napari_pixelgene.simulate.space_ranger import (
    MATRIX,
    Places,
    write_features,
    write_images,
    write_matrix,
    write_scalefactors,
)
from napari_pixelgene.simulate.transcripts import shed

_VISIUM, _HD = 71, 72
_HIRES_PX, _HD_HIRES_PX = 2000, 6000
# Space Ranger's disks: it writes 65 µm for a spot of 55.
_STATED_SPOT_UM, _FIDUCIAL_UM, _HD_FIDUCIAL_UM = 65.0, 105.0, 330.0


@dataclass(frozen=True, slots=True)
class Assay:
    """One array on the slide: where it lies, what it catches of each gene (genes,), and a number for its chance."""

    area: CaptureArea
    yields: FloatArray | None = None
    number: int = 0


def write_visium(
    folder: Path,
    population: Population,
    expression: Expression,
    he: Path,
    on_event: OnEvent,
    assay: Assay | None = None,
) -> None:
    """A Visium output folder (`filtered_feature_bc_matrix.h5`, `spatial`) of the H&E at `he`."""
    settings = population.settings
    assay = assay or Assay(CaptureArea.of(settings))
    area = assay.area
    place = area.spots()
    centres_um = area.spot_centres_um(place)
    tissue = np.asarray(population.architecture.inside_um(centres_um) > 0)
    # Space Ranger writes whole pixels for spots.
    places = Places(_spot_barcodes(len(place)), place, np.round(centres_um / settings.he_mpp).astype(int), tissue)
    tree, genes = cKDTree(centres_um), expression.programme.genes
    keys = []
    for gene, xy_um in _molecules(population, expression, assay, _VISIUM, on_event):
        apart, spot = tree.query(xy_um, distance_upper_bound=SPOT_UM / 2)
        keys.append(spot[np.isfinite(apart)] * len(genes) + gene[np.isfinite(apart)])
    counts = _counted(keys, len(place), len(genes))[tissue]
    spatial = folder / "spatial"
    spatial.mkdir(parents=True, exist_ok=True)
    write_matrix(folder / MATRIX, places.barcodes[tissue], counts, genes, "Visium V4 Slide - FFPE v2", "simulated")
    places.frame().write_csv(spatial / "tissue_positions.csv")
    factors = {"spot_diameter_fullres": _STATED_SPOT_UM, "fiducial_diameter_fullres": _FIDUCIAL_UM}
    in_px = {name: um / settings.he_mpp for name, um in factors.items()}
    write_scalefactors(spatial, in_px | write_images(spatial, he, _HIRES_PX))


def write_visium_hd(folder: Path, population: Population, expression: Expression, he: Path, on_event: OnEvent) -> None:
    """A Visium HD output folder (`binned_outputs/square_002um`, `_008um`, `_016um`) of the H&E at `he`."""
    area = CaptureArea.of(population.settings, mirrored=True)
    genes = len(expression.programme.genes)
    keys = []
    for gene, xy_um in _molecules(population, expression, Assay(area), _HD, on_event):
        number, held = area.bin_of(xy_um)
        keys.append(number[held] * genes + gene[held])
    rows, columns = area.bins_shape(FINEST_UM)
    finest = _counted(keys, rows * columns, genes)
    spatial = folder / "spatial"
    spatial.mkdir(parents=True, exist_ok=True)
    factors = write_images(spatial, he, _HD_HIRES_PX)
    for side_um in BIN_SIZES_UM:
        _write_bins(
            folder / "binned_outputs" / f"square_{side_um:03d}um", area, side_um, finest, population, expression
        )
        home = folder / "binned_outputs" / f"square_{side_um:03d}um" / "spatial"
        for image in spatial.glob("*.png"):
            (home / image.name).write_bytes(image.read_bytes())
        write_scalefactors(home, _hd_factors(side_um, population.settings.he_mpp) | factors)
    _write_slices(folder / "feature_slice.h5", area, population, expression)


def _write_bins(
    folder: Path,
    area: CaptureArea,
    side_um: int,
    finest: sparse.csr_matrix,
    population: Population,
    expression: Expression,
) -> None:
    """Matrix and positions of the bins of one size, summed from the finest."""
    (folder / "spatial").mkdir(parents=True, exist_ok=True)
    rows, columns = area.bins_shape(side_um)
    number = np.arange(rows * columns)
    row_column = np.stack(np.divmod(number, columns), axis=1)
    centres_um = area.bin_centres_um(number, side_um)
    tissue = np.asarray(population.architecture.inside_um(centres_um) > 0)
    names = [f"s_{side_um:03d}um_{row:05d}_{column:05d}-1" for row, column in row_column]
    places = Places(np.array(names), row_column, centres_um / population.settings.he_mpp, tissue)
    counts = (_summing(area, side_um) @ finest).tocsr()[tissue]
    genes = expression.programme.genes
    write_matrix(folder / MATRIX, places.barcodes[tissue], counts, genes, "Visium HD v1", "simulated")
    places.frame().write_parquet(folder / "spatial" / "tissue_positions.parquet")


def _summing(area: CaptureArea, side_um: int) -> sparse.csr_matrix:
    """(bins of that side, finest bins): 1 where one lies in the other."""
    times = side_um // FINEST_UM
    rows, columns = area.bins_shape(FINEST_UM)
    row, column = np.divmod(np.arange(rows * columns), columns)
    wide = area.bins_shape(side_um)
    into = row // times * wide[1] + column // times
    ones = np.ones(len(into), dtype=np.int32)
    return sparse.csr_matrix((ones, (into, np.arange(len(into)))), shape=(wide[0] * wide[1], len(into)))


def _hd_factors(side_um: int, mpp: float) -> dict[str, float]:
    return {
        "spot_diameter_fullres": side_um / mpp,
        "bin_size_um": float(side_um),
        "microns_per_pixel": mpp,
        "fiducial_diameter_fullres": _HD_FIDUCIAL_UM / mpp,
    }


def _write_slices(path: Path, area: CaptureArea, population: Population, expression: Expression) -> None:
    """The head of `feature_slice.h5`: features and layout, without the slices, which repeat the finest bins."""
    mpp = population.settings.he_mpp
    to_px = np.diag([1 / mpp, 1 / mpp, 1.0]) @ area.to_he.matrix @ np.diag([FINEST_UM, FINEST_UM, 1.0])
    rows, columns = area.bins_shape(FINEST_UM)
    layout = {"file_format": "1.0", "spot_pitch": float(FINEST_UM), "nrows": rows, "ncols": columns}
    matrices = {
        "spot_colrow_to_microscope_colrow": to_px.tolist(),
        "microscope_colrow_to_spot_colrow": np.linalg.inv(to_px).tolist(),
    }
    fields = {
        "sample_id": "simulated",
        "nrows": rows,
        "ncols": columns,
        "spot_pitch": float(FINEST_UM),
        "hd_layout_json": json.dumps(layout),
        "transform_matrices": matrices,
    }
    with h5py.File(path, "w") as file:
        file.attrs["metadata_json"] = json.dumps(fields)
        write_features(file, expression.programme.genes)


def _molecules(
    population: Population, expression: Expression, assay: Assay, tag: int, on_event: OnEvent
) -> Iterator[tuple[IntArray, FloatArray]]:
    """(gene, H&E µm) of what cells shed around the area, a block at a time."""
    columns, rows = population.blocks
    seeds = [population.settings.seed, tag, assay.number] if assay.number else [population.settings.seed, tag]
    stage = "visium-hd" if tag == _HD else "visium"
    for row in range(rows):
        for column in range(columns):
            on_event(Progress(stage, row * columns + column, rows * columns))
            low = np.array([column, row]) * BLOCK_UM
            if assay.area.touches(low, low + BLOCK_UM):
                rng = np.random.default_rng([*seeds, column, row])
                cells = population.block(column, row)
                rates = expression.rates(cells)
                yield shed(cells, rates if assay.yields is None else rates * assay.yields, rng)
    on_event(Progress(stage, rows * columns, rows * columns))


def _counted(keys: Sequence[IntArray], units: int, genes: int) -> sparse.csr_matrix:
    """(units, genes) from the places unit · genes + gene of molecules."""
    place, count = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *keys]), return_counts=True)
    unit, gene = np.divmod(place, genes)
    return sparse.csr_matrix((count.astype(np.int32), (unit, gene)), shape=(units, genes))


def _spot_barcodes(count: int) -> Array:
    """Sixteen letters a spot, no two alike, in no order: a bijection of 32-bit numbers to the base of four."""
    mixed = (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)
    digits = (mixed[:, None] >> np.arange(30, -1, -2, dtype=np.uint64)) & np.uint64(3)
    letters = np.frombuffer(b"ACGT", dtype="S1")[digits.astype(int)]
    return np.char.add(np.ascontiguousarray(letters).view("S16").ravel().astype("U16"), "-1")
