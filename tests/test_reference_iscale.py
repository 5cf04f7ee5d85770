"""Vectors of iSCALE and iStar that belong to no single part: lattice, scaling, metrics, squares and genes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from napari_pixelgene.arithmetic.metrics import pearson, rmse, spearman
from napari_pixelgene.arithmetic.pooling import disk_weights, point_weights
from napari_pixelgene.arithmetic.resampling import work_pixels
from napari_pixelgene.arithmetic.targets import min_max
from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.elements.features import Features
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.errors import InputError
from napari_pixelgene.models.superpixels.minmax import OriginalNet
from napari_pixelgene.readers.masks import reduce_mask
from napari_pixelgene.stages.features import tissue_statistics
from napari_pixelgene.stages.genes import choose_genes
from napari_pixelgene.stages.pseudo_spots import hexagonal_lattice
from napari_pixelgene.stages.tissue import TissueSettings, find_tissue

FOLDER = Path(__file__).parents[1].parent / "shared" / "vectors" / "iscale"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/vectors is not beside the repository")


def vector(file: str) -> Any:
    return json.loads((FOLDER / file).read_text())


def test_a_mask_is_reduced_where_more_than_half_of_a_square_is_tissue() -> None:
    v = vector("v04_geometry/geometry.json")["reduce_mask"]
    mask = np.zeros(v["mask_shape"], bool)
    for top, bottom, left, right in v["true_rects_ij"]:
        mask[top:bottom, left:right] = True
    out = np.array(v["out"])
    factor = float(v["factor"])
    assert reduce_mask(mask, out.shape, (factor, factor)).astype(int).tolist() == v["out"]


def test_nothing_is_padded_and_what_lies_past_the_image_counts_for_nothing() -> None:
    """On purpose: theirs fills up whole patches with white or the edge; ours has as many squares as it needs."""
    v = vector("v04_geometry/geometry.json")
    for case in v["pad_to_256"]:
        rows, columns = case["inp"]
        grid = Grid.of_image(Image((np.full((rows, columns, 3), 7, np.uint8),), mpp=0.5))
        assert [16 * side for side in grid.yx_shape] == [-(-s // 16) * 16 for s in (rows, columns)]
        assert all(16 * ours <= theirs for ours, theirs in zip(grid.yx_shape, case["out"], strict=True))
    image = np.repeat(np.arange(12, dtype=np.uint8).reshape(3, 4, 1), 3, axis=2)
    (top, bottom), (left, right) = v["crop_image"]["extent"]
    tile = Tile(Span(top, bottom), Span(left, right))
    rgb, inside = work_pixels((image,), 0.5, 0.5, tile)
    theirs = np.array(v["crop_image"]["constant_minus9"])
    np.testing.assert_array_equal(inside, theirs != -9)
    np.testing.assert_array_equal(rgb[inside][:, 0], theirs[theirs != -9])


def test_scaling_and_activations_of_the_original() -> None:
    v = vector("v12_model/normalise.json")
    scaled, low, high = min_max(np.array(v["cnts"]))
    np.testing.assert_allclose(scaled, v["cnts_norm"], atol=1e-6)
    assert low.tolist() == v["cmin"] and high.tolist() == v["cmax"]
    net = OriginalNet(1, 1, hidden=1)
    asked = torch.tensor(v["activations"]["inp"])[:, None]
    with torch.no_grad():
        for layer in (*net.net_lat, net.net_out):
            layer.linear.weight.fill_(1.0)
            layer.linear.bias.zero_()
        once = torch.nn.functional.leaky_relu(asked, 0.1)
        np.testing.assert_allclose(once[:, 0], v["activations"]["leaky"], atol=1e-6)
        four = once
        for _ in range(3):
            four = torch.nn.functional.leaky_relu(four, 0.1)
        np.testing.assert_allclose(net.latent(asked), four, atol=1e-7)
        net.latent = lambda x: x  # type: ignore[method-assign,assignment]
        np.testing.assert_allclose(net(asked)[:, 0], v["activations"]["out_elu"], atol=1e-6)


def test_correlations_and_scaled_errors_of_the_original() -> None:
    v = vector("v17_metrics/metrics.json")
    x, y = (np.array(v[name], dtype=float) for name in "xy")
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both][:, None], y[both][:, None]
    assert float(pearson(x, y)[0]) == pytest.approx(v["metrics"]["pearson"], abs=1e-9)
    assert float(spearman(x, y)[0]) == pytest.approx(v["metrics"]["spearman"], abs=1e-9)
    assert float(rmse(min_max(x)[0], min_max(y)[0])[0]) == pytest.approx(v["metrics"]["rmse"], abs=1e-9)


def test_counts_that_share_a_pixel_add_up_where_the_original_keeps_the_last() -> None:
    v = vector("v18_aggregate/aggregate.json")
    counts, places = np.array(v["cnts"]), np.array(v["locs_yx"], dtype=float) + 0.5
    side = 2 * v["radius"]
    squares = point_weights(places[:, ::-1], float(side), (2, 2))
    ours = np.asarray(sparse.csr_matrix(squares.T) @ counts)
    theirs = np.nan_to_num(np.array(v["array"], dtype=float)).reshape(4, -1)
    lost = counts[2]  # the third point lies where the fourth does
    np.testing.assert_array_equal(ours - theirs, [[0, 0], [0, 0], [0, 0], lost])


def test_the_hexagonal_lattice_holds_the_originals_points() -> None:
    v = vector("v18_aggregate/aggregate.json")["hex"]
    (rows, columns), margin = v["size"], v["margin"]
    low, high = np.full(2, float(margin)), np.array([columns - margin, rows - margin], dtype=float)
    ours = hexagonal_lattice(low, high, float(v["step"]))[:, ::-1]
    theirs = np.array(v["locs_ij"])
    nearest = np.abs(theirs[:, None] - ours[None]).max(-1).min(1)
    assert nearest.max() < 1e-5
    assert len(theirs) < len(ours) <= len(theirs) + 6  # and the last column, which theirs leaves out


def test_genes_are_ranked_by_their_totals_where_the_original_takes_raw_variance() -> None:
    v = vector("v22_select_genes/select_genes.json")
    counts, table = np.array(v["cnts"]), GeneTable(tuple(v["genes"]))
    np.testing.assert_allclose(counts.var(0, ddof=1), v["var"])
    totals = counts.sum(0)
    spread = counts.var(0) / counts.mean(0)
    assert choose_genes("top:2", [table], [totals], [spread]).symbols == ("GB", "GA") != tuple(v["top2"])
    assert choose_genes("variable:4", [table], [totals], [spread]).symbols == ("GD", "GC", "GA", "GB")
    assert set(choose_genes("all", [table], [totals], [spread]).symbols) == set(v["all"])


def test_standardised_features_are_the_originals_and_are_read_by_models() -> None:
    """The original's published trainer makes these numbers and drops them; its later one, and ours, learn from them."""
    v = vector("v12_model/normalise.json")
    embeddings = np.array(v["embs"], dtype=np.float32)
    tissue = Tissue(np.ones(embeddings.shape[:2], bool))
    mean, sd = tissue_statistics(embeddings, tissue, 2)
    np.testing.assert_allclose(mean, v["embs_mean"], atol=1e-6)
    np.testing.assert_allclose(sd, v["embs_std"], atol=1e-6)
    features = Features(embeddings, ("a", "b", "c"), "e", mean, sd)
    read = features.standardised(slice(0, 2), slice(0, 2))
    np.testing.assert_allclose(read[0, 0], v["embs_norm_first"], atol=1e-5)


