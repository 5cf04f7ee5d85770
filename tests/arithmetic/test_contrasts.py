"""Moments of groups and their contrasts: the original's numbers, and its mean of the others put right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.contrasts import Moments, contrasts

DIFFERENTIAL = Path(__file__).parents[2].parent / "shared/vectors/iscale/v15_differential/differential.json"
needs_vectors = pytest.mark.skipif(not DIFFERENTIAL.exists(), reason="shared/vectors is not beside the repository")


def known() -> tuple[dict[str, dict[str, list[list[float]]]], Moments]:
    v = json.loads(DIFFERENTIAL.read_text())
    values = np.stack([np.array(x).ravel() for x in v["expression"].values()], axis=1)
    return v, Moments.of(values, np.array(v["labels"]).ravel(), 3)


@needs_vectors
def test_count_mean_and_variance_of_groups_are_the_originals() -> None:
    v, ours = known()
    assert ours.count.tolist() == [row[0] for row in v["by_cluster"]["count"]]
    np.testing.assert_allclose(ours.mean, v["by_cluster"]["mean"], atol=1e-9)
    np.testing.assert_allclose(ours.variance, v["by_cluster"]["variance"], atol=1e-9)


@needs_vectors
def test_the_others_mean_is_over_their_own_squares_where_the_originals_is_not() -> None:
    """Theirs is smaller by the group's share, and the fold change larger; means are in the same units of spread."""
    v, ours = known()
    theirs = v["results"]
    found = contrasts(ours)
    share = ours.count[:, None] / ours.count.sum()
    spread = np.sqrt((ours.variance * share).sum(0))
    np.testing.assert_allclose(ours.mean / spread, theirs["mean_interior"], atol=1e-6)
    np.testing.assert_allclose(found.outside * (1 - share) / spread, theirs["mean_exterior"], atol=1e-6)
    np.testing.assert_allclose(found.fold_change / (1 - share), theirs["fold_change"], atol=1e-6)
    np.testing.assert_allclose(found.difference, (ours.mean - found.outside) / spread, atol=1e-12)
    values = np.stack([np.array(x).ravel() for x in v["expression"].values()], axis=1)  # type: ignore[attr-defined]
    labels = np.array(v["labels"]).ravel()
    np.testing.assert_allclose(found.outside[1], values[(labels == 0) | (labels == 2)].mean(0))


@given(seed=st.integers(0, 999), cut=st.integers(0, 60), groups=st.integers(1, 5))
def test_blocks_joined_are_the_whole(seed: int, cut: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    values, labels = rng.gamma(1.0, 2.0, (60, 3)) + 1e4, rng.integers(-1, groups, 60)
    whole = Moments.of(values, labels, groups)
    joined = Moments.of(values[:cut], labels[:cut], groups).joined(Moments.of(values[cut:], labels[cut:], groups))
    assert whole.count.tolist() == joined.count.tolist()
    np.testing.assert_allclose(joined.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(joined.variance, whole.variance, rtol=1e-6, atol=1e-9)
    for group in np.flatnonzero(whole.count):
        np.testing.assert_allclose(whole.variance[group], values[labels == group].var(0), rtol=1e-6, atol=1e-9)


def test_what_cannot_be_compared_is_nan() -> None:
    values = np.array([[0.0, 2.0], [0.0, 4.0], [0.0, 6.0]])
    alone = contrasts(Moments.of(values, np.zeros(3, int), 2))
    assert np.isnan(alone.outside).all() and np.isnan(alone.fold_change).all() and np.isnan(alone.difference).all()
    found = contrasts(Moments.of(values, np.array([0, 0, 1]), 2))
    assert np.isnan(found.fold_change[:, 0]).all() and np.isnan(found.difference[:, 0]).all()
    assert found.outside[0].tolist() == [0.0, 6.0] and found.fold_change[0, 1] == 0.5
    assert found.difference[0, 1] == pytest.approx(-3 / np.sqrt(2 / 3))
