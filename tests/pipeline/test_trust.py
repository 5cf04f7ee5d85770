"""What was judged badly is said before one learns from it: by whom, of which run, and no longer once it is mended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.fitting import prepare_fit
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.prepared import FitSettings
from napari_pixelgene.pipeline.rough import keep_rough_transform
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.pipeline.trust import distrusted
from napari_pixelgene.pipeline.verdict import judge_registration
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.verdict import VerdictSettings
from napari_pixelgene.store.section import SectionStore


@pytest.fixture(scope="module")
def store(small_run: SimulatedRun, tmp_path_factory: pytest.TempPathFactory) -> SectionStore:
    path = tmp_path_factory.mktemp("trust") / "breast.section.zarr"
    return import_section(path, small_run.he, XeniumSource(bundle=small_run.bundle))


def shifted(run: SimulatedRun, um: float) -> Keypoints:
    pairs = read_alignment(run.keypoints)
    assert isinstance(pairs, Keypoints)
    return replace(pairs, fixed_xy=pairs.fixed_xy + np.array([0.0, um / 0.5]))


def test_only_what_was_judged_badly_and_still_holds_is_held_against_a_run(
    store: SectionStore, small_run: SimulatedRun
) -> None:
    """Not registered, never judged, good, and judged before the last change say nothing; 7 and 40 µm off do."""
    quick = VerdictSettings(least_places=8, most_places=12)
    assert distrusted(store) == ()
    register_keypoints(store, shifted(small_run, 0))
    assert distrusted(store) == ()
    judge_registration(store, settings=quick)
    assert distrusted(store) == ()
    for um, level, words in ((7, "look here", "worst places"), (40, "do not use", "the wrong places of the tissue")):
        register_keypoints(store, shifted(small_run, um))
        assert distrusted(store) == ()  # the verdict was on another transform
        judge_registration(store, settings=quick)
        (found,) = distrusted(store)
        assert (found.capture, found.level) == (store.captures()[0], level) and words in found.words
        assert f"'{found.capture}' on breast was judged “{level}”" in found.words

    # Whoever is about to learn from it is told before anything slow begins.
    heard: list[Event] = []

    def stop(event: Event) -> None:
        heard.append(event)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_fit([store], FitSettings(model="ridge"), on_event=stop)
    (note,) = heard
    assert isinstance(note, Note) and note.level == "warning" and note.text.startswith(found.words)
    assert note.text.endswith("pixelgene register breast.section.zarr --report qc.html")


def test_a_rough_alignment_is_one_to_refine(store: SectionStore, small_run: SimulatedRun) -> None:
    name = store.captures()[0]
    keep_rough_transform(store, name, Transform(small_run.morphology_to_he, "morphology_px", "he_px", "given"), 0.7)
    (found,) = distrusted(store)
    assert found.level == "look here" and "only roughly aligned to breast" in found.words
