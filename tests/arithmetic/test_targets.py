from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from napari_pixelgene.arithmetic import targets

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene"


def drawn(n: int = 30, g: int = 7, seed: int = 0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.6, 4, (n, g)))
    return counts, counts.sum(1) + rng.poisson(40, n)


def test_composition_is_the_written_formula_dense_or_sparse() -> None:
    counts, library = drawn()
    expected = np.array(
        [[np.log(1 + 1e4 * c / total) for c in row] for row, total in zip(counts, library, strict=True)]
    )
    np.testing.assert_allclose(targets.log1p_cp10k(counts, library), expected)
    np.testing.assert_allclose(targets.log1p_cp10k(sparse.csr_matrix(counts), library), expected)
    np.testing.assert_allclose(targets.cp10k(counts, library), np.expm1(expected))


def test_an_empty_unit_gives_zeros() -> None:
    counts = np.array([[0, 0], [3, 1]])
    np.testing.assert_array_equal(targets.log1p_cp10k(counts, np.array([0.0, 4.0]))[0], [0, 0])


def test_log_and_total_bring_the_counts_back_with_any_leading_axes() -> None:
    counts, library = drawn()
    log, total = targets.log1p_cp10k(counts, library), np.log(library)
    np.testing.assert_allclose(targets.counts_from_log(log, total), counts, atol=1e-9)
    members = targets.counts_from_log(np.stack([log, log, log - 0.1]), np.stack([total, total + 1, total]))
    assert members.shape == (3, *counts.shape)
    np.testing.assert_allclose(members[1], counts * np.e, atol=1e-9)


def test_a_negative_log_gives_no_counts() -> None:
    np.testing.assert_array_equal(targets.counts_from_log(np.array([[-2.0]]), np.array([5.0])), [[0.0]])


def test_no_gene_is_more_than_all() -> None:
    counts = targets.counts_from_log(np.array([[50.0, 1.0]]), np.array([np.log(300.0)]))
    np.testing.assert_allclose(counts, [[300.0, np.expm1(1.0) / 1e4 * 300]])


def test_predicted_counts_have_the_composition_of_their_own_sum() -> None:
    counts, _ = drawn()
    depth = np.linspace(0.1, 9, len(counts))[:, None]
    np.testing.assert_allclose(
        targets.composition_log(counts * depth), targets.log1p_cp10k(counts, counts.sum(1)), atol=1e-12
    )
    assert (targets.composition_log(np.array([[-3.0, 1.0]])) == [[0.0, np.log1p(1e4)]]).all()


def test_scores_are_standard_within_each_section() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 60)
    values = rng.normal(size=(60, 4)) * [1, 5, 9, 0] + labels[:, None] * 100 + 0.1
    for label in range(3):
        z = targets.standardise(values[labels == label]).values
        np.testing.assert_allclose(z.mean(0), 0, atol=1e-9)
        np.testing.assert_allclose(z.std(0), [1, 1, 1, 0], atol=1e-9)


def test_a_constant_gene_becomes_zero_and_comes_back() -> None:
    values = np.column_stack([np.full(9, 0.1), np.arange(9.0)])
    scored = targets.standardise(values)
    np.testing.assert_array_equal(scored.values[:, 0], 0)
    np.testing.assert_allclose(scored.mean + scored.sd * scored.values, values)


@pytest.mark.parametrize(("n", "g"), [(40, 9), (6, 15)])
def test_components_span_what_the_svd_does(n: int, g: int) -> None:
    z = np.random.default_rng(2).normal(size=(n, g)) * np.linspace(1, 4, g)
    axes = targets.fit_components(z, 4)
    np.testing.assert_allclose(axes @ axes.T, np.eye(4), atol=1e-9)
    values = np.linalg.svd(z, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(z @ axes.T, axis=0), values[:4], rtol=1e-9)
    largest = np.abs(axes).argmax(1)
    assert (axes[np.arange(4), largest] > 0).all()
    np.testing.assert_allclose(targets.fit_components(-z, 4), axes, atol=1e-8)


def test_members_have_as_many_components_whatever_their_rank() -> None:
    flat = np.outer(np.arange(20.0), [1, 2, 0, 3])
    assert targets.fit_components(flat, 3).shape == (3, 4)
    assert targets.fit_components(flat[:2], 3).shape == (2, 4)


def test_min_max_is_the_originals() -> None:
    path = VECTORS / "model_predict_combine.json"
    if not path.exists():
        pytest.skip("the reference vectors are not here")
    case = json.loads(path.read_text())["normalize_counts"]
    scaled, low, high = targets.min_max(np.array(case["counts"]))
    np.testing.assert_allclose(scaled, case["normalised"], atol=1e-6)
    np.testing.assert_array_equal(low, case["min"])
    np.testing.assert_array_equal(high, case["max"])
    np.testing.assert_allclose(scaled * (high - low) + low, case["counts"])


def test_calibration_brings_sums_back_and_leans_on_all_genes_where_counts_are_few() -> None:
    observed = np.array([[900.0, 300, 2], [120, 40, 0]])
    expected = np.array([[450.0, 300, 0.1], [60, 20, 10]])
    factors = targets.calibration(observed, expected, prior=0)
    np.testing.assert_allclose(factors[:, :2], [[2, 1], [2, 2]])
    overall = observed.sum(1) / expected.sum(1)
    leaning = targets.calibration(observed, expected)
    np.testing.assert_allclose(leaning[0], (observed[0] + 20 * overall[0]) / (expected[0] + 20))
    assert abs(leaning[0, 2] - overall[0]) < 0.2 and factors[0, 2] == pytest.approx(20)
