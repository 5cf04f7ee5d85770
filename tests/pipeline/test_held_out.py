"""Maps of a cross-validation on the lattice."""

from __future__ import annotations

import numpy as np

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.image import Image
from napari_pixelgene.pipeline.held_out import on_lattice, square_means
from napari_pixelgene.pipeline.slide_pictures import _full_places, corner_errors_um, overview


def test_units_lie_at_their_superpixels() -> None:
    out = on_lattice(np.array([5.0, 7.0]), np.array([1, 9]), (3, 4))
    assert out[0, 1] == 5 and out[2, 1] == 7
    assert np.isnan(out).sum() == 10


def test_squares_are_averaged_over_what_was_measured() -> None:
    nan = np.nan
    values = np.array([[1.0, 3, 10, nan, 4], [5, nan, nan, nan, 6], [2, 8, nan, nan, nan]])
    expected = np.array([[3.0, 3, 10, nan, 5], [3, nan, nan, nan, 5], [5, 5, nan, nan, nan]])
    assert np.array_equal(square_means(values, 2), expected, equal_nan=True)
    assert np.array_equal(square_means(values, 1), values, equal_nan=True)


def test_a_transform_that_is_off_by_a_shift_is_off_at_every_corner() -> None:
    image = Image((np.zeros((300, 500, 3), dtype=np.uint8),), 0.5)
    true = Transform(np.array([[0.0, -0.5, 400], [0.5, 0, 20], [0, 0, 1]]), "morphology_px", "he_px")
    shifted = Transform(np.array([[1.0, 0, 3], [0, 1, -4], [0, 0, 1]]) @ true.matrix, "morphology_px", "he_px")
    assert np.allclose(corner_errors_um(true, true, image), 0)
    assert np.allclose(corner_errors_um(shifted, true, image), 2.5)


def test_the_overview_is_the_finest_level_that_is_small() -> None:
    levels = tuple(np.full((side, side * 3 // 2, 3), side, dtype=np.uint8) for side in (160, 80, 40))
    big = np.zeros((1280, 1920, 3), dtype=np.uint8)
    picture = overview(Image((big, *levels), 0.25))
    assert picture.rgb.shape == (160, 240, 3) and picture.um_per_px == 2.0
    assert picture.extent_um == (0, 480, 320, 0)


def test_close_ups_lie_where_everything_was_measured() -> None:
    measured = np.zeros((60, 80), dtype=bool)
    measured[25:50, 50:75] = True
    measured[30, 60] = False  # one superpixel without a count is no hole
    assert _full_places(measured, 8.0).tolist() == [[400.0, 200.0]]
