"""What is hidden is hidden in the same places of the tissue at every level, and the rest is as it was."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.elements.image import Image
from napari_pixelgene.stages.comparing import Beyond, Checkers, Everywhere, Mask, masked

MPP = 0.4


def pyramid(colours: bool = False) -> Image:
    """97 × 141 pixels whose levels halve, rounded up."""
    rng = np.random.default_rng(3)
    rest = (3,) if colours else ()
    shapes = [(97, 141), (49, 71), (25, 36)]
    return Image(tuple(rng.integers(1, 250, (*shape, *rest)).astype(np.uint8) for shape in shapes), MPP)


def places(image: Image, level: int) -> tuple[np.ndarray, np.ndarray]:
    """µm of the middles of a level's pixels, rows and columns."""
    shape, full = image.levels[level].shape, image.levels[0].shape
    scale = 2.0**level
    assert abs(full[0] / shape[0] - scale) < 0.2
    rows, columns = np.indices(shape[:2])
    return (rows + 0.5) * scale * MPP, (columns + 0.5) * scale * MPP


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("mask", [Checkers(7.0), Beyond(21.3), Beyond(13.7, upright=False)])
def test_the_same_places_show_at_every_level(mask: Mask, level: int) -> None:
    image = pyramid()
    shown = masked(image, mask)
    y, x = places(image, level)
    if isinstance(mask, Checkers):
        wanted = (x // 7 + y // 7) % 2 == 0
        edge = np.minimum.reduce([x % 7, 7 - x % 7, y % 7, 7 - y % 7])
    else:
        assert isinstance(mask, Beyond)
        wanted = (x if mask.upright else y) >= mask.at_um
        edge = np.abs((x if mask.upright else y) - mask.at_um)
    sure = edge > 0.5 * MPP  # an odd side makes a coarse pixel a little smaller
    pixels = np.asarray(shown.levels[level][...])
    assert pixels.dtype == np.float32 and 0.2 < np.isnan(pixels).mean() < 0.8
    np.testing.assert_array_equal(np.isnan(pixels)[sure], ~wanted[sure])
    kept = ~np.isnan(pixels)
    np.testing.assert_array_equal(pixels[kept], np.asarray(image.levels[level])[kept])
    np.testing.assert_array_equal(np.asarray(shown.levels[level][5:17, 3:30]), pixels[5:17, 3:30])


def test_colours_become_clear_where_they_are_hidden() -> None:
    image = pyramid(colours=True)
    image.levels[0][31, 40] = 0  # as where a drawn image does not reach
    pixels = np.asarray(masked(image, Checkers(9.0)).levels[0][10:60, 20:90])
    assert pixels.shape == (50, 70, 4) and pixels.dtype == np.uint8
    y, x = (p[10:60, 20:90] for p in places(image, 0))
    wanted = (x // 9 + y // 9) % 2 == 0
    assert wanted[21, 20]
    wanted[21, 20] = False
    np.testing.assert_array_equal(pixels[..., 3] == 255, wanted)
    whole = np.asarray(masked(image, Everywhere()).levels[0][...])[..., 3]
    assert whole[31, 40] == 0 and (whole == 0).sum() == 1
    assert set(np.unique(pixels[..., 3])) == {0, 255}
    np.testing.assert_array_equal(pixels[..., :3], np.asarray(image.levels[0])[10:60, 20:90])
