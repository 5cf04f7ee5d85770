"""Pairs and matrices that are sound by themselves and lay tissue on glass: where pixels are alike, only images tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.errors import InputError
from napari_pixelgene.exporters.alignments import write_explorer_matrix
from napari_pixelgene.pipeline.aligning import register_keypoints, register_matrix
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


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (swapped, "if the points of 'C3' and of the H&E are swapped"),
        (coarse, "if the points of both images are pixels of pyramid level 2 (times 4)"),
        (doubled, "if the points of both images were scaled by 2 once too often, as for pyramid level 1"),
        (rows_first, "if x and y are swapped in both images"),
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
    require_on_images(stray, around, found, heard.append)
    (note,) = heard
    assert isinstance(note, Note) and note.level == "warning"
    assert note.text.startswith("The pairs fit one another, but not what the images show. As these pairs lay them,")
    assert note.text.endswith("no better than by chance. Look at the overlay in the Register dock.")


def test_tissue_decides_among_readings_where_nuclei_cannot(around: Around, good: Keypoints) -> None:
    seen = around.both()
    assert seen is not None
    ways = (Reading("one way", swapped(good)), Reading("another", good))
    told = told_apart(Proposal("several", None, ways), *seen, 15.0)
    assert told.clear == ways[1]
    assert told.words == "These pairs fit another: tissue of both images then agrees by 0.73 of 1, otherwise by 0.00."
    alike = Proposal("several", None, (ways[1], Reading("the same", good)))
    assert told_apart(alike, *seen, 15.0) is alike


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> SectionStore:
    path = tmp_path_factory.mktemp("outlines") / "a.section.zarr"
    return import_section(path, small_run.he, XeniumSource(bundle=small_run.bundle), ImportSettings(name="run"))


@pytest.fixture(scope="module")
def true(section: SectionStore, small_run: SimulatedRun) -> Transform:
    pairs = read_alignment(small_run.keypoints)
    assert isinstance(pairs, Keypoints)
    assert proposal_for(pairs, Around(None, None), AUTO) is None
    return register_keypoints(section, pairs).transform


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
    away = replace(true, matrix=np.array([[1, 0, 1e6], [0, 1, 0], [0, 0, 1.0]]) @ true.matrix)
    write_explorer_matrix(tmp_path / "m.csv", away)
    heard: list[Event] = []
    register_matrix(section, tmp_path / "m.csv", on_event=heard.append)
    notes = [event for event in heard if isinstance(event, Note) and event.level == "warning"]
    assert len(notes) == 1 and "agrees no better than by chance" in notes[0].text
