"""Measured values on the lattice: shared out, added up or averaged; coarse levels are means over what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.arithmetic.pooling import footprint_weights
from napari_pixelgene.elements.measured import lattice_of_bins, lattice_of_footprints

SHAPES = [(5, 7), (3, 4), (2, 2)]


def by_hand(dense: np.ndarray, step: int) -> np.ndarray:
    """The mean of what is not NaN in squares of `step`."""
    rows, columns = (-(-n // step) for n in dense.shape)
    out = np.full((rows, columns), np.nan)
    for r in range(rows):
        for c in range(columns):
            block = dense[r * step : (r + 1) * step, c * step : (c + 1) * step]
            if np.isfinite(block).any():
                out[r, c] = np.nanmean(block)
    return out


def test_bins_lie_where_they_are_and_nowhere_else():
    squares = np.array([0, 8, 9, 10, 17, 33, 34])
    lattice = lattice_of_bins(squares, SHAPES)
    levels = lattice.levels(np.array([1, 4, 6]), np.array([3, 5, 2], dtype=np.uint8))
    dense = np.full(35, np.nan)
    dense[squares] = 0
    dense[[8, 17, 34]] = 3, 5, 2
    dense = dense.reshape(5, 7)
    for level, step, shape in zip(levels, (1, 2, 4), SHAPES, strict=True):
        assert level.shape == shape and level.dtype == np.float32
        np.testing.assert_allclose(np.asarray(level), by_hand(dense, step), rtol=1e-6)
    np.testing.assert_allclose(levels[0][1:3, 2:6], dense[1:3, 2:6])


def test_a_spot_is_shared_out_among_its_squares():
    xy = np.array([[20.0, 20.0], [44.0, 20.0]])
    weights = footprint_weights("disk", 20.0, xy, 8.0, (5, 7))
    held = weights.getnnz(axis=1)
    assert held.min() > 1
    (fine, *_) = lattice_of_footprints(weights, False, SHAPES).levels(np.array([0]), np.array([30]))
    values = np.asarray(fine)
    assert np.nansum(values) == pytest.approx(30)  # a spot's counts are all there
    assert np.nanmax(values) == pytest.approx(30 / held[0])
    assert np.isfinite(values).sum() == held.sum()  # the other spot was measured, and holds none
    assert (values == 0).sum() == held[1]


def test_small_units_add_up_and_large_ones_are_averaged():
    inside = np.array([[9.0, 9.0], [13.0, 11.0], [30.0, 9.0]])
    weights = footprint_weights("square", 2.0, inside, 8.0, (5, 7))
    (fine, *_) = lattice_of_footprints(weights, True, SHAPES).levels(np.array([0, 1, 2]), np.array([3, 4, 6]))
    assert fine[1, 1] == 7 and fine[1, 3] == 6
    (mean, *_) = lattice_of_footprints(weights, False, SHAPES).levels(np.array([0, 1, 2]), np.array([3, 4, 6]))
    assert mean[1, 1] == 3.5 and mean[1, 3] == 6
