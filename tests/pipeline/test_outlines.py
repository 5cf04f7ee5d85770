"""Pairs and matrices that are sound by themselves and lay tissue on glass: where pixels are alike, only images tell."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.errors import InputError, RegistrationError
from napari_pixelgene.exporters.alignments import write_explorer_matrix
from napari_pixelgene.pipeline.aligning import register_keypoints, register_matrix
from napari_pixelgene.pipeline.drafting import read_file
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.outlines import told_apart
from napari_pixelgene.pipeline.pairing import Around, looked_into, proposal_for, require_on_images
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.mispairings import Proposal, Reading
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

HER2ST = Path(__file__).parents[2].parent / "shared" / "data" / "her2st"
MPP = 0.69
AUTO = RegistrationSettings()


@pytest.fixture(scope="module")
def around() -> Around:
    if not HER2ST.is_dir():
        pytest.skip("the her2st sections are not at hand")
    moving, fixed = (replace(read_image(HER2ST / f"{name}-he.jpg"), mpp=MPP) for name in ("C3", "C2"))
    return Around.of(MPP, MPP, moving, fixed, "C3")


@pytest.fixture(scope="module")
def good(around: Around) -> Keypoints:
    """Nine places of C3 and where the authors' own alignment has them on C2, clicked 2 µm off."""
    there, here = (pl.read_csv(HER2ST / f"{name}-clusters.tsv.gz", separator="\t") for name in ("C3", "C2"))
    ways = [geometry.fit("affine", xy(each, "pixel"), xy(each, "warped")) for each in (there, here)]
    matrix = np.linalg.inv(ways[1]) @ ways[0]
    rng = np.random.default_rng(5)
    places = xy(there, "pixel")[rng.choice(len(there), 9, replace=False)]
    return Keypoints(places + rng.normal(0, 2 / MPP, places.shape), geometry.apply_matrix(matrix, places))


def xy(spots: pl.DataFrame, kind: str) -> np.ndarray:
    return spots.select(f"{kind}_x", f"{kind}_y").to_numpy().astype(np.float64)


def swapped(k: Keypoints) -> Keypoints:
    return Keypoints(k.fixed_xy, k.moving_xy)


def coarse(k: Keypoints) -> Keypoints:
    return Keypoints(k.moving_xy / 4, k.fixed_xy / 4)


def doubled(k: Keypoints) -> Keypoints:
    return Keypoints(k.moving_xy * 2, k.fixed_xy * 2)


def rows_first(k: Keypoints) -> Keypoints:
    return Keypoints(k.moving_xy[:, ::-1], k.fixed_xy[:, ::-1])


def in_um(k: Keypoints) -> Keypoints:
    return Keypoints(k.moving_xy * MPP, k.fixed_xy * MPP)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (swapped, "if the points of 'C3' and of the H&E are swapped"),
        (coarse, "if the points of both images are pixels of pyramid level 2 (times 4)"),
        (doubled, "if the points of both images were scaled by 2 once too often, as for pyramid level 1"),
        (rows_first, "if x and y are swapped in both images"),
        (in_um, "if the points of both images are µm, not pixels"),
    ],
)
def test_what_keeps_pairs_exact_is_seen_by_the_tissue(
    around: Around, good: Keypoints, wrong: Callable[[Keypoints], Keypoints], said: str
) -> None:
    found = proposal_for(wrong(good), around, AUTO)
    assert found is not None and found.keypoints is not None
    assert found.words.startswith(f"These pairs fit {said}: tissue of both images then agrees by 0.7")
    np.testing.assert_allclose(found.keypoints.moving_xy, good.moving_xy)
    np.testing.assert_allclose(found.keypoints.fixed_xy, good.fixed_xy)
    words, reading = looked_into(wrong(good), around, AUTO)
    assert found.words in words and reading is not None and said in reading.words


@pytest.mark.parametrize(
    ("moving_by", "fixed_by", "said"),
    [(0.25, 1.0, "'C3' are pixels of pyramid level 2"), (1.0, 0.25, "the H&E are pixels of pyramid level 2")],
)
def test_a_coarse_side_is_told_from_one_scaled_too_often(
    around: Around, good: Keypoints, moving_by: float, fixed_by: float, said: str
) -> None:
    """Either makes the pairs fit, and the wrong one lays more of the images on one another."""
    spoilt = Keypoints(good.moving_xy * moving_by, good.fixed_xy * fixed_by)
    found = proposal_for(spoilt, around, AUTO)
    assert found is not None and found.keypoints is not None
    assert f"if the points of {said} (times 4): tissue of both images then agrees by 0.7" in found.words
    np.testing.assert_allclose(found.keypoints.moving_xy, good.moving_xy)
    np.testing.assert_allclose(found.keypoints.fixed_xy, good.fixed_xy)


