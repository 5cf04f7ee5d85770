"""Proposals in words: which image, which level, which rows; and the pairs they lead to."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.stages.mispairings import Proposal, Surroundings, outside, proposed

# Morphology 7.2 × 4.5 mm at 0.2125 µm; an H&E at 0.35 µm, turned by 90°.
AROUND = Surroundings(0.2125, 0.35, (21_000, 34_000), (21_500, 14_000))
TURN = np.array([[0.02, -1.0], [1.01, 0.01]]) * 0.2125 / 0.35
RNG = np.random.default_rng(4)
MOVING = RNG.uniform(0.05, 0.95, (9, 2)) * [34_000, 21_000]
FIXED = MOVING @ TURN.T + [13_300, 300]
GOOD = Keypoints(MOVING, FIXED, enabled=np.arange(9) != 4)


def words(keypoints: Keypoints, around: Surroundings = AROUND) -> str:
    found = proposed(keypoints, around)
    assert found is not None
    return found.words


def same(found: Proposal | None) -> bool:
    assert found is not None and found.keypoints is not None
    meant = found.keypoints
    np.testing.assert_array_equal(meant.enabled, GOOD.enabled)
    return np.allclose(meant.moving_xy, MOVING) and np.allclose(meant.fixed_xy, FIXED)


def test_good_pairs_need_no_proposal() -> None:
    assert proposed(GOOD, AROUND) is None and outside(GOOD, AROUND) == ""


def test_each_proposal_names_what_to_do_and_does_it() -> None:
    flags = {"enabled": GOOD.enabled}
    swapped = Keypoints(FIXED, MOVING, **flags)
    assert words(swapped) == "These pairs fit if the points of the morphology image and of the H&E are swapped."
    turned = Keypoints(MOVING, FIXED[:, ::-1], **flags)
    assert words(turned) == "These pairs fit if x and y of the points of the H&E are swapped."
    coarse = Keypoints(MOVING, FIXED / 4, **flags)
    assert words(coarse) == "These pairs fit if the points of the H&E are pixels of pyramid level 2 (times 4)."
    large = Keypoints(MOVING * 8, FIXED, **flags)
    expected = "if the points of the morphology image were scaled by 8 once too often, as for pyramid level 3."
    assert words(large) == f"These pairs fit {expected}"
    for wrong in (swapped, turned, coarse, large):
        assert same(proposed(wrong, AROUND))  # the pair that is switched off too


def test_the_order_of_rows() -> None:
    on = Keypoints(MOVING, FIXED[::-1])
    assert words(on) == "These pairs fit if the points of the H&E are taken in the opposite order."
    swap = FIXED[[0, 1, 3, 2, 4, 5, 7, 6, 8]]
    found = proposed(Keypoints(MOVING, swap), AROUND)
    assert found is not None and found.keypoints is not None
    assert found.words.endswith("in another order: 3 with 4, 4 with 3, 7 with 8, 8 with 7.")
    np.testing.assert_allclose(found.keypoints.fixed_xy, FIXED)
    gone = Keypoints(MOVING[:8], FIXED[1:])
    shifted = proposed(gone, AROUND)
    assert shifted is not None and shifted.words.startswith("7 of 8 pairs fit if") and shifted.keypoints is not None
    assert len(shifted.keypoints) == 7


def test_what_may_be_meant_in_two_ways_is_not_decided() -> None:
    found = proposed(Keypoints(MOVING, FIXED[:, ::-1]), Surroundings(0.2125, 0.35))
    assert found is not None and found.keypoints is None and found.clear is None
    assert "x and y of the points of the morphology image are swapped; or if x and y of the points" in found.words


# Two images of nearly one size, unturned.
SQUARE = Surroundings(0.5, 0.5, (8_100, 8_000), (8_000, 8_200))
PLAIN = RNG.uniform(0.05, 0.95, (8, 2)) * 8_000


def test_a_reflection_about_the_diagonal_is_x_and_y_swapped_where_that_is_simpler() -> None:
    """Unturned, on a wide H&E: the mirror, which would have to be turned as well, is named and not taken."""
    wide = Surroundings(0.5, 0.5, (8_100, 8_000), (12_000, 24_000))
    there = PLAIN * [1.01, 1] + [12_000, 2_000]
    found = proposed(Keypoints(PLAIN[:, ::-1], there), wide)
    assert found is not None and found.keypoints is not None
    assert found.words == (
        "These pairs fit if x and y of the points of the morphology image are swapped (a mirrored image that is turned "
        "by a right angle as well would explain them too)."
    )
    np.testing.assert_array_equal(found.keypoints.moving_xy, PLAIN)
    assert [one.is_mirror for one in found.readings] == [False, True]
    assert found.clear is found.readings[0] and not found.is_mirror  # offered, though the mirror is named
    both = proposed(Keypoints(PLAIN[:, ::-1], PLAIN * [1.01, 1] + [40, -10]), SQUARE)
    assert (
        both is not None and both.keypoints is None and [one.is_mirror for one in both.readings] == [False, False, True]
    )


def test_a_plain_mirror_is_the_first_reading_and_nothing_is_taken() -> None:
    """Left and right changed, nothing turned: x and y swapped would have to turn by a right angle."""
    over = np.stack([8_200 - PLAIN[:, 0], PLAIN[:, 1]], axis=1)
    found = proposed(Keypoints(PLAIN, over), SQUARE)
    assert found is not None and found.keypoints is None and found.readings[0].is_mirror and len(found.readings) > 1
    assert found.words.startswith("These pairs fit in several ways: if one image is mirrored; or if x and y")
    assert proposed(Keypoints(PLAIN, over), SQUARE, allow_mirror=True) is None


def test_a_mirror_that_lies_better_is_no_swap() -> None:
    """On images that are far from square the images tell: no proposal, the pairs are mirrored."""
    over = np.stack([14_000 - FIXED[:, 0], FIXED[:, 1]], axis=1)
    assert proposed(Keypoints(MOVING, over), AROUND) is None


@pytest.mark.parametrize("far", [(60_000.0, 0), (0, -25_000.0)])
def test_pairs_of_another_image(far: tuple[float, float]) -> None:
    elsewhere = Keypoints(MOVING, FIXED + far, enabled=GOOD.enabled)
    told, on = outside(elsewhere, AROUND), elsewhere.fixed_xy[GOOD.enabled]
    count = ((on[:, 0] > 14_700) | (on[:, 1] < -1_075)).sum()
    assert count >= 6 and f"{count} of 8 points lie outside the H&E, which has 14000 × 21500 pixels (pair " in told
    assert proposed(elsewhere, AROUND) is None


def test_one_stray_point_is_no_other_image() -> None:
    one = FIXED.copy()
    one[2] += 60_000
    assert outside(Keypoints(MOVING, one), AROUND) == ""
