"""A shift that is known comes back, and noise is not taken for one."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.matching import NOTHING, best_shift, correlations

SIDE, REACH = 230, 40


def nuclei(seed: int, shift: tuple[float, float] = (0.0, 0.0), lost: float = 0.0) -> np.ndarray:
    """About 240 soft ellipses in no order, moved by `shift` (x, y); a share `lost` of them is left out."""
    rng = np.random.default_rng(seed)
    image = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(350):
        at = rng.uniform(-30, SIDE + 30, 2) + shift
        axes, angle, tone = rng.uniform(2, 5, 2), rng.uniform(0, 180), rng.uniform(0.5, 1)
        if rng.uniform() < lost:
            continue
        centre, size = np.rint(at * 16).astype(int), np.rint(axes * 16).astype(int)
        points = cv2.ellipse2Poly((0, 0), (int(size[0]), int(size[1])), int(angle), 0, 360, 10) + centre
        cv2.fillPoly(image, [points.astype(np.int32)], float(tone), cv2.LINE_8, 4)
    return cv2.GaussianBlur(image, (0, 0), 1.0)


@settings(max_examples=12, deadline=None)
@given(st.floats(-34, 34), st.floats(-34, 34), st.integers(0, 99))
def test_a_shift_comes_back(dx: float, dy: float, seed: int) -> None:
    """To a fifth of a pixel, in both axes with their signs, and clearly."""
    match = best_shift(nuclei(seed), nuclei(seed, (dx, dy)), REACH)
    assert (match.dx, match.dy) == pytest.approx((dx, dy), abs=0.2)
    assert match.is_clear and match.score > 0.9 and match.margin > 0.5 and not match.edge
    assert match.distance == pytest.approx(np.hypot(match.dx, match.dy))


def test_another_stain_with_half_the_nuclei_lost_and_noise() -> None:
    """Other brightness, a blur, noise, four in ten nuclei missing: still there and still clear."""
    rng = np.random.default_rng(7)
    other = 40 + 900 * cv2.GaussianBlur(nuclei(5, (17.0, -23.0), lost=0.4), (0, 0), 1.5)
    match = best_shift(nuclei(5), other + rng.normal(0, 90, other.shape), REACH)
    assert (match.dx, match.dy) == pytest.approx((17, -23), abs=0.5)
    assert match.is_clear and match.score < 0.75


def test_nuclei_that_are_not_there_are_not_found() -> None:
    """Of forty pictures of other nuclei none is a clear match."""
    found = [best_shift(nuclei(k), nuclei(1000 + k), REACH) for k in range(40)]
    assert not any(match.is_clear for match in found)
    assert max(match.margin for match in found) < 0.3


def test_a_straight_edge_has_no_place_along_itself() -> None:
    """An edge alone matches anywhere along it, so nothing is clear."""
    edge = (np.arange(SIDE)[:, None] + 0.4 * np.arange(SIDE) > 160).astype(np.float32)
    noise = 0.05 * np.random.default_rng(1).normal(size=(2, SIDE, SIDE))
    assert not best_shift(edge + noise[0], np.roll(edge, 9, 0) + noise[1], REACH).is_clear


def test_the_partner_beyond_the_reach_is_no_match() -> None:
    """Nuclei shifted by half as much again as is searched."""
    assert not best_shift(nuclei(2), nuclei(2, (60.0, 5.0)), REACH).is_clear


def test_what_is_missing_does_not_count() -> None:
    """A third of the moving picture is missing: the shift stays; with most of it missing there is no answer."""
    moving, there = nuclei(3, (-12.0, 8.0)), np.ones((SIDE, SIDE), bool)
    there[:, 160:] = False
    whole, fixed = np.ones((SIDE, SIDE), bool), nuclei(3)
    match = best_shift(fixed, np.where(there, moving, 99.0), REACH, (whole, there))
    assert (match.dx, match.dy) == pytest.approx((-12, 8), abs=0.3) and match.is_clear
    assert match.score < best_shift(fixed, moving, REACH).score
    there[:, 20:] = False
    assert best_shift(fixed, moving, REACH, (whole, there)) is NOTHING
    there[:, :100] = True
    assert best_shift(fixed, moving, REACH, (there, whole)) is NOTHING


def test_empty_pictures_have_no_match() -> None:
    """Glass on either side."""
    for pair in ((np.zeros((SIDE, SIDE)), nuclei(1)), (nuclei(1), np.full((SIDE, SIDE), 0.3))):
        match = best_shift(*pair, REACH)
        assert match is NOTHING and not match.is_clear and match.score == 0 and np.isnan(match.dx)


def test_correlations_are_pearsons() -> None:
    """Against numpy's own at three places; faint noise beside tissue does not correlate with anything."""
    rng = np.random.default_rng(4)
    picture, field = rng.normal(size=(2, 31, 47)).astype(np.float32)[0][:12, :17].copy(), rng.normal(size=(31, 47))
    scores = correlations(picture, field.astype(np.float32))
    assert scores.shape == (20, 31)
    for row, column in ((0, 0), (7, 19), (19, 30)):
        window = field[row : row + 12, column : column + 17]
        assert scores[row, column] == pytest.approx(np.corrcoef(picture.ravel(), window.ravel())[0, 1], abs=1e-4)
    field[:, :20] *= 1e-4
    field[:12, :17] = 1e-4 * picture
    assert abs(correlations(picture, field.astype(np.float32))[0, 0]) < 0.01


def test_shapes_that_cannot_be_are_refused() -> None:
    """Unlike shapes, and a reach that leaves nothing to look for."""
    for fixed, moving, reach in (((50, 50), (50, 60), 5), ((50, 50), (50, 50), 25)):
        with pytest.raises(ValueError, match="must be alike"):
            best_shift(np.zeros(fixed), np.zeros(moving), reach)


def test_the_same_answer_in_milliseconds() -> None:
    """Twice the same, bit for bit; tens of milliseconds at most on a busy machine."""
    pair = nuclei(8), nuclei(8, (3.3, 4.4))
    start = time.perf_counter()
    found = [best_shift(*pair, REACH) for _ in range(5)]
    assert len(set(found)) == 1
    assert (time.perf_counter() - start) / 5 < 0.2
