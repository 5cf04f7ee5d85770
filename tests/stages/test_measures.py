from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.stages.measures import between_clusters, complete_lattice, measures


def test_means_by_hand() -> None:
    """Gene 0 is off by 1 everywhere, gene 1 is constant: it has errors and no correlation."""
    truth = np.array([[1.0, 5], [2, 5], [4, 5], [9, 5]])
    prediction = np.array([[2.0, 3], [3, 3], [5, 3], [10, 3]])
    got = measures(prediction, truth)
    assert got["pearson"] == pytest.approx(1) and got["spearman"] == pytest.approx(1)
    assert got["rmse"] == pytest.approx(1.5) and got["mse"] == pytest.approx(2.5) and got["mae"] == pytest.approx(1.5)
    assert got["nrmse"] == pytest.approx((1 / 4 + 2 / 5) / 2)
    assert got["r_squared"] == pytest.approx(1 - 4 / 38)
    assert got["dice"] == got["jaccard"] == pytest.approx(1)
    assert "ssim" not in got


def test_a_lattice_with_holes_is_no_picture() -> None:
    x, y = np.meshgrid(np.arange(20) * 8.0 + 804, np.arange(13) * 8.0 + 404)
    xy = np.column_stack([x.ravel(), y.ravel()])
    lattice = complete_lattice(xy, 8.0)
    assert lattice is not None and lattice.yx_shape == (13, 20)
    np.testing.assert_array_equal(lattice.picture(np.arange(260.0)), np.arange(260.0).reshape(13, 20))
    assert complete_lattice(np.delete(xy, [3, 44, 45, 46], axis=0), 8.0) is None
    assert complete_lattice(xy, 0.0) is None


def test_pictures_stand_beside_a_permuted_one() -> None:
    y, x = np.mgrid[:32, :40]
    xy = np.column_stack([x.ravel(), y.ravel()]) * 8.0 + 4
    truth = np.column_stack([np.sin(x / 5).ravel() + 2, np.cos(y / 4).ravel() + 2])
    noise = np.random.default_rng(0).normal(size=truth.shape)
    got = measures(truth + 0.1 * noise, truth, complete_lattice(xy, 8.0))
    assert got["ssim"] > 0.8 > 0.4 > got["ssim_permuted"]
    assert got["moran_truth"] > got["moran_prediction"] > 0.8
    assert np.isnan(got["ms_ssim"])  # under 176 a side


def test_clusters_that_the_values_follow_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], 40)
    follows = np.eye(3)[labels] @ rng.normal(size=(3, 5)) * 4 + rng.normal(size=(120, 5))
    assert between_clusters(follows[:, :2], labels) > 0.6 > 0.2 > between_clusters(rng.normal(size=(120, 5)), labels)
