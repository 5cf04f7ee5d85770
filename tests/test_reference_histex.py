"""Images, masks, spots and scores of HISTEX: the same where it is right, shown to differ where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from napari_pixelgene.arithmetic.map_metrics import structural_similarity
from napari_pixelgene.arithmetic.metrics import rmse
from napari_pixelgene.arithmetic.pooling import integer_disk_weights
from napari_pixelgene.arithmetic.resampling import work_pixels
from napari_pixelgene.arithmetic.smoothing import box_means
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.capture import Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.image import Image
from napari_pixelgene.stages.binning import bin_units
from napari_pixelgene.stages.pseudo_spots import SpotSettings, pseudo_spots
from napari_pixelgene.stages.tissue import TissueSettings, _without_small, find_tissue

FOLDER = Path(__file__).parents[1].parent / "shared" / "vectors" / "histex"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/vectors is not beside the repository")
GENES = GeneTable(("a", "b", "c"))


def vector(name: str) -> Any:
    return np.load(FOLDER / f"{name}.npz")


def test_errors_and_similarity_of_maps() -> None:
    """Theirs are taken after each gene is brought to [0, 1] over the whole rectangle; a constant gene breaks them."""
    v = vector("metrics")
    mask = v["mask"]
    for i in range(3):
        truth, pred = np.maximum(v["truth"][i], 0), v["pred"][i]
        t, p = ((x - x.min()) / (x.max() - x.min()) for x in (truth, pred))
        assert rmse(p[mask][:, None], t[mask][:, None])[0] == pytest.approx(v["rmse"][i], rel=1e-9)
        filled = [np.where(mask, x, 0) for x in (t, p)]
        peaks = [x.max() for x in filled]
        if peaks == [1.0, 1.0]:  # ours divides by the maximum inside the mask
            assert structural_similarity(*filled) == pytest.approx(v["ssim"][i], rel=1e-9)
        else:
            assert abs(structural_similarity(*filled) - v["ssim"][i]) < 0.1


def test_small_pieces_and_holes() -> None:
    v = vector("relabel")
    for least in (4, 6):
        mask = _without_small(v["labels"] > 0, least)
        mask = ~_without_small(~mask, least)
        np.testing.assert_array_equal(mask, v[f"relabelled_min{least}"] > 0)


def test_tissue_is_that_of_optical_density_and_keeps_the_rim() -> None:
    """On purpose: two clusters of features cost a network to tell tissue from glass, and lose 128 µm at every rim."""
    v = vector("mask")
    rgb = np.moveaxis(np.clip(v["rgb"], 0, 255), 0, -1).astype(np.uint8)
    image = Image((np.kron(rgb, np.ones((16, 16, 1), np.uint8)),), mpp=0.5)
    small = TissueSettings(min_area_um2=640.0, fill_holes_um2=640.0)
    ours = find_tissue(image, Grid.of_image(image), small).mask
    assert ours.shape == v["mask"].shape and (ours == v["mask"]).mean() > 0.9
    assert ours[8:16, 7:15].all() and not ours[:4].any()
    moved = Image((image.levels[0][5 * 16 :, 4 * 16 :],), mpp=0.5)  # tissue up to the rim
    assert find_tissue(moved, Grid.of_image(moved), small).mask[2, 2]


def test_a_box_of_three_is_theirs_inside_and_one_of_four_drifts() -> None:
    v = vector("smoothen")
    x = v["x"]
    ours = box_means(x, np.ones(x.shape[:2], bool), 3)
    np.testing.assert_allclose(ours[1:-1, 1:-1], v["box3"][1:-1, 1:-1], atol=1e-6)
    r = c = 4
    means = {(a, b): x[r - a : r - a + 4, c - b : c - b + 4].mean((0, 1)) for a in (1, 2) for b in (1, 2)}
    assert [k for k, m in means.items() if np.allclose(m, v["box4"][r, c], atol=1e-6)] == [(2, 2)]
    with pytest.raises(ValueError, match="no middle"):
        box_means(x, np.ones(x.shape[:2], bool), 4)


@pytest.mark.parametrize("scale", [0.37, 0.5, 1.0, 1.6])
def test_resampling_is_an_exact_mean(scale: float) -> None:
    """On purpose: theirs blurs with a Gaussian first, and stretches to a whole number of pixels."""
    v = vector("rescale")
    theirs, image = v[f"scale_{scale:g}" if scale != 1 else "scale_1.0"].astype(float), v["image"]
    grid = Grid.of_image(Image((image,), mpp=scale * 0.5))
    ours = work_pixels((image,), scale * 0.5, 0.5, grid.whole().scaled(16))[0].astype(float)
    rows, columns = theirs.shape[:2]
    if scale == 1:
        np.testing.assert_array_equal(ours[:rows, :columns], theirs)
        return
    inner = (slice(2, rows - 2), slice(2, columns - 2))
    away = np.abs(ours[inner] - theirs[inner]).mean()
    spread = np.abs(theirs[inner] - theirs[inner].mean((0, 1))).mean()
    assert 0 < away < 0.5 * spread


def test_pseudo_spots_sum_what_lies_under_them() -> None:
    """The sums are theirs at their places. On purpose ours lie as real spots do, and are kept by what is measured."""
    v = vector("pseudo_visium")
    cube, places = v["genes"], np.round(v["locs_xy"][:, ::-1] / 16).astype(int)
    disks = integer_disk_weights(places, float(v["radius"]), cube.shape[:2])
    disks.data[:] = 1
    sums = disks @ np.maximum(cube, 0).reshape(-1, 3)
    np.testing.assert_allclose(sums, v["cnts"][v["spots"]], rtol=1e-6)
    measured = v["mask"] > 0
    flat = np.flatnonzero(measured)
    counts = sparse.csr_matrix(np.maximum(cube, 0).reshape(-1, 3)[flat].astype(np.int64))
    library = np.asarray(counts.sum(1)).ravel()
    spots = pseudo_spots(flat, counts, library, (cube.shape[:2], 8.0), SpotSettings(), measured)
    away = np.sqrt(((spots.xy_um[:, None] - spots.xy_um) ** 2).sum(-1))
    assert np.sort(away, axis=1)[:, 1].min() == pytest.approx(100.0)
    theirs = v["locs_xy"] * 0.5
    diagonal = np.sqrt(((theirs[:, None] - theirs) ** 2).sum(-1))
    assert np.isclose(diagonal, np.hypot(100, 50)).any()  # 112 µm from row to row: no hexagon


def test_bins_that_share_a_superpixel_are_added_up() -> None:
    """On purpose: there a later bin overwrites an earlier one, and all lie half a superpixel off."""
    v = vector("visiumhd_binning")
    xy = np.column_stack([v["col"], v["row"]]) * 0.5
    counts = sparse.csr_matrix(v["counts"].astype(np.int64))
    units = Units(np.arange(12).astype(str), xy, counts, GENES, Footprint("square", 8.0), "he_um")
    grid = Grid((5, 6), (80, 96))
    ours = bin_units(units, Transform(np.eye(3), "he_um", "he_um"), grid)
    assert ours.outside == 0
    np.testing.assert_array_equal(np.asarray(ours.bins.counts.sum(0)).ravel(), v["counts"].sum(0))
    assert (np.maximum(v["genes_3d"], 0).sum((0, 1)) < v["counts"].sum(0)).any()


def test_a_cell_counts_where_it_lies() -> None:
    """On purpose: theirs splits a cell over the squares of its outline, and loses the middle of a round one."""
    v = vector("xenium_binning")
    centre = np.stack([v["vertex_um"][v["vertex_cell"] == c].mean(0) for c in range(6)])
    counts = sparse.csr_matrix(v["cell_counts"])
    units = Units(np.arange(6).astype(str), centre, counts, GENES, Footprint("point"), "he_um")
    grid = Grid(v["superpixel_counts"].shape[:2], tuple(16 * n for n in v["superpixel_counts"].shape[:2]))
    ours = bin_units(units, Transform(np.eye(3), "he_um", "he_um"), grid).bins
    np.testing.assert_allclose(np.asarray(ours.counts.sum(0)).ravel(), v["superpixel_counts"].sum((0, 1)), rtol=1e-6)
    middle = (2, 2)  # of the first cell, 10 µm across
    assert grid.flat(np.array([middle]))[0] in ours.superpixel
    assert v["superpixel_counts"][middle].sum() == 0 < v["cell_counts"][0].sum()
