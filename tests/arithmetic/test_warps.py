import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guarded import GuardedArray
from napari_pixelgene.arithmetic.resampling import halve
from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.arithmetic.warps import forward, stretch, warp_region


def box(top: int, left: int, height: int, width: int) -> Tile:
    return Tile(Span(top, top + height), Span(left, left + width))


def smooth(rows: int, columns: int, channels: int = 0, seed: int = 1) -> np.ndarray:
    shape = (rows // 12 + 2, columns // 12 + 2, *((channels,) if channels else ()))
    coarse = np.random.default_rng(seed).integers(20, 236, shape).astype(np.uint8)
    return cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)


def pyramid(image: np.ndarray, count: int) -> list[np.ndarray]:
    levels = [image]
    for _ in range(count - 1):
        levels.append(halve(levels[-1]))
    return levels


def turned(angle: float = 17, scale: float = 0.9, shift=(120, 40), lean=(1e-4, -6e-5)) -> np.ndarray:
    """An asymmetric homography: turned, scaled, shifted, in perspective."""
    a = np.deg2rad(angle)
    return np.array(
        [
            [scale * np.cos(a), -scale * np.sin(a), shift[0]],
            [scale * np.sin(a), scale * np.cos(a), shift[1]],
            [*lean, 1.0],
        ]
    )


def by_definition(image: np.ndarray, matrix: np.ndarray, scale: tuple[float, float], row: int, column: int) -> float:
    """Bilinear value at the place a target pixel's centre comes from, 0 beyond the source."""
    x, y, w = np.linalg.inv(matrix) @ ((column + 0.5) * scale[1], (row + 0.5) * scale[0], 1)
    x, y = x / w - 0.5, y / w - 0.5
    j, i = int(np.floor(x)), int(np.floor(y))
    value = 0.0
    for di, dj in ((0, 0), (0, 1), (1, 0), (1, 1)):
        if 0 <= i + di < image.shape[0] and 0 <= j + dj < image.shape[1]:
            value += image[i + di, j + dj] * (1 - abs(y - i - di)) * (1 - abs(x - j - dj))
    return value


def test_identity_and_whole_shifts_are_exact():
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp_region([image], np.eye(3), (1, 1), box(0, 0, 90, 70)), image)
    shift = np.array([[1, 0, 5], [0, 1, -7], [0, 0, 1]])
    out = warp_region([image], shift, (1, 1), box(10, 20, 30, 40))
    np.testing.assert_array_equal(out, image[17:47, 15:55])


def test_a_pixel_comes_from_where_the_matrix_says():
    image, matrix = smooth(400, 300), turned()
    out = warp_region([image], matrix, (1, 1), box(60, 90, 200, 180))
    for row, column in ((0, 0), (13, 170), (100, 90), (199, 3), (150, 155)):
        expected = by_definition(image.astype(float), matrix, (1, 1), row + 60, column + 90)
        assert out[row, column] == pytest.approx(expected, abs=1.5)


def test_half_pixel_corners_hold_at_coarse_levels():
    # A ramp in x keeps its value at each level's true centre: a missing half pixel would show as 1.5 or 3.5.
    ramp = np.broadcast_to(np.arange(512, dtype=np.float32) + 0.5, (512, 512)).copy()
    for scale in (2, 4, 8):
        out = warp_region(pyramid(ramp, 4), np.eye(3), (scale, scale), box(8, 8, 40, 40))
        np.testing.assert_allclose(out[5], (np.arange(8, 48) + 0.5) * scale, atol=0.02)


@given(
    angle=st.floats(-180, 180),
    scale=st.floats(0.4, 1.6),
    lean=st.tuples(st.floats(-2e-4, 2e-4), st.floats(-2e-4, 2e-4)),
    top=st.integers(0, 250),
    left=st.integers(0, 250),
)
@settings(max_examples=60, deadline=None)
def test_a_region_equals_the_same_part_of_a_whole_image_warp(angle, scale, lean, top, left):
    image, matrix = smooth(310, 270), turned(angle, scale, (250, 200), lean)
    matrix = forward(matrix, image.shape)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    whole = cv2.warpPerspective(image, np.linalg.inv(half) @ matrix @ half, (400, 400))
    out = warp_region([image], matrix, (1, 1), box(top, left, 64, 48), wanted=1.0)
    # cv2 draws both sides of the horizon; ours only the side the source is on.
    y, x = np.mgrid[top : top + 64, left : left + 48]
    seen = np.tensordot(np.linalg.inv(matrix)[2], np.stack([x + 0.5, y + 0.5, np.ones_like(x)]), axes=1) > 1e-3
    difference = np.abs(out.astype(int) - whole[top : top + 64, left : left + 48])[seen]
    assert difference.size == 0 or difference.max() <= 1


