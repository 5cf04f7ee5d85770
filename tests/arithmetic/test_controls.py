"""The ceiling holds what it promises: the rates that counts were drawn from score it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.ndimage import gaussian_filter

from napari_pixelgene.arithmetic import controls
from napari_pixelgene.arithmetic.controls import noise_ceiling
from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.targets import log1p_cp10k


def fields(rng: np.random.Generator, side: int, k: int, sigma: float):
    """(side², k) smooth fields of mean 0 and sd 1."""
    f = gaussian_filter(rng.normal(size=(k, side, side)), (0, sigma, sigma))
    f = (f - f.mean((1, 2), keepdims=True)) / f.std((1, 2), keepdims=True)
    return f.reshape(k, -1).T


def drawn(side: int, genes: int, library: float, mixed: bool, seed: int = 0):
    """True rates (units, genes) and Poisson counts: six programmes, genes of unequal level, a total that varies."""
    rng = np.random.default_rng(seed)
    field = fields(rng, side, 6, 3)
    if mixed:  # proportions of six cell types
        weight = np.exp(3 * field)
        share = weight / weight.sum(1, keepdims=True) @ rng.gamma(0.4, 1, (6, genes)) * rng.lognormal(0, 0.7, genes)
    else:
        share = np.exp(field @ rng.normal(size=(6, genes)) / np.sqrt(6) + rng.normal(size=genes))
    total = library * np.exp(0.4 * fields(rng, side, 1, 2))
    rates = share / share.sum(1, keepdims=True) * total
    return rates, rng.poisson(rates)


@pytest.mark.parametrize(
    ("side", "genes", "library", "mixed"),
    [(30, 150, 200, False), (30, 100, 200, True), (30, 150, 1000, True), (14, 300, 10_000, False)],
)
def test_the_true_rates_score_the_ceiling(side: int, genes: int, library: float, mixed: bool) -> None:
    rates, counts = drawn(side, genes, library, mixed)
    depth = counts.sum(1).astype(float)
    log, raw = noise_ceiling(sparse.csr_matrix(counts), depth, 20, seed=0)
    true_log = pearson(log1p_cp10k(rates, rates.sum(1)), log1p_cp10k(counts, depth))
    assert log.mean() == pytest.approx(np.nanmean(true_log), abs=0.03)
    assert raw.mean() == pytest.approx(np.nanmean(pearson(rates, counts)), abs=0.03)
    assert 0.2 < log.mean() < raw.mean() < 0.97


def test_spearman_brown_alone_says_too_much_of_shallow_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why the excess is taken off: without that the ceiling lies further away than 0.03."""
    rates, counts = drawn(30, 150, 200, mixed=False)
    depth = counts.sum(1).astype(float)
    true = np.nanmean(pearson(log1p_cp10k(rates, rates.sum(1)), log1p_cp10k(counts, depth)))
    monkeypatch.setattr(controls, "_excess", lambda *_: 1.0)
    assert noise_ceiling(sparse.csr_matrix(counts), depth, 5, seed=0)[0].mean() > true + 0.04


def test_genes_outside_the_table_count_in_the_library() -> None:
    """The same genes out of a larger file: their ceiling hardly moves when the rest of the library is not shown."""
    _, counts = drawn(30, 200, 800, mixed=True)
    library = counts.sum(1).astype(float)
    whole, _ = noise_ceiling(sparse.csr_matrix(counts), library, 10, seed=0)
    part, _ = noise_ceiling(sparse.csr_matrix(counts[:, :60]), library, 10, seed=0)
    assert part.mean() == pytest.approx(whole[:60].mean(), abs=0.02)


def test_noise_alone_has_no_ceiling() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (2000, 40))
    log, raw = noise_ceiling(sparse.csr_matrix(counts), counts.sum(1).astype(float), 20, seed=0)
    assert raw.mean() < 0.15
    assert log.mean() < 0.15


def test_halves_that_disagree_and_genes_that_do_not_vary_have_zero() -> None:
    _, counts = drawn(12, 30, 300, mixed=True)
    counts[:, 3], counts[:, 4] = 0, 7
    alternating = np.zeros((len(counts), 1), dtype=int)
    alternating[::2] = 1  # one count is in one half only: the halves disagree by construction
    counts = np.hstack([counts, alternating])
    log, raw = noise_ceiling(sparse.csr_matrix(counts), counts.sum(1).astype(float), 20, seed=0)
    assert log[3] == raw[3] == 0
    assert raw[4] < 0.2
    assert raw[-1] < 0.2
    assert np.isfinite(log).all() and np.isfinite(raw).all()
    assert (log <= 1).all() and (raw <= 1).all()


def test_deep_counts_reach_one() -> None:
    _, counts = drawn(14, 40, 1_000_000, mixed=False)
    log, raw = noise_ceiling(sparse.csr_matrix(counts), counts.sum(1).astype(float), 5, seed=0)
    assert log.min() > 0.98
    assert raw.min() > 0.98


def test_the_seed_decides() -> None:
    _, counts = drawn(12, 30, 300, mixed=True)
    table, library = sparse.csr_matrix(counts), counts.sum(1).astype(float)
    a, b, c = (noise_ceiling(table, library, 4, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_a_sample_of_many_units_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    _, counts = drawn(60, 40, 300, mixed=True)
    table, library = sparse.csr_matrix(counts), counts.sum(1).astype(float)
    whole = noise_ceiling(table, library, 10, seed=0)
    monkeypatch.setattr(controls, "_ENOUGH", 1800)
    for sampled, all_units in zip(noise_ceiling(table, library, 10, seed=0), whole, strict=True):
        assert sampled.mean() == pytest.approx(all_units.mean(), abs=0.02)


def test_the_callers_counts_are_left_alone_and_must_be_whole() -> None:
    table = sparse.csr_matrix(np.array([[1.0, 2], [0, 4], [5, 1]]))
    before = table.copy()
    noise_ceiling(table, np.array([3.0, 4, 6]), 2, seed=0)
    assert (table != before).nnz == 0
    with pytest.raises(ValueError, match="whole numbers"):
        noise_ceiling(table * 0.5, np.array([3.0, 4, 6]), 2, seed=0)
