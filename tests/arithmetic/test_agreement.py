"""Two labellings: the original's odds ratios and Hungarian accuracy; depletion and chance are told too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.agreement import agreement, best_partners, joint_counts, odds_ratios

FOLDER = Path(__file__).parents[2].parent / "shared" / "vectors"
needs_vectors = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/vectors is not beside the repository")


def enrichment() -> tuple[dict[str, Any], np.ndarray]:
    """The vector, and clusters × cell types."""
    v = json.loads((FOLDER / "iscale/v16_enrich/enrich.json").read_text())
    return v, joint_counts(np.array(v["clusters"]), np.array(v["celltypes"]), (3, 3))


@needs_vectors
def test_joint_table_and_odds_ratios_are_the_originals() -> None:
    v, joint = enrichment()
    np.testing.assert_allclose(joint / joint.sum(), v["joint_prob"], atol=1e-9)
    np.testing.assert_allclose(odds_ratios(joint), v["odds_ratio"], atol=1e-9)


@needs_vectors
def test_depletion_is_kept_where_the_original_leaves_it_out() -> None:
    v, joint = enrichment()
    with np.errstate(divide="ignore"):
        ours = np.log2(odds_ratios(joint))[:, 1:].T  # Unclassified left out; rows are types
    theirs = np.array(v["log2_table_T_B_rows"], dtype=float)
    there = np.isfinite(theirs)
    np.testing.assert_allclose(ours[there], theirs[there], atol=1e-9)
    assert ours[~there].tolist() == [-2.0, -2.0]


@needs_vectors
def test_the_share_on_best_partners_is_the_originals_accuracy() -> None:
    v = json.loads((FOLDER / "pixel2gene/evaluation_plots.json").read_text())["cluster_agreement"]
    first, second = np.array(v["l0"]), np.array(v["l1"])
    joint = joint_counts(first, second, (3, 3))
    assert agreement(first, second, joint)["matched"] == pytest.approx(v["hungarian_accuracy"])
    rows, columns = best_partners(joint)
    renamed = dict(zip(columns.tolist(), rows.tolist(), strict=True))
    assert [renamed[label] for label in second[first >= 0].tolist()] == v["aligned"]


def test_odds_by_hand_and_where_there_are_none() -> None:
    odds = odds_ratios(np.array([[6, 2, 0], [1, 8, 0], [0, 3, 0]]))
    assert odds[0, 0] == pytest.approx(6 * 11 / (2 * 1)) and odds[0, 1] == pytest.approx(2 * 1 / (6 * 11))
    assert odds[2, 0] == 0 and np.isinf(odds[2, 1]) and np.isnan(odds[:, 2]).all()
    assert np.isnan(odds_ratios(np.array([[3, 4]]))).all() and np.isnan(odds_ratios(np.zeros((2, 2), int))).all()


def test_no_agreement_without_a_shared_square() -> None:
    a, b = np.array([0, -1]), np.array([-1, 1])
    assert all(np.isnan(x) for x in agreement(a, b, joint_counts(a, b, (1, 2))).values())


@given(seed=st.integers(0, 999), kinds=st.integers(2, 5))
def test_names_do_not_matter_and_chance_is_none(seed: int, kinds: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, kinds, 400)
    order = rng.permutation(kinds)
    renamed = np.where(labels < 0, -1, order[labels])
    same = agreement(labels, renamed, joint_counts(labels, renamed, (kinds, kinds)))
    assert all(value == pytest.approx(1.0) for value in same.values())
    shuffled = rng.permutation(labels)
    chance = agreement(labels, shuffled, joint_counts(labels, shuffled, (kinds, kinds)))
    assert abs(chance["ari"]) < 0.08 and abs(chance["ami"]) < 0.08 and chance["matched"] < 0.75
