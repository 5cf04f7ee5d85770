"""Thin-plate splines: what they reproduce, their slopes, their way back, and errors held out in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.arithmetic import fitting, geometry, splines

RNG = np.random.default_rng(3)
CORNER = np.array([50_000.0, -3_000.0])
POINTS = RNG.uniform(0, 9000, (24, 2)) + CORNER


def bent(xy: np.ndarray, by: float = 18.0) -> np.ndarray:
    """A smooth shift (n, 2) without symmetry."""
    x, y = ((xy - CORNER) / 9000).T
    return by * np.stack([np.sin(4 * y + 0.3) + 0.4 * x * y, np.cos(3.1 * x - y)], axis=1)


@pytest.fixture(scope="module")
def spline() -> splines.Spline:
    return splines.fit(POINTS, bent(POINTS))


def test_a_smooth_shift_is_learned_and_an_affine_one_is_exact(spline: splines.Spline) -> None:
    inside = RNG.uniform(1000, 8000, (200, 2)) + CORNER
    error = np.linalg.norm(spline.forth(inside) - inside - bent(inside), axis=1)
    assert np.median(error) < 1.0 < np.median(np.linalg.norm(bent(inside), axis=1)) / 10
    linear = POINTS @ np.array([[1e-3, -4e-4], [2e-4, 3e-3]]) + (7, -50)
    plain = splines.fit(POINTS, linear)
    assert not plain.weights.any()  # nothing is left to bend
    np.testing.assert_allclose(plain.forth(POINTS), POINTS + linear, atol=1e-7)


def test_noise_is_not_followed() -> None:
    noise = np.random.default_rng(0).normal(0, 2, POINTS.shape)
    found = splines.fit(POINTS, noise)
    assert np.linalg.norm(found.forth(POINTS) - POINTS, axis=1).max() < np.linalg.norm(noise, axis=1).max()


def test_far_away_it_is_almost_affine(spline: splines.Spline) -> None:
    np.testing.assert_allclose(spline.weights.sum(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(POINTS.T @ spline.weights, 0, atol=1e-11)
    far = np.array([[1e6, 2e6], [-3e6, 1e5]])
    assert np.abs(spline.slopes(far) - np.eye(2) - spline.linear[1:].T).max() < 2e-3


def test_the_slopes_are_those_of_the_map(spline: splines.Spline) -> None:
    xy, step = RNG.uniform(-2000, 11_000, (50, 2)) + CORNER, 1e-2
    sides = [(spline.forth(xy + d) - spline.forth(xy - d)) / (2 * step) for d in (np.array([step, 0]), (0, step))]
    np.testing.assert_allclose(spline.slopes(xy), np.stack(sides, axis=2), atol=1e-7)
    at_centres = spline.slopes(spline.centres)
    assert np.isfinite(at_centres).all()


def test_the_way_back_is_exact_in_any_number_of_points(spline: splines.Spline) -> None:
    xy = RNG.uniform(-9000, 18_000, (3000, 2)) + CORNER
    np.testing.assert_allclose(spline.forth(spline.back(xy)), xy, atol=1e-8)
    np.testing.assert_allclose(spline.back(spline.forth(xy)), xy, atol=1e-7)
    assert np.isnan(spline.back(np.array([[np.nan, 1.0]]))).all()
    assert spline.back(np.zeros((0, 2))).shape == (0, 2)


def test_where_it_folds_the_areas_say_so() -> None:
    torn = bent(POINTS)
    torn[np.argsort(POINTS[:, 0])[::2]] += (4000, 0)
    folded = splines._Modes.of(POINTS).spline(torn, 1e-6)
    box = (POINTS.min(axis=0), POINTS.max(axis=0))
    assert splines.areas(folded, box).min() < 0
    assert 0.9 < splines.areas(splines.fit(POINTS, bent(POINTS)), box).min() < 1


@pytest.mark.parametrize("smoothing", [1e-6, 1e-2, 1.0, np.inf])
def test_leaving_out_in_closed_form_is_leaving_out(smoothing: float) -> None:
    values = bent(POINTS) + np.random.default_rng(1).normal(0, 1, POINTS.shape)
    modes = splines._Modes.of(POINTS)
    strength = smoothing * modes.stiff.max()
    for i in (0, 7, 23):
        rest = np.arange(24) != i
        others = splines._Modes.of(POINTS[rest])
        same = others.spline(values[rest], smoothing if np.isinf(smoothing) else strength / others.stiff.max())
        miss = np.linalg.norm(same.forth(POINTS[i : i + 1]) - POINTS[i] - values[i])
        assert modes.held_out(values, smoothing)[i] == pytest.approx(miss, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(0.05, 20), st.booleans(), st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)))
def test_turning_and_scaling_both_images_turns_the_spline(
    angle: float, scale: float, mirror: bool, shift: tuple[float, float]
) -> None:
    """Whatever similarity carries the plane, the fit is carried along: the smoothing has no unit of its own."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([1.0, -1.0 if mirror else 1.0])
    values = bent(POINTS) + np.random.default_rng(1).normal(0, 1, POINTS.shape)
    ask = np.random.default_rng(4).uniform(0, 9000, (20, 2)) + CORNER
    here = splines.fit(POINTS, values).forth(ask) @ turn.T + shift
    there = splines.fit(POINTS @ turn.T + shift, values @ turn.T).forth(ask @ turn.T + shift)
    np.testing.assert_allclose(there, here, atol=1e-5 * scale + 1e-7)


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 7 pairs, got 6"):
        splines.fit(POINTS[:6], bent(POINTS[:6]))