def test_an_image_without_glass_is_not_asked_what_it_cannot_know(around: Around, good: Keypoints) -> None:
    """Cut out of C3's tissue: no outline, and nuclei of neighbours crowd elsewhere; right pairs stay without a word."""
    assert around.moving_image is not None
    inside = good.moving_xy[np.linalg.norm(good.moving_xy - (4300, 4000), axis=1).argsort()[:6]]
    matrix = geometry.fit("affine", good.moving_xy, good.fixed_xy)
    cut = replace(around.moving_image, levels=(np.asarray(around.moving_image.levels[0][2900:5100, 3200:5400]),))
    places = np.clip(inside, (3300, 3000), (5300, 5000)) + np.arange(12).reshape(6, 2) * 7
    pairs = Keypoints(places - (3200, 2900), geometry.apply_matrix(matrix, places))
    filled = Around.of(MPP, MPP, cut, around.fixed_image, "part")
    assert proposal_for(pairs, filled, AUTO) is None


def test_a_mirrored_image_and_few_pairs(around: Around, good: Keypoints) -> None:
    """Really turned over, and said so: four pairs are enough not to be doubted; x and y swapped is found as well."""
    assert around.moving_image is not None
    pixels = np.asarray(around.moving_image.levels[0])[:, ::-1]
    over = Around.of(MPP, MPP, replace(around.moving_image, levels=(pixels,)), around.fixed_image, "C3")
    there = good.moving_xy * [-1, 1] + [pixels.shape[1], 0]
    allowed = RegistrationSettings(allow_mirror=True)
    assert proposal_for(Keypoints(there[:4], good.fixed_xy[:4]), over, allowed) is None
    assert proposal_for(Keypoints(there, good.fixed_xy), over, allowed) is None
    found = proposal_for(Keypoints(good.moving_xy[:, ::-1], good.fixed_xy), around, allowed)
    assert found is not None and found.keypoints is not None
    np.testing.assert_allclose(found.keypoints.moving_xy, good.moving_xy)


def test_good_pairs_are_left_in_peace(around: Around, good: Keypoints) -> None:
    assert proposal_for(good, around, AUTO) is None
    one = Keypoints(good.moving_xy[:1], good.fixed_xy[:1])
    same = Keypoints(good.moving_xy[[0, 0, 0, 0]], good.fixed_xy[[0, 0, 0, 0]])
    assert proposal_for(one, around, AUTO) is None and proposal_for(same, around, AUTO) is None


def test_pairs_of_another_slide(around: Around, good: Keypoints) -> None:
    """They fit one another, and put tissue beside tissue: said, with nothing to take instead."""
    stray = Keypoints(good.moving_xy, good.moving_xy)
    found = proposal_for(stray, around, AUTO)
    assert found is not None and found.keypoints is None and found.clear is None
    heard: list[Event] = []
    assert require_on_images(stray, around, found, heard.append).endswith("Register dock.")
    (note,) = heard
    assert isinstance(note, Note) and note.level == "warning"
    assert note.text.startswith("The pairs fit one another, but not what the images show. As these pairs lay them,")
    assert "tissue of both images agrees by 0.0" in note.text and "moved by 1.9 mm it would by 0.77" in note.text


def test_pairs_of_a_neighbouring_section_or_shifted_on_one_side(around: Around, good: Keypoints) -> None:
    """Tissue still meets tissue, though less than it would a little farther on: how far, is told."""
    far = np.array([0.6, -0.8]) * 700 / MPP
    off = Keypoints(good.moving_xy + far, good.fixed_xy)
    found = proposal_for(off, around, AUTO)
    assert found is not None and found.keypoints is None
    told = re.fullmatch(
        r"As these pairs lay them, tissue of both images agrees by (0\.\d+) of 1; moved by (\d\.\d) mm it would by "
        r"(0\.\d+)\. Check that the pairs belong to these two images\. Look at the overlay in the Register dock\.",
        found.words,
    )
    assert told is not None
    here, mm, there = map(float, told.groups())
    assert 0.3 < here < 0.5 and abs(mm - 0.7) <= 0.15 and there > 0.72
    twin = proposal_for(of_section("C4", good), around, AUTO)
    assert twin is not None and "moved by 0.6 mm it would by 0.77" in twin.words and twin.keypoints is None


