"""The folder as a whole: same seed same bytes, one geometry in all files, counts that follow the truth."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
import tifffile
import zarr
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.simulate.cells import Population
from napari_pixelgene.simulate.placement import morphology_to_he
from napari_pixelgene.simulate.run import SimulatedRun, simulate_run
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP, SimulationSettings


@pytest.fixture(scope="module")
def molecules(small_run: SimulatedRun) -> pl.DataFrame:
    return pl.read_parquet(small_run.bundle / "transcripts.parquet")


@pytest.fixture(scope="module")
def to_he(small_run: SimulatedRun) -> Transform:
    return Transform(small_run.morphology_to_he, "morphology_px", "he_px")


def file_bytes(folder: Path) -> dict[str, bytes]:
    """All files' bytes; of a zip file its members', since it also stores the time of writing."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                found |= {f"{name}/{member}": archive.read(member) for member in archive.namelist()}
        else:
            found[name] = path.read_bytes()
    return found


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    settings = SimulationSettings(width_um=330, height_um=300, genes=12, hidden_genes=4, transcripts_per_cell=30)
    first = file_bytes(simulate_run(tmp_path / "a", settings).folder)
    again = file_bytes(simulate_run(tmp_path / "b", settings).folder)
    other = file_bytes(simulate_run(tmp_path / "c", settings.replace(seed=1)).folder)
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []
    for name in ("he.ome.tif", "keypoints.csv", "outs/transcripts.parquet", "outs/cell_feature_matrix.h5"):
        assert first[name] != other[name]


def test_keypoints_lie_within_a_hand_of_the_truth(small_run: SimulatedRun, to_he: Transform) -> None:
    clicked, exact = (pl.read_csv(p) for p in (small_run.keypoints, small_run.truth / "keypoints_exact.csv"))
    assert clicked.columns == ["fixedX", "fixedY", "alignmentX", "alignmentY"]
    assert 10 <= len(clicked) <= 12
    for table, lowest, highest in ((exact, 0.0, 1e-3), (clicked, 0.3, 2.0)):
        error = to_he.apply(table[["fixedX", "fixedY"]].to_numpy()) - table[["alignmentX", "alignmentY"]].to_numpy()
        rms_um = float(np.sqrt((error**2).sum(axis=1).mean())) * 0.5
        assert lowest <= rms_um <= highest


def test_the_matrix_file_runs_from_he_to_morphology(small_run: SimulatedRun, to_he: Transform) -> None:
    matrix = np.loadtxt(small_run.folder / "he_imagealignment.csv", delimiter=",")
    spot = np.array([[321.5, 777.25]])
    back = Transform(matrix, "he_px", "morphology_px").apply(to_he.apply(spot))
    np.testing.assert_allclose(back, spot, atol=1e-6)
    stored = json.loads((small_run.truth / "transform.json").read_text())
    np.testing.assert_allclose(stored["matrix"], small_run.morphology_to_he)


def test_the_transform_is_turned_projective_and_not_a_mirror(small_settings: SimulationSettings) -> None:
    matrix = morphology_to_he(small_settings).matrix
    assert np.linalg.det(matrix[:2, :2]) > 0
    assert np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])) == pytest.approx(93.5, abs=1.0)
    assert np.abs(matrix[2, :2]).min() > 0
    affine = morphology_to_he(small_settings.replace(perspective=0)).matrix
    corners = np.array([[0, 0], [2358, 0], [0, 2947], [2358, 2947.0]])
    apart = morphology_to_he(small_settings).apply(corners) - Transform(affine, "morphology_px", "he_px").apply(corners)
    assert np.hypot(*apart.T).max() * small_settings.he_mpp > 0.5


def test_a_nucleus_is_in_the_same_place_in_both_images(small_run: SimulatedRun, to_he: Transform) -> None:
    he = tifffile.imread(small_run.he)[..., 0].astype(float)
    (path,) = (small_run.bundle / "morphology_focus").iterdir()
    dapi = gaussian_filter(tifffile.imread(path).astype(float), 2)
    cells = pl.read_parquet(small_run.truth / "cells.parquet").filter(pl.col("number") >= 0, kind="lymphocyte")
    he_px = cells[["x_he_um", "y_he_um"]].to_numpy() / 0.5
    column, row = np.floor(to_he.inverse().apply(he_px)).astype(int).T
    he_column, he_row = np.floor(he_px).astype(int).T
    assert np.median(dapi[row, column]) > 10 * np.median(dapi)
    assert np.median(he[he_row, he_column]) < np.median(he) - 80
    swapped = dapi[np.minimum(column, dapi.shape[0] - 1), np.minimum(row, dapi.shape[1] - 1)]
    assert np.median(swapped) < 2 * np.median(dapi)


