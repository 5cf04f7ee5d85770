"""Serial sections as captures of one slide: her2st's C3 and C4 onto C2, against the authors' own rigid alignment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.pipeline.adding import CaptureSettings, add_capture
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.describing import describe
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.matching import suggest_pairs
from napari_pixelgene.pipeline.moving import movable, open_moving
from napari_pixelgene.pipeline.neighbours import mark_sections
from napari_pixelgene.pipeline.registration_report import registration_report
from napari_pixelgene.pipeline.slide import units_in_um
from napari_pixelgene.pipeline.sources.legacy_st import LegacyStSource
from napari_pixelgene.pipeline.verdict import judge_registration, kept_verdict
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.stages.verdict import VerdictSettings
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

HER2ST = Path(__file__).parents[2].parent / "shared" / "data" / "her2st"
pytestmark = pytest.mark.skipif(not HER2ST.is_dir(), reason=f"{HER2ST} is not there")
MPP, NOISE_PX = 0.69, 2.0


def source(name: str) -> LegacyStSource:
    counts, spots = HER2ST / f"{name}-counts.tsv.gz", HER2ST / f"{name}-spots.tsv"
    return LegacyStSource(counts=counts, spots=spots, spot_diameter_um=100)


def to_common(name: str) -> np.ndarray:
    """(3, 3): the authors' rigid transform from pixels to the frame that all sections share."""
    table = pl.read_csv(HER2ST / f"{name}-clusters.tsv.gz", separator="\t")
    pixels, warped = (
        table.select(*columns).to_numpy() for columns in (("pixel_x", "pixel_y"), ("warped_x", "warped_y"))
    )
    matrix = geometry.fit("rigid", pixels, warped)
    assert np.abs(geometry.apply_matrix(matrix, pixels) - warped).max() < 0.02
    return matrix


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SectionStore:
    made = import_section(
        tmp_path_factory.mktemp("her2st") / "C.section.zarr",
        HER2ST / "C2-he.jpg",
        source("C2"),
        ImportSettings(mpp=MPP, name="C2"),
    )
    for name in ("C3", "C4"):
        add_capture(made, source(name), HER2ST / f"{name}-he.jpg", CaptureSettings(mpp=MPP, name=name))
    return made


def test_neighbours_are_laid_onto_the_mother_by_their_own_images(store: SectionStore) -> None:
    assert store.captures() == ["C2", "C3", "C4"] and movable(store) == ["C3", "C4"]
    for seed, name in enumerate(("C3", "C4")):
        moving = open_moving(store, name)
        assert moving.channels[0].is_rgb and moving.title == name  # not what all of them are: legacy ST
        capture = read_capture(store, name)
        reference = np.linalg.inv(to_common("C2")) @ to_common(name)
        spots = capture.unit_places()[0]
        truth = geometry.apply_matrix(reference, spots) * MPP
        rng = np.random.default_rng(seed)
        clicked = spots[rng.choice(len(spots), 12, replace=False)]
        noise = rng.normal(0, NOISE_PX, (2, 12, 2))
        pairs = Keypoints(clicked + noise[0], geometry.apply_matrix(reference, clicked) + noise[1])
        found = register_keypoints(store, pairs, capture=name)
        off = np.linalg.norm(units_in_um(store, read_capture(store, name)).xy - truth, axis=1)
        assert found.transform.kind in ("rigid", "similarity") and off.max() < 4.0 and np.median(off) < 2.0
        kept = read_capture(store, name).to_he
        assert kept is not None and kept.residual_um is not None and kept.residual_um.shape == (12,)
        assert 0.5 < np.sqrt(np.mean(kept.residual_um**2)) / (NOISE_PX * 2 * MPP) < 1.5
    assert [c["registered"] for c in describe(store)["captures"]] == [True, True, True]


FEW = VerdictSettings(spacing_um=1800, least_places=8)


@pytest.mark.slow
def test_sections_that_share_no_nuclei_are_judged_by_pairs_and_outlines(store: SectionStore, tmp_path: Path) -> None:
    """C3's nuclei are not C2's: it is told, nothing is forbidden, and the page shows both; laid 600 µm aside it is."""
    reference = np.linalg.inv(to_common("C2")) @ to_common("C3")
    spots = read_capture(store, "C3").unit_places()[0]
    clicked = spots[np.random.default_rng(5).choice(len(spots), 12, replace=False)]
    pairs = Keypoints(
        clicked, geometry.apply_matrix(reference, clicked) + np.random.default_rng(6).normal(0, 2, (12, 2))
    )
    register_keypoints(store, pairs, capture="C3")
    verdict = registration_report(store, tmp_path / "qc.html", "C3", settings=FEW)
    assert (verdict.level, verdict.basis) == ("look here", "outlines"), verdict.sentence
    assert "these sections share no nuclei; judged by pairs and outlines, it is good as far as" in verdict.sentence
    assert verdict.numbers["outline_shift_um"] < 150 and verdict.numbers["places_unlike"] == 0  # type: ignore[operator]
    text = (tmp_path / "qc.html").read_text(encoding="utf-8")
    assert "these sections share no nuclei" in text and "no image to lay on" not in text
    assert [place.why for place in verdict.worst] == ["the pairs leave 0.8 µm open"] * 2
    mark_sections(store, "C3", "same")
    kept = kept_verdict(store, "C3")
    assert kept is not None and not kept[1]
    mark_sections(store, "C3", "serial")
    register_keypoints(store, replace(pairs, fixed_xy=pairs.fixed_xy + np.array([520.0, -700.0])), capture="C3")
    aside = judge_registration(store, "C3", settings=FEW)
    assert aside.level == "do not use" and aside.numbers["outline_shift_um"] == pytest.approx(602, abs=120)
    assert "by the outlines of the tissue the run lies" in aside.sentence and "share no nuclei" in aside.sentence


def test_that_nothing_matches_between_neighbours_is_said_so(store: SectionStore) -> None:
    """Laid right, tissue lies on tissue and no nucleus on its own: no pair is suggested, and why is told."""
    reference = np.linalg.inv(to_common("C2")) @ to_common("C3")
    heard: list[Event] = []
    laid = Transform(reference, "morphology_px", "he_px")
    assert suggest_pairs(store, 4, laid, capture="C3", on_event=heard.append) == ()
    notes = [event for event in heard if isinstance(event, Note) and event.level == "warning"]
    assert len(notes) == 1 and "lies on one another (0.7" in notes[0].text
    assert "say it (pixelgene register --sections serial) and set a few pairs by hand" in notes[0].text
