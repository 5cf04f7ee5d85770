"""Pairs of a section snapped to nuclei, and suggested, on a simulated slide whose true transform is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.elements.matching import Proposal
from napari_pixelgene.errors import RegistrationError
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.matching import (
    contradicted,
    match_at,
    snap_pairs,
    suggest_pairs,
    take_proposals,
    tissue_um,
)
from napari_pixelgene.pipeline.slide import open_slide
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.progress import Note
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.registration import RegistrationSettings, register
from napari_pixelgene.store.section import SectionStore

HE_MPP, MPP = 0.5, 0.2125


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> SectionStore:
    """The simulated run, imported and not registered."""
    folder = tmp_path_factory.mktemp("matching")
    return import_section(folder / "small.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))


@pytest.fixture(scope="module")
def true(small_run: SimulatedRun) -> Transform:
    return Transform(small_run.morphology_to_he, "morphology_px", "he_px")


@pytest.fixture(scope="module")
def tissue(section: SectionStore, true: Transform) -> np.ndarray:
    """Places of the tissue, in µm, that the run has measured."""
    places = tissue_um(section, open_slide(section))
    there = true.inverse().apply(places / HE_MPP) * MPP
    return places[((there > 40) & (there < there.max(axis=0) - 40)).all(axis=1)]


def noisy(tissue: np.ndarray, true: Transform, sd_um: float, seed: int) -> Keypoints:
    """Twelve pairs somewhere on the tissue, their moving points off by `sd_um` along either axis."""
    rng = np.random.default_rng(seed)
    fixed = tissue[rng.choice(len(tissue), 12, replace=False)] + rng.uniform(-3, 3, (12, 2))
    moving = true.inverse().apply(fixed / HE_MPP) + rng.normal(0, sd_um / MPP, (12, 2))
    return Keypoints(moving, fixed / HE_MPP)


def errors_um(points: Keypoints, true: Transform) -> np.ndarray:
    """How far on the slide each moving point is from where its pair says."""
    return np.linalg.norm(true.apply(points.moving_xy) - points.fixed_xy, axis=1) * HE_MPP


def field_um(keypoints: Keypoints, threshold: float, true: Transform, tissue: np.ndarray) -> float:
    """Median error over the tissue of the transform that the pairs give."""
    settings = RegistrationSettings(threshold_um=threshold)
    found = register(keypoints, settings, HE_MPP, MPP).transform
    there = true.inverse().apply(tissue / HE_MPP)
    return float(np.median(np.linalg.norm(found.apply(there) * HE_MPP - tissue, axis=1)))


@pytest.mark.parametrize("seed", [1, 2])
def test_snapping_more_than_halves_the_error(
    section: SectionStore, true: Transform, tissue: np.ndarray, seed: int
) -> None:
    """Twelve pairs off by 20 µm: with those taken that are accepted the field is ten times as good, each pair right."""
    pairs = noisy(tissue, true, 20.0, seed)
    rough = register(pairs, RegistrationSettings(threshold_um=60), HE_MPP, MPP).transform
    proposals = snap_pairs(section, pairs, rough, radius_um=60)
    accepted = [one for one in proposals if one.accepted]
    assert [one.row for one in proposals] == list(range(12)) and len(accepted) >= 9
    snapped = take_proposals(pairs, accepted)
    rows = [one.row for one in accepted]
    assert errors_um(snapped, true)[rows].max() < 0.8
    before, after = field_um(pairs, 60, true, tissue), field_um(snapped, 60, true, tissue)
    assert before > 4 and after < before / 10


def test_a_proposal_says_what_it_would_do(section: SectionStore, true: Transform, tissue: np.ndarray) -> None:
    """Old and new points, the length of the way in µm, a score and a confidence; nothing is changed by asking."""
    pairs = noisy(tissue, true, 10.0, 3)
    pairs = replace(pairs, enabled=np.arange(12) != 4)
    kept = pairs.moving_xy.copy()
    proposals = snap_pairs(section, pairs, true)
    assert [one.row for one in proposals] == [0, 1, 2, 3, *range(5, 12)]
    assert (pairs.moving_xy == kept).all()
    for one in proposals:
        assert one.row is not None and one.old_moving == tuple(pairs.moving_xy[one.row])
        way = np.linalg.norm(np.subtract(one.new_moving, one.old_moving)) * MPP
        assert one.shift_um == pytest.approx(way, rel=0.02, abs=0.05)
        assert one.accepted is (one.why == "") and (not one.accepted or one.confidence > 1 / 3)


def test_pairs_that_have_no_match_say_why(section: SectionStore, true: Transform, tissue: np.ndarray) -> None:
    """One on glass, one off the run, one 90 µm off, one 50 µm off: they stay, and the words tell them apart."""
    pairs = noisy(tissue, true, 3.0, 4)
    moving, fixed = pairs.moving_xy.copy(), pairs.fixed_xy.copy()
    moving[0] += (90 / MPP, 0)
    moving[1] += (0, 50 / MPP)
    moving[2] = (-900.0, -900.0)
    fixed[3] = (-400.0, -300.0)
    found = snap_pairs(section, Keypoints(moving, fixed), true)
    assert [one.accepted for one in found[:4]] == [False] * 4
    assert "no clear match within 40 µm" in found[0].why and "put it" in found[0].why
    assert "farther than 40 µm; the other pairs agree with it" in found[1].why
    assert found[1].shift_um == pytest.approx(50, abs=8)
    for k in (2, 3):
        assert found[k].why.startswith("no clear match: there are no nuclei to compare")
        assert found[k].new_moving == found[k].old_moving and found[k].shift_um == 0
    assert sum(one.accepted for one in found[4:]) >= 6
    # Those that lie off where the others put them are told; of one on glass that nobody can compare that is known too.
    assert set(contradicted(found)) >= {0, 1, 2, 3} and not set(contradicted(found)) & {4, 5, 6, 7, 8, 9, 10, 11}
    assert found[0].others_um == pytest.approx(90, abs=12)


def off(true: Transform, shift_um: tuple[float, float], degrees: float) -> Transform:
    """The true transform, then a turn about the middle of the slide and a shift."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    middle = np.array([350.0, 280.0]) / HE_MPP
    turn = np.array([[cos, -sin], [sin, cos]])
    error = np.eye(3)
    error[:2, :2], error[:2, 2] = turn, middle - turn @ middle + np.array(shift_um) / HE_MPP
    return Transform(error @ true.matrix, true.source, true.target)