def test_tissue_needs_no_features_and_is_never_empty_in_silence() -> None:
    """On purpose: stain tells tissue from glass, to within the rim of the original's groups of features; where all of
    it is too small the original's mask is empty, ours is an error that says what to change."""
    v = np.load(FOLDER / "v08_mask" / "mask.npz")
    rgb = np.clip(np.moveaxis(v["rgb"], 0, -1) * 255, 0, 255).astype(np.uint8)
    slide = Image((np.kron(rgb, np.ones((16, 16, 1), np.uint8)),), mpp=0.5)
    grid = Grid.of_image(slide)
    ours, theirs = find_tissue(slide, grid, TissueSettings(min_area_um2=0)).mask, v["mask_small"] > 0
    assert grid.yx_shape == theirs.shape and 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.95
    rows, columns = np.nonzero(theirs)
    inner = slice(rows.min() + 1, rows.max()), slice(columns.min() + 1, columns.max())
    assert ours[inner].all() and not ours[:4].any() and not ours[:, :5].any() and not ours[:, 22:].any()
    with pytest.raises(InputError, match="min-area-um2"):
        find_tissue(slide, grid, TissueSettings(min_area_um2=1000 * 64))


def test_round_spots_are_summed_where_the_original_raises() -> None:
    v = vector("v18_aggregate/aggregate.json")
    assert v["circle"].startswith("IndexError")
    counts, radius = np.array(v["cnts"]), v["radius"]
    places = np.array(v["locs_yx"])
    pixels = np.zeros((8, 8, 2))
    np.add.at(pixels, (places[:, 0], places[:, 1]), counts)
    centres = np.array([[2.0, 2.0], [6.0, 6.0]])  # two of its blocks, as disks
    disks = disk_weights(centres, float(radius), 1.0, (8, 8))
    disks.data[:] = 1
    ours = np.asarray(disks @ pixels.reshape(64, 2))
    away = np.hypot(*(places[None] + 0.5 - centres[:, None, ::-1]).transpose(2, 0, 1))
    np.testing.assert_array_equal(ours, (away <= radius).astype(int) @ counts)
    assert ours.tolist() == [[4, 2], [7, 3]]
