"""Tissue against glass: known shapes, dirt and holes, slides that are all the one or the other."""

from __future__ import annotations

import numpy as np
import pytest

from guarded import GuardedArray
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.stages.tissue import TissueSettings, find_tissue, optical_density, overview

GLASS, PINK = (243, 241, 244), (205, 130, 180)


def slide(rows: int = 600, columns: int = 900) -> np.ndarray:
    """2 µm a pixel: a block of tissue with a hole of 96 × 96 µm and a lumen of 240 × 240, and dirt of 80 × 80."""
    rng = np.random.default_rng(2)
    image = np.empty((rows, columns, 3))
    image[:] = GLASS
    image[100:500, 80:600] = PINK
    image[200:248, 150:198] = GLASS
    image[300:420, 300:420] = GLASS
    image[40:80, 760:800] = PINK
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def found(image: np.ndarray, **settings: float) -> tuple[np.ndarray, str]:
    picture = Image((image,), mpp=2.0, name="slide")
    tissue = find_tissue(picture, Grid.of_image(picture), TissueSettings(**settings))
    return tissue.mask, tissue.source


def test_tissue_with_its_lumen_without_its_hole_and_the_dirt() -> None:
    mask, source = found(slide())
    truth = np.zeros((150, 225), bool)
    truth[25:125, 20:150] = True
    truth[75:105, 75:105] = False  # 240 µm: a lumen of 57,600 µm² stays open
    assert (mask != truth).mean() < 0.02
    assert mask[50:62, 37:50].all() and not mask[10:20, 190:200].any()
    assert "Otsu at 40 µm" in source
    assert found(slide(), min_area_um2=1000)[0][12:18, 192:198].all()
    assert not found(slide(), fill_holes_um2=0)[0][53:59, 41:46].any()


def test_the_border_of_the_slide_counts_like_the_inside() -> None:
    image = np.empty((400, 400, 3), np.uint8)
    image[:] = GLASS
    image[:, :200] = PINK
    mask, _ = found(image)
    assert mask[:, :48].all() and not mask[:, 53:].any()
    assert (mask == mask[50]).all()


def test_a_slide_without_glass_is_all_tissue_and_one_without_tissue_an_error() -> None:
    rng = np.random.default_rng(0)
    pink = np.clip(np.array(PINK) + rng.normal(0, 5, (50, 40, 3)), 0, 255).astype(np.uint8)
    mask, source = found(pink)  # 8,000 µm², less than a piece of dirt may have
    assert mask.all() and "no glass" in source
    with pytest.raises(InputError, match="No tissue was found on slide"):
        found(np.full((300, 300, 3), 242, np.uint8))


def test_pieces_that_are_all_small_are_told() -> None:
    image = np.empty((300, 300, 3), np.uint8)
    image[:] = GLASS
    image[100:150, 100:150] = PINK
    with pytest.raises(InputError, match="pieces under 20000 µm²"):
        found(image)
    assert found(image, min_area_um2=0)[0].any()


def test_the_overview_is_read_in_tiles_from_a_coarse_level(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = np.random.default_rng(1).integers(0, 255, (1600, 2400, 3)).astype(np.uint8)
    coarse = fine.reshape(400, 4, 600, 4, 3).mean((1, 3)).astype(np.uint8)
    levels = (GuardedArray(fine, (0, 0)), GuardedArray(coarse, (131, 131)))
    monkeypatch.setattr("napari_pixelgene.stages.tissue._TILE", 32)
    image = Image(levels, mpp=0.5)
    got = overview(image, Grid.of_image(image))
    assert got.shape == (100, 150, 3) and levels[0].reads == 0
    np.testing.assert_allclose(got, coarse.reshape(100, 4, 150, 4, 3).mean((1, 3)), atol=1)


def test_optical_density_is_minus_the_logarithm_of_what_passes() -> None:
    got = optical_density(np.uint8([[[255, 255, 255], [127, 127, 127], [0, 255, 255]]]))
    np.testing.assert_allclose(got, [[0, np.log10(2), np.log10(256) / 3]], rtol=1e-5)


@pytest.mark.parametrize(
    ("work_mpp", "words"), [(0.25, "Otsu at 36 µm"), (0.5, "Otsu at 40 µm"), (1.0, "Otsu at 48 µm")]
)
def test_tissue_is_the_same_on_any_lattice(work_mpp: float, words: str) -> None:
    picture = Image((slide(),), mpp=2.0, name="slide")
    tissue = find_tissue(picture, Grid.of_image(picture, work_mpp))
    assert words in tissue.source
    assert tissue.fraction == pytest.approx(found(slide())[0].mean(), abs=0.015)