def test_suggestions_from_a_rough_transform_are_right(section: SectionStore, true: Transform) -> None:
    """70 µm and 2.5 degrees off: eight pairs, each true to 1.5 µm, apart from one another and on both halves."""
    rough = off(true, (55.0, -43.0), 2.5)
    found = suggest_pairs(section, 8, rough)
    assert len(found) == 8 and all(one.accepted and one.row is None and one.confidence > 1 / 3 for one in found)
    pairs = take_proposals(Keypoints(np.zeros((0, 2)), np.zeros((0, 2))), found)
    assert errors_um(pairs, true).max() < 1.5 and pairs.enabled.all()
    place = pairs.fixed_xy * HE_MPP
    gaps = np.linalg.norm(place[:, None] - place[None], axis=2)[np.triu_indices(8, 1)]
    assert gaps.min() > 75 and np.ptp(place, axis=0).min() > 200
    shifts = np.linalg.norm(rough.apply(pairs.moving_xy) - pairs.fixed_xy, axis=1) * HE_MPP
    assert [one.shift_um for one in found] == pytest.approx(shifts, abs=0.1)
    assert found == suggest_pairs(section, 8, rough)


def test_suggestions_keep_away_from_pairs(section: SectionStore, true: Transform) -> None:
    """Asked again with the first ones kept: new places only, and fewer where there is no room, which is told."""
    notes: list[object] = []
    first = take_proposals(Keypoints(np.zeros((0, 2)), np.zeros((0, 2))), suggest_pairs(section, 5, true))
    more = suggest_pairs(section, 40, true, first, on_event=notes.append)
    both = take_proposals(first, more)
    gaps = np.linalg.norm(both.fixed_xy[:, None] - both.fixed_xy[None], axis=2)[np.triu_indices(len(both), 1)]
    assert gaps.min() * HE_MPP > 74 and (both.moving_xy[:5] == first.moving_xy).all()
    told = [note.text for note in notes if isinstance(note, Note)]
    assert 3 < len(more) < 40 and told[-1].startswith(f"{len(more)} of 40 places")


