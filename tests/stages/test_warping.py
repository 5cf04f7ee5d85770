import cv2
import numpy as np
import pytest

from guarded import GuardedArray
from napari_pixelgene.arithmetic import splines
from napari_pixelgene.arithmetic.geometry import apply_matrix
from napari_pixelgene.arithmetic.resampling import halve
from napari_pixelgene.elements.alignment import Bend, Transform
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


# Through a bend

TURNED = np.array([[-0.31, 0.78, 420.0], [0.8, 0.29, -90.0], [0, 0, 1]])  # by 70°, and mirrored


def bent(by_px: float = 24.0) -> Transform:
    """Morphology to H&E pixels, with a bend that the matrix does not know."""
    flat = apply_matrix(TURNED, np.random.default_rng(5).uniform(0, 1300, (18, 2)))
    x, y = (flat / 1200).T
    spline = splines.fit(flat / 4, by_px / 4 * np.stack([np.sin(5 * y + x), np.cos(4 * x) * (0.3 + y)], axis=1))
    return Transform(TURNED, "morphology_px", "he_px", "spline", bend=Bend(spline, np.diag([4.0, 4.0, 1.0])))


def blobs(places: np.ndarray, sd: float) -> np.ndarray:
    """A bright spot at each place (x, y), continuous, corner-based."""
    x, y = np.arange(1300) + 0.5, np.arange(1250) + 0.5
    spots = [np.outer(np.exp(-((y - v) ** 2) / (2 * sd**2)), np.exp(-((x - u) ** 2) / (2 * sd**2))) for u, v in places]
    return np.sum(spots, axis=0).astype(np.float32)


@pytest.mark.parametrize("level", [0, 1])
def test_drawn_pixels_lie_where_the_bent_transform_says(level):
    """Cursor, table and drawing agree: the centroid of each drawn spot is where `apply` puts it, to 0.05 pixels."""
    transform, sd = bent(), 5.0 * 2**level
    places = np.array([[300.3, 250.7], [980.1, 333.9], [660.5, 641.25], [333.2, 990.8], [1000.6, 1010.4]])
    image = blobs(places, sd)
    source = [image, halve(image), halve(halve(image))]
    drawn = warped_pyramid(Image(tuple(source), 0.25), transform, (1500, 1500), 0.25).levels[level]
    scale = 2**level
    for place, want in zip(places, transform.apply(places) / scale, strict=True):
        column, row = (want - 5 * sd / scale).round().astype(int)
        size = round(10 * sd / scale)
        window = drawn[row : row + size, column : column + size].astype(float)
        total = window.sum()
        found = np.array([window.sum(axis=0) @ (np.arange(size) + 0.5), window.sum(axis=1) @ (np.arange(size) + 0.5)])
        assert np.abs(found / total + (column, row) - want).max() < 0.05
        assert np.abs(apply_matrix(TURNED, place[None])[0] / scale - want).max() > 2  # the matrix alone would not do


def test_a_bend_is_drawn_to_two_hundredths_of_a_pixel_in_pieces_as_in_one():
    x, y = np.meshgrid(np.arange(1300) + 0.5, np.arange(1250) + 0.5)
    transform = bent()
    back = transform.inverse()
    for axis, ramp in enumerate((x, y)):  # an image whose values are its own coordinates
        warped = warped_pyramid(Image((ramp.astype(np.float32),), 0.25), transform, (1400, 1400), 0.25).levels[0]
        view = warped[390:1000, 417:1100]
        columns, rows = np.meshgrid(np.arange(417, 1100) + 0.5, np.arange(390, 1000) + 0.5)
        want = back.apply(np.stack([columns.ravel(), rows.ravel()], axis=1))
        inside = ((want > 2) & (want < 1240)).all(axis=1).reshape(view.shape)
        assert inside.mean() > 0.5
        assert np.abs(view - want[:, axis].reshape(view.shape))[inside].max() < 0.02
    fresh = warped_pyramid(Image((ramp.astype(np.float32),), 0.25), transform, (1400, 1400), 0.25).levels[0]
    pieces = np.hstack([fresh[390:1000, start : min(start + 201, 1100)] for start in range(417, 1100, 201)])
    assert np.abs(pieces - view)[inside].max() < 0.02


def test_a_bend_reads_its_patch_and_nothing_where_there_is_no_source():
    levels = tuple(GuardedArray(lv, (900, 900)) for lv in morphology())
    transform = bent()
    warped = warped_pyramid(Image(levels, 0.25), transform, (9000, 9000), 0.25)
    assert sum(lv.reads for lv in levels) == 0
    assert warped.levels[0][400:700, 600:900].any() and levels[0].reads == 1
    assert not warped.levels[0][7000:7300, 7000:7300].any() and levels[0].reads == 1


def test_without_a_bend_the_matrix_is_drawn_as_before():
    image = Image(tuple(morphology()), 0.25)
    straight = Transform(TURNED, "morphology_px", "he_px")
    none = splines.Spline(np.array([[0.0, 0], [9, 0], [0, 9]]), np.zeros((3, 2)), np.zeros((3, 2)))
    flat = Transform(TURNED, "morphology_px", "he_px", "spline", bend=Bend(none, np.eye(3)))
    one, other = (warped_pyramid(image, t, TARGET, 0.25).levels[0][200:800, 500:1000] for t in (straight, flat))
    assert one.std() > 5000 and np.abs(one.astype(int) - other).max() < 400
