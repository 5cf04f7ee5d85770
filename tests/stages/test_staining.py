"""The haematoxylin of a pyramid is that of its pixels, with one white for all levels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.arithmetic.stains import haematoxylin
from napari_pixelgene.elements.image import Image
from napari_pixelgene.stages.staining import haematoxylin_pyramid

GLASS, NUCLEUS, EOSIN = (236, 232, 240), (90, 60, 150), (230, 140, 190)


def slide() -> Image:
    """Glass, a nucleus of 20 × 20 pixels and a patch of eosin, in two levels."""
    pixels = np.full((120, 160, 3), GLASS, np.uint8)
    pixels[20:40, 30:50] = NUCLEUS
    pixels[60:110, 80:150] = EOSIN
    return Image((pixels, pixels[::2, ::2]), 0.5)


def test_a_region_is_what_the_whole_image_gives_there() -> None:
    image = slide()
    found = haematoxylin_pyramid(image)
    whole = haematoxylin(np.asarray(image.levels[0]), np.array(GLASS))
    region = np.asarray(found.levels[0][15:45, 25:60])  # hardly any glass: its own white would be another
    np.testing.assert_allclose(region, whole[15:45, 25:60], atol=1e-5)
    assert found.mpp == 0.5 and found.levels[1].shape == (60, 80) and not found.is_rgb
    np.testing.assert_allclose(np.asarray(found.levels[1][...]), whole[::2, ::2], atol=1e-5)


def test_nuclei_are_bright_and_glass_and_eosin_dark() -> None:
    amount = np.asarray(haematoxylin_pyramid(slide()).levels[0][...])
    assert amount[30, 40] > 0.4 and amount[5, 5] < 0.01 and amount[80, 100] < 0.3 * amount[30, 40]


def test_one_channel_has_no_stains() -> None:
    with pytest.raises(ValueError, match="RGB"):
        haematoxylin_pyramid(Image((np.zeros((4, 4), np.uint8),), 0.5))
