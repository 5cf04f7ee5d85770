"""A verdict keeps its word on slides whose truth is known, is kept beside the transform, and knows when it is stale.

Over a hundred registrations: benchmarks/verdict.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.elements.verdict import Verdict
from napari_pixelgene.errors import Cancelled, StoreError
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.checking import checks
from napari_pixelgene.pipeline.describing import describe
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.registration_report import registration_report
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.pipeline.verdict import Laid, judge_laid, judge_registration, kept_verdict
from napari_pixelgene.progress import Event, Note, Progress
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.simulate.pair import SimulatedPair, Wear, simulate_pair
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP, SimulationSettings
from napari_pixelgene.stages.tissue import find_tissue
from napari_pixelgene.stages.verdict import VerdictSettings
from napari_pixelgene.store.section import SectionStore

SIZE_UM = (900.0, 760.0)


@pytest.fixture(scope="module")
def slide() -> tuple[SimulatedPair, Tissue]:
    """A turned and mirrored pair of which half the nuclei are lost in the second image."""
    settings = SimulationSettings(
        width_um=SIZE_UM[0], height_um=SIZE_UM[1], genes=8, hidden_genes=2, seed=31, rotation_deg=141, perspective=0.01
    )
    pair = simulate_pair(settings, Wear(lost=0.5, blur_um=1.0, mirrored=True))
    return pair, find_tissue(pair.he, Grid.of_image(pair.he))


def judged(slide: tuple[SimulatedPair, Tissue], change: np.ndarray, image: bool = True) -> Verdict:
    """The true transform with `change` (H&E pixels) after it."""
    pair, tissue = slide
    transform = replace(pair.straight(), matrix=change @ pair.straight().matrix)
    size = np.array(pair.morphology.yx_shape[::-1], dtype=float)
    reach = (np.zeros(2), size)
    laid = Laid(pair.he, pair.morphology if image else None, transform, transform, None, MORPHOLOGY_MPP, reach)
    return judge_laid(laid, tissue, 8.0, VerdictSettings())


def shifted(x_um: float, y_um: float = 0.0) -> np.ndarray:
    return np.array([[1.0, 0, x_um / 0.5], [0, 1, y_um / 0.5], [0, 0, 1]])


def test_known_shifts_get_the_verdict_they_earn(slide: tuple[SimulatedPair, Tissue]) -> None:
    """2, 7, 30 and 95 µm: measured to half a µm, the last by the wider search; the arrow points back."""
    for um, level in ((2.0, "good"), (7.0, "look here"), (30.0, "do not use"), (95.0, "do not use")):
        verdict = judged(slide, shifted(0.6 * um, -0.8 * um))
        assert (verdict.level, verdict.basis) == (level, "nuclei"), verdict.sentence
        assert verdict.numbers["median_error_um"] == pytest.approx(um, abs=0.7)
        mending = np.nanmedian(verdict.map.shift_um, axis=0)
        assert mending == pytest.approx(np.array([-0.6 * um, 0.8 * um]), abs=0.9)


def test_a_small_turn_is_worst_far_from_its_centre(slide: tuple[SimulatedPair, Tissue]) -> None:
    """One degree about a corner: fine there, 10 µm and more at the other end, where one is told to look."""
    turn = np.deg2rad(1.0)
    verdict = judged(slide, np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]))
    assert verdict.level == "look here"
    first = verdict.worst[0]
    assert first.error_um == pytest.approx(np.hypot(*first.xy_um) * turn, abs=1.2) and first.error_um > 12


def test_nuclei_of_another_place_and_nothing_to_compare(slide: tuple[SimulatedPair, Tissue]) -> None:
    """Far off, or turned by half a circle, nuclei agree nowhere; a matrix without an image cannot be judged."""
    half = np.array([[-1.0, 0, 2 * 460], [0, -1, 2 * 390], [0, 0, 1]])
    half[:2, 2] /= 0.5
    for change in (shifted(300, 20), half):
        verdict = judged(slide, change)
        assert verdict.level == "do not use" and verdict.basis == "nothing", verdict.sentence
    blind = judged(slide, shifted(0), image=False)
    assert (blind.level, blind.basis) == ("look here", "nothing") and "no image" in blind.sentence


@pytest.fixture(scope="module")
def store(small_run: SimulatedRun, tmp_path_factory: pytest.TempPathFactory) -> SectionStore:
    """A section registered from its keypoints."""
    path = tmp_path_factory.mktemp("verdict") / "A.section.zarr"
    store = import_section(path, small_run.he, XeniumSource(bundle=small_run.bundle))
    with pytest.raises(StoreError, match="not registered"):
        judge_registration(store)
    register_keypoints(store, small_run.keypoints)
    return store


def test_a_section_is_judged_once_and_again_when_it_is_registered_anew(
    store: SectionStore, small_run: SimulatedRun
) -> None:
    """Kept in the store, stale after other pairs, and `info` says so."""
    verdict = judge_registration(store)
    assert verdict.level == "good" and verdict.numbers["median_error_um"] < 3  # type: ignore[operator]
    assert verdict.numbers["pairs"] == 11
    name = store.captures()[0]
    kept = kept_verdict(store, name)
    assert kept is not None and kept[0].sentence == verdict.sentence and kept[1]
    assert not any("but:" in check.text for check in checks(store))
    heard: list[Event] = []
    assert judge_registration(store, on_event=heard.append).sentence == verdict.sentence
    assert [e.text for e in heard if isinstance(e, Note)][-1].endswith("has not changed since it was judged.")
    pairs = read_alignment(small_run.keypoints)
    assert isinstance(pairs, Keypoints)
    register_keypoints(store, replace(pairs, fixed_xy=pairs.fixed_xy + np.array([24.0, -32.0])))
    kept = kept_verdict(store, name)
    assert kept is not None and not kept[1] and f"verdict/{name}" in describe(store)["stale"]
    again = judge_registration(store)
    assert again.level == "do not use" and again.numbers["median_error_um"] == pytest.approx(20, abs=1.5)
    assert describe(store)["captures"][0]["verdict"]["sentence"] == again.sentence
    against = [check for check in checks(store) if "is registered, but: Do not use" in check.text]
    assert [check.level for check in against] == ["missing"]
    assert not [key for key in describe(store)["stale"] if key.startswith("verdict/")]


def test_the_page_and_a_stopped_one(store: SectionStore, tmp_path: Path, small_run: SimulatedRun) -> None:
    """Cancelled between places nothing is written; finished it holds sentence, pictures and every kind of transform."""
    register_keypoints(store, small_run.keypoints)
    if store.find("captures", store.captures()[0], "verdict") is not None:
        store.remove("captures", store.captures()[0], "verdict")
    page = tmp_path / "qc.html"

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "matching" and event.done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        registration_report(store, page, on_event=stop)
    assert not page.exists()
    with pytest.raises(StoreError, match="no folder"):
        registration_report(store, tmp_path / "no" / "qc.html")
    verdict = registration_report(store, page)
    text = page.read_text(encoding="utf-8")
    assert verdict.sentence.split(";")[0] in text and text.count("<img") == 3 and "http" not in text
    for kind in ("translation", "rigid", "similarity", "affine", "homography", "spline"):
        assert f">{kind}</td>" in text


def test_a_run_without_an_image_is_judged_by_its_pairs(
    store: SectionStore, tmp_path: Path, small_run: SimulatedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with spots only: the places are those under its units, and the page says what it was judged by."""
    monkeypatch.setattr("napari_pixelgene.pipeline.verdict.open_morphology", lambda *_: ())
    register_keypoints(store, small_run.keypoints)
    if store.find("captures", store.captures()[0], "verdict") is not None:
        store.remove("captures", store.captures()[0], "verdict")
    page = tmp_path / "qc.html"
    verdict = registration_report(store, page)
    assert verdict.basis == "pairs" and "only the 11 pairs were judged, since there is no image" in verdict.sentence
    assert verdict.level == "look here" and "good as far as they tell" in verdict.sentence
    assert verdict.numbers["places_seen"] == 0 and verdict.numbers["places_unknown"] == len(verdict.map) > 8
    assert describe(store)["captures"][0]["verdict"] == {
        "level": "look here", "basis": "pairs", "sentence": verdict.sentence,
    }  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert text.count("<img") == 2 and "no image to lay on the H&amp;E" in text
    store.remove("captures", store.captures()[0], "verdict")
