"""Keypoints or a matrix into the transform of a capture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.alignment import Frame, Keypoints, Registration, Transform
from napari_pixelgene.errors import RegistrationError, StoreError
from napari_pixelgene.pipeline.drafting import default_settings, read_file
from napari_pixelgene.pipeline.landmark_files import store_landmarks
from napari_pixelgene.pipeline.pairing import (
    as_meant,
    explained,
    proposal_for,
    require_on_images,
    require_whole,
    surroundings,
)
from napari_pixelgene.pipeline.slide import is_on_slide, open_morphology, open_slide, require_capture
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.alignments import (
    Direction,
    read_alignment,
    read_keypoint_texts,
)
from napari_pixelgene.stages.registration import STAGE, RegistrationSettings, register
from napari_pixelgene.store import provenance
from napari_pixelgene.store.alignments import write_alignment
from napari_pixelgene.store.references import file_hash

if TYPE_CHECKING:
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.stages.mispairings import Surroundings
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

# What to give where a run has no image of its own to click on.
_GIVE_PAIRS = (
    "Give the run's side in its own µm: two text files (--keypoints RUN HE), or JSON whose moving_frame is stage_um."
)
_EXPORT_AGAIN = "Export the alignment again, or register from its keypoints with --kind affine."


def register_keypoints(
    store: SectionStore,
    keypoints: Keypoints | Path,
    settings: RegistrationSettings | None = None,
    capture: str | None = None,
    on_event: OnEvent = silent,
    mend: bool = False,
    around: Surroundings | None = None,
) -> Registration:
    """Fit the capture's transform to the H&E from pairs, and store pairs and transform.

    Pairs in two text files are read with `text_keypoints` first. Without settings a capture without an image, whose
    scale is known from its spots' pitch, is only turned and shifted (`rigid`). Where pairs make no sense and one
    simple mistake explains it (images or x and y swapped, a pyramid level, the order of rows), errors and notes say
    so; with `mend` the pairs are taken as they are probably meant, and that is told. `around` is what is known of the
    images, by who has them open.
    """
    start = time.monotonic()
    found = _require_run(store, capture)
    settings = settings or default_settings(found)
    pairs = _keypoints(keypoints, on_event) if isinstance(keypoints, Path) else keypoints
    source = keypoints if isinstance(keypoints, Path) else None
    with _named(source):
        _require_reached(found, pairs.moving_frame, _GIVE_PAIRS)
        around = around or surroundings(store, found, pairs.moving_frame, pairs.fixed_frame, _moving_mpp(found, pairs))
        pairs, registration = _registered(around, pairs, settings, mend, on_event)
    inputs = {found.import_key: found.fingerprint, "keypoints": _hash(pairs)}
    _store(store, found, pairs, registration.transform, provenance.fingerprint(settings, inputs))
    _record(store, found, settings.model_dump(), inputs, start)
    return registration


def _registered(
    around: Surroundings, pairs: Keypoints, settings: RegistrationSettings, mend: bool, on_event: OnEvent
) -> tuple[Keypoints, Registration]:
    """The fit, held against both images, and the pairs it was made from."""
    proposal = proposal_for(pairs, around, settings)
    meant = as_meant(pairs, proposal, mend, on_event)
    proposal = proposal if meant is pairs else None
    try:
        registration = register(meant, settings, around.fixed_mpp, around.moving_mpp, on_event)
    except RegistrationError as error:
        raise explained(error, proposal) from None
    doubt = require_on_images(meant, around, proposal, on_event)
    require_whole(registration.transform, around, "Add pairs towards the edges, or choose --kind affine.")
    return meant, replace(registration, doubt=doubt)


def register_matrix(
    store: SectionStore,
    matrix: Path,
    capture: str | None = None,
    direction: Direction | None = None,
    on_event: OnEvent = silent,
) -> Transform:
    """Take a matrix from a file. A bare 3 × 3 is Xenium Explorer's, H&E to morphology, unless `direction` says
    otherwise; where tissue of both images agrees only the other way round, that is an error."""
    start = time.monotonic()
    found = _require_run(store, capture)
    read = _matrix(store, found, matrix, direction, on_event)
    transform = read.inverse() if read.source == "he_px" else read
    with _named(matrix):
        _require_onto_he(transform)
        _require_reached(found, transform.source, "Give a matrix with --direction stage_to_he.")
        require_whole(transform, surroundings(store, found, transform.source, transform.target), _EXPORT_AGAIN)
    inputs = {found.import_key: found.fingerprint, "matrix": file_hash(matrix)}
    _store(store, found, None, transform, provenance.fingerprint({}, inputs))
    _record(store, found, {}, inputs, start)
    return transform


def text_keypoints(
    store: SectionStore, moving: Path, fixed: Path, levels: tuple[int, int] = (0, 0), capture: str | None = None
) -> Keypoints:
    """Pairs from Pixel2Gene's two text files, morphology and H&E, clicked on the given levels of their pyramids.

    A run without morphology has its side in its own µm.
    """
    found = _require_run(store, capture)
    morphology = open_morphology(store, found)
    pairs = read_keypoint_texts(
        moving,
        fixed,
        moving_level=levels[0],
        fixed_level=levels[1],
        moving_shapes=_shapes(morphology[0]) if morphology else None,
        fixed_shapes=_shapes(open_slide(store)),
    )
    if found.stage_to_morphology is not None:
        return pairs
    if levels[0]:
        raise RegistrationError(f"The points of {moving} are µm of the run, which have no levels.", "Leave level 0.")
    return replace(pairs, moving_frame="stage_um")


def _shapes(image: Image) -> list[tuple[int, int]]:
    return [(int(level.shape[0]), int(level.shape[1])) for level in image.levels]


def _matrix(
    store: SectionStore, capture: StoredCapture, path: Path, direction: Direction | None, on_event: OnEvent
) -> Transform:
    """The transform of a file of any kind that can hold one."""
    read = read_file(store, capture.name, path, direction, on_event)[1]
    if read is None:
        raise RegistrationError(f"{path} holds keypoints, not a matrix.", "Give it with --keypoints.")
    return read


@contextmanager
def _named(file: Path | None) -> Iterator[None]:
    """What is wrong with pairs is wrong with the file they came from."""
    try:
        yield
    except RegistrationError as error:
        where = f"{file}: " if file is not None else ""
        raise RegistrationError(where + error.problem, error.mend) from None


def _require_run(store: SectionStore, capture: str | None) -> StoredCapture:
    found = require_capture(store, capture)
    if is_on_slide(found):
        raise StoreError(
            f"The capture '{found.name}' of {store.path.name} is in H&E pixels already.", "It needs no registration."
        )
    return found


def _require_onto_he(transform: Transform) -> None:
    if transform.target != "he_px":
        raise RegistrationError(
            f"The matrix leads from {transform.source} to {transform.target}, not to the H&E.",
            "Give the one that does, and say which way it leads: --direction he_to_morphology, morphology_to_he or "
            "stage_to_he.",
        )


def _require_reached(capture: StoredCapture, frame: Frame, mend: str) -> None:
    """The run's positions must lead to the frame of the points: its own, or by its own matrix."""
    between = capture.stage_to_morphology
    if frame != capture.frame and (between is None or frame not in (between.source, between.target)):
        why = "" if between is not None else " and it has no morphology image"
        raise RegistrationError(
            f"The points are in {frame}; the positions of the run '{capture.name}' are in {capture.frame}{why}.", mend
        )


def _keypoints(path: Path, on_event: OnEvent) -> Keypoints:
    if path.is_dir():
        return store_landmarks(path)
    read = read_alignment(path, on_event=on_event)
    if not isinstance(read, Keypoints):
        raise RegistrationError(f"{path} holds a matrix, not keypoints.", "Give it with --matrix.")
    return read


def _moving_mpp(capture: StoredCapture, pairs: Keypoints) -> float | None:
    """µm per unit of the moving frame: of morphology pixels from the run's own matrix."""
    if pairs.moving_frame == "stage_um":
        return 1.0
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
