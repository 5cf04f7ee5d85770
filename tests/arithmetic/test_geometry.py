"""Fits recover known, asymmetric transforms; the robust fit keeps true pairs; the original's numbers are met."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.arithmetic import geometry

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "pixel2gene" / "homography.json").read_text())
# Asymmetric, no three on a line, in the size of a slide in pixels.
POINTS = np.array([[310, 120], [9020, 640], [8200, 7100], [700, 6500], [4100, 2900], [2600, 5200], [6900, 4400.0]])


def pairs(case: str) -> tuple[np.ndarray, np.ndarray]:
    d = VECTORS[case]
    return (
        np.array(d["morph_keypoints_xy"]) * 2 ** d["morph_level"],
        np.array(d["he_keypoints_xy"]) * 2 ** d["he_level"],
    )


def truth(kind: str, angle: float, scale: float, shear: float, tilt: float, mirrored: bool = False) -> np.ndarray:
    """A known matrix of a kind; parameters the kind has not are ignored."""
    c, s = np.cos(angle), np.sin(angle)
    linear = np.eye(2) if kind == "translation" else np.array([[c, -s], [s, c]])
    if kind not in ("translation", "rigid"):
        linear = linear * scale
    if kind in ("affine", "homography"):
        linear = linear @ np.array([[1.03, shear], [0, 0.95]])
    if mirrored:
        linear = linear @ np.diag([1.0, -1.0])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, (1234.5, -321.25)
    if kind == "homography":
        matrix = matrix @ np.array([[1, 0, 0], [0, 1, 0], [tilt, -0.6 * tilt, 1]])
    return matrix


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(geometry.KINDS),
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.05, 20),
    shear=st.floats(-0.3, 0.3),
    tilt=st.floats(-3e-5, 3e-5),
    mirrored=st.booleans(),
    spare=st.integers(0, 3),
)
def test_exact_data_gives_the_exact_transform(
    kind: geometry.Kind, angle: float, scale: float, shear: float, tilt: float, mirrored: bool, spare: int
) -> None:
    mirrored = mirrored and kind != "translation"
    matrix = truth(kind, angle, scale, shear, tilt, mirrored)
    source = POINTS[: geometry.MINIMUM_PAIRS[kind] + (mirrored and kind in ("rigid", "similarity")) + spare]
    target = geometry.apply_matrix(matrix, source)
    found = geometry.fit(kind, source, target, allow_mirror=mirrored)
    extent = np.ptp(geometry.apply_matrix(matrix, POINTS))
    assert np.abs(geometry.apply_matrix(found, POINTS) - geometry.apply_matrix(matrix, POINTS)).max() < 1e-7 * extent


def _best_scaled(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> bool:
    """Whether scaling the fit up or down about the target's centre makes it worse."""
    centre = target.mean(axis=0)
    costs = [
        np.sum((centre + scale * (geometry.apply_matrix(matrix, source) - centre) - target) ** 2)
        for scale in (0.99, 1.0, 1.01)
    ]
    return bool(costs[1] < min(costs[0], costs[2]))


