"""Spreading points, and telling a shift that disagrees with its neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.arithmetic.scatter import agreeing, well_spread


def cloud(count: int = 400, seed: int = 5) -> np.ndarray:
    """Points over 300 × 100, three times as dense in the left half."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, (300, 100), (count, 2))
    points[: count // 2, 0] /= 2
    return points


def test_points_are_farther_apart_than_by_chance() -> None:
    """Twelve of 400: their least distance is several times that of twelve drawn at random, and both ends are held."""
    points = cloud()
    chosen = points[well_spread(points, 12)]
    gaps = np.linalg.norm(chosen[:, None] - chosen[None], axis=2)[np.triu_indices(12, 1)]
    assert len(chosen) == 12 and gaps.min() > 30
    assert chosen[:, 0].min() < 20 and chosen[:, 0].max() > 280


def test_taken_places_are_left_alone() -> None:
    """Nothing within `apart` of a taken place or of another; then there are fewer than asked for."""
    points, taken = cloud(), np.array([[150.0, 50.0], [20.0, 80.0]])
    rows = well_spread(points, 50, taken=taken, apart=40)
    everything = np.concatenate([taken, points[rows]])
    gaps = np.linalg.norm(everything[:, None] - everything[None], axis=2)[np.triu_indices(len(everything), 1)]
    assert 5 < len(rows) < 30
    assert gaps[1:].min() > 40


def test_a_better_point_wins_over_a_slightly_farther_one() -> None:
    points = np.array([[0.0, 0.0], [90.0, 0.0], [100.0, 0.0]])
    assert well_spread(points, 2, worth=np.array([1.0, 0.9, 0.5])).tolist() == [0, 1]
    assert well_spread(points, 2, worth=np.array([1.0, 0.7, 0.8])).tolist() == [0, 2]
    assert well_spread(points, 0).tolist() == [] and well_spread(np.zeros((0, 2)), 3).tolist() == []


def test_shifts_that_disagree_are_told() -> None:
    """A field that turns by 2 % over the area agrees with itself, three wrong shifts in it do not."""
    points = cloud(40)
    shifts = 0.02 * np.stack([points[:, 1], -points[:, 0]], axis=1) + (7.0, -3.0)
    shifts += np.random.default_rng(1).normal(0, 0.3, shifts.shape)
    assert agreeing(points, shifts, 5.0).all()
    shifts[[4, 19, 33]] += ((25, 0), (-3, 14), (0, -40))
    assert np.flatnonzero(~agreeing(points, shifts, 5.0)).tolist() == [4, 19, 33]


def test_where_nothing_agrees_nothing_is_taken_for_agreement() -> None:
    """Shifts at random over 80: the tolerance is not stretched until they fit. Two alone agree with nobody."""
    points, rng = cloud(30), np.random.default_rng(2)
    assert agreeing(points, rng.uniform(-40, 40, (30, 2)), 5.0).mean() < 0.3
    assert not agreeing(points[:2], np.zeros((2, 2)), 5.0).any()


@pytest.mark.parametrize("seed", range(3))
def test_any_first_part_is_spread(seed: int) -> None:
    """The first five of twenty are the five that would have been chosen."""
    points = cloud(seed=seed)
    assert well_spread(points, 20)[:5].tolist() == well_spread(points, 5).tolist()
