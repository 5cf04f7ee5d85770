import cv2
import numpy as np
import pytest

from guarded import GuardedArray
from napari_pixelgene.arithmetic.resampling import halve
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.image import Image
from napari_pixelgene.stages import warping
from napari_pixelgene.stages.warping import BLOCK_PX, WarpedLevel, warped_pyramid

MATRIX = np.array([[0.86, -0.22, 190.0], [0.25, 0.81, 30.0], [9e-5, -5e-5, 1.0]])
HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
TARGET = (1400, 1300)


def morphology() -> list[np.ndarray]:
    coarse = np.random.default_rng(4).integers(0, 40_000, (70, 60)).astype(np.float32)
    image = cv2.resize(coarse, (1201, 1333), interpolation=cv2.INTER_LINEAR).clip(0, 65535).astype(np.uint16)
    return [image, halve(image), halve(halve(image))]


@pytest.fixture
def warped() -> Image:
    image = Image(tuple(morphology()), 0.2125, None, "DAPI")
    return warped_pyramid(image, Transform(MATRIX, "morphology_px", "he_px"), TARGET, 0.25)


def test_the_pyramid_lies_on_the_target(warped):
    assert [lv.shape for lv in warped.levels] == [(1400, 1300), (700, 650), (350, 325)]
    assert warped.mpp == 0.25 and warped.name == "DAPI"
    for level in warped.levels:
        assert level.dtype == np.uint16 and level.ndim == 2 and level.size == np.prod(level.shape)
        assert level.chunks == (BLOCK_PX, BLOCK_PX)


def test_a_viewport_equals_the_whole_image_warp(warped):
    whole = cv2.warpPerspective(morphology()[0], np.linalg.inv(HALF) @ MATRIX @ HALF, TARGET[::-1])
    for rows, columns in ((slice(200, 900), slice(300, 1111)), (slice(0, 40), slice(1250, 1300)), (700, slice(None))):
        view = warped.levels[0][rows, columns]
        one_grey_level = 65535 / 255
        assert np.abs(view.astype(int) - whole[rows, columns]).max() <= one_grey_level
    assert np.abs(np.asarray(warped.levels[0]).astype(int) - whole).mean() < 3 and whole.std() > 5000


def test_coarse_levels_show_the_same_place(warped):
    fine = np.asarray(warped.levels[0]).astype(float)

    def mean_of(side: int, down: int, right: int) -> np.ndarray:
        part = fine[100 + down : 900 + down, 300 + right : 800 + right]
        return part.reshape(800 // side, side, 500 // side, side).mean(axis=(1, 3))

    for k in (1, 2):
        side, half = 2**k, 2 ** (k - 1)
        ours = warped.levels[k][100 // side : 900 // side, 300 // side : 800 // side]
        off = {(d, r): np.abs(ours - mean_of(side, d, r)).mean() for d in (-half, 0, half) for r in (-half, 0, half)}
        here = off.pop((0, 0))
        assert here < 0.75 * min(off.values()), (k, here, off)


def test_what_was_asked_before_changes_nothing(warped):
    fresh = warped_pyramid(
        Image(tuple(morphology()), 0.2125), Transform(MATRIX, "morphology_px", "he_px"), TARGET, 0.25
    )
    warped.levels[1][0:300, 0:300]
    piecewise = warped.levels[1][100:500, 50:600].astype(int)
    assert np.abs(piecewise - fresh.levels[1][100:500, 50:600]).max() <= 257


def test_kept_blocks_are_not_read_again_and_few_are_kept(monkeypatch):
    levels = tuple(GuardedArray(lv, (1000, 1100)) for lv in morphology())
    level = WarpedLevel(levels, MATRIX, (1.0, 1.0), TARGET)
    view = level[300:700, 400:800]
    assert levels[0].reads == 1 and levels[1].reads == levels[2].reads == 0
    np.testing.assert_array_equal(level[350:600, 500:780], view[50:300, 100:380])
    assert levels[0].reads == 1
    monkeypatch.setattr(warping, "_KEPT_BLOCKS", 2)
    level[1000:1010, 0:700]
    assert len(level._kept) == 2


def test_a_rgb_image_keeps_its_colours_and_its_type():
    rgb = np.random.default_rng(0).integers(0, 256, (300, 280, 3), dtype=np.uint8)
    out = warped_pyramid(Image((rgb,), 0.5), Transform(np.eye(3), "morphology_px", "he_px"), (300, 400), 0.5, levels=2)
    assert [lv.shape for lv in out.levels] == [(300, 400, 3), (150, 200, 3)]
    np.testing.assert_array_equal(out.levels[0][10:200, 5:380][:, :275], rgb[10:200, 5:])
    assert not out.levels[0][:, 280:].any()


def test_opening_reads_nothing():
    levels = tuple(GuardedArray(lv, (0, 0)) for lv in morphology())
    warped_pyramid(Image(levels, 0.2125), Transform(MATRIX, "morphology_px", "he_px"), (90_000, 80_000), 0.25)
    assert sum(lv.reads for lv in levels) == 0
