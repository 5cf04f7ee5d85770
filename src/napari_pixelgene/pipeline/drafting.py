"""An alignment while a person works at it: what is kept before pairs give a transform, and what a file would bring.

`aligning.py` fits and stores in one go; here nothing is fitted, and reading a file changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.errors import StoreError
from napari_pixelgene.pipeline.nuclei import nuclear_channel
from napari_pixelgene.pipeline.outlines import check_direction
from napari_pixelgene.pipeline.slide import is_on_slide, open_morphology, open_slide, require_capture
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.alignments import Direction, read_alignment, read_alignment_json
from napari_pixelgene.stages.registration import STAGE, RegistrationSettings
from napari_pixelgene.store import provenance
from napari_pixelgene.store.alignments import ALIGNMENT, write_alignment
from napari_pixelgene.store.captures import read_capture

if TYPE_CHECKING:
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore


def keep_transform(store: SectionStore, capture: str, transform: Transform, keypoints: Keypoints | None = None) -> None:
    """Take a transform as it is given, with the pairs that a person keeps beside it to judge it by."""
    start = time.monotonic()
    found = _movable(store, capture)
    matrix = provenance.fingerprint({}, transform.spelled())
    inputs = {found.import_key: found.fingerprint, "matrix": matrix}
    fingerprint = provenance.fingerprint({}, inputs)
    write_alignment(store, found.name, keypoints, transform, fingerprint)
    seconds, versions = time.monotonic() - start, provenance.versions("scipy")
    provenance.record(store, f"{STAGE}/{found.name}", fingerprint, {}, inputs, seconds, versions)


def keep_keypoints(store: SectionStore, capture: str, keypoints: Keypoints) -> None:
    """Keep pairs that give no transform yet; a transform that stands, stays."""
    found = _movable(store, capture)
    stands = provenance.made_with(store, "captures", found.name, ALIGNMENT) or ""
    write_alignment(store, found.name, keypoints, found.to_he, stands)


def unregister(store: SectionStore, capture: str) -> None:
    """Forget a capture's pairs and transform."""
    found = _movable(store, capture)
    write_alignment(store, found.name, None, None)
    provenance.forget(store, f"{STAGE}/{found.name}")


def chosen_settings(store: SectionStore, capture: str) -> RegistrationSettings:
    """How the capture was registered last, or the defaults."""
    chosen = provenance.records(store).get(f"{STAGE}/{capture}", {}).get("settings", {})
    return RegistrationSettings.make(chosen) if chosen else default_settings(read_capture(store, capture))


def default_settings(capture: StoredCapture) -> RegistrationSettings:
    """Rigid where the scale is known beforehand, else what the pairs support."""
    return RegistrationSettings(kind="rigid" if scale_known_from(capture) else "auto")


def scale_known_from(capture: StoredCapture) -> str:
    """What the scale of a capture without an image is known from, in words; empty where it is not: its µm are as
    good as the distance of its spots or bins, which the import held against their size."""
    footprint = capture.footprint()
    if capture.frame != "stage_um" or capture.stage_to_morphology is not None or footprint is None:
        return ""
    return {"disk": "the spots' pitch", "square": "the bins' side", "point": ""}[footprint.shape]


def read_file(
    store: SectionStore,
    capture: str,
    path: Path,
    direction: Direction | None = None,
    on_event: OnEvent = silent,
) -> tuple[Keypoints | None, Transform | None]:
    """What a file of any kind holds: keypoints, a matrix, or both. `direction` is that of a bare matrix.

    Raises PixelGeneError that names file and line, or that says the matrix fits only the other way round.
    """
    found = _movable(store, capture)
    read = read_alignment(path, direction=direction, on_event=on_event)
    if path.suffix.lower() == ".json":
        return read_alignment_json(path)
    if isinstance(read, Keypoints):
        return read, None
    if np.linalg.det(read.matrix[:2, :2]) < 0:
        on_event(Note(f"The matrix in {path.name} turns one image over: right only if they are mirrored.", "warning"))
    images = _images(store, found)
    if images is not None:
        check_direction(path.name, read, direction is not None, images, on_event)
    return None, read


def _images(store: SectionStore, capture: StoredCapture) -> tuple[Image, Image] | None:
    """The image that moves and the H&E; None for a run without one."""
    image = nuclear_channel(open_morphology(store, capture))
    if image is None:
        return None
    between = capture.stage_to_morphology
    mpp = float(1.0 / between.matrix[0, 0]) if between is not None else image.require_mpp()
    return replace(image, mpp=mpp), open_slide(store)


def _movable(store: SectionStore, capture: str) -> StoredCapture:
    found = require_capture(store, capture)
    if is_on_slide(found):
        raise StoreError(f"The capture '{capture}' lies on the H&E by itself.", "It needs no registration.")
    return found
