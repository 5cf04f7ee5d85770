"""A denser lattice: measured values stay what they are, any pitch and turn, and the published one to its vectors."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.dense_lattice import (
    denser,
    is_staggered,
    mean_of,
    published_denser,
    published_grid,
)

FILE = Path(__file__).parents[1] / "vectors" / "histex" / "hr_lattice.npz"


def hexagonal(rows: int, columns: int) -> np.ndarray:
    """(n, 2) an array of pitch 1, row by row."""
    r, c = np.divmod(np.arange(rows * columns), columns)
    return np.column_stack([c + 0.5 * (r % 2), r * np.sqrt(3) / 2])


def square(rows: int, columns: int) -> np.ndarray:
    return np.column_stack(np.divmod(np.arange(rows * columns), columns)).astype(float)


def turned(xy: np.ndarray, pitch: float, degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return xy * pitch @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + [317.0, -40.0]


@given(pitch=st.floats(5, 400), degrees=st.floats(0, 90), hexagon=st.booleans(), seed=st.integers(0, 99))
def test_measured_values_and_planes_are_reproduced_at_any_pitch_and_turn(
    pitch: float, degrees: float, hexagon: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    xy = turned((hexagonal if hexagon else square)(5, 6), pitch, degrees)
    xy = xy[rng.permutation(30)[:26]]
    parents = denser(xy)
    values = rng.normal(size=(26, 3))
    np.testing.assert_array_equal(mean_of(parents, values)[:26], values)
    place = mean_of(parents, xy)
    plane = xy @ np.array([0.3, -0.7]) + 2
    np.testing.assert_allclose(mean_of(parents, plane[:, None])[:, 0], place @ [0.3, -0.7] + 2, rtol=1e-9)


def test_a_hexagonal_array_gets_a_point_between_all_neighbours_and_half_the_pitch() -> None:
    xy = turned(hexagonal(6, 7), 100.0, 17.0)
    parents = denser(xy)
    place = mean_of(parents, xy)
    # 6·7 spots; 6·6 neighbours in a row, and between two rows 7 + 6 diagonal ones.
    assert len(place) == 42 + 6 * 6 + 5 * 13
    away = np.sqrt(((place[:, None] - place) ** 2).sum(-1))
    np.fill_diagonal(away, np.inf)
    np.testing.assert_allclose(away.min(1), 50.0, rtol=1e-9)


def test_a_square_array_has_one_point_where_diagonals_cross() -> None:
    parents = denser(turned(square(4, 5), 200.0, 30.0))
    assert len(parents) == (2 * 4 - 1) * (2 * 5 - 1)
    assert ((parents >= 0).sum(1) == 4).sum() == 3 * 4  # the middle of every square, of all four corners
    assert ((parents >= 0).sum(1) == 2).sum() == 3 * 5 + 4 * 4


def test_points_bridge_no_gap() -> None:
    xy = square(3, 8)
    apart = denser(np.concatenate([xy, xy + np.array([40.0, 0.0])]))
    assert len(apart) == 2 * len(denser(xy))
    sides = np.where(apart >= 0, apart // 24, -1)
    assert ((sides.max(1) == 0) | (np.where(apart >= 0, sides, 9).min(1) == 1)).all()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_unit(count: int) -> None:
    parents = denser(np.array([[0.0, 0.0], [3.0, 4.0]])[:count])
    assert len(parents) == (3 if count == 2 else count)


def test_twenty_thousand_spots_take_no_square_of_time() -> None:
    start = time.process_time()
    parents = denser(turned(hexagonal(140, 140), 100.0, 3.0))
    assert len(parents) > 3.9 * 19_600 and time.process_time() - start < 5


# As published


def test_the_published_lattice_is_that_of_the_vectors() -> None:
    v = np.load(FILE)
    place = v["spot_rowcol"]
    assert is_staggered(place)
    np.testing.assert_array_equal(np.moveaxis(published_grid(place, v["counts"]), -1, 0), v["grid"])
    row_column, values = published_denser(place, v["counts"])
    np.testing.assert_array_equal(row_column, v["hr_rowcol"])
    np.testing.assert_allclose(values, v["hr_counts"], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(row_column * [200, 100] + 55, v["hr_xy"])
    names = ["x".join(f"{a:g}" if a % 1 else str(int(a)) for a in each) for each in row_column]
    assert names == v["hr_names"].tolist()


def test_the_published_lattice_changes_what_was_measured_and_ours_does_not() -> None:
    v = np.load(FILE)
    place, counts = v["spot_rowcol"], v["counts"]
    row_column, values = published_denser(place, counts)
    at = [np.flatnonzero((row_column == p).all(1))[0] for p in place]
    assert np.abs(values[at] - counts).max() > 1
    parents = denser(place[:, ::-1] * [50.0, 50.0 * np.sqrt(3)])
    np.testing.assert_array_equal(mean_of(parents, counts)[: len(counts)], counts)


def test_a_square_array_becomes_twice_as_dense_without_a_stagger() -> None:
    place = square(3, 4).astype(int) + np.array([5, 9])
    assert not is_staggered(place)
    row_column, values = published_denser(place, np.ones((12, 1)), staggered=False)
    assert len(row_column) == 5 * 7 and row_column.min(0).tolist() == [5, 9] and row_column.max(0).tolist() == [7, 12]
    assert np.allclose(values, 1)  # nothing is missing, so no zero leaks in
