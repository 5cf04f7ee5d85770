from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from napari_pixelgene.arithmetic import metrics


def pair(n: int = 40, g: int = 5, seed: int = 0):
    rng = np.random.default_rng(seed)
    truth = rng.poisson(3, (n, g)).astype(float)
    return truth * 0.7 + rng.normal(size=(n, g)) + 2, truth


def test_correlations_are_scipys_column_by_column() -> None:
    prediction, truth = pair()
    for name, reference in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        expected = [reference(prediction[:, j], truth[:, j])[0] for j in range(truth.shape[1])]
        np.testing.assert_allclose(getattr(metrics, name)(prediction, truth), expected)


def test_errors_are_the_written_formulas() -> None:
    p, t = np.array([[1.0, 0], [3, 4], [8, 5]]), np.array([[2.0, 0], [3, 1], [4, 2]])
    np.testing.assert_allclose(metrics.rmse(p, t), [np.sqrt(17 / 3), np.sqrt(18 / 3)])
    np.testing.assert_allclose(metrics.mae(p, t), [5 / 3, 2])
    np.testing.assert_allclose(metrics.nrmse(p, t), [np.sqrt(17 / 3) / 3, np.sqrt(6.0)])
    np.testing.assert_allclose(metrics.mape(p, t), [(0.5 + 0 + 1) / 3, (0 + 3 + 1.5) / 3])
    np.testing.assert_allclose(metrics.r_squared(p, t), [1 - 17 / 2, 1 - 18 / 2])
    np.testing.assert_allclose(metrics.cosine(p, t)[0], (2 + 9 + 32) / np.sqrt(74 * 29))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e7 / 3])
def test_what_is_constant_correlates_with_nothing(constant: float) -> None:
    prediction, truth = pair()
    prediction[:, 1] = constant
    for name in ("pearson", "spearman"):
        r = getattr(metrics, name)(prediction, truth)
        assert np.isnan(r[1])
        assert np.isfinite(np.delete(r, 1)).all()


def test_small_numbers_are_not_taken_for_constant() -> None:
    prediction, truth = pair()
    np.testing.assert_allclose(metrics.pearson(prediction * 1e-9, truth * 1e-9), metrics.pearson(prediction, truth))


def test_no_rows_give_nothing() -> None:
    assert np.isnan(metrics.pearson(np.zeros((0, 3)), np.zeros((0, 3)))).all()


def test_a_mean_of_zero_leaves_the_ratio_undefined() -> None:
    assert np.isnan(metrics.nrmse(np.ones((2, 1)), np.zeros((2, 1)))).all()
    assert np.isnan(metrics.r_squared(np.ones((2, 1)), np.full((2, 1), 0.3))).all()


def test_one_map_stands_for_every_gene() -> None:
    prediction, truth = pair()
    one = prediction[:, :1]
    np.testing.assert_allclose(metrics.pearson(one, truth), metrics.pearson(np.repeat(one, 5, 1), truth))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-50, 50))
def test_correlation_ignores_scale_and_offset(seed: int, scale: float, offset: float) -> None:
    prediction, truth = pair(seed=seed)
    np.testing.assert_allclose(
        metrics.pearson(prediction * scale + offset, truth), metrics.pearson(prediction, truth), atol=1e-9
    )


def test_permuted_is_near_zero_seeded_and_the_same_in_groups_of_genes() -> None:
    _, truth = pair(200)
    floor = metrics.permuted_pearson(truth, truth, 100, seed=3)
    assert np.abs(floor).max() < 0.03
    np.testing.assert_array_equal(floor, metrics.permuted_pearson(truth, truth, 100, seed=3))
    assert (floor != metrics.permuted_pearson(truth, truth, 100, seed=4)).all()
    in_groups = [metrics.permuted_pearson(truth[:, s], truth[:, s], 100, seed=3) for s in (slice(2), slice(2, 5))]
    np.testing.assert_allclose(np.concatenate(in_groups), floor, atol=1e-6)


def test_permuted_is_the_mean_over_shuffles() -> None:
    prediction, truth = pair()
    rng = np.random.default_rng(7)
    expected = np.mean([metrics.pearson(prediction[rng.permutation(40)], truth) for _ in range(5)], axis=0)
    np.testing.assert_allclose(metrics.permuted_pearson(prediction, truth, 5, seed=7), expected, atol=1e-6)


def test_profiles_of_places_by_hand() -> None:
    """Row 0 is right up to a factor, row 1 reversed, row 2 flat."""
    truth = np.array([[1.0, 2, 4], [1, 2, 3], [1, 5, 2]])
    prediction = np.array([[10.0, 20, 40], [3, 2, 1], [7, 7, 7]])
    np.testing.assert_allclose(metrics.across_genes(prediction, truth), [1, -1, np.nan])
    np.testing.assert_allclose(
        metrics.mse(prediction, truth), [(81 + 4 + 36) / 3, (324 + 0 + 4) / 3, (1296 + 4 + 25) / 3]
    )
