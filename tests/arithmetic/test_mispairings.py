"""Mistakes in pairs are told by their kind and undone; pairs that are merely noisy are left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.mispairings import Side, explain, strays

THRESHOLD = 15.0
SPAN = np.array([34_000.0, 21_000.0])


def slide(seed: int, count: int, noise_um: float = 2.0) -> tuple[Side, Side]:
    """Pairs on a morphology image of 7.2 × 4.5 mm and on the H&E of the same tissue, turned and a little sheared."""
    rng = np.random.default_rng(seed)
    um = rng.uniform(0.05, 0.95, (count, 2)) * SPAN * 0.2125
    angle = rng.choice([0, 90, 180, 270]) * np.pi / 180 + rng.normal(0, 0.05)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag(1 + rng.normal(0, 0.01, 2))
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * SPAN * 0.2125 @ turn.T
    low, high = corners.min(axis=0) - rng.uniform(50, 800, 2), corners.max(axis=0) + rng.uniform(50, 800, 2)
    he = um @ turn.T - low + rng.normal(0, noise_um, (count, 2))
    return Side(um / 0.2125, 0.2125, tuple(SPAN)), Side(he / 0.35, 0.35, tuple((high - low) / 0.35))


def moved(side: Side, xy: np.ndarray) -> Side:
    return replace(side, xy=xy)


def only(source: Side, target: Side, **options: bool) -> tuple[str, float, np.ndarray, np.ndarray]:
    (found,) = explain(source, target, THRESHOLD, **options)
    return found.fault, found.factor, found.source, found.target


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 25), noise=st.floats(0, 4), wrong=st.integers(0, 3))
def test_noisy_pairs_with_a_few_wrong_ones_are_left_alone(seed: int, count: int, noise: float, wrong: int) -> None:
    source, target = slide(seed, count, noise)
    rng = np.random.default_rng(seed)
    xy = target.xy.copy()
    rows = rng.choice(count, min(wrong, count // 6), replace=False)
    xy[rows] = rng.uniform(0, 1, (len(rows), 2)) * target.span
    for sizes in ((0.2125, 0.35), (None, 0.35)):
        for spans in ((source.span, target.span), (None, None)):
            left, right = Side(source.xy, sizes[0], spans[0]), Side(xy, sizes[1], spans[1])
            assert explain(left, right, THRESHOLD) == []


@pytest.mark.parametrize("seed", range(4))
def test_each_mistake_is_told_and_undone(seed: int) -> None:
    source, target = slide(seed, 9)
    shuffled = np.random.default_rng(seed).permutation(9)
    cases = {
        "sides": (moved(source, target.xy), moved(target, source.xy)),
        "source_scale": (moved(source, source.xy / 8), target),
        "target_scale": (source, moved(target, target.xy / 4)),
        "reversed": (source, moved(target, target.xy[::-1])),
        "order": (source, moved(target, target.xy[shuffled])),
    }
    for fault, sides in cases.items():
        told, factor, left, right = only(*sides)
        assert told == fault and factor == {"source_scale": 8, "target_scale": 4}.get(fault, 1)
        for one, other in zip(left, right, strict=True):  # each pair is one of the true ones
            at = int(np.linalg.norm(source.xy - one, axis=1).argmin())
            np.testing.assert_allclose([*one, *other], [*source.xy[at], *target.xy[at]])
        assert len(left) == 9
    outside = moved(target, target.xy * 4)
    assert len(strays(source, outside)[1]) > 5 and not len(strays(source, target)[1])
    assert only(source, outside)[:2] == ("target_scale", 0.25)


def test_x_and_y_swapped_in_one_image() -> None:
    """Told apart by where the images then lie; without their sizes either may be meant, and both are said."""
    told = []
    for seed in range(20):
        source, target = slide(seed, 8)
        for fault, sides in (("source_xy", (source.turned(), target)), ("target_xy", (source, target.turned()))):
            found = explain(*sides, THRESHOLD)
            assert fault in [one.fault for one in found]
            told.append(len(found) == 1)
            blind = explain(*(replace(side, span=None) for side in sides), THRESHOLD)
            assert {one.fault for one in blind} == {"source_xy", "target_xy"}
            allowed = [one.fault for one in explain(*sides, THRESHOLD, allow_mirror=True)]
            assert allowed == [one.fault for one in found if not one.rival]
    assert np.mean(told) > 0.8


@pytest.mark.parametrize("seed", range(12))
def test_a_slide_that_was_turned_over_is_not_taken_for_swapped_x_and_y(seed: int) -> None:
    source, target = slide(seed, 9)
    over = np.stack([target.span[0] - target.xy[:, 0], target.xy[:, 1]], axis=1)
    assert not any(one.clear for one in explain(source, moved(target, over), THRESHOLD))
    assert explain(source, moved(target, over), THRESHOLD, allow_mirror=True) == []


def near_square(seed: int, turn_deg: float) -> tuple[Side, Side]:
    """Pairs on two images of nearly the same, nearly square extent, turned against one another about their middles."""
    rng = np.random.default_rng(seed)
    um, angle = rng.uniform(300, 3700, (9, 2)), np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    he = (um - [2000, 2050]) @ turn.T + [2050, 2000] + rng.normal(0, 2, um.shape)
    return Side(um / 0.2125, 0.2125, (4000 / 0.2125, 4100 / 0.2125)), Side(he / 0.35, 0.35, (4100 / 0.35, 4000 / 0.35))


@pytest.mark.parametrize("turn_deg", [0.0, 8.0, 176.0, -12.0])
def test_where_both_could_explain_it_what_turns_nothing_is_simpler(turn_deg: float) -> None:
    """Unturned and with x and y swapped: a mirror would have to turn by a right angle as well."""
    source, target = near_square(3, turn_deg)
    for side, pair in (("source_xy", (source.turned(), target)), ("target_xy", (source, target.turned()))):
        found = explain(*pair, THRESHOLD)
        assert side in [one.fault for one in found] and all(one.rival and one.simpler and one.clear for one in found)
        assert explain(*pair, THRESHOLD, allow_mirror=True) == []


@pytest.mark.parametrize("turn_deg", [0.0, 8.0, 176.0])
def test_where_both_could_explain_it_a_plain_mirror_is_simpler(turn_deg: float) -> None:
    """A slide turned over and not turned: x and y swapped would have to turn by a right angle."""
    source, target = near_square(4, turn_deg)
    over = moved(target, np.stack([target.span[0] - target.xy[:, 0], target.xy[:, 1]], axis=1))
    found = explain(source, over, THRESHOLD)
    assert found and all(one.rival and not one.simpler and not one.clear for one in found)
    assert explain(source, over, THRESHOLD, allow_mirror=True) == []


def test_points_beyond_their_image_tell_swapped_from_mirrored() -> None:
    """On a wide image, read as (row, column): no mirror puts such points back."""
    source, target = slide(2, 9)
    wide = moved(source, source.xy[:, ::-1])
    assert len(strays(wide, target)[0]) > 1
    for allowed in (False, True):
        (found,) = explain(wide, target, THRESHOLD, allow_mirror=allowed)
        assert found.fault == "source_xy" and not found.rival
        np.testing.assert_array_equal(found.source, source.xy)


def test_one_row_too_many_shifts_the_others() -> None:
    source, target = slide(3, 12)
    (found,) = explain(source, moved(target, np.roll(target.xy, 1, axis=0)), THRESHOLD)
    assert found.fault == "order" and list(found.target_rows[found.rows < 11]) == list(range(1, 12))
    np.testing.assert_allclose(found.target, target.xy[found.rows])


def test_chaos_is_not_explained() -> None:
    source, target = slide(1, 12)
    rng = np.random.default_rng(0)
    for _ in range(10):
        assert explain(source, moved(target, rng.uniform(0, 1, (12, 2)) * target.span), THRESHOLD) == []
    close = Side(rng.uniform(0, 60, (12, 2)), 1.0)  # any order fits within the threshold somewhere
    assert explain(close, Side(rng.uniform(0, 60, (12, 2)), 1.0), THRESHOLD) == []
    assert explain(Side(np.full((3, 2), np.nan)), Side(np.zeros((3, 2))), THRESHOLD) == []
    line = np.stack([np.arange(6.0) * 100, np.arange(6.0) * 50], axis=1)
    assert explain(Side(line, 1.0), Side(line + 5, 1.0), THRESHOLD) == []