def test_stage_coordinates_tell_the_same_place(small_run: SimulatedRun, to_he: Transform) -> None:
    seen = pl.read_parquet(small_run.bundle / "cells.parquet")
    truth = pl.read_parquet(small_run.truth / "cells.parquet").filter(pl.col("number") >= 0).sort("number")
    centre_px = seen[["x_centroid", "y_centroid"]].to_numpy() / MORPHOLOGY_MPP
    apart = to_he.apply(centre_px) * 0.5 - truth[["x_he_um", "y_he_um"]].to_numpy()
    assert len(seen) == len(truth) > 300
    assert np.median(np.hypot(*apart.T)) < 1.0


def test_the_matrix_counts_accepted_molecules_of_cells(small_run: SimulatedRun, molecules: pl.DataFrame) -> None:
    with h5py.File(small_run.bundle / "cell_feature_matrix.h5") as file:
        group = file["matrix"]
        names = [n.decode() for n in group["features/name"][:]]
        barcodes = [b.decode() for b in group["barcodes"][:]]
        cell = np.repeat(np.arange(len(barcodes)), np.diff(group["indptr"][:]))
        found = {(barcodes[c], names[g]): int(v) for c, g, v in zip(cell, group["indices"], group["data"], strict=True)}
        assert tuple(group["shape"][:]) == (len(names), len(barcodes))
    kept = molecules.filter((pl.col("qv") >= 20) & (pl.col("cell_id") != "UNASSIGNED"))
    counted = kept.group_by("cell_id", "feature_name").len()
    assert found == {(c, g): n for c, g, n in counted.iter_rows()}
    cells = pl.read_parquet(small_run.bundle / "cells.parquet")
    assert cells["cell_id"].to_list() == barcodes
    assert cells["total_counts"].sum() == len(kept)
    assert cells["transcript_counts"].sum() == kept["is_gene"].sum() < len(kept)


def test_masks_hold_the_molecules_of_their_cells(small_run: SimulatedRun, molecules: pl.DataFrame) -> None:
    store = zarr.storage.ZipStore(small_run.bundle / "cells.zarr.zip", mode="r")
    masks = zarr.open_group(store, mode="r", zarr_format=2)["masks"]
    nuclei, cells = np.asarray(masks["0"]), np.asarray(masks["1"])
    table = molecules.with_columns(
        column=(pl.col("x_location") / MORPHOLOGY_MPP).floor().cast(int),
        row=(pl.col("y_location") / MORPHOLOGY_MPP).floor().cast(int),
    )
    row, column = table["row"].to_numpy(), table["column"].to_numpy()
    numbers = pl.read_parquet(small_run.bundle / "cells.parquet")["cell_id"]
    label = {name: n + 1 for n, name in enumerate(numbers)} | {"UNASSIGNED": 0}
    said = table["cell_id"].replace_strict(label, return_dtype=pl.Int64).to_numpy()
    assert (cells[row, column] == said).mean() > 0.97
    assert ((nuclei[row, column] > 0) == (table["overlaps_nucleus"].to_numpy() == 1)).mean() > 0.97
    assert 0.5 < (said > 0).mean() < 0.95


def test_the_transcript_table_has_what_a_run_has(molecules: pl.DataFrame) -> None:
    assert molecules["transcript_id"].n_unique() == len(molecules)
    assert 0.84 < (molecules["qv"] >= 20).mean() < 0.92
    categories = molecules.group_by("codeword_category").len().sort("len")["codeword_category"].to_list()
    assert categories[-1] == "predesigned_gene" and len(categories) == 4
    assert molecules.filter(~pl.col("is_gene"))["feature_name"].str.contains("^(Neg|Unassigned)").all()


