"""Pictures laid onto one another: any turn, mirrored or not, a part on a whole, and what is not known stays out."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from napari_pixelgene.arithmetic import rough
from napari_pixelgene.arithmetic.rough import Picture

ROWS, COLUMNS = 150, 190


def tissue(seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A lopsided outline 0..1 with a texture inside, (rows, columns) each."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:ROWS, :COLUMNS] + 0.5
    angle = np.arctan2(y - 70, x - 90)
    reach = 48 + 9 * np.cos(angle + 0.4) + 6 * np.cos(3 * angle) + 4 * np.sin(2 * angle)
    outline = np.clip(reach - np.hypot(y - 70, (x - 90) / 1.2), 0, 1)
    texture = ndimage.gaussian_filter(rng.normal(size=(ROWS, COLUMNS)), 3)
    return outline, np.clip(texture / texture.std(), -2.5, 2.5) * outline


def picture(outline: np.ndarray, texture: np.ndarray, weight: np.ndarray | None = None) -> Picture:
    known = np.ones(outline.shape) if weight is None else weight
    return Picture(np.stack([2 * outline, texture]).astype(np.float32), known.astype(np.float32))


def moved(image: np.ndarray, matrix: np.ndarray, yx_shape: tuple[int, int], cval: float = 0.0) -> np.ndarray:
    """`image` seen through `matrix` (from the result's pixels to the image's, continuous coordinates)."""
    x, y = np.meshgrid(np.arange(yx_shape[1]) + 0.5, np.arange(yx_shape[0]) + 0.5)
    there = matrix @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return ndimage.map_coordinates(image, there[1::-1] - 0.5, order=1, cval=cval).reshape(yx_shape)


def similarity(degrees: float, mirrored: bool, yx_shape: tuple[int, int], scale: float = 1.0) -> np.ndarray:
    """About the middles of a picture of `yx_shape` and of the tissue."""
    a = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag([-1 if mirrored else 1, 1])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, np.array([93.0, 71.0]) - turn @ np.array(yx_shape[::-1]) / 2
    return matrix


def off(found: np.ndarray, true: np.ndarray, yx_shape: tuple[int, int]) -> float:
    """Median distance in fixed pixels between two matrices over a picture."""
    x, y = np.meshgrid(np.linspace(0, yx_shape[1], 9), np.linspace(0, yx_shape[0], 9))
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    return float(np.median(np.hypot(*((found - true) @ points)[:2])))


@pytest.mark.parametrize(("degrees", "mirrored"), [(97, False), (181.5, True), (-49, True)])
def test_any_turn_and_mirror_is_found(degrees: float, mirrored: bool) -> None:
    """The frame is larger than the tissue and of another shape; coordinates are exact to a fraction of a pixel."""
    fixed, shape = tissue(), (180, 165)
    true = similarity(degrees, mirrored, shape)
    moving = picture(*(moved(part, true, shape) for part in fixed))
    best, *others = rough.place(picture(*fixed), moving)
    assert off(best.matrix, true, shape) < 0.2
    assert best.score > 0.95 and all(p.score < 0.8 * best.score for p in others)


def test_a_shift_leads_back_from_anywhere() -> None:
    """Turned and mirrored; the way back is at last far longer than the tissue is wide."""
    fixed, shape = tissue(), (180, 165)
    true = similarity(-49, True, shape)
    moving = picture(*(moved(part, true, shape) for part in fixed))
    for shift in ([7.0, -4.0], [61.0, -38.0], [-5000.0, 900.0]):
        away = true.copy()
        away[:2, 2] += shift
        back = rough.shifted(picture(*fixed), moving, away)
        assert off(back.matrix, true, shape) < 0.2 and back.score > 0.95


@pytest.mark.parametrize("wrong", [np.diag([100.0, 100, 1]), np.diag([0.01, 1, 1]), np.diag([1000.0, 0.001, 1])])
def test_no_shift_is_sought_for_a_scale_that_is_wrong(wrong: np.ndarray) -> None:
    """It would take gigabytes, and lead nowhere."""
    fixed = tissue()
    tracemalloc.start()
    stays = rough.shifted(picture(*fixed), picture(*fixed), wrong)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 30e6 and stays.score < 0.3
    np.testing.assert_array_equal(stays.matrix, wrong)


def test_a_part_without_an_edge_is_found_by_its_texture() -> None:
    fixed, shape = tissue(), (44, 60)
    true = similarity(64, False, shape)
    parts = [moved(part, true, shape) for part in fixed]
    assert parts[0].min() > 0.99  # test invalid: the part shows an edge
    best = rough.place(picture(*fixed), picture(*parts))[0]
    assert off(best.matrix, true, shape) < 0.5


def test_a_larger_one_is_laid_on_its_part() -> None:
    """The moving picture shows all, the fixed one a corner of it."""
    whole, shape = tissue(), (170, 200)
    true = similarity(-120, True, shape)
    moving = picture(*(moved(part, true, shape) for part in whole))
    corner = picture(*(part[30:95, 60:150] for part in whole))
    shift = np.array([[1, 0, -60], [0, 1, -30], [0, 0, 1.0]])
    assert off(rough.place(corner, moving)[0].matrix, shift @ true, shape) < 0.5


def test_the_scale_is_found_among_those_given_and_drifts_a_little() -> None:
    fixed, shape = tissue(), (150, 150)
    true = similarity(33, False, shape, scale=1.28)
    moving = picture(*(moved(part, true, shape) for part in fixed))
    assert off(rough.place(picture(*fixed), moving, (1.0, 1.25))[0].matrix, true, shape) < 0.5
    near = similarity(33, False, shape, scale=1.05)
    drifted = picture(*(moved(part, near, shape) for part in fixed))
    assert off(rough.place(picture(*fixed), drifted)[0].matrix, near, shape) < 0.5


def test_what_has_no_weight_is_not_seen() -> None:
    """Ink over a third of the tissue, as dark as can be: without weight it changes nothing."""
    outline, texture = tissue()
    shape = (160, 160)
    true = similarity(140, False, shape)
    moving = picture(moved(outline, true, shape), moved(texture, true, shape))
    inked, weight = texture.copy(), np.ones_like(texture)
    inked[20:120, 40:80], weight[20:120, 40:80] = 40.0, 0.0
    spoilt = rough.place(picture(outline, inked), moving)[0]
    best = rough.place(picture(outline, inked, weight), moving)[0]
    assert off(best.matrix, true, shape) < 0.5
    assert best.score > 0.9 > 0.5 > spoilt.score


def test_agreement_is_one_for_itself_and_none_beside_it() -> None:
    both = picture(*tissue())
    assert rough.agreement(both, both, np.eye(3)) == pytest.approx(1, abs=0.05)
    away = np.array([[1, 0, 400.0], [0, 1, 0], [0, 0, 1]])
    assert rough.agreement(both, both, away) == 0


def test_nothing_is_placed_on_nothing() -> None:
    empty = picture(np.zeros((40, 50)), np.zeros((40, 50)))
    assert rough.place(empty, empty) == []


def test_the_work_is_told_and_can_be_stopped() -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert 0 <= done <= total
        if done == 5:
            raise Stop

    both = picture(*tissue())
    with pytest.raises(Stop):
        rough.place(both, both, tick=stop)
