"""A lattice made denser: the published positions, at any pitch and turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_pixelgene.arithmetic.generated_lattice import SQUARE, STAGGERED, arrangement, copies, generated
from napari_pixelgene.errors import InputError

VECTORS = np.load(Path(__file__).parents[1] / "vectors" / "histosge" / "lattice.npz")


def array(staggered: bool, pitch: float, turn_degrees: float, rows: int = 9, columns: int = 7) -> np.ndarray:
    i, j = np.mgrid[:rows, :columns].reshape(2, -1)
    xy = (
        np.column_stack([j + 0.5 * (i % 2), i * np.sqrt(3) / 2]) if staggered else np.column_stack([j, i]).astype(float)
    )
    t = np.deg2rad(turn_degrees)
    return xy * pitch @ np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]]) + (310.0, -45.0)


def test_copies_are_the_published_ones_in_their_order() -> None:
    np.testing.assert_array_equal(copies(VECTORS["coord"], STAGGERED), VECTORS["fill_coord"])
    np.testing.assert_array_equal(copies(VECTORS["coord"], SQUARE), VECTORS["st_fill_coord"])
    # Their pixels: 68, 34 and 60 where half, a quarter and √3 quarters of the pitch of 136 are 68, 34 and 58.9.
    found, parent = generated(VECTORS["pixel"])
    away = np.abs(found - VECTORS["fill_pixel"])
    assert away[:, 0].max() < 0.5 and 0.5 < away[:, 1].max() < 1.5
    np.testing.assert_array_equal(parent, np.tile(np.arange(9), 4))


@pytest.mark.parametrize("staggered", [True, False])
@pytest.mark.parametrize("turn", [0.0, 11.0, -37.0])
def test_a_turned_array_is_found_and_halved(staggered: bool, turn: float) -> None:
    xy = array(staggered, 212.0, turn)
    noisy = xy + np.random.default_rng(0).normal(size=xy.shape)
    found = arrangement(noisy)
    fold = 60.0 if staggered else 90.0
    assert found.pitch == pytest.approx(212, abs=0.7) and found.staggered == staggered
    assert abs((np.rad2deg(found.turn) - turn + fold / 2) % fold - fold / 2) < 0.5
    points, parent = generated(xy)
    nearest = cKDTree(points).query(points, 2)[0][:, 1]
    np.testing.assert_allclose(nearest, 106.0, rtol=1e-6)
    np.testing.assert_allclose(points[: len(xy)], xy)
    assert (np.bincount(parent) == 4).all()


def test_eight_times_as_many_would_be_the_same_positions_again() -> None:
    """The published further offsets: inside the array, every one is a position that is there already."""
    i, j = np.mgrid[:12, :24].reshape(2, -1)
    coord = np.column_stack([j, i])[(i + j) % 2 == 0]
    four = {tuple(p) for p in copies(coord, STAGGERED)}
    further = copies(coord, np.array([(0.5, -0.5), (-0.5, -0.5), (-1, 0), (0, 1)]))
    inside = further[((further > 2) & (further < (20, 9))).all(1)]
    assert len(inside) > 200 and all(tuple(p) in four for p in inside)


def test_units_on_no_lattice_are_told() -> None:
    with pytest.raises(InputError, match="lie on no lattice"):
        generated(np.random.default_rng(1).uniform(0, 1000, (300, 2)))
    with pytest.raises(InputError, match="3 units"):
        generated(np.zeros((3, 2)))