# The face that a spline shares with the matrices


def pairs(count: int, sd: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Turned by 75°, mirrored and bent."""
    turn = np.array([[0.26, 0.97], [0.97, -0.26]])
    source = RNG.uniform(0, 9000, (count, 2))
    target = source @ turn.T + bent(source + CORNER) + (200, 9000)
    return source, target + np.random.default_rng(count).normal(0, sd, (count, 2))


def test_a_spline_bends_the_affine_fit() -> None:
    source, target = pairs(30)
    found, plain = (fitting.fit(kind, source, target) for kind in ("spline", "affine"))
    np.testing.assert_array_equal(found.matrix, geometry.fit("affine", source, target))
    assert found.misses(source, target).max() < plain.misses(source, target).max() / 3
    held = fitting.leave_one_out("spline", source, target)
    assert np.median(held) < np.median(fitting.leave_one_out("affine", source, target)) / 3
    assert (held > found.misses(source, target)).mean() > 0.9


def test_held_out_errors_of_many_pairs_come_in_closed_form() -> None:
    source, target = pairs(61)
    held = fitting.leave_one_out("spline", source, target)
    one_by_one = [
        fitting.fit("spline", source[np.arange(61) != i], target[np.arange(61) != i]).misses(
            source[i : i + 1], target[i : i + 1]
        )[0]
        for i in range(0, 61, 6)
    ]
    np.testing.assert_allclose(held[::6], one_by_one, rtol=0.5)
    assert np.median(held[::6] / one_by_one) == pytest.approx(1, abs=0.1)


def test_growing_takes_in_what_is_foretold_and_no_wrong_pair() -> None:
    source, target = pairs(30)
    target[4] += (60, 30)
    start = np.ones(30, dtype=bool)
    start[[4, 9, 17]] = False
    assert np.flatnonzero(~fitting.grown(source, target, start, 15.0)).tolist() == [4]


@pytest.mark.parametrize("kind", fitting.KINDS)
def test_every_kind_says_when_it_has_too_few_pairs(kind: fitting.Kind) -> None:
    source, target = pairs(fitting.MINIMUM_PAIRS[kind])
    assert (
        not fitting.is_degenerate(kind, source) and np.isfinite(fitting.fit(kind, source, target).apply(source)).all()
    )
    assert kind == "translation" or fitting.is_degenerate(kind, source[: 1 if kind != "spline" else 6])
