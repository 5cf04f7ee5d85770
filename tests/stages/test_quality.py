"""HistoSweep's mask on slides: the original's own example, an odd slide read in tiles only, one without tissue."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from guarded import GuardedArray
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.stages.quality import sweep_tissue

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene" / "histosweep.json"


def slide(
    shape: tuple[int, int], centre: tuple[int, int], radii: tuple[int, int], disc: tuple[int, int, int]
) -> np.ndarray:
    """The rule in the vector file: glass, an ellipse of textured tissue, a grey disc."""
    rng, (height, width) = np.random.RandomState(0), shape
    pixels = np.repeat(243 + rng.normal(0, 1.2, (height, width, 1)), 3, axis=-1)
    noise = rng.normal(0, 18, (height, width))
    y, x = np.mgrid[:height, :width]
    texture = 30 * np.sin(x / 5) * np.cos(y / 6) + noise
    tissue = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1
    for channel, (base, weight) in enumerate(zip((190, 130, 175), (0.8, 1, 0.6), strict=True)):
        pixels[..., channel][tissue] = (base + texture * weight)[tissue]
    pixels[(x - disc[0]) ** 2 + (y - disc[1]) ** 2 < disc[2] ** 2] = (120, 122, 121)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def test_the_originals_slide_gives_the_originals_mask() -> None:
    if not VECTORS.exists():
        pytest.skip("the reference vectors are not here")
    expected = json.loads(VECTORS.read_text())["end_to_end"]
    image = Image((slide((2560, 2816), (1400, 1250), (1000, 850), (200, 2300, 90)),), 0.5)
    found = sweep_tissue(image, Grid.of_image(image))
    assert found.mask.sum() == expected["n_true"]
    assert found.mask.sum(1).tolist() == expected["row_counts"]
    assert "HistoSweep: texture ratio above" in found.source


def test_a_small_odd_slide_is_swept_tile_by_tile() -> None:
    """Under 1.28 mm², where the original fails; sides that are no whole number of squares."""
    pixels = slide((1091, 1239), (700, 500), (420, 330), (140, 950, 60))
    image = Image((GuardedArray(pixels, (1040, 1040, 3)),), 0.5)
    grid = Grid.of_image(image)
    mask = sweep_tissue(image, grid).mask
    assert mask.shape == (69, 78)
    y, x = (np.mgrid[:69, :78] + 0.5) * 16
    ellipse = ((x - 700) / 420) ** 2 + ((y - 500) / 330) ** 2 < 1
    assert (mask & ellipse).sum() / (mask | ellipse).sum() > 0.93
    assert mask[(x - 140) ** 2 + (y - 950) ** 2 < 45**2].mean() < 0.3


def test_a_slide_without_tissue_is_told() -> None:
    image = Image((np.full((640, 640, 3), 240, np.uint8),), 0.5, Path("glass.tif"))
    image.levels[0][::7, ::5] = 239
    with pytest.raises(InputError, match="--method otsu"):
        sweep_tissue(image, Grid.of_image(image))
