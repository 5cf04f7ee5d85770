"""The same tissue on other arrays: one geometry with the slide, counts from the same truth, same seed same bytes."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest
import zarr
from scipy import sparse

from napari_pixelgene.arithmetic.pooling import disk_weights, square_weights
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.readers.visium import read_visium, visium_slide
from napari_pixelgene.readers.visium_hd import hd_slide, read_visium_hd
from napari_pixelgene.simulate.capture_area import CaptureArea
from napari_pixelgene.simulate.run import SimulatedRun, simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings

MPP = 0.5


def rates_of(run: SimulatedRun) -> tuple[np.ndarray, tuple[int, int]]:
    """(genes, superpixels) expected counts, and the lattice."""
    rates = np.asarray(zarr.open_group(run.truth / "rates.zarr", mode="r")["rates"])
    return rates.reshape(len(rates), -1), rates.shape[1:]


def sums(weights: sparse.csr_matrix) -> sparse.csr_matrix:
    """Ones in the stead of shares, so that a unit is the sum of what it holds."""
    ones = weights.copy()
    ones.data[:] = 1
    return ones


def test_spots_count_what_the_truth_expects_under_them(arrays_run: SimulatedRun) -> None:
    assert arrays_run.visium is not None
    units = read_visium(arrays_run.visium, read_image(arrays_run.he)).units
    assert units is not None and len(units) > 40
    assert abs(units.counts.sum(axis=0)).min() > 0
    rates, shape = rates_of(arrays_run)
    disks = sums(disk_weights(units.xy * MPP, 27.5, 8.0, shape))
    area = np.pi * 27.5**2 / 64 / np.asarray(disks.sum(axis=1)).ravel()
    expected = (disks @ rates.sum(axis=0)) * area
    observed = units.library
    # Squares stand for disks here, so that a spot is off by more than its Poisson noise; their sum is not.
    assert observed.sum() == pytest.approx(expected.sum(), rel=0.02)
    assert np.corrcoef(observed, expected)[0, 1] > 0.97
    by_gene = np.asarray(units.counts.sum(axis=0)).ravel()
    assert np.corrcoef(by_gene, (disks @ rates.T).sum(axis=0))[0, 1] > 0.99
    aside = (sums(disk_weights(units.xy[:, ::-1] * MPP, 27.5, 8.0, shape))) @ rates.sum(axis=0)
    assert np.corrcoef(observed, aside)[0, 1] < 0.5


@pytest.mark.parametrize("side_um", [8, 16])
def test_bins_count_what_the_truth_expects_in_them(arrays_run: SimulatedRun, side_um: int) -> None:
    assert arrays_run.visium_hd is not None
    units = read_visium_hd(arrays_run.visium_hd, read_image(arrays_run.he), side_um).units
    assert units is not None
    rates, shape = rates_of(arrays_run)
    expected = np.asarray(sums(square_weights(units.xy * MPP, side_um, 8.0, shape)) @ rates.T)
    observed = units.counts.toarray()
    total = expected.sum(axis=0)
    assert np.abs((observed.sum(axis=0) - total) / np.sqrt(total)).max() < 5
    assert np.corrcoef(observed.sum(axis=1), expected.sum(axis=1))[0, 1] > (0.75 if side_um == 8 else 0.9)
    turned = np.asarray(sums(square_weights(units.xy[::-1] * MPP, side_um, 8.0, shape)) @ rates.sum(axis=0))
    assert np.corrcoef(observed.sum(axis=1), turned)[0, 1] < 0.5


def test_coarse_bins_are_sums_of_fine_ones(arrays_run: SimulatedRun) -> None:
    assert arrays_run.visium_hd is not None
    grids = {}
    for side_um in (2, 8, 16):
        folder = arrays_run.visium_hd / "binned_outputs" / f"square_{side_um:03d}um"
        table = pl.read_parquet(folder / "spatial" / "tissue_positions.parquet")
        rows, columns = table["array_row"].max() + 1, table["array_col"].max() + 1  # type: ignore[operator]
        grid = np.full((rows, columns), -1)
        with h5py.File(folder / "filtered_feature_bc_matrix.h5") as file:
            group = file["matrix"]
            total = np.add.reduceat(np.append(group["data"][:], 0), group["indptr"][:-1])
            total[np.diff(group["indptr"][:]) == 0] = 0
            for name, count in zip(group["barcodes"][:].astype(str), total, strict=True):
                assert name.startswith(f"s_{side_um:03d}um_") and name.endswith("-1")
                grid[int(name[8:13]), int(name[14:19])] = count
        grids[side_um] = grid
    for fine, coarse in ((2, 8), (8, 16)):
        times = coarse // fine
        rows, columns = grids[coarse].shape
        blocks = grids[fine].reshape(rows, times, columns, times).transpose(0, 2, 1, 3).reshape(rows, columns, -1)
        whole = (blocks >= 0).all(axis=2) & (grids[coarse] >= 0)
        assert whole.sum() > 300
        assert np.array_equal(blocks.sum(axis=2)[whole], grids[coarse][whole])


def test_the_hires_image_shows_the_slide_at_its_scale(arrays_run: SimulatedRun) -> None:
    """A block of hires pixels has the colour of the pixels of the slide that it covers."""
    assert arrays_run.visium is not None and arrays_run.visium_hd is not None
    full = np.asarray(read_image(arrays_run.he).levels[0][:]).astype(float)
    for found in (visium_slide(arrays_run.visium), hd_slide(arrays_run.visium_hd)):
        assert found is not None
        hires = np.asarray(read_image(*found).levels[0][:]).astype(float)
        times = found[1] / MPP
        assert times == pytest.approx(full.shape[1] / hires.shape[1], rel=1e-3)
        row, column, side = 130, 310, 40
        here = hires[row : row + side, column : column + side].mean(axis=(0, 1))
        a, b, c, d = (round(v * times) for v in (row, row + side, column, column + side))
        assert here == pytest.approx(full[a:b, c:d].mean(axis=(0, 1)), abs=1.0)


def test_arrays_lie_turned_on_the_slide_and_the_hd_one_mirrored() -> None:
    settings = SimulationSettings(width_um=8000, height_um=1200)
    for mirrored, turn_deg in ((False, 1.8), (True, -2.4)):
        area = CaptureArea.of(settings, mirrored)
        assert area.size_um.tolist() == [6496.0, 1008.0]  # at most 6.5 mm, whole bins of 16 µm
        across, down = area.to_he.matrix[:2, 0], area.to_he.matrix[:2, 1]
        assert np.rad2deg(np.arctan2(across[1], across[0])) == pytest.approx(turn_deg)
        assert across @ down == pytest.approx(0, abs=1e-12) and np.hypot(*down) == pytest.approx(1)
        assert np.linalg.det(area.to_he.matrix) == pytest.approx(-1 if mirrored else 1)
        assert area.to_he.apply(area.size_um[None] / 2)[0] == pytest.approx([0.51 * 8000, 0.493 * 1200])


def test_the_same_seed_gives_the_same_bytes_and_the_xenium_run_is_untouched(tmp_path: Path) -> None:
    settings = SimulationSettings(width_um=400, height_um=330, genes=12, hidden_genes=4, transcripts_per_cell=20)
    plain = simulate_run(tmp_path / "plain", settings)
    runs = [simulate_run(tmp_path / name, settings, visium=True, visium_hd=True) for name in "ab"]
    assert plain.visium is None and not (tmp_path / "plain" / "visium").exists()
    first, again = (
        {str(p.relative_to(run.folder)): p.read_bytes() for p in run.folder.rglob("*") if p.is_file()} for run in runs
    )
    differ = [name for name in first if first[name] != again[name] and not name.endswith(".zip")]
    assert first.keys() == again.keys() and differ == []
    assert len([name for name in first if name.startswith("visium")]) > 15
    for name in ("transcripts.parquet", "cell_feature_matrix.h5"):
        assert (plain.bundle / name).read_bytes() == first[f"outs/{name}"]
