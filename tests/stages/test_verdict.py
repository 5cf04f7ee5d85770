"""What a verdict is made of, case by case; whether it keeps its word on slides is in tests/pipeline/test_verdict.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.elements.matching import Matches
from napari_pixelgene.elements.verdict import SEEN, UNKNOWN, UNLIKE, Outlines, QualityMap, Verdict
from napari_pixelgene.stages.registration import RegistrationSettings, register
from napari_pixelgene.stages.verdict import (
    PairEvidence,
    VerdictSettings,
    doubt,
    grid_places,
    judge,
    map_of,
    with_far_look,
)

SETTINGS = VerdictSettings()
PLACES = np.stack(np.meshgrid(np.arange(6) * 200.0 + 100, np.arange(4) * 200.0 + 100), -1).reshape(-1, 2)
GOOD_PAIRS = PairEvidence(12, 0, 18, 1.2, 1.5)


def seen(shift: np.ndarray | tuple[float, float], doubt_um: float = 1.0) -> QualityMap:
    """Every place seen, `shift` (2,) or (n, 2) off."""
    n = len(PLACES)
    shifts = np.broadcast_to(np.asarray(shift, dtype=float), (n, 2)).copy()
    return QualityMap(
        PLACES, shifts, np.full(n, SEEN), np.full(n, 0.4), np.full(n, 0.7), np.full(n, doubt_um), 200.0, 40.0
    )


def without(found: QualityMap, rows: slice, state: int) -> QualityMap:
    """Some places not seen but in another state."""
    states, shifts = found.state.copy(), found.shift_um.copy()
    states[rows], shifts[rows] = state, np.nan
    return replace(found, state=states, shift_um=shifts)


def test_the_three_levels_by_the_nuclei_alone() -> None:
    """2 µm is good, 8 µm is to be looked at, 20 µm is of no use; without any pair."""
    levels = [judge(seen((0.6 * um, -0.8 * um)), PairEvidence()).level for um in (2, 8, 20)]
    assert levels == ["good", "look here", "do not use"]
    verdict = judge(seen((1.2, -1.6)), PairEvidence())
    assert verdict.basis == "nuclei" and verdict.numbers["median_error_um"] == pytest.approx(2.0)
    assert (
        verdict.sentence.startswith("Good: nuclei of both images lie 2.0 µm apart") and "24 of 24" in verdict.sentence
    )
    assert verdict.numbers["loo_rmse_um"] is None and not verdict.reasons


def test_nuclei_overrule_pairs_that_share_a_mistake() -> None:
    """Pairs that agree to 1.5 µm, and nuclei 12 µm apart."""
    assert judge(seen((12.0, 0.0)), GOOD_PAIRS).level == "look here"


def test_one_bad_region_is_looked_at_and_named_first() -> None:
    """Good nearly everywhere, 20 µm off in a corner that is more than a tenth."""
    shift = np.tile([1.0, 0.0], (len(PLACES), 1))
    shift[-4:] = [0.0, 20.0]
    shift[-1] = [0.0, 23.0]
    verdict = judge(seen(shift), GOOD_PAIRS)
    assert verdict.level == "look here" and verdict.numbers["median_error_um"] == pytest.approx(1.0)
    assert verdict.worst[0].xy_um == tuple(PLACES[-1]) and verdict.worst[0].error_um == pytest.approx(23.0)
    assert "at most 23.0 µm, at x 1100, y 700 µm" in verdict.sentence
    at = np.array([place.xy_um for place in verdict.worst])
    assert len(at) == 4 and np.linalg.norm(at[:, None] - at[None], axis=2)[np.triu_indices(4, 1)].min() > 300
    assert any("4 of 24 places nuclei lie more than 10 µm apart" in reason for reason in verdict.reasons)


def test_what_is_unknown_is_said_and_is_not_good() -> None:
    """Places with nothing to compare are counted and named; with nuclei nowhere and no pairs there is no good."""
    verdict = judge(without(seen((1.0, 0.0)), slice(0, 9), UNKNOWN), PairEvidence())
    assert verdict.numbers["places_unknown"] == 9 and any("9 of 24" in r and "unknown" in r for r in verdict.reasons)
    nowhere = judge(without(seen((1.0, 0.0), np.nan), slice(None), UNKNOWN), PairEvidence())
    assert (nowhere.level, nowhere.basis) == ("look here", "nothing") and nowhere.numbers["median_error_um"] is None


def test_nuclei_that_do_not_agree_keep_it_from_being_good() -> None:
    """Two of 24 places may fail; six may not, and are among the places to look at."""
    assert judge(without(seen((1.0, 0.0)), slice(0, 2), UNLIKE), GOOD_PAIRS).level == "good"
    verdict = judge(without(seen((1.0, 0.0)), slice(0, 6), UNLIKE), GOOD_PAIRS)
    assert verdict.level == "look here" and any(place.why == "nuclei do not agree" for place in verdict.worst)


def test_errors_that_grow_out_of_reach_are_foretold() -> None:
    """A turn: seen near its centre only, where it is small; the far places are foretold large."""
    turn = (PLACES - [100.0, 100.0]) * 0.06
    reach = np.linalg.norm(turn, axis=1) > 30
    verdict = judge(without(seen(turn), reach, UNLIKE), PairEvidence())  # type: ignore[arg-type]
    truth = np.linalg.norm(turn, axis=1)
    assert verdict.numbers["median_error_um"] == pytest.approx(np.median(truth), rel=1e-6)
    assert verdict.numbers["ninth_decile_error_um"] == pytest.approx(np.percentile(truth, 90), rel=1e-6)
    assert verdict.level == "do not use"


def test_nuclei_that_agree_nowhere() -> None:
    """No pairs: not to be used. Good pairs, as with another section of the block: to be looked at, never good."""
    lost = without(seen((0.0, 0.0)), slice(None), UNLIKE)
    assert judge(replace(lost, doubt_um=np.full(24, np.nan)), PairEvidence()).level == "do not use"
    verdict = judge(lost, GOOD_PAIRS)
    assert (verdict.level, verdict.basis) == ("look here", "pairs") and "agree at none of the 24" in verdict.sentence
    assert judge(lost, replace(GOOD_PAIRS, fit_um=15.0)).level == "look here"
    assert judge(lost, replace(GOOD_PAIRS, fit_um=50.0)).level == "do not use"
    assert judge(lost, replace(GOOD_PAIRS, trusted=5)).level == "do not use"
    assert any("another section" in reason for reason in verdict.reasons)
    own = judge(lost, GOOD_PAIRS, sections="same")
    assert own.level == "do not use" and any("laid in the wrong place" in reason for reason in own.reasons)
    assert not any("serial" in reason for reason in own.reasons)
    few = judge(without(seen((1.0, 0.0)), slice(0, 6), UNLIKE), GOOD_PAIRS, sections="same")
    assert few.level == "look here"


BLIND = replace(without(seen((0.0, 0.0)), slice(None), UNKNOWN), searched_um=0.0)


def test_pairs_alone_are_never_good() -> None:
    """However little they leave open: it is said that they know of no shift they share, and how to see one."""
    verdict = judge(BLIND, GOOD_PAIRS)
    assert (verdict.level, verdict.basis) == ("look here", "pairs")
    assert verdict.sentence.startswith(
        "Look here: only the 12 pairs were judged, since there is no image to compare with the H&E: good as far as they"
        " tell; by them the error is likely under 1."
    )
    assert verdict.sentence.endswith("A shift that all pairs share cannot be seen by them.")
    assert "To see such a shift, look whether what was measured ends where the tissue ends" in verdict.reasons[-1]
    assert verdict.numbers["places_seen"] == 0 and verdict.worst
    loose = judge(replace(BLIND, doubt_um=np.full(24, 8.0)), GOOD_PAIRS)
    few = judge(BLIND, replace(GOOD_PAIRS, trusted=5))
    assert loose.level == few.level == "look here" and "good as far" not in loose.sentence + few.sentence
    assert judge(replace(BLIND, doubt_um=np.full(24, 40.0)), GOOD_PAIRS).level == "do not use"
    exact = judge(replace(BLIND, doubt_um=np.full(24, np.nan)), PairEvidence(3, 0, 0, 0.0, np.nan))
    assert exact.basis == "nothing" and any("passes through all its pairs" in reason for reason in exact.reasons)


LOST = without(seen((0.0, 0.0)), slice(None), UNLIKE)
NEAR = Outlines(0.74, 0.78, 80.0)


def test_sections_that_share_no_nuclei_are_judged_by_pairs_and_outlines() -> None:
    """Taken for neighbours where outlines agree, or marked so; what is unlike is unknown then, and never good."""
    taken = judge(LOST, GOOD_PAIRS, outlines=NEAR)
    assert (taken.level, taken.basis) == ("look here", "outlines")
    assert taken.sentence.startswith(
        "Look here: these sections share no nuclei; judged by pairs and outlines, it is good as far as they tell. By"
        " the 12 pairs"
    )
    assert "outlines of tissue, which tell no shift under 150 µm, agree best 80 µm away" in taken.sentence
    assert any("24 of 24 places, outlines do: the sections are taken for" in reason for reason in taken.reasons)
    assert any("no shift under about 150 µm, and pairs none that they all share" in reason for reason in taken.reasons)
    assert (taken.map.state == UNKNOWN).all() and taken.numbers["places_unlike"] == 0
    assert (taken.numbers["outline_shift_um"], taken.numbers["outline_agreement"]) == (80.0, 0.74)
    marked = judge(LOST, GOOD_PAIRS, sections="serial", outlines=NEAR)
    assert marked.sentence == taken.sentence and not any("taken for" in reason for reason in marked.reasons)
    bare = judge(replace(LOST, doubt_um=np.full(24, np.nan)), PairEvidence(), sections="serial", outlines=NEAR)
    assert (bare.level, bare.basis) == ("look here", "outlines") and len(bare.worst) == 4
    assert (
        "share no nuclei; judged by outlines. Outlines of tissue, which tell no shift under 150 µm, agree best 80 µm"
        in bare.sentence
    )
    unseen = judge(LOST, GOOD_PAIRS, sections="serial")
    assert (unseen.level, unseen.basis) == ("look here", "pairs") and "share no nuclei" in unseen.sentence


def test_neighbouring_sections_are_held_to_what_they_allow() -> None:
    """Pairs that leave 15 µm open are as good as it gets; 40 µm is told, 80 µm is of no use."""

    def of(doubt_um: float) -> Verdict:
        return judge(replace(LOST, doubt_um=np.full(24, doubt_um)), GOOD_PAIRS, outlines=NEAR)

    levels = [(of(um).level, "it is good" in of(um).sentence) for um in (12, 40, 90)]
    assert levels == [("look here", True), ("look here", False), ("do not use", False)]
    assert judge(replace(LOST, doubt_um=np.full(24, 12.0)), GOOD_PAIRS, sections="same").level == "do not use"


def test_outlines_that_lie_elsewhere_forbid_its_use() -> None:
    """430 µm off, or better mirrored: not neighbours but misplaced. 200 µm: to be looked at, and not good as far."""
    far = judge(LOST, GOOD_PAIRS, outlines=Outlines(0.5, 0.78, 430.0))
    assert far.level == "do not use" and far.numbers["places_unlike"] == 24
    assert (
        "none of the 24 places" in far.sentence
        and "by the outlines of the tissue the run lies 430 µm off" in far.sentence
    )
    over = judge(BLIND, GOOD_PAIRS, outlines=Outlines(0.5, 0.78, 20.0, "flipped left to right, then unturned"))
    assert over.level == "do not use" and "when it is flipped left to right" in over.sentence
    marked = judge(LOST, GOOD_PAIRS, sections="serial", outlines=Outlines(0.5, 0.78, 430.0))
    assert marked.level == "do not use" and "430 µm off" in marked.sentence
    odd = judge(LOST, GOOD_PAIRS, outlines=Outlines(0.66, 0.78, 200.0))
    assert odd.level == "look here" and "it is good" not in odd.sentence
    assert any("Outlines lie over 150 µm apart" in reason for reason in odd.reasons)


def test_nuclei_are_heard_before_outlines() -> None:
    """Where they agree, neither a mark nor outlines change a word; of one section, nuclei that do not are enough."""
    plain = judge(seen((1.2, -1.6)), GOOD_PAIRS)
    for sections in ("same", "serial", "unknown"):
        again = judge(seen((1.2, -1.6)), GOOD_PAIRS, sections=sections, outlines=Outlines(0.3, 0.8, 900.0))  # type: ignore[arg-type]
        assert (again.level, again.basis, again.sentence) == ("good", "nuclei", plain.sentence)
    own = judge(LOST, GOOD_PAIRS, sections="same", outlines=NEAR)
    assert own.level == "do not use" and any("--sections serial" in reason for reason in own.reasons)


def test_a_run_beside_the_tissue() -> None:
    """No place at all."""
    empty = QualityMap(*(np.zeros((0, 2)),) * 2, np.zeros(0, int), *(np.zeros(0),) * 3, 200.0, 0.0)
    verdict = judge(empty, PairEvidence())
    assert verdict.level == "do not use" and "no tissue" in verdict.sentence and verdict.numbers["places"] == 0


def test_places_lie_on_tissue_and_adapt_to_it() -> None:
    """An L of tissue, one place a square; a thin strip; small tissue gets closer places, large tissue not too many."""
    tissue = np.zeros((90, 140), bool)
    tissue[10:80, 20:60] = True
    tissue[50:80, 60:130] = True
    places, spacing = grid_places(tissue, 8.0, SETTINGS)
    at = (places / 8.0).astype(int)
    assert tissue[at[:, 1], at[:, 0]].all() and spacing == pytest.approx(152.0)
    assert abs(len(places) - tissue.sum() * 64 / spacing**2) < 0.3 * len(places)
    strip = np.zeros((90, 140), bool)
    strip[30:41, 5:135] = True
    assert np.diff(np.sort(grid_places(strip, 8.0, SETTINGS)[0][:, 0])).max() < 200
    wide, far = grid_places(np.ones((900, 1400), bool), 8.0, SETTINGS.replace(most_places=50))
    assert len(wide) <= 60 and far == pytest.approx(np.sqrt(900 * 1400 * 64 / 50), rel=0.02)
    assert grid_places(np.ones((900, 1400), bool), 8.0, SETTINGS)[1] == pytest.approx(448)
    assert len(grid_places(np.zeros((9, 9), bool), 8.0, SETTINGS)[0]) == 0
    assert grid_places(np.eye(9, dtype=bool), 8.0, SETTINGS)[0] == pytest.approx(np.array([[36.0, 36.0]]))


def matches(clear: np.ndarray, shift: np.ndarray, nuclei: np.ndarray) -> Matches:
    n = len(clear)
    zeros = np.zeros(n)
    return Matches(PLACES[:n], shift, shift, zeros, np.full(n, 0.3), np.full(n, 0.5), zeros, nuclei, clear)


def test_the_map_turns_an_error_into_the_shift_that_mends_it() -> None:
    """Clear, alike nowhere, too few nuclei, nothing there."""
    shift = np.array([[3.0, -4.0], [5.0, 5.0], [1.0, 1.0], [np.nan, np.nan]])
    found = map_of(
        matches(np.array([True, False, False, False]), shift, np.array([0.1, 0.1, 0.01, 0.1])),
        PLACES[:4], np.full(4, np.nan), 200.0, 40.0,
    )  # fmt: skip
    assert found.state.tolist() == [SEEN, UNLIKE, UNKNOWN, UNKNOWN]
    assert found.shift_um[0].tolist() == [-3.0, 4.0] and found.distance_um[0] == 5.0
    assert np.isnan(found.shift_um[1:]).all() and np.isnan(found.similarity[2:]).all()
    far = matches(np.array([True]), np.array([[90.0, 0.0]]), np.array([0.1]))
    wider = with_far_look(found, np.array([1]), far, 160.0)
    assert (
        wider.state.tolist() == [SEEN, SEEN, UNKNOWN, UNKNOWN]
        and wider.distance_um[1] == 90
        and wider.searched_um == 160
    )


def test_what_pairs_say_in_µm() -> None:
    """A mirrored similarity with noise: residuals as the fit's, doubt least among the pairs; for a matrix, none."""
    rng = np.random.default_rng(5)
    moving = rng.uniform(0, 4000, (9, 2))
    turn = np.array([[0.8, 0.3, 10.0], [0.3, -0.8, 2600.0], [0, 0, 1]]) * 0.9
    turn[2, 2] = 1
    fixed = moving @ turn[:2, :2].T + turn[:2, 2] + rng.normal(0, 3, moving.shape)
    fixed[4] += 200
    keypoints = Keypoints(moving, fixed)
    settings = RegistrationSettings(kind="similarity", allow_mirror=True)
    fitted = register(keypoints, settings, 0.5, 0.2125).transform
    places = np.array([fitted.apply(moving.mean(0)[None])[0] * 0.5, [9000.0, 9000.0]])
    pairs, open_um = doubt(keypoints, fitted, (0.2125, 0.5), places)
    assert (pairs.trusted, pairs.left_out, pairs.spare) == (8, 1, 12)
    assert 0.7 < pairs.fit_um < pairs.loo_um < 4
    assert 0.2 < open_um[0] < 1.5 and open_um[1] > 4 * open_um[0]
    given = Transform(turn, "morphology_px", "he_px")
    assert (
        doubt(keypoints, given, (0.2125, 0.5), places)[0] == PairEvidence()
        or np.isnan(doubt(keypoints, given, (0.2125, 0.5), places)[1]).all()
    )
