"""Files of pairs with a mistake, from the file to the section: told with a proposal, and taken so only when asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.cli.main import main
from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import MirrorError, RegistrationError
from napari_pixelgene.exporters.alignments import write_explorer_keypoints, write_explorer_matrix
from napari_pixelgene.pipeline.aligning import register_keypoints, register_matrix
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.pairing import Around, explained, looked_into, proposal_for, surroundings
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.mispairings import Surroundings
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> SectionStore:
    path = tmp_path_factory.mktemp("pairing") / "a.section.zarr"
    return import_section(path, small_run.he, XeniumSource(bundle=small_run.bundle), ImportSettings(name="run"))


@pytest.fixture(scope="module")
def good(small_run: SimulatedRun) -> Keypoints:
    read = read_alignment(small_run.keypoints)
    assert isinstance(read, Keypoints) and len(read) >= 8
    return read


def swapped(k: Keypoints) -> Keypoints:
    return Keypoints(k.fixed_xy, k.moving_xy)


def turned(k: Keypoints) -> Keypoints:
    return Keypoints(k.moving_xy[:, ::-1], k.fixed_xy)


def coarse(k: Keypoints) -> Keypoints:
    return Keypoints(k.moving_xy / 4, k.fixed_xy)


def backwards(k: Keypoints) -> Keypoints:
    return Keypoints(k.moving_xy, k.fixed_xy[::-1])


def shuffled(k: Keypoints) -> Keypoints:
    return Keypoints(k.moving_xy, k.fixed_xy[np.random.default_rng(1).permutation(len(k))])


def fine(k: Keypoints) -> Keypoints:
    return Keypoints(k.moving_xy, k.fixed_xy * 8)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (swapped, "of the morphology image and of the H&E are swapped"),
        (coarse, "the points of the morphology image are pixels of pyramid level 2"),
        (backwards, "taken in the opposite order"),
        (shuffled, "taken in another order"),
        (fine, "the points of the H&E were scaled by 8 once too often"),
    ],
)
def test_a_mistake_is_told_and_undone_when_asked(
    section: SectionStore, good: Keypoints, tmp_path: Path, wrong: Callable[[Keypoints], Keypoints], said: str
) -> None:
    path, notes = tmp_path / "pairs.csv", []
    write_explorer_keypoints(path, wrong(good))

    def hear(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    try:
        register_keypoints(section, path, on_event=hear)
        told = " ".join(notes)
    except RegistrationError as error:
        told = str(error)
        assert str(path) in told
    assert said in told and "--mend" in told
    expected = register_keypoints(section, good).transform
    notes.clear()
    done = register_keypoints(section, path, on_event=hear, mend=True).transform
    assert any(said in note and "They are taken so." in note for note in notes)
    np.testing.assert_allclose(done.apply(good.moving_xy), expected.apply(good.moving_xy), atol=1e-3)
    stored = read_capture(section, "run").keypoints
    assert stored is not None and stored.moving_xy == pytest.approx(
        good.moving_xy if wrong is not shuffled else stored.moving_xy
    )


def test_nuclei_tell_swapped_from_mirrored(section: SectionStore, good: Keypoints) -> None:
    """On nearly square images both explain the pairs; nuclei lie on one another under one of them only."""
    with pytest.raises(RegistrationError) as told:
        register_keypoints(section, turned(good))
    assert "if x and y of the points of the morphology image are swapped: nuclei of both images then agree at" in str(
        told.value
    )
    assert "--mend" in str(told.value)
    expected = register_keypoints(section, good).transform
    done = register_keypoints(section, turned(good), mend=True).transform
    np.testing.assert_allclose(done.apply(good.moving_xy), expected.apply(good.moving_xy), atol=1e-3)


def test_nuclei_tell_mirrored_from_swapped(section: SectionStore, good: Keypoints) -> None:
    """The same pairs with the morphology image really turned over: nothing is swapped, and it is said why."""
    capture = read_capture(section, "run")
    around = surroundings(section, capture, "morphology_px", "he_px", 0.2125)
    assert around.moving_image is not None
    over = Image((np.asarray(around.moving_image.levels[0])[:, ::-1],), 0.2125, None, "DAPI")
    pairs = Keypoints(np.array([over.yx_shape[1], 0]) + good.moving_xy * [-1, 1], good.fixed_xy)
    around = Around.of(0.2125, around.fixed_mpp or 0.0, over, around.fixed_image)
    found = proposal_for(pairs, around, RegistrationSettings())
    assert found is not None and found.is_mirror and found.keypoints is None
    assert found.words.startswith("These pairs fit if one image is mirrored: nuclei of both images then agree at")
    mended = explained(MirrorError("They are mirrored.", "Pass --allow-mirror."), found)
    assert str(mended).endswith(" places. Pass --allow-mirror.") and isinstance(mended, MirrorError)
    said, meant = looked_into(pairs, around, RegistrationSettings())
    assert said == found.words and meant == found.clear and meant is not None and meant.is_mirror


def test_without_pixels_both_are_said_and_none_taken(section: SectionStore, good: Keypoints) -> None:
    """Turned by 93°, swapped is no simpler than mirrored."""
    shapes = surroundings(section, read_capture(section, "run"), "morphology_px", "he_px", 0.2125)
    around = Surroundings(0.2125, shapes.fixed_mpp, shapes.moving_shape, shapes.fixed_shape)
    found = proposal_for(turned(good), around, RegistrationSettings())
    assert found is not None and found.keypoints is None and found.readings[0].is_mirror
    assert found.words.startswith("These pairs fit in several ways: if one image is mirrored; or if x and y of the")


def test_good_pairs_say_nothing_of_the_kind(section: SectionStore, good: Keypoints) -> None:
    heard: list[Event] = []
    register_keypoints(section, good, on_event=heard.append, mend=True)
    assert not [event.text for event in heard if isinstance(event, Note) and "fit" in event.text]


def test_pairs_of_another_slide_are_refused(section: SectionStore, good: Keypoints) -> None:
    with pytest.raises(RegistrationError, match=r"points lie outside the H&E.*belongs to this slide"):
        register_keypoints(section, Keypoints(good.moving_xy, good.fixed_xy + 30_000))


def test_a_plane_turned_inside_out_is_refused(section: SectionStore, good: Keypoints, tmp_path: Path) -> None:
    true = register_keypoints(section, good, RegistrationSettings(kind="affine")).transform
    torn = true.matrix @ np.array([[1, 0, 0], [0, 1, 0], [-1 / 2000, 0, 1.0]])
    write_explorer_matrix(tmp_path / "m.csv", type(true)(torn, "morphology_px", "he_px"))
    with pytest.raises(RegistrationError, match=r"m\.csv.*inside out within the .*Export the alignment again"):
        register_matrix(section, tmp_path / "m.csv", direction="he_to_morphology")


def test_mend_from_the_command_line(
    section: SectionStore, good: Keypoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_explorer_keypoints(tmp_path / "pairs.csv", backwards(good))
    asked = ["register", str(section.path), "--keypoints", str(tmp_path / "pairs.csv")]
    assert main(asked) == 2
    assert "taken in the opposite order. Mend the file, or take them so with --mend." in capsys.readouterr().err
    assert main([*asked, "--mend"]) == 0
    assert "They are taken so." in capsys.readouterr().err