@pytest.mark.parametrize("wrong", ["far off", "upside down"])
def test_nothing_is_suggested_from_a_wrong_start(section: SectionStore, true: Transform, wrong: str) -> None:
    """300 µm off, or turned by half: no pair, and a note that says what to do."""
    start = off(true, (260.0, 150.0), 0) if wrong == "far off" else off(true, (0.0, 0.0), 180)
    notes: list[Note] = []
    found = suggest_pairs(section, 8, start, on_event=lambda e: notes.append(e) if isinstance(e, Note) else None)
    assert found == () and notes[-1].level == "warning" and "Align them roughly" in notes[-1].text


def test_shifts_of_the_stored_transform(section: SectionStore, true: Transform, tissue: np.ndarray) -> None:
    """`match_at` measures what a transform is off; stage µm serve as well as pixels of the morphology."""
    found = match_at(section, tissue[::90], off(true, (12.0, -7.0), 0))
    assert found.clear.mean() > 0.6
    assert found.shift_um[found.clear] == pytest.approx(np.tile((12.0, -7.0), (int(found.clear.sum()), 1)), abs=1.0)
    to_stage = Transform(np.diag([MPP, MPP, 1.0]), "morphology_px", "stage_um")
    same = match_at(section, tissue[::90], to_stage.inverse().then(off(true, (12.0, -7.0), 0)))
    assert same.shift_um[same.clear] == pytest.approx(found.shift_um[found.clear], abs=1e-6)


def test_what_is_needed_first_is_said(section: SectionStore, tmp_path: Path) -> None:
    """Without any transform, and for a run of spots without an image."""
    pairs = Keypoints(np.zeros((1, 2)), np.ones((1, 2)))
    with pytest.raises(RegistrationError, match="has no transform yet"):
        snap_pairs(section, pairs)
    tifffile.imwrite(tmp_path / "he.tif", np.full((400, 600, 3), 220, np.uint8), photometric="rgb")
    rows = ["spot,x,y,A,B", *(f"s{i},{20 * i},{9 * i},{i + 1},2" for i in range(12))]
    (tmp_path / "spots.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    source = TableSource(
        table=tmp_path / "spots.csv", coordinates="stage_um", identity="spot", shape="disk", size_um=20
    )
    spots = import_section(tmp_path / "s.section.zarr", tmp_path / "he.tif", source, ImportSettings(mpp=0.5))
    with pytest.raises(RegistrationError, match="no image of nuclei"):
        suggest_pairs(spots, 5, Transform(np.eye(3), "stage_um", "he_px"))


def test_taking_proposals_changes_only_what_they_name() -> None:
    """A moved pair and a new one; the order, the frames and what is disabled stay."""
    pairs = Keypoints(
        np.array([[1.0, 2], [3, 4], [5, 6]]),
        np.array([[7.0, 8], [9, 1], [2, 3]]),
        "stage_um",
        "he_px",
        np.array([True, False, True]),
    )
    moved = Proposal(2, (2.0, 3.0), (5.0, 6.0), (5.5, 6.25), 0.6, 0.8, 0.7, True)
    new = Proposal(None, (40.0, 41.0), None, (30.0, 31.0), 2.0, 0.8, 0.7, True)
    out = take_proposals(pairs, [moved, new])
    assert out.moving_xy.tolist() == [[1, 2], [3, 4], [5.5, 6.25], [30, 31]]
    assert out.fixed_xy.tolist() == [[7, 8], [9, 1], [2, 3], [40, 41]]
    assert out.enabled.tolist() == [True, False, True, True] and out.moving_frame == "stage_um"
    assert pairs.moving_xy[2].tolist() == [5, 6]
    assert contradicted([moved, new, replace(moved, accepted=False), replace(moved, accepted=False, others_um=20)]) == [
        2
    ]
