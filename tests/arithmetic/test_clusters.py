"""Groups and islands: the original's where it is right, and what must hold of any labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label

from napari_pixelgene.arithmetic.clusters import Grouping, by_size, islands_taken_in

CLUSTER = Path(__file__).parents[2].parent / "shared" / "vectors" / "iscale" / "v13_cluster" / "cluster.json"
needs_vectors = pytest.mark.skipif(not CLUSTER.exists(), reason="shared/vectors is not beside the repository")


def known() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CLUSTER.read_text())
    return found


def grouped(v: dict[str, Any]) -> np.ndarray:
    """Labels (rows, columns) of the vector's embedding, -1 where it is NaN."""
    values = np.moveaxis(np.array(v["embedding"], dtype=float), 0, -1)
    tissue = np.isfinite(values).all(-1)
    labels = np.full(tissue.shape, -1)
    learned = Grouping.learn(values[tissue], v["n_clusters"], 20)
    labels[tissue] = learned.labels(learned.scores(values[tissue]))
    return by_size(labels)


@needs_vectors
def test_groups_are_those_of_the_original() -> None:
    v = known()
    assert grouped(v).tolist() == v["labels"]
    assert by_size(np.array(v["sort_labels"]["inp"])).tolist() == v["sort_labels"]["out"]


@needs_vectors
def test_islands_are_taken_in_as_in_the_original() -> None:
    v = known()
    labels = np.array(v["labels"])
    taken = islands_taken_in(labels, 5)
    assert taken.tolist() == v["labels_min5"] != v["labels"]


@needs_vectors
def test_without_smoothing_islands_end_as_the_smoothed_maps_do_in_the_original() -> None:
    """On purpose: theirs may blur the maps before grouping; ours takes islands in, which keeps borders sharp."""
    v = known()
    assert islands_taken_in(grouped(v), 5).tolist() == v["labels_smoothed_min5"]
    border = np.abs(np.diff(np.array(v["embedding"], dtype=float)[0, :, 4:8], axis=1)).max(1)
    blurred = np.abs(np.diff(np.array(v["smoothed_size2"], dtype=float)[0, :, 4:8], axis=1)).max(1)
    assert (blurred < border - 0.2).sum() >= 8


@needs_vectors
def test_a_cluster_is_all_of_its_pieces() -> None:
    """On purpose: the original can number the pieces of a cluster, or keep the largest alone. Here labels are whole."""
    v = known()
    labels = np.array(v["labels"])
    largest = np.array(v["largest_connected"]) > 0
    assert (labels == 0).sum() > largest.sum() and not (largest & (labels != 0)).any()
    assert (islands_taken_in(labels, 1) == labels).all()


def test_a_grouping_speaks_of_what_it_never_saw() -> None:
    rng = np.random.default_rng(1)
    centres = np.array([[9.0, 0, 0], [0, 7, 0], [0, 0, 5], [4, 4, 4]])
    true = rng.choice(4, 3000, p=[0.5, 0.25, 0.15, 0.1])
    values = centres[true] + rng.normal(0, 0.3, (3000, 3))
    learned = Grouping.learn(values[:400], 4, 2, seed=3)
    scores = learned.scores(values)
    assert (by_size(learned.labels(scores)) == true).all()
    parts = [learned.scores(values[:, some], some) for some in (slice(0, 1), slice(1, 3))]
    np.testing.assert_allclose(sum(parts), scores, atol=1e-9)


def test_no_other_label_than_background_is_left_alone() -> None:
    lone = np.full((5, 6), -1)
    lone[2, 3] = 4
    assert islands_taken_in(lone, 10).tolist() == lone.tolist()
    corner = np.array([[0, 0, 0], [0, 0, 0], [-1, -1, 1]])
    assert islands_taken_in(corner, 2)[2, 2] == 0  # below (1, 2), which is 0


def test_the_longest_border_decides_and_of_equals_the_smaller_label() -> None:
    labels = np.repeat([[0, 0, 0, 2, 2, 2]], 6, axis=0)
    labels[4:] = 1
    labels[2:4, 2:4] = 3  # three edges with 0, three with 2, two with 1
    assert (islands_taken_in(labels, 5)[2:4, 2:4] == 0).all()
    labels[1, 2] = 2  # now two with 0, four with 2
    assert (islands_taken_in(labels, 5)[2:4, 2:4] == 2).all()


def test_the_smallest_goes_first_and_counts_for_what_it_joined() -> None:
    # The 2 (one square) joins the 1s, who are four then and need not join the 0s.
    labels = np.zeros((4, 7), int)
    labels[1, 1:4] = 1
    labels[1, 4] = 2
    labels[0, 4] = labels[2, 4] = labels[1, 5] = -1
    taken = islands_taken_in(labels, 4)
    assert taken[1, 1:5].tolist() == [1, 1, 1, 1]
    assert (islands_taken_in(labels, 5)[1, 1:5] == 0).all()


@given(
    rows=st.integers(1, 14), columns=st.integers(1, 14), kinds=st.integers(1, 5), least=st.integers(1, 12),
    seed=st.integers(0, 9999),
)  # fmt: skip
def test_no_island_is_left_that_borders_on_another_label(
    rows: int, columns: int, kinds: int, least: int, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(-1, kinds, (rows, columns))
    taken = islands_taken_in(labels, least)
    assert ((taken < 0) == (labels < 0)).all() and set(np.unique(taken)) <= set(np.unique(labels))
    pieces = label(taken, background=-1, connectivity=1)
    for piece in range(1, pieces.max() + 1):
        squares = np.argwhere(pieces == piece)
        if len(squares) < least:
            near = {(r + dr, c + dc) for r, c in squares.tolist() for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0))}
            inside = [(r, c) for r, c in near if 0 <= r < rows and 0 <= c < columns]
            assert {int(pieces[place]) for place in inside} <= {0, piece}


@given(seed=st.integers(0, 999), kinds=st.integers(1, 6))
def test_numbers_fall_with_size(seed: int, kinds: int) -> None:
    old = np.random.default_rng(seed).integers(-2, kinds, 40)
    new = by_size(old)
    assert ((new < 0) == (old < 0)).all()
    sizes = np.bincount(new[new >= 0]) if (new >= 0).any() else np.zeros(0, int)
    assert (np.diff(sizes) <= 0).all() and (sizes > 0).all()
    assert len({*zip(old[old >= 0].tolist(), new[old >= 0].tolist(), strict=True)}) == len(sizes)
