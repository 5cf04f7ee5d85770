"""Bent transforms: forth and back, chained with matrices on either side, their local geometry, their numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.arithmetic import splines
from napari_pixelgene.arithmetic.geometry import apply_matrix
from napari_pixelgene.elements.alignment import Bend, Transform

MPP = 0.2738
# Turned by 110°, mirrored, with a shear: morphology pixels to H&E pixels.
MATRIX = np.array([[-0.27, 0.71, 9000.0], [0.74, 0.26, -4000.0], [0, 0, 1]])
XY = np.random.default_rng(0).uniform(0, 40_000, (300, 2))


def bent(seed: int = 0, by_um: float = 25.0) -> Transform:
    """As a fit makes it: the spline in the H&E's µm."""
    rng = np.random.default_rng(seed)
    flat_um = apply_matrix(MATRIX, rng.uniform(0, 40_000, (20, 2))) * MPP
    x, y = (flat_um / 8000).T
    shift = by_um * np.stack([np.sin(5 * y + x), np.cos(4 * x) * y], axis=1)
    spline = splines.fit(flat_um, shift)
    return Transform(MATRIX, "morphology_px", "he_px", "spline", bend=Bend(spline, np.diag([1 / MPP, 1 / MPP, 1])))


def test_the_matrix_alone_is_off_by_the_bend() -> None:
    off = np.linalg.norm(bent().apply(XY) - apply_matrix(MATRIX, XY), axis=1) * MPP
    assert np.median(off) > 8 and off.max() < 80


def test_forth_and_back_meet_to_a_millionth_of_a_pixel() -> None:
    there = bent()
    back = there.inverse()
    assert (back.source, back.target, back.kind) == ("he_px", "morphology_px", "spline")
    np.testing.assert_allclose(back.apply(there.apply(XY)), XY, atol=1e-6)
    np.testing.assert_allclose(there.apply(back.apply(there.apply(XY))), there.apply(XY), atol=1e-6)
    np.testing.assert_allclose(back.inverse().apply(XY), there.apply(XY), atol=1e-6)
    assert np.abs(back.apply(there.apply(XY)) - apply_matrix(back.matrix, there.apply(XY))).max() > 20


@settings(max_examples=30, deadline=None)
@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.1, 8),
    mirror=st.booleans(),
    tilt=st.floats(-3e-6, 3e-6),
    turned=st.booleans(),
)
def test_matrices_before_and_after_are_exact(
    angle: float, scale: float, mirror: bool, tilt: float, turned: bool
) -> None:
    """A bent transform, or its inverse, between two projective maps is their maps one after the other."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), 1.3 * np.cos(angle) + 0.01]])
    if abs(np.linalg.det(turn)) < 1e-2 * scale**2:
        return
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn @ np.diag([1, -1.0 if mirror else 1.0]), (70, -900)
    matrix = matrix @ np.array([[1, 0, 0], [0, 1, 0], [tilt, -tilt, 1]])
    middle = replace(bent(), source="he_um", target="he_um")
    middle = middle.inverse() if turned else middle
    before = Transform(np.linalg.inv(matrix), "stage_um", "he_um")
    after = Transform(matrix, "he_um", "he_px")
    start = before.inverse().apply(XY)
    whole = before.then(middle).then(after)
    want = after.apply(middle.apply(XY))
    np.testing.assert_allclose(whole.apply(start), want, rtol=1e-9, atol=1e-5)
    other = before.then(middle.then(after))
    np.testing.assert_allclose(other.apply(start), want, rtol=1e-9, atol=1e-5)
    np.testing.assert_allclose(whole.inverse().apply(want), start, rtol=1e-7, atol=1e-6 / scale + 1e-5)
    assert (whole.source, whole.target, whole.kind) == ("stage_um", "he_px", "spline")


@pytest.mark.parametrize("turned", [False, True])
def test_the_jacobian_and_the_local_matrix_are_those_of_the_map(turned: bool) -> None:
    transform = bent().inverse() if turned else bent()
    xy = bent().apply(XY[:40]) if turned else XY[:40]
    step = 0.5
    sides = [(transform.apply(xy + d) - transform.apply(xy - d)) / (2 * step) for d in (np.array([step, 0]), (0, step))]
    np.testing.assert_allclose(transform.jacobian(xy), np.stack(sides, axis=2), atol=1e-7)
    near = xy[0] + np.array([[0, 0], [30, -20], [-40, 10]])
    np.testing.assert_allclose(apply_matrix(transform.local_matrix(xy[0]), near), transform.apply(near), atol=0.01)
    assert np.abs(apply_matrix(transform.matrix, near) - transform.apply(near)).max() > 1


def test_two_bends_do_not_chain_and_frames_must_meet() -> None:
    with pytest.raises(ValueError, match="both bent"):
        bent().then(bent().inverse())
    with pytest.raises(ValueError, match="ends in he_px"):
        bent().then(bent())


def test_transforms_are_compared_by_what_they_map() -> None:
    one, other = bent(), bent(seed=1)
    straight = replace(one, bend=None)
    assert one.same_map(bent()) and one.same_map(replace(one, kind="given"))
    assert not one.same_map(other) and not one.same_map(straight) and not one.same_map(None)
    assert not straight.same_map(replace(straight, matrix=MATRIX + 1e-9))
    assert one.spelled() == bent().spelled() != other.spelled()
    assert straight.spelled() == {"matrix": str(MATRIX.tolist())}  # as sections have it that were made before


def test_a_bend_without_a_way_back_says_nowhere() -> None:
    """Where a bend folds, a point that nothing is taken to has no place, rather than a wrong one."""
    rng = np.random.default_rng(2)
    flat = rng.uniform(0, 1000, (12, 2))
    wild = splines.Spline(flat, rng.normal(0, 3e-2, (12, 2)), np.zeros((3, 2)))
    there = Transform(np.eye(3), "morphology_px", "he_px", "spline", bend=Bend(wild, np.eye(3)))
    asked = rng.uniform(0, 1000, (200, 2))
    found = there.inverse().apply(asked)
    known = np.isfinite(found).all(axis=1)
    np.testing.assert_allclose(there.apply(found[known]), asked[known], atol=1e-6)
