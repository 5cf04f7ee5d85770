from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from napari_pixelgene.arithmetic import sweeping

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene" / "histosweep.json"


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    if not VECTORS.exists():
        pytest.skip("the reference vectors are not here")
    found: dict[str, Any] = json.loads(VECTORS.read_text())
    return found


def picture() -> np.ndarray:
    """The rule written in the vector file."""
    y, x = np.mgrid[:64, :96]
    blue = (180 + 40 * np.sin(x / 7) * np.cos(y / 5)).astype(np.uint8)
    return np.stack([200 - (y * x) % 97, 150 + (3 * y + 5 * x) % 61, blue], -1).astype(np.uint8)


def test_spread_colour_and_their_ratio_are_the_originals(vectors: dict[str, Any]) -> None:
    expected = vectors["metrics"]
    spread, colour = sweeping.spread_and_colour(picture(), 16)
    z = sweeping.weighted_colour(colour.reshape(-1, 3))
    np.testing.assert_allclose(spread, expected["he_std"], atol=1e-9)
    np.testing.assert_allclose(z, np.ravel(expected["z_v"]), atol=1e-9)
    np.testing.assert_allclose(sweeping.scaled(spread, 1, 2), expected["he_std_norm"], atol=1e-9)
    np.testing.assert_allclose(sweeping.texture_ratio(spread.ravel(), z), expected["ratio_norm"], atol=1e-9)


def test_rare_squares_are_the_originals_and_a_small_slide_has_some_too(vectors: dict[str, Any]) -> None:
    t = np.arange(60_000)
    mean, spread = 120 + 80 * np.sin(0.001 * t) + t % 7, 20 + 15 * np.cos(0.0013 * t) + t % 5
    found = sweeping.rare(mean, spread)
    assert found.sum() == vectors["density"]["n_low"] and not found[:20].any()
    assert "ValueError" in vectors["density_small_image"]["19999"]  # where the original fails
    rng = np.random.default_rng(0)
    z, s = rng.normal(100, 5, 5000), rng.normal(30, 3, 5000)
    z[:4], s[:4] = (180, 60, 160, 150), (80, 70, 55, 12)  # dust
    small = sweeping.rare(z, s)
    assert small[:4].all() and small.mean() < 0.05


def test_the_threshold_on_texture_is_the_originals(vectors: dict[str, Any]) -> None:
    i = np.arange(400)
    ratio = (37 * i) % 101 / 100
    ratio[::3] *= 0.3
    left_out = i % 11 == 0
    found, threshold = sweeping.bare(ratio, left_out)
    assert threshold == pytest.approx(vectors["ratio"]["otsu"]) and found.sum() == vectors["ratio"]["n_low"]
    assert not sweeping.bare(np.full(9, 0.4), np.zeros(9, bool))[0].any()


def test_texture_of_a_patch_is_the_originals_and_skimages(vectors: dict[str, Any]) -> None:
    expected = vectors["texture_patch"]
    levels = sweeping.grey_levels(picture())
    assert levels[0, :16].tolist() == expected["gray_levels_row0"]
    patches = np.stack([levels[:16, :16], levels[16:32, 48:64], np.zeros((16, 16), np.uint8)])
    got = sweeping.cooccurrence(patches)
    np.testing.assert_allclose(
        got[0], [expected["energy"], expected["homogeneity"], expected["entropy_bits"]], atol=1e-9
    )
    np.testing.assert_allclose(got[2], [1, 1, 0])
    for patch, (energy, homogeneity, _) in zip(patches, got, strict=True):
        matrix = graycomatrix(patch, [1], [0], levels=64, symmetric=True, normed=True)
        assert graycoprops(matrix, "energy")[0, 0] == pytest.approx(energy)
        assert graycoprops(matrix, "homogeneity")[0, 0] == pytest.approx(homogeneity)


def test_what_is_even_is_not_taken_for_tissue() -> None:
    rng = np.random.default_rng(2)
    tissue = rng.normal([0.15, 0.4, 6.5], [0.02, 0.05, 0.3], (60, 3))
    pen = rng.normal([0.9, 0.95, 0.5], [0.02, 0.02, 0.1], (40, 3))
    found = sweeping.tissue_like(np.concatenate([tissue, pen]))
    assert found[:60].mean() > 0.4 and not found[60:].any()
    assert not sweeping.tissue_like(tissue[:5]).any()


def test_green_grey_and_white_are_never_tissue() -> None:
    colour = np.array([[60.0, 140, 70], [120, 122, 121], [240, 236, 246], [190, 130, 175], [100, 60, 140]])
    assert sweeping.never_tissue(colour).tolist() == [True, True, True, False, False]


def test_what_lies_past_the_image_counts_for_nothing() -> None:
    rgb = np.random.default_rng(1).integers(90, 200, (32, 32, 3), dtype=np.uint8)
    inside = np.ones((32, 32), bool)
    inside[:, 27:] = False
    black = np.where(inside[..., None], rgb, 0).astype(np.uint8)
    spread, colour = sweeping.spread_and_colour(black, 16, inside)
    own = rgb[:16, 16:27].astype(float)
    assert spread[0, 1] == pytest.approx(own.std()) and colour[0, 1] == pytest.approx(own.mean((0, 1)))
    np.testing.assert_allclose(spread[:, 0], sweeping.spread_and_colour(rgb, 16)[0][:, 0])


def test_specks_that_touch_at_corners_are_one_piece() -> None:
    mask = np.zeros((9, 9), bool)
    mask[np.arange(6), np.arange(6)] = True
    mask[8, 0] = mask[8, 1] = True
    got = sweeping.without_specks(mask, 6)
    assert got.sum() == 6 and not got[8].any()
