"""Scores of marker panels: the original's percentile score, and what becomes of a square that lacks a panel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.markers import PRESENT, panel_score, percentile_ranks

MARKER = Path(__file__).parents[2].parent / "shared" / "vectors" / "iscale" / "v14_marker" / "marker.json"
needs_vectors = pytest.mark.skipif(not MARKER.exists(), reason="shared/vectors is not beside the repository")
PANELS = {"B/Plasma": ("G3", "G4", "G2"), "T cell": ("G1", "G2")}


def known() -> tuple[dict[str, Any], dict[str, np.ndarray], np.ndarray]:
    """The vector, its maps and its mask."""
    v = json.loads(MARKER.read_text())
    return v, {name: np.array(x) for name, x in v["genes"].items()}, np.array(v["mask_small_refined"]) > 0


@needs_vectors
def test_scores_of_panels_are_the_originals() -> None:
    v, maps, tissue = known()
    for name, genes in PANELS.items():
        ours = panel_score([maps[g] for g in genes], tissue)
        np.testing.assert_allclose(ours, np.array(v["scores"][name], dtype=float), atol=1e-6)
    ranks = percentile_ranks(maps["G1"], tissue)
    np.testing.assert_allclose(ranks, np.array(v["percentile_G1_no_cutoff"], dtype=float), atol=1e-6)


@needs_vectors
def test_one_bright_square_changes_no_other_score_where_it_does_in_the_originals_mean() -> None:
    """On purpose: the older score divides by the brightest square, which decides all others."""
    v, maps, tissue = known()
    bright = {name: x.copy() for name, x in maps.items()}
    for x in bright.values():
        x[4, 4] = x.max() * 20
    theirs = [np.mean([stretch(m[g], tissue) for g in m], axis=0) for m in (maps, bright)]
    np.testing.assert_allclose(theirs[0], np.array(v["mean_score_all4"], dtype=float), atol=1e-6)
    assert np.nanmax(theirs[1][:4]) < 0.1 < np.nanmax(theirs[0][:4])
    ours = [panel_score(m.values(), tissue) for m in (maps, bright)]
    assert np.nanmax(np.abs(ours[1] - ours[0])[:4]) < 0.05


def stretch(x: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    inside = np.where(tissue, x, np.nan)
    return np.asarray((inside - np.nanmin(inside)) / (np.nanmax(inside) - np.nanmin(inside) + 1e-12))


def test_a_square_without_a_panel_scores_nothing_and_is_not_lost() -> None:
    a = np.array([[0.0, 1.0, 2.0, 3.0], [PRESENT / 2, 4.0, 5.0, 6.0]])
    tissue = np.ones(a.shape, bool)
    tissue[0, 3] = False
    score = panel_score([a, a * 0], tissue)
    assert score[0, 0] == score[1, 0] == 0.0 and np.isnan(score[0, 3])
    assert score[1, 3] == 1.0 and score[0, 1] == 0.0 < score[0, 2] < score[1, 1]


@given(seed=st.integers(0, 999), power=st.floats(0.3, 3.0))
def test_ranks_know_order_alone(seed: int, power: float) -> None:
    """Any rising change of scale leaves a score as it is, but for squares within a hundredth of a rank."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, 1.0, (12, 15)).astype(np.float64) + 0.1
    tissue = rng.random(values.shape) < 0.8
    tissue[0, :2] = True
    first, second = (panel_score([x], tissue) for x in (values, values**power))
    assert np.nanmax(np.abs(first - second)) <= 0.011
    assert (np.isnan(first) == ~tissue).all() and np.nanmin(first) == 0.0 and np.nanmax(first) == 1.0


def test_a_gene_that_is_nowhere_ranks_nothing() -> None:
    assert np.isnan(percentile_ranks(np.zeros((2, 3)), np.zeros((2, 3), bool))).all()
    flat = panel_score([np.full((2, 3), 7.0)], np.ones((2, 3), bool))
    assert (flat == flat[0, 0]).all() and np.isfinite(flat).all()
