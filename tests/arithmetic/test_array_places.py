"""Columns and rows of an array from positions alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.array_places import array_places
from napari_pixelgene.arithmetic.dense_lattice import is_staggered

SQUARE, HEXAGON, PUBLISHED = ((1, 0), (0, 1)), ((1, 0), (0.5, 3**0.5 / 2)), ((0, 1), (1, 0.5))


def array(steps: tuple[tuple[float, float], ...], seed: int, kept: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions of a part of an array of 11 rows of 9, and column and row of each."""
    rng = np.random.default_rng(seed)
    row, along = np.divmod(np.arange(99), 9)
    along = along - row // 2 if steps is not SQUARE else along
    xy = np.column_stack([along, row]) @ np.array(steps)
    column = 2 * along + row if steps is not SQUARE else along
    chosen = rng.permutation(99)[: int(kept * 99)]
    return xy[chosen], np.column_stack([column, row])[chosen]


@given(
    steps=st.sampled_from([SQUARE, HEXAGON, PUBLISHED]),
    pitch=st.floats(2, 500),
    degrees=st.floats(-180, 180),
    seed=st.integers(0, 50),
    kept=st.floats(0.7, 1),
    jitter=st.floats(0, 0.04),
)
def test_places_fit_an_array_at_any_pitch_and_turn(
    steps: tuple[tuple[float, float], ...], pitch: float, degrees: float, seed: int, kept: float, jitter: float
) -> None:
    xy, truth = array(steps, seed, kept)
    a = np.deg2rad(degrees)
    xy = (xy + jitter * np.random.default_rng(seed).uniform(-1, 1, xy.shape)) @ np.array(
        [[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]
    ) * pitch + np.array([900.0, -5.0])
    places = array_places(xy)
    assert places is not None and places.min() >= 0
    assert is_staggered(places) == (steps is not SQUARE)
    # Which way rows run is free: places are those of the truth under an affine map of whole steps.
    design = np.column_stack([truth, np.ones(len(truth))])
    np.testing.assert_allclose(design @ np.linalg.lstsq(design, places.astype(float), rcond=None)[0], places, atol=1e-6)
    assert len(np.unique(places, axis=0)) == len(places)


def test_rows_of_the_published_pseudo_visium_run_along_the_image() -> None:
    i, j = np.divmod(np.arange(30), 6)
    xy = np.column_stack([55 + 200 * i, 55 + 200 * j + 100 * (i % 2)])
    places = array_places(xy)
    assert places is not None
    np.testing.assert_array_equal(places - places[0], np.column_stack([2 * j + i % 2, i]))


@pytest.mark.parametrize("kind", ["scattered", "line", "few", "one place"])
def test_what_is_no_array_is_told(kind: str) -> None:
    rng = np.random.default_rng(0)
    xy = {
        "scattered": rng.random((200, 2)) * 1000,
        "line": np.column_stack([np.arange(40.0), np.zeros(40)]),
        "few": rng.random((3, 2)),
        "one place": np.zeros((9, 2)),
    }[kind]
    assert array_places(xy) is None
