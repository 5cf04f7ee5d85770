"""Keypoints or a matrix into the transform of a capture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.alignment import Keypoints, Registration, Transform
from napari_pixelgene.errors import RegistrationError, StoreError
from napari_pixelgene.pipeline.slide import require_capture
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.stages.registration import STAGE, RegistrationSettings, register
from napari_pixelgene.store import provenance
from napari_pixelgene.store.alignments import write_alignment
from napari_pixelgene.store.references import file_hash

if TYPE_CHECKING:
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore


def register_keypoints(
    store: SectionStore,
    keypoints: Keypoints | Path,
    settings: RegistrationSettings | None = None,
    capture: str | None = None,
    on_event: OnEvent = silent,
) -> Registration:
    """Fit the capture's transform to the H&E from pairs, and store pairs and transform."""
    start = time.monotonic()
    settings = settings or RegistrationSettings()
    found = _require_run(store, capture)
    pairs = _keypoints(keypoints) if isinstance(keypoints, Path) else keypoints
    registration = register(pairs, settings, float(store.meta()["mpp"]), _moving_mpp(found), on_event)
    inputs = {"import": found.fingerprint, "keypoints": _hash(pairs)}
    _store(store, found, pairs, registration.transform, provenance.fingerprint(settings, inputs))
    _record(store, found, settings.model_dump(), inputs, start)
    return registration


def register_matrix(
    store: SectionStore, matrix: Path, capture: str | None = None, on_event: OnEvent = silent
) -> Transform:
    """Take a matrix from a file; its direction is read from its content."""
    start = time.monotonic()
    found = _require_run(store, capture)
    read = read_alignment(matrix)
    if not isinstance(read, Transform):
        raise RegistrationError(f"{matrix} holds keypoints, not a matrix.", "Give it with --keypoints.")
    transform = read.inverse() if read.source == "he_px" else read
    on_event(Note(f"{matrix.name} was read as {read.name}.", stage=STAGE))
    inputs = {"import": found.fingerprint, "matrix": file_hash(matrix)}
    _store(store, found, None, transform, provenance.fingerprint({}, inputs))
    _record(store, found, {}, inputs, start)
    return transform


def _require_run(store: SectionStore, capture: str | None) -> StoredCapture:
    found = require_capture(store, capture)
    if found.stage_to_morphology is None and found.transcripts is None:
        raise StoreError(
            f"The capture '{found.name}' of {store.path.name} is in H&E pixels already.", "It needs no registration."
        )
    return found


def _keypoints(path: Path) -> Keypoints:
    read = read_alignment(path)
    if not isinstance(read, Keypoints):
        raise RegistrationError(f"{path} holds a matrix, not keypoints.", "Give it with --matrix.")
    return read


def _moving_mpp(capture: StoredCapture) -> float | None:
    """µm per morphology pixel, from the run's own matrix."""
    if capture.stage_to_morphology is None:
        return None
    return float(1.0 / capture.stage_to_morphology.matrix[0, 0])


def _hash(pairs: Keypoints) -> str:
    both = np.column_stack([pairs.moving_xy, pairs.fixed_xy, pairs.enabled]).round(9)
    return provenance.fingerprint({}, {"pairs": str(both.tolist())})


def _store(
    store: SectionStore, capture: StoredCapture, pairs: Keypoints | None, transform: Transform, fingerprint: str
) -> None:
    write_alignment(store, capture.name, pairs, transform, fingerprint)


def _record(
    store: SectionStore, capture: StoredCapture, settings: dict[str, object], inputs: dict[str, str], start: float
) -> None:
    fingerprint = provenance.fingerprint(settings, inputs)
    key, versions = f"{STAGE}/{capture.name}", provenance.versions("scipy")
    provenance.record(store, key, fingerprint, settings, inputs, time.monotonic() - start, versions)
