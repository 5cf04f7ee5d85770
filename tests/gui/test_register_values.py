"""What the Register dock knows without a window: pairs, their history, the rows and sentences of a fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.gui.register.figures import nice
from napari_pixelgene.gui.register.fitting import fit
from napari_pixelgene.gui.register.history import Draft, History
from napari_pixelgene.gui.register.link import Link, Way
from napari_pixelgene.gui.register.pairs import Half, Pair, Pairs
from napari_pixelgene.gui.register.turning import Turn, matching

A, B, C, D = (1.0, 2.0), (30.0, 41.0), (5.5, 6.5), (70.0, 81.0)
# Turned, sheared and with a perspective, from morphology pixels (0.2125 µm) to H&E pixels (0.5 µm).
MATRIX = np.array([[-0.031, -0.42, 830.0], [0.415, 0.052, 80.0], [4e-6, -9e-6, 1.0]])
TRUE = Transform(MATRIX, "morphology_px", "he_px")


def keypoints(count: int, seed: int = 0) -> Keypoints:
    moving = np.random.default_rng(seed).uniform(100, 2000, (count, 2))
    return Keypoints(moving, TRUE.apply(moving))


def fitted(pairs: Keypoints, **choices):
    return fit(Draft(Pairs.of(pairs), **choices), pairs, 0.5, 0.2125)


def test_two_clicks_in_either_order_make_a_pair():
    for first, second in (("fixed", "moving"), ("moving", "fixed")):
        points = {"fixed": A, "moving": B}
        begun = Pairs().clicked(first, points[first])
        assert begun.half == Half(first, points[first]) and len(begun) == 0 and begun.selected == 0
        whole = begun.clicked(second, points[second])
        assert whole.pairs == (Pair(moving=B, fixed=A),) and whole.half is None and whole.selected == 0


def test_a_second_click_in_the_same_image_moves_the_half_pair():
    pairs = Pairs().clicked("fixed", A).clicked("fixed", C)
    assert pairs.half == Half("fixed", C) and len(pairs) == 0
    assert pairs.points("fixed") == [C] and pairs.points("moving") == []


def test_pairs_are_moved_switched_removed_and_renumbered():
    pairs = Pairs((Pair(A, B), Pair(C, D), Pair(D, A)), Half("moving", B), 1)
    assert pairs.moved("fixed", 1, A).pairs[1] == Pair(C, A)
    assert pairs.moved("moving", 3, C).half == Half("moving", C)
    assert not pairs.enabled(2, False).pairs[2].enabled
    left = pairs.removed()
    assert left.pairs == (Pair(A, B), Pair(D, A)) and left.half == pairs.half and left.selected == 1
    assert pairs.removed(3).half is None and len(pairs.removed(3)) == 3
    assert pairs.select(4).selected is None and pairs.select(3).selected == 3


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 4, st.booleans()), max_size=8))
def test_keypoints_and_back_are_the_same_pairs(rows):
    pairs = Pairs(tuple(Pair((a, b), (c, d), on) for a, b, c, d, on in rows))
    assert Pairs.of(pairs.keypoints("morphology_px")) == pairs


def test_one_history_walks_points_switches_models_and_imports():
    history = History(Draft())
    steps = [("point", replace(history.now, pairs=Pairs().clicked("fixed", A)))]
    steps.append(("model affine", replace(steps[-1][1], choice="affine")))
    steps.append(("import", replace(steps[-1][1], pairs=Pairs((Pair(A, B),)), given=TRUE, choice="given")))
    for step in steps:
        history.do(*step)
    history.do("select", replace(history.now, pairs=history.now.pairs.select(0)))
    assert history.undoable == "import"  # a selection is no step
    assert history.undo() is steps[1][1] and history.undo() is steps[0][1]
    assert history.redoable == "model affine" and history.redo().choice == "affine"
    history.do("delete", Draft())
    assert history.redoable == "" and history.undo().choice == "affine"
    assert [history.undo().pairs.half for _ in range(5)][-1] is None and history.undoable == ""


def test_an_exact_fit_names_every_model_and_its_choice():
    found = fitted(keypoints(12))
    assert found.recommended == "homography" and found.transform.kind == "homography"
    np.testing.assert_allclose(found.transform.matrix, MATRIX, rtol=1e-6, atol=1e-9)
    assert set(found.candidates) == {"translation", "rigid", "similarity", "affine", "homography", "spline"}
    assert found.summary.startswith("Tilting (homography) on 12 pairs: off by 0.0 µm") and found.error is None
    assert found.recommendation.startswith("Recommended is homography: it misses pairs that are left out in turn by")


def test_an_outlier_and_a_pair_switched_off_say_why():
    pairs = keypoints(12)
    pairs.fixed_xy[4] += 80  # 113 px, 57 µm
    pairs.enabled[7] = False
    found = fitted(pairs, limit_um=12.0)
    assert found.rows[4].why == "outlier (limit 12 µm)" and not found.rows[4].trusted
    assert found.rows[4].residual_um == pytest.approx(80 * 2**0.5 * 0.5, rel=1e-3)
    assert found.rows[7].why == "switched off" and not found.rows[7].enabled
    assert [row.why for row in found.rows if row.number not in (5, 8)] == [""] * 10
    assert not any("left out:" in text for text in found.cautions)  # it stands in the row


def test_too_few_pairs_are_a_quiet_line_and_still_lead_the_views():
    assert "Pick" in fitted(keypoints(0)).quiet
    one = fitted(keypoints(1))
    assert one.quiet == "A registration needs 2 pairs, there is 1." and one.error is None and one.follow is None
    two = fitted(keypoints(2), choice="homography")
    assert two.quiet == "The model tilting (homography) needs 4 pairs, there are 2." and two.transform is None
    assert two.follow.kind == "similarity"
    assert np.isnan(two.rows[0].residual_um)


def test_mirrored_pairs_say_so_and_fit_when_they_may():
    pairs = keypoints(8)
    flipped = Keypoints(pairs.moving_xy * [-1, 1] + [2100, 0], pairs.fixed_xy)
    refused = fitted(flipped)
    assert refused.mirrored and refused.transform is None and "tick" in refused.error.mend
    allowed = fitted(flipped, mirrored=True)
    assert allowed.error is None and allowed.rows[3].residual_um < 1e-6


@pytest.mark.parametrize("fault", ["line", "twice"])
def test_pairs_that_cannot_be_fitted_are_an_error_with_a_next_step(fault):
    pairs = keypoints(6)
    if fault == "line":
        moving = np.linspace([100, 200], [1100, 700], 6)
        pairs = Keypoints(moving, TRUE.apply(moving))
    else:
        pairs.moving_xy[3] = pairs.moving_xy[1]
    error = fitted(pairs).error
    assert ("on one line" if fault == "line" else "Pairs 2 and 4 have the same point") in error.problem and error.mend


def test_a_given_matrix_is_used_as_it_is_and_judged_by_the_pairs():
    pairs = keypoints(3)
    off = Keypoints(pairs.moving_xy, pairs.fixed_xy + np.array([6, 8]))
    found = fitted(off, choice="given", given=TRUE)
    assert found.transform is TRUE and not found.candidates
    assert [row.residual_um for row in found.rows] == pytest.approx([5.0] * 3)
    assert "misses the 3 pairs it was not fitted to by 5.0 µm (root mean square)" in found.summary


def test_one_camera_leads_the_other_through_the_perspective():
    fixed, moving = ViewerModel(), ViewerModel()
    link = Link(fixed, moving)
    fixed.scene.camera.center = (0, 50, 60)
    assert tuple(moving.scene.camera.center)[1:] != (50, 60)  # nothing links them yet
    # Turned by 90°, 4 times as large, with a perspective.
    matrix = np.array([[0.0, -4.0, 3000.0], [4.0, 0.0, 100.0], [2e-4, 0, 1.0]])
    link.moving_to_fixed = Way(Transform(matrix, "morphology_px", "he_px"))
    moving.scene.camera.center = (0, 30.0, 500.0)
    w = 1 + 2e-4 * 500
    here = np.array([(-4 * 30 + 3000) / w, (4 * 500 + 100) / w])
    np.testing.assert_allclose(np.array(fixed.scene.camera.center)[:0:-1], here)
    near = Transform(matrix, "morphology_px", "he_px").apply(np.array([[500.0, 30], [501, 30], [500, 31]]))
    grows = np.sqrt(abs(np.linalg.det(near[1:] - near[0])))
    moving.scene.camera.zoom = 8.0
    assert fixed.scene.camera.zoom == pytest.approx(8 / grows, rel=1e-3)
    fixed.scene.camera.center = (0, here[1], here[0])
    np.testing.assert_allclose(np.array(moving.scene.camera.center)[:0:-1], [500, 30], atol=1e-6)
    link.look_at(np.array([1.0, 2.0]), np.array([3.0, 4.0]))  # both at once: neither leads
    assert tuple(fixed.scene.camera.center)[1:] == (2, 1) and tuple(moving.scene.camera.center)[1:] == (4, 3)
    before = tuple(fixed.scene.camera.center)
    moving.scene.camera.center = (0, 10.0, -9000.0)  # beyond the horizon
    assert tuple(fixed.scene.camera.center) == before
    link.leave()
    moving.scene.camera.center = (0, 30.0, 500.0)
    assert tuple(fixed.scene.camera.center) == before


@pytest.mark.parametrize("degrees, mirrored", [(0, False), (90, True), (-37.5, True), (170, False)])
def test_a_view_is_turned_to_match_whatever_way_the_other_lies(degrees, mirrored):
    """The view of the other image, under the map between the two, is the view of this one, but for its size."""
    between = 0.43 * Turn(131.0, mirrored).matrix[:2, :2]
    here = Turn(degrees, False)
    found = matching(between, here)
    assert found.mirrored == mirrored
    np.testing.assert_allclose(found.matrix[:2, :2] * 0.43, here.matrix[:2, :2] @ between, atol=1e-12)
    sheared = between @ np.array([[1.0, 0.02], [0.0, 1.01]])
    assert abs(matching(sheared, here).angle_deg - found.angle_deg) < 1


def test_turns_follow_one_another_as_they_are_seen():
    """A mirror is one of what is seen, whatever turn came before; right is clockwise, y being down."""
    np.testing.assert_allclose(Turn(90).matrix[:2, :2] @ [1, 0], [0, 1], atol=0)  # what lay right lies below
    turn = Turn(30.0).by(90).flipped()
    np.testing.assert_allclose(
        turn.matrix[:2, :2], np.diag([-1, 1]) @ Turn(90).matrix[:2, :2] @ Turn(30.0).matrix[:2, :2], atol=1e-12
    )
    assert Turn(120).by(90) == Turn(-150) and Turn(-90).by(-90) == Turn(180) and turn.flipped() == Turn(120)


@pytest.mark.parametrize("value, expected", [(1, 1), (4.99, 2), (5, 5), (19.9, 10), (0.07, 0.05), (2000, 2000)])
def test_scales_are_round(value, expected):
    assert nice(value) == pytest.approx(expected)
