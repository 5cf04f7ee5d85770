"""Random numbers belong to places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.simulate.noise import Grain, LatticeNoise, normal, uniform


def test_a_number_depends_on_every_key_and_on_nothing_else() -> None:
    table = uniform(7, np.arange(-3, 40)[:, None], np.arange(50))
    assert table[5, 11] == uniform(7, 2, 11)[0]
    assert len(np.unique(table)) == table.size
    assert not np.isin(uniform(8, np.arange(-3, 40)[:, None], np.arange(50)), table).any()


def test_numbers_are_uniform_and_normal() -> None:
    flat = uniform(1, np.arange(40_000))
    assert flat.min() > 0 and flat.max() < 1
    assert np.histogram(flat, 10, (0, 1))[0] == pytest.approx(4000, rel=0.06)
    bell = normal(2, np.arange(40_000))
    assert (bell.mean(), bell.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))


@given(st.integers(0, 10_000), st.integers(1, 30))
def test_a_field_is_the_same_whatever_else_is_asked(start: int, count: int) -> None:
    points = np.random.default_rng(start).uniform(-500, 5000, (count + 20, 2))
    noise = LatticeNoise(3, 4, 70.0, channels=2)
    np.testing.assert_array_equal(noise.at(points)[:count], noise.at(points[:count]))


def test_a_field_has_mean_0_variance_1_and_its_own_length() -> None:
    points = np.random.default_rng(0).uniform(0, 20_000, (20_000, 2))
    noise = LatticeNoise(0, 9, 35.0, channels=3)
    here = noise.at(points)
    assert np.abs(here.mean(axis=0)).max() < 0.05
    assert np.abs(here.std(axis=0) - 1).max() < 0.04
    assert np.abs(np.corrcoef(here.T) - np.eye(3)).max() < 0.04
    by_distance = [np.mean(here * noise.at(points + np.array([step, 0.0]))) for step in (0, 20, 40, 110)]
    assert by_distance[0] == pytest.approx(1, abs=0.04)
    assert by_distance[0] > by_distance[1] > by_distance[2] > 0.15
    assert abs(by_distance[3]) < 0.03


def test_grain_agrees_between_windows() -> None:
    grain = Grain.seeded(0, 1)
    whole = grain.at(480, -20, (60, 900))
    np.testing.assert_array_equal(grain.at(500, 380, (13, 40)), whole[20:33, 400:440])
    assert whole.std() == pytest.approx(1, abs=0.05)


def test_no_field_at_all_is_an_empty_answer():
    assert LatticeNoise(0, 9, 35.0, channels=0).at(np.array([[3.0, 900.0], [70.0, 1.0]])).shape == (2, 0)