def test_regions_and_halvings_meet_without_seams(monkeypatch):
    image, matrix = smooth(500, 420, 3), turned()
    whole = warp_region([image], matrix, (1, 1), box(0, 0, 500, 500), wanted=1.0)
    part = warp_region([image], matrix, (1, 1), box(111, 77, 130, 90), wanted=1.0)
    assert np.abs(part.astype(int) - whole[111:241, 77:167]).max() <= 1
    monkeypatch.setattr("napari_pixelgene.arithmetic.warps._PATCH_PIXELS", 2000)
    pieces = warp_region([GuardedArray(image, (200, 200))], matrix, (1, 1), box(0, 0, 500, 500), wanted=1.0)
    assert np.abs(pieces.astype(int) - whole).max() <= 1 and whole.any()


def test_an_enlarged_region_has_the_neighbours_it_interpolates_with():
    image, matrix = np.random.default_rng(2).integers(0, 256, (60, 50), dtype=np.uint8), np.diag([8.0, 8.0, 1.0])
    whole = warp_region([image], matrix, (1, 1), box(0, 0, 480, 400))
    # The region begins where a source pixel does, so its first samples lean on the pixel before.
    np.testing.assert_allclose(
        warp_region([image], matrix, (1, 1), box(80, 160, 40, 48)), whole[80:120, 160:208], atol=1
    )


def test_only_the_patch_of_the_right_level_is_read():
    image = smooth(2000, 1600)
    levels = [GuardedArray(lv, (0, 0) if k != 2 else (120, 120)) for k, lv in enumerate(pyramid(image, 4))]
    matrix = turned(scale=1.0, lean=(0, 0))
    out = warp_region(levels, matrix, (4.2, 4.2), box(100, 60, 64, 64))
    assert out.any() and levels[2].reads == 1
    assert out[30, 20] == pytest.approx(by_definition(image.astype(float), matrix, (4.2, 4.2), 130, 80), abs=6)


def test_a_source_without_coarse_levels_is_averaged_not_skipped():
    noise = np.random.default_rng(0).integers(0, 256, (800, 800), dtype=np.uint8)
    out = warp_region([noise], np.eye(3), (8, 8), box(10, 10, 60, 60))
    assert out.mean() == pytest.approx(127.5, abs=2) and out.std() < 15, "point samples would have a deviation of 74"


def test_beyond_the_source_and_behind_the_horizon_is_nothing():
    image = np.full((300, 300), 200, np.uint8)
    source = GuardedArray(image, (300, 300))
    assert not warp_region([source], np.eye(3), (1, 1), box(400, 0, 50, 50)).any() and source.reads == 0
    leaning = np.array([[1, 0, 0], [0, 1, 0], [0.002, 0, 1.0]])  # x' = x / (1 + 0.002 x) < 500 for all x > 0
    out = warp_region([image], leaning, (1, 1), box(0, 0, 60, 900))
    assert (out[30, 2:180] == 200).all() and not out[:, 190:].any()
    np.testing.assert_array_equal(out, warp_region([image], -leaning, (1, 1), box(0, 0, 60, 900)))


def test_stretch_is_the_local_enlargement():
    matrix, at, step = turned(), np.array([130.0, 90.0]), 1e-4

    def move(x: float, y: float) -> np.ndarray:
        a, b, w = matrix @ (x, y, 1)
        return np.array([a / w, b / w])

    jacobian = np.stack(
        [(move(at[0] + step, at[1]) - move(*at)) / step, (move(at[0], at[1] + step) - move(*at)) / step]
    )
    assert stretch(matrix, *at) == pytest.approx(np.sqrt(abs(np.linalg.det(jacobian))), rel=1e-4)