def test_counts_are_drawn_from_the_truth(small_run: SimulatedRun, molecules: pl.DataFrame, to_he: Transform) -> None:
    rates = zarr.open_group(small_run.truth / "rates.zarr", mode="r")["rates"]
    genes = list(rates.attrs["genes"])
    kept = molecules.filter((pl.col("qv") >= 20) & pl.col("is_gene"))
    xy = to_he.apply(kept[["x_location", "y_location"]].to_numpy() / MORPHOLOGY_MPP) * 0.5
    gene = kept["feature_name"].replace_strict({g: i for i, g in enumerate(genes)}, return_dtype=pl.Int64).to_numpy()
    counts = np.zeros(rates.shape)
    column, row = np.floor(xy / 8.0).astype(int).T
    np.add.at(counts, (gene, row, column), 1)
    seen = np.zeros(rates.shape[1:], dtype=bool)
    seen[12:58, 15:72] = True  # well inside the run
    expected, observed = np.asarray(rates)[:, seen], counts[:, seen]
    assert rates.shape == (24, 70, 88)
    total = expected.sum(axis=1)
    assert np.abs((observed.sum(axis=1) - total) / np.sqrt(total)).max() < 4.5
    enough = expected > 0.2
    chi2 = ((observed - expected) ** 2 / expected)[enough]
    assert chi2.mean() == pytest.approx(1, abs=0.05)


def test_truth_knows_tissue_and_groups(small_run: SimulatedRun) -> None:
    root = zarr.open_group(small_run.truth / "rates.zarr", mode="r")
    tissue, rates = np.asarray(root["tissue"]), np.asarray(root["rates"]).sum(axis=0)
    assert 0.5 < tissue.mean() < 0.98
    assert rates[tissue].mean() > 10 * rates[~tissue].mean()
    group = pl.read_parquet(small_run.truth / "genes.parquet")
    assert group.group_by("group").len().filter(group="hidden")["len"].item() == 8


@pytest.mark.slow
def test_memory_follows_the_tiles_and_not_the_slide(tmp_path: Path) -> None:
    def peak(width_um: float) -> int:
        settings = SimulationSettings(width_um=width_um, height_um=400, he_mpp=1, genes=12, hidden_genes=4)
        tracemalloc.start()
        simulate_run(tmp_path / str(width_um), settings.replace(transcripts_per_cell=20))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(400)  # what is loaded once
    assert peak(6_000) < 1.25 * peak(3_000)


def test_nuclei_are_drawn_to_a_quarter_of_a_pixel(small_run: SimulatedRun, small_settings: SimulationSettings) -> None:
    """The mean over many nuclei, since each has its own wobble; half a pixel would show in both images."""
    population = Population(small_settings)
    cells = population.within(np.array([60.0, 60.0]), np.array([640.0, 500.0]))
    lone = np.sort(cKDTree(cells.xy_um).query(cells.xy_um, k=2)[0], axis=1)[:, 1] > 15
    centre_um = cells.nucleus_um[lone].mean(axis=1)
    (path,) = (small_run.bundle / "morphology_focus").iterdir()
    to_morphology = Transform(small_run.morphology_to_he, "morphology_px", "he_px").inverse()
    he = 245 - tifffile.imread(small_run.he)[..., 0].astype(float)
    for image, xy, radius in (
        (he, centre_um / small_settings.he_mpp, 14),
        (tifffile.imread(path).astype(float), to_morphology.apply(centre_um / small_settings.he_mpp), 32),
    ):
        shift = np.array([_centroid(image, point, radius) - point for point in xy if _fits(image, point, radius)])
        assert len(shift) > 60
        assert np.abs(np.median(shift, axis=0)).max() < 0.25


def _fits(image: np.ndarray, xy: np.ndarray, radius: int) -> bool:
    return bool((xy > radius + 2).all() and (xy < np.array(image.shape)[::-1] - radius - 2).all())


def _centroid(image: np.ndarray, xy: np.ndarray, radius: int) -> np.ndarray:
    """Centre of mass (x, y), 0 at the outer corner, of what is brighter than half the peak around a point."""
    column, row = np.floor(xy).astype(int)
    patch = image[row - radius : row + radius + 1, column - radius : column + radius + 1]
    low, high = np.median(patch), np.percentile(patch, 99)
    weight = np.clip((patch - low) / (high - low) - 0.5, 0, 0.3)
    rows, columns = np.indices(patch.shape) + 0.5
    mass = weight.sum()
    return np.array([(columns * weight).sum() / mass + column - radius, (rows * weight).sum() / mass + row - radius])
