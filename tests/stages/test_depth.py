from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from napari_pixelgene.stages.depth import DepthSettings, keep_factors, thinned

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene" / "evaluation_plots.json"


def counts(units: int = 300, genes: int = 40) -> sparse.csr_matrix:
    rng = np.random.default_rng(3)
    return sparse.csr_matrix(rng.poisson(rng.gamma(0.6, 8, size=genes), size=(units, genes)))


def test_half_the_depth_leaves_half_the_counts_and_never_adds_one() -> None:
    full = counts()
    library = np.asarray(full.sum(1)).ravel() + 50.0
    thin, rest = thinned(full, library, DepthSettings(mean=0.5, sd=0.1), np.random.default_rng(0))
    assert (thin.toarray() <= full.toarray()).all()
    assert thin.sum() / full.sum() == pytest.approx(0.5, abs=0.02)
    assert (rest - np.asarray(thin.sum(1)).ravel()).mean() == pytest.approx(25, abs=1)
    before, after = (np.asarray(c.sum(0)).ravel() for c in (full, thin))
    often = before > 500
    assert often.sum() > 10
    np.testing.assert_allclose(after[often] / before[often], 0.5, atol=0.08)


def test_the_published_experiment_is_the_originals() -> None:
    """With the original's own generator, which has the same two methods; its third, empty row is dropped later."""
    if not VECTORS.exists():
        pytest.skip("the reference vectors are not here")
    vector = json.loads(VECTORS.read_text())["downsample"]
    full = sparse.csr_matrix(np.array(vector["mat"]))
    settings = DepthSettings(mean=vector["mean"], sd=vector["sd"], method="multinomial")
    library = np.asarray(full.sum(1)).ravel()
    thin, total = thinned(full, library, settings, np.random.RandomState(0))  # type: ignore[arg-type]
    np.testing.assert_array_equal(thin.toarray()[vector["kept_rows"]], vector["result"])
    assert total.tolist() == [10, 0, 123, 4]


def test_factors_have_the_mean_and_spread_asked_for() -> None:
    factors = keep_factors(20_000, DepthSettings(mean=0.3, sd=0.06), np.random.default_rng(1))
    assert factors.mean() == pytest.approx(0.3, abs=0.003) and factors.std() == pytest.approx(0.06, abs=0.002)
    assert (keep_factors(5, DepthSettings(mean=0.3, sd=0), np.random.default_rng(1)) == 0.3).all()
