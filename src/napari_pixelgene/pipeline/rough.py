"""A first guess of where a run lies on the H&E: a proposal that a person looks at, and keeps or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.errors import StoreError
from napari_pixelgene.pipeline.drafting import keep_transform
from napari_pixelgene.pipeline.moving import Moving, open_moving
from napari_pixelgene.pipeline.nuclei import nuclear_channel
from napari_pixelgene.pipeline.slide import is_on_slide, open_slide, require_capture
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.stages.registration import STAGE
from napari_pixelgene.stages.rough_alignment import align_roughly
from napari_pixelgene.store import provenance
from napari_pixelgene.store.tables import take_part

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

# The input that marks a registration as a rough one; its value is the agreement.
_MARK = "rough"


@dataclass(frozen=True, slots=True)
class Rough:
    """A proposal from the moving frame to H&E pixels, never stored by itself.

    `score` and `runner_up` are the agreement of this placement and of the next best different one, `other` (at most 1,
    near 0 by chance). `is_clear` is False where a person has to choose or to look first; `words` say which.
    """

    transform: Transform
    score: float
    runner_up: float
    other: Transform | None
    is_clear: bool
    words: str


def rough_alignment(store: SectionStore, capture: str | None = None, on_event: OnEvent = silent) -> Rough:
    """Where a capture lies on the H&E, from outlines and nuclei on coarse levels; any turn, mirrored or not.

    Raises RegistrationError where nothing fits, StoreError where nothing is to be registered.
    """
    stored = _movable(store, capture)
    moving = open_moving(store, stored.name, on_event)
    picture = nuclear_channel(moving.channels)
    assert picture is not None  # what is moved has a picture
    mpp = moving.um_per_unit * float(np.hypot(*moving.picture_to_frame[:2, 0]))
    image = replace(picture, mpp=mpp, name=moving.title)
    fixed = replace(open_slide(store), name="the H&E")
    fit = align_roughly(fixed, image, _grain_um(stored, moving), on_event)
    other = None if fit.other is None else _transform(fit.other, moving)
    return Rough(_transform(fit.matrix, moving), fit.score, fit.runner_up, other, fit.is_clear, fit.words)


def keep_rough(store: SectionStore, capture: str, rough: Rough) -> None:
    """Store a proposal as the capture's transform, marked as rough until pairs or a matrix take its place."""
    keep_rough_transform(store, capture, rough.transform, rough.score)


def keep_rough_transform(
    store: SectionStore, capture: str, transform: Transform, score: float, keypoints: Keypoints | None = None
) -> None:
    """The same for a transform with its agreement, beside pairs that do not make it."""
    keep_transform(store, capture, replace(transform, kind="given"), keypoints)
    key = f"{STAGE}/{capture}"
    done = provenance.records(store)[key]
    inputs = {**done["inputs"], _MARK: f"{score:.3f}"}
    provenance.record(store, key, done["fingerprint"], done["settings"], inputs, done["seconds"], done["versions"])


def is_rough(store: SectionStore, capture: str) -> bool:
    """Whether the capture's transform is a rough alignment as it came."""
    return rough_score(store, capture) is not None


def rough_score(store: SectionStore, capture: str) -> float | None:
    """The agreement of a rough alignment; None where pairs or a matrix took its place."""
    mark = provenance.records(store).get(f"{STAGE}/{capture}", {}).get("inputs", {}).get(_MARK)
    return None if mark is None else float(mark)


def _movable(store: SectionStore, name: str | None) -> StoredCapture:
    found = require_capture(store, name)
    if is_on_slide(found):
        raise StoreError(f"The capture '{found.name}' lies on the H&E by itself.", "It needs no registration.")
    return found


def _grain_um(stored: StoredCapture, moving: Moving) -> float:
    """The size of what the picture of units is made of; images show single nuclei."""
    if moving.frame == "morphology_px" or not stored.units_count:
        return 0.0
    return float(take_part(stored.path, "uns")["footprint"]["size_um"])


def _transform(matrix: FloatArray, moving: Moving) -> Transform:
    """From the moving frame, for a matrix from the picture's own pixels."""
    to_he = geometry.scaled(matrix @ np.linalg.inv(moving.picture_to_frame))
    return Transform(to_he, moving.frame, "he_px", "similarity")
