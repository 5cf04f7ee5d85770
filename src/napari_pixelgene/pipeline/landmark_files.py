"""Pairs out of files that do not say all about themselves: BigWarp's in lengths, landmarks of a SpatialData store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.errors import InputError, RegistrationError
from napari_pixelgene.pipeline.slide import require_capture
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.alignments import read_alignment

if TYPE_CHECKING:
    from napari_pixelgene.store.section import SectionStore


@dataclass(frozen=True, slots=True)
class StoreElements:
    """What of a SpatialData store can be landmarks, the images they may have been clicked on, and the usual two, empty
    where they are not there."""

    elements: tuple[str, ...]
    images: tuple[str, ...]
    usual: tuple[str, str]


def store_elements(path: Path) -> StoreElements:
    """The points, shapes and images of a store, by name. Raises InputError for a folder that is none."""
    from napari_pixelgene.readers.spatialdata_elements import is_store, names
    from napari_pixelgene.readers.spatialdata_landmarks import LANDMARKS

    if not is_store(path):
        raise InputError(f"{path} is no SpatialData store.", "Choose the .zarr folder that spatialdata wrote.")
    found = tuple(sorted({*names(path, "points"), *names(path, "shapes")}))
    moving, fixed = (name if name in found else "" for name in LANDMARKS)
    return StoreElements(found, tuple(sorted(names(path, "images"))), (moving, fixed))


def store_landmarks(
    path: Path, elements: tuple[str, str] | None = None, images: tuple[str, str] | None = None, system: str = ""
) -> Keypoints:
    """Pairs of two elements of a SpatialData store, by default those that we write.

    `images` names the images of the store on which the run's and the H&E's points were clicked, where the landmarks are
    not in pixels; `system` the coordinate system, where an element lies in several.
    """
    from napari_pixelgene.readers.spatialdata_landmarks import LANDMARKS, read_landmarks

    return read_landmarks(path, elements or LANDMARKS, images=images or ("", ""), system=system)


def bigwarp_landmarks(
    store: SectionStore,
    path: Path,
    unit: Literal["px", "um"],
    capture: str | None = None,
    on_event: OnEvent = silent,
) -> Keypoints:
    """Pairs of BigWarp's CSV in pixels, or in µm of images that have the pixel sizes which the section knows."""
    found = read_alignment(path, bigwarp_pixels=_pixels(store, unit, capture), on_event=on_event)
    if not isinstance(found, Keypoints):
        raise RegistrationError(f"{path} holds a matrix, not keypoints.", "Give it with --matrix.")
    return found


def _pixels(store: SectionStore, unit: Literal["px", "um"], capture: str | None) -> tuple[float, float]:
    if unit == "px":
        return 1.0, 1.0
    between = require_capture(store, capture).stage_to_morphology
    if between is None:
        raise RegistrationError(
            "The run has no morphology image, so that µm of its image mean nothing.",
            "Give the run's side in its own µm: JSON whose moving_frame is stage_um.",
        )
    return float(1 / between.matrix[0, 0]), float(store.meta()["mpp"])
