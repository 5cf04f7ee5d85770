"""Whether a registration can be used: nuclei compared all over the tissue, pairs heard, and the verdict kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.errors import RegistrationError, StoreError
from napari_pixelgene.pipeline.neighbours import marked_sections
from napari_pixelgene.pipeline.nuclei import nuclear_channel
from napari_pixelgene.pipeline.preparing import MASK, SLIDE, ensure_tissue, tissue_hash, transform_hashes
from napari_pixelgene.pipeline.showing import morphology_to_he
from napari_pixelgene.pipeline.slide import (
    grid_of,
    is_on_slide,
    open_morphology,
    open_slide,
    require_capture,
    slide_hash,
)
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.stages.matching import MatchingSettings, match_places
from napari_pixelgene.stages.rough_alignment import compare_outlines
from napari_pixelgene.stages.verdict import (
    STAGE,
    VerdictSettings,
    doubt,
    grid_places,
    hears_nuclei,
    judge,
    map_of,
    with_far_look,
)
from napari_pixelgene.stages.warping import warped_pyramid
from napari_pixelgene.store import provenance
from napari_pixelgene.store.verdicts import read_verdict, write_verdict

if TYPE_CHECKING:
    from napari_pixelgene.elements.alignment import Keypoints, Transform
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.elements.tissue import Tissue
    from napari_pixelgene.elements.verdict import Outlines, QualityMap, Sections, Verdict
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

# Where nuclei do not agree nearby, they are sought once more, farther away and more coarsely, at so many places.
FAR = MatchingSettings(radius_um=160, window_um=300, pixel_um=2)
_FAR_PLACES = 24
# What a kept verdict was judged by; one of other rules is out of date.
_RULES = "only nuclei make it good"


@dataclass(frozen=True, slots=True)
class Laid:
    """A registration to be judged: the slide, what was laid on it (None where it has no image), and by which pairs.

    `to_he` takes level-0 pixels of `moving` to the slide's; `fitted` is the transform as the pairs gave it, from
    their frame, of which a unit is `moving_mpp` µm. `reach` is (low, high) of what was measured, in that frame.
    `sections` is what a person said of them.
    """

    he: Image
    moving: Image | None
    to_he: Transform | None
    fitted: Transform
    keypoints: Keypoints | None
    moving_mpp: float
    reach: tuple[FloatArray, FloatArray]
    sections: Sections = "unknown"


def judge_registration(
    store: SectionStore,
    capture: str | None = None,
    on_event: OnEvent = silent,
    settings: VerdictSettings | None = None,
) -> Verdict:
    """Judge a capture's registration by its nuclei and its pairs, and keep the verdict beside the transform.

    A second's work a mm² of tissue, and some seconds more where outlines have to be compared; made once, and again when
    transform, slide, tissue, or what is said of the sections changed.
    """
    start, settings = time.monotonic(), settings or VerdictSettings()
    found = _require_registered(store, capture)
    tissue = ensure_tissue(store, on_event=on_event)
    inputs = _inputs(store, found)
    fingerprint = provenance.fingerprint(settings, inputs)
    kept = read_verdict(store, found.name)
    if kept is not None and provenance.made_with(store, "captures", found.name, STAGE) == fingerprint:
        on_event(Note(f"The registration of '{found.name}' has not changed since it was judged.", stage=STAGE))
        return kept
    verdict = judge_laid(_laid(store, found, on_event), tissue, grid_of(store).superpixel_um, settings, on_event)
    write_verdict(store, found.name, verdict, fingerprint)
    key, seconds = f"{STAGE}/{found.name}", time.monotonic() - start
    provenance.record(store, key, fingerprint, settings, inputs, seconds, provenance.versions("scipy"))
    return verdict


def kept_verdict(store: SectionStore, capture: str) -> tuple[Verdict, bool] | None:
    """The verdict that was kept, and whether it still holds; None where none was made."""
    kept = read_verdict(store, capture)
    if kept is None:
        return None
    record = provenance.records(store).get(f"{STAGE}/{capture}", {})
    found = require_capture(store, capture)
    return kept, found.to_he is not None and record.get("inputs") == _inputs(store, found)


def judge_laid(
    laid: Laid, tissue: Tissue, superpixel_um: float, settings: VerdictSettings, on_event: OnEvent = silent
) -> Verdict:
    """Judge what is laid on a slide, without a section."""
    places, spacing = grid_places(tissue.mask, superpixel_um, settings)
    mpp = laid.he.require_mpp()
    places = places[_under_run(laid, places / mpp)]
    pairs, doubt_um = doubt(laid.keypoints, laid.fitted, (laid.moving_mpp, mpp), places)
    if laid.moving is None or laid.to_he is None or not len(places):
        return judge(map_of(None, places, doubt_um, spacing, 0.0), pairs, settings)
    near = MatchingSettings()
    matches = match_places(laid.he, laid.moving, laid.to_he, places, near, on_event)
    found = map_of(matches, places, doubt_um, spacing, near.radius_um)
    found = _looked_farther(laid, found, on_event)
    # Fluorescence is mostly that of the section itself; a second stained slide is as often its neighbour.
    sections = "same" if laid.sections == "unknown" and not laid.moving.is_rgb else laid.sections
    outlines = None if hears_nuclei(found) else _outlines(laid, places, on_event)
    return judge(found, pairs, settings, sections, outlines)


def _outlines(laid: Laid, place_um: FloatArray, on_event: OnEvent) -> Outlines | None:
    """How outlines of the tissue lie on one another; None where an image shows none, or its pixels have no size."""
    assert laid.moving is not None and laid.to_he is not None
    if laid.moving.mpp is None:
        return None
    # Outlines are compared through the affine that is nearest where the places are.
    he_px = place_um / laid.he.require_mpp()
    there = laid.to_he.inverse().apply(he_px)
    if geometry.is_degenerate("affine", there):
        return None
    try:
        matrix = geometry.fit("affine", there, he_px)
        return compare_outlines(laid.he, laid.moving, matrix, place_um, on_event)
    except RegistrationError as error:
        on_event(Note(f"Outlines were not compared: {error.problem}", stage=STAGE))
        return None


def _looked_farther(laid: Laid, found: QualityMap, on_event: OnEvent) -> QualityMap:
    rows = np.flatnonzero(found.unlike)
    if not len(rows):
        return found
    assert laid.moving is not None and laid.to_he is not None
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _FAR_PLACES)).astype(int))]
    far = match_places(laid.he, laid.moving, laid.to_he, found.place_um[rows], FAR, on_event)
    return with_far_look(found, rows, far, FAR.radius_um)


def _under_run(laid: Laid, he_px: FloatArray) -> BoolArray:
    """Which points (n, 2) of the slide lie under what was measured."""
    there = laid.fitted.inverse().apply(he_px)
    low, high = laid.reach
    return np.asarray(((there >= low) & (there <= high)).all(axis=1))


def _require_registered(store: SectionStore, name: str | None) -> StoredCapture:
    found = require_capture(store, name)
    if is_on_slide(found):
        raise StoreError(f"'{found.name}' lies on the H&E by itself.", "There is no registration to judge.")
    if found.to_he is None:
        raise StoreError(
            f"The run '{found.name}' of {store.path.name} is not registered to the H&E yet.",
            f"pixelgene register {store.path.name} --keypoints FILE   (or --matrix FILE)",
        )
    return found


def _inputs(store: SectionStore, capture: StoredCapture) -> dict[str, str]:
    """What a verdict rests on, named as `describing.stale` knows it."""
    transform = f"transform/{capture.name}"
    return {
        capture.import_key: capture.fingerprint,
        transform: transform_hashes(store)[transform],
        SLIDE: slide_hash(store),
        MASK: tissue_hash(store) if store.find("tissue", "mask") else "",
        "sections": marked_sections(store, capture.name),
        "rules": _RULES,
    }


def _laid(store: SectionStore, capture: StoredCapture, on_event: OnEvent) -> Laid:
    assert capture.to_he is not None
    moving = nuclear_channel(open_morphology(store, capture, on_event))
    to_he, fitted = morphology_to_he(capture), capture.to_he
    between = capture.stage_to_morphology
    mpp = 1.0 if fitted.source == "stage_um" or between is None else float(1 / between.matrix[0, 0])
    reach, sections = _reach(capture, moving), marked_sections(store, capture.name)
    return Laid(open_slide(store), moving, to_he, fitted, capture.keypoints, mpp, reach, sections)


def nuclei_on_slide(store: SectionStore, capture: StoredCapture, on_event: OnEvent = silent) -> Image | None:
    """The channel of nuclei drawn onto the slide's pixels, lazily; None where the run has no image."""
    moving, to_he = nuclear_channel(open_morphology(store, capture, on_event)), morphology_to_he(capture)
    if moving is None or to_he is None:
        return None
    he = open_slide(store)
    return warped_pyramid(moving, to_he, he.yx_shape, he.require_mpp())


def _reach(capture: StoredCapture, moving: Image | None) -> tuple[FloatArray, FloatArray]:
    """The extent of what was measured, in the frame that was registered: of the image, else of the units."""
    assert capture.to_he is not None
    if moving is not None:
        corners = np.array([[0, 0], moving.yx_shape[::-1]], dtype=np.float64)
        own = "morphology_px"
    else:
        places = capture.unit_places()[0]
        if not len(places):
            return np.full(2, -np.inf), np.full(2, np.inf)
        corners, own = np.stack([places.min(axis=0), places.max(axis=0)]), capture.frame
    between = capture.stage_to_morphology
    if own != capture.to_he.source and between is not None:
        moved = (between if between.source == own else between.inverse()).apply(corners)
        return moved.min(axis=0), moved.max(axis=0)
    return corners.min(axis=0), corners.max(axis=0)
