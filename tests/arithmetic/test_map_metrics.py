from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.arithmetic.map_metrics import (
    compare_maps,
    multiscale_similarity,
    structural_similarity,
    top_overlap,
)

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene" / "evaluation_plots.json"
NAMES = {
    "pearson": "Pearson Correlation",
    "spearman": "Spearman Correlation",
    "cosine": "Cosine Similarity",
    "rmse": "RMSE",
    "mae": "MAE",
    "nrmse": "NRMSE",
    "mape": "MAPE",
}


@pytest.fixture
def vectors():
    if not VECTORS.exists():
        pytest.skip("the reference vectors are not here")
    return json.loads(VECTORS.read_text())


@pytest.fixture
def maps():
    """The rule written in the vector file: 192 rows, 200 columns."""
    y, x = np.mgrid[:192, :200]
    truth = np.floor(6 * np.exp(-((x - 80) ** 2 + (y - 90) ** 2) / 3000) + ((7 * x + 13 * y) % 5) / 2 * (x > 60))
    prediction = 5 * np.exp(-((x - 84) ** 2 + (y - 92) ** 2) / 3500) + 1.1 * (x > 58) + 0.05
    mask = (x - 90) ** 2 + (y - 95) ** 2 < 6400
    return np.where(mask, truth, np.nan), np.where(mask, prediction, np.nan)


@pytest.mark.parametrize(("case", "nonzero_only"), [("nonzero_only", True), ("all_spots", False)])
def test_correlations_and_errors_are_the_originals(vectors, maps, case: str, nonzero_only: bool) -> None:
    ours = compare_maps(*maps, nonzero_only=nonzero_only)
    for name, theirs in NAMES.items():
        assert ours[name] == pytest.approx(vectors["metrics"][case][theirs], rel=1e-6), name


def test_similarity_is_skimages_with_range_one(vectors, maps) -> None:
    expected = vectors["ssim"]["skimage_data_range_1_win7"]
    assert structural_similarity(*maps) == pytest.approx(expected, abs=1e-6)
    assert abs(expected - vectors["ssim"]["istar_default_float_data_range_2"]) > 0.05


def test_overlap_of_the_top_tenth_is_the_originals(vectors, maps) -> None:
    expected = vectors["metrics"]["binary_top10"]
    ours = top_overlap(*maps)
    assert ours["dice"] == pytest.approx(expected["Dice Coefficient"])
    assert ours["jaccard"] == pytest.approx(expected["Jaccard Index"])


def test_flat_maps_have_no_overlap_and_no_similarity() -> None:
    flat = np.zeros((9, 12))
    assert np.isnan(top_overlap(flat, flat)["dice"])
    assert np.isnan(structural_similarity(flat, flat))


def test_multiscale_similarity_is_close_to_the_originals_eight_bit_one(vectors, maps) -> None:
    """Theirs rounds both maps to 8 bits first, which moves the second decimal at most."""
    eight_bit = [np.floor(np.nan_to_num(m) / np.nanmax(m) * 255) for m in maps]
    expected = vectors["metrics"]["all_spots"]["MS-SSIM"]
    assert multiscale_similarity(*eight_bit) == pytest.approx(expected, abs=2e-3)
    assert multiscale_similarity(*maps) == pytest.approx(expected, abs=0.02)


def test_multiscale_similarity_falls_with_noise_and_needs_room(maps) -> None:
    truth = np.nan_to_num(maps[0])
    noise = np.random.default_rng(0).random(truth.shape) * truth.max()
    assert multiscale_similarity(truth, 3 * truth) == pytest.approx(1)
    assert 0.3 < multiscale_similarity(truth, truth + 0.3 * noise) < 0.97
    assert multiscale_similarity(truth, noise) < 0.3
    assert np.isnan(multiscale_similarity(truth[:175], truth[:175]))
    assert np.isnan(multiscale_similarity(truth, np.zeros_like(truth)))