@pytest.mark.parametrize("kind", ["rigid", "similarity"])
def test_a_proper_fit_never_mirrors_and_is_the_best_proper_one(kind: geometry.Kind) -> None:
    target = geometry.apply_matrix(truth("similarity", 0.7, 1.0, 0, 0, mirrored=True), POINTS)
    proper = geometry.fit(kind, POINTS, target)
    assert np.linalg.det(proper[:2, :2]) > 0
    assert kind == "rigid" or _best_scaled(proper, POINTS, target)
    best = np.sum(geometry.residuals(proper, POINTS, target) ** 2)
    for degrees in np.arange(0.0, 360.0, 0.5):  # no rotation about the centre does better
        a = np.radians(degrees)
        turn = np.eye(3)
        turn[:2, :2] = np.sqrt(np.linalg.det(proper[:2, :2])) * np.array(
            [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
        )
        turn[:2, 2] = target.mean(axis=0) - turn[:2, :2] @ POINTS.mean(axis=0)
        assert np.sum(geometry.residuals(turn, POINTS, target) ** 2) >= best * (1 - 1e-12)


@pytest.mark.parametrize("kind", geometry.KINDS)
def test_a_fit_is_a_least_squares_minimum_of_the_target_distances(kind: geometry.Kind) -> None:
    rng = np.random.default_rng(4)
    target = geometry.apply_matrix(truth("homography", 1.1, 0.8, 0.1, 1e-5), POINTS) + rng.normal(0, 6, POINTS.shape)
    centred = POINTS / 1000 - 4
    found = geometry.fit(kind, centred, target)

    def cost(matrix: np.ndarray) -> float:
        return float(np.sum(geometry.residuals(matrix, centred, target) ** 2))

    # A small step inside the family, in any of its directions, makes it worse.
    steps = {"translation": [(0, 2), (1, 2)], "affine": [(r, c) for r in (0, 1) for c in range(3)]}
    steps["homography"] = [*steps["affine"], (2, 0), (2, 1)]
    for row, column in steps.get(kind, steps["translation"]):
        for step in (-1e-4, 1e-4):
            other = found.copy()
            other[row, column] += step * (1e-2 if row == 2 else 1)
            assert cost(other) > cost(found)


@pytest.mark.parametrize(("case", "threshold"), [("caseA", 3.0), ("caseB", 3.0), ("caseB", 40.0)])
def test_the_robust_fit_meets_the_original_where_it_is_right(case: str, threshold: float) -> None:
    source, target = pairs(case)
    found, inlier = geometry.robust_fit("homography", source, target, threshold)
    want = np.array(VECTORS[case]["morphology_to_he"])
    assert inlier.astype(int).tolist() == VECTORS[case]["inlier_mask"]
    np.testing.assert_allclose(found[:2], want[:2], rtol=1e-6)
    np.testing.assert_allclose(found[2], want[2], atol=1e-10)  # 1e-10 · 7200 px: under 0.005 px at the far corner
    np.testing.assert_allclose(geometry.apply_matrix(found, source), geometry.apply_matrix(want, source), rtol=1e-6)
    ours, theirs = (np.sum(geometry.residuals(m, source, target)[inlier] ** 2) for m in (found, want))
    assert ours <= theirs + 1e-9


def test_click_noise_rejects_nobody_and_gives_the_recorded_least_squares() -> None:
    source, target = pairs("caseC_click_noise")
    found, inlier = geometry.robust_fit("homography", source, target, 15.0)
    assert inlier.all()
    want = np.array(VECTORS["caseC_click_noise"]["least_squares_homography_all_points"])
    np.testing.assert_allclose(found, want, rtol=5e-6)
    ours, theirs = (np.sum(geometry.residuals(m, source, target) ** 2) for m in (found, want))
    assert ours <= theirs  # the recorded one stopped 1e-6 short of the minimum
    too_tight = geometry.robust_fit("homography", source, target, 3.0)[1]
    assert too_tight.astype(int).tolist() == VECTORS["caseC_click_noise"]["inlier_mask"]


def test_points_move_as_in_the_original_but_in_double_precision() -> None:
    points = np.array(VECTORS["transform"]["stage_um_xy"])
    stage_to_morph = np.array(VECTORS["caseA"]["stage_to_morph"])
    morph_to_he = np.array(VECTORS["caseA"]["morphology_to_he"])
    morph = geometry.apply_matrix(stage_to_morph, points)
    np.testing.assert_allclose(morph, VECTORS["transform"]["morph_px_float32"], rtol=3e-7)
    he = geometry.apply_matrix(morph_to_he, morph)
    np.testing.assert_allclose(he, VECTORS["transform"]["he_px_float32"], rtol=3e-6)


def noisy(seed: int, count: int, sd: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    source = rng.uniform((0, 0), (10000, 8000), (count, 2))
    target = geometry.apply_matrix(truth("homography", 1.6, 1.0, 0.01, 1e-6), source)
    return source, target + rng.normal(0, sd, source.shape)


@pytest.mark.parametrize("count", [8, 12, 30])
def test_gross_errors_are_left_out_and_nothing_true_is(count: int) -> None:
    for seed in range(5):
        source, target = noisy(seed, count)
        wrong = np.arange(count) % 6 == 1
        target[wrong] += np.random.default_rng(seed).choice([-1, 1], (int(wrong.sum()), 2)) * (90, 140)
        _, inlier = geometry.robust_fit("homography", source, target, 15.0)
        assert inlier.tolist() == (~wrong).tolist(), (seed, inlier)


def test_a_sound_threshold_never_rejects_true_pairs() -> None:
    for seed in range(40):
        source, target = noisy(seed, 5 + seed % 10)
        for kind in ("affine", "homography"):
            far = geometry.residuals(geometry.fit(kind, source, target), source, target).max()
            assert geometry.robust_fit(kind, source, target, far * 1.001)[1].all()


def test_the_seed_decides_the_samples_and_repeats() -> None:
    source, target = noisy(3, 28, sd=25)  # far too noisy for its threshold: the samples decide who agrees
    found = {seed: geometry.robust_fit("homography", source, target, 12.0, seed=seed) for seed in range(3)}
    for seed, (matrix, inlier) in found.items():
        again = geometry.robust_fit("homography", source, target, 12.0, seed=seed)
        np.testing.assert_array_equal(matrix, again[0])
        np.testing.assert_array_equal(inlier, again[1])
    assert len({inlier.tobytes() for _, inlier in found.values()}) > 1


@pytest.mark.parametrize("seed", range(6))
def test_what_is_kept_agrees_and_nothing_left_out_could_join(seed: int) -> None:
    source, target = noisy(seed, 9, sd=12)
    _, inlier = geometry.robust_fit("affine", source, target, 10.0, seed=seed)
    assert not inlier.all()
    for row in [None, *np.flatnonzero(~inlier)]:
        kept = inlier.copy()
        kept[[] if row is None else row] = True
        matrix = geometry.fit("affine", source[kept], target[kept])
        agree = (geometry.residuals(matrix, source, target)[kept] <= 10.0).all()
        assert agree == (row is None)


def test_the_larger_group_wins_over_the_tidier() -> None:
    source, target = noisy(2, 13, sd=2.0)
    target[:5] = source[:5] + 500  # five pairs agree with one another to the last digit
    _, inlier = geometry.robust_fit("homography", source, target, 15.0)
    assert inlier.tolist() == [False] * 5 + [True] * 8


def test_leave_one_out_is_the_error_of_the_others_fit() -> None:
    source, target = noisy(5, 6, sd=5)
    errors = geometry.leave_one_out("affine", source, target)
    others = np.delete(np.arange(6), 2)
    matrix = geometry.fit("affine", source[others], target[others])
    assert errors[2] == pytest.approx(np.hypot(*(geometry.apply_matrix(matrix, source[2:3])[0] - target[2])))
    assert (errors > geometry.residuals(geometry.fit("affine", source, target), source, target)).all()
    assert np.isnan(geometry.leave_one_out("homography", source[:4], target[:4])).all()


def test_the_jacobian_is_the_derivative() -> None:
    matrix = truth("homography", 0.9, 1.7, 0.2, 4e-5)
    numeric = np.stack(
        [
            (geometry.apply_matrix(matrix, POINTS + step) - geometry.apply_matrix(matrix, POINTS - step)) / 0.02
            for step in ((0.01, 0), (0, 0.01))
        ],
        axis=2,
    )
    np.testing.assert_allclose(geometry.jacobian(matrix, POINTS), numeric, atol=1e-6)


@pytest.mark.parametrize("mirrored", [False, True])
def test_local_geometry_reads_scale_rotation_and_hand(mirrored: bool) -> None:
    local = geometry.local_geometry(truth("similarity", np.radians(130), 1.3, 0, 0, mirrored), POINTS)
    np.testing.assert_allclose(local.scale, 1.3)
    np.testing.assert_allclose(local.rotation_deg, 130)
    assert local.mirrored.tolist() == [mirrored] * len(POINTS)
    np.testing.assert_allclose(local.w, 1)


def test_w_changes_sign_at_the_horizon() -> None:
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [-1e-3, 0, 1]])
    assert np.sign(geometry.denominator(matrix, np.array([[900.0, 5], [1100, 5]]))).tolist() == [1, -1]


def test_degenerate_points_are_recognised_and_refused() -> None:
    line = np.column_stack([np.arange(6.0), 2 * np.arange(6.0) + 1])
    assert geometry.is_degenerate("affine", line) and geometry.is_degenerate("homography", line)
    assert not geometry.is_degenerate("similarity", line)
    all_but_one = np.vstack([line, [9.0, 0]])
    assert geometry.is_degenerate("homography", all_but_one) and not geometry.is_degenerate("affine", all_but_one)
    strip = np.column_stack([np.linspace(0, 20000, 12), 1000 * np.array([0, 1, 0.4] * 4)])  # a core biopsy
    assert not geometry.is_degenerate("homography", strip)
    assert geometry.is_degenerate("rigid", np.ones((3, 2)))
    with pytest.raises(ValueError, match="lie on a line"):
        geometry.fit("affine", line, line)
    with pytest.raises(ValueError, match="needs 4 pairs, got 3"):
        geometry.fit("homography", POINTS[:3], POINTS[:3])


def test_coincident_points_are_named_once() -> None:
    points = np.vstack([POINTS[:3], POINTS[1] + 0.4])
    assert geometry.coincident(points, 1.0) == [(1, 3)]
    assert geometry.coincident(points, 0.1) == []