def of_section(name: str, pairs: Keypoints) -> Keypoints:
    """As many pairs of another section with C2."""
    there, here = (pl.read_csv(HER2ST / f"{each}-clusters.tsv.gz", separator="\t") for each in (name, "C2"))
    ways = [geometry.fit("affine", xy(each, "pixel"), xy(each, "warped")) for each in (there, here)]
    places = xy(there, "pixel")[:: len(there) // len(pairs.moving_xy)]
    return Keypoints(places, geometry.apply_matrix(np.linalg.inv(ways[1]) @ ways[0], places))


def test_tissue_decides_among_readings_where_nuclei_cannot(around: Around, good: Keypoints) -> None:
    seen = around.seen(AUTO)
    assert seen is not None
    ways = (Reading("one way", swapped(good)), Reading("another", good))
    told = told_apart(Proposal("several", None, ways), (), seen)
    assert told.clear == ways[1]
    assert (
        told.words
        == "These pairs fit another: tissue of both images then agrees by 0.73 of 1, otherwise by at most 0.00."
    )
    alike = Proposal("several", None, (ways[1], Reading("the same", good)))
    assert told_apart(alike, (), seen) is alike


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> SectionStore:
    path = tmp_path_factory.mktemp("outlines") / "a.section.zarr"
    return import_section(path, small_run.he, XeniumSource(bundle=small_run.bundle), ImportSettings(name="run"))


@pytest.fixture(scope="module")
def true(section: SectionStore, small_run: SimulatedRun) -> Transform:
    return register_keypoints(section, pairs_of(small_run)).transform


def pairs_of(run: SimulatedRun) -> Keypoints:
    """The pairs that were clicked."""
    pairs = read_alignment(run.keypoints)
    assert isinstance(pairs, Keypoints)
    return pairs


def test_the_images_show_which_way_a_matrix_goes(section: SectionStore, true: Transform, tmp_path: Path) -> None:
    forward, backward = tmp_path / "a.csv", tmp_path / "b.csv"
    write_explorer_matrix(forward, true)  # H&E → morphology
    np.savetxt(backward, true.matrix, delimiter=",")
    heard: list[Note] = []

    def hear(event: Event) -> None:
        if isinstance(event, Note):
            heard.append(event)

    taken = register_matrix(section, forward, on_event=hear)
    assert [note.level for note in heard] == ["info"]
    np.testing.assert_allclose(taken.matrix / taken.matrix[2, 2], true.matrix / true.matrix[2, 2], rtol=1e-6)
    with pytest.raises(InputError, match=r"as morphology_to_he by 0\.[5-9].*--direction morphology_to_he, or --"):
        register_matrix(section, backward)
    heard.clear()
    register_matrix(section, backward, direction="morphology_to_he", on_event=hear)
    assert heard == []
    register_matrix(section, forward, direction="morphology_to_he", on_event=hear)
    assert [note.level for note in heard] == ["warning"] and heard[0].text.endswith("Check the direction.")


def test_a_matrix_that_leads_nowhere_is_pointed_out(section: SectionStore, true: Transform, tmp_path: Path) -> None:
    mpp = float(section.meta()["mpp"])
    away = replace(true, matrix=np.array([[1, 0, 1e6], [0, 1, 0], [0, 0, 1.0]]) @ true.matrix)
    write_explorer_matrix(tmp_path / "m.csv", away)
    heard: list[Event] = []
    register_matrix(section, tmp_path / "m.csv", on_event=heard.append)
    notes = [event for event in heard if isinstance(event, Note) and event.level == "warning"]
    assert len(notes) == 1 and f"agrees by 0.00 of 1; moved by {mpp * 1e3:.1f} mm it would by 0.8" in notes[0].text
    tiny = replace(true, matrix=np.diag([0.04, 0.04, 1.0]) @ true.matrix)
    write_explorer_matrix(tmp_path / "m.csv", tiny)
    register_matrix(section, tmp_path / "m.csv", on_event=heard.append)
    notes = [event for event in heard if isinstance(event, Note) and event.level == "warning"]
    assert len(notes) == 2 and "agrees no better than by chance. Look at the overlay" in notes[1].text


def test_a_matrix_beside_the_tissue_says_by_how_much(section: SectionStore, true: Transform, tmp_path: Path) -> None:
    mpp = float(section.meta()["mpp"])
    away = replace(true, matrix=np.array([[1, 0, 200 / mpp], [0, 1, 0], [0, 0, 1.0]]) @ true.matrix)
    write_explorer_matrix(tmp_path / "m.csv", away)
    heard: list[Event] = []
    register_matrix(section, tmp_path / "m.csv", on_event=heard.append)
    (note,) = [event for event in heard if isinstance(event, Note) and event.level == "warning"]
    assert "moved by 0.2 mm it would by" in note.text and "Check that it belongs to these two images." in note.text


def test_a_matrix_that_ends_elsewhere_or_mirrors_is_told(
    section: SectionStore, true: Transform, small_run: SimulatedRun, tmp_path: Path
) -> None:
    """Pixel2Gene's stage_to_morph is no way to the H&E; what is stored stays."""
    np.savetxt(tmp_path / "m.csv", np.diag([4.7, 4.7, 1.0]), delimiter=",")
    before = register_keypoints(section, pairs_of(small_run)).transform
    with pytest.raises(RegistrationError, match=r"leads from stage_um to morphology_px, not to the H&E.*stage_to_he"):
        register_matrix(section, tmp_path / "m.csv", direction="stage_to_morphology")
    kept = read_capture(section, "run").to_he
    assert kept is not None and kept.name == before.name
    over = replace(true, matrix=true.matrix @ np.diag([-1.0, 1.0, 1.0]))
    write_explorer_matrix(tmp_path / "over.csv", over)
    heard: list[Event] = []
    read_file(section, "run", tmp_path / "over.csv", "he_to_morphology", heard.append)
    assert any(isinstance(event, Note) and "turns one image over" in event.text for event in heard)
