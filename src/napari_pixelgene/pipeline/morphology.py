"""An image a person has for a run that brings none: from then on it is registered by that image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.errors import InputError, StoreError
from napari_pixelgene.pipeline.slide import is_on_slide
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.tiff import read_channels
from napari_pixelgene.stages.checks import PLAUSIBLE_MPP
from napari_pixelgene.store.captures import MORPHOLOGY, read_capture, write_morphology
from napari_pixelgene.store.references import reference

if TYPE_CHECKING:
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.store.section import SectionStore


def take_morphology(
    store: SectionStore, name: str, path: Path, mpp: float, on_event: OnEvent = silent
) -> tuple[Image, ...]:
    """Use a fluorescence TIFF of `mpp` µm per pixel as the morphology of a capture whose run brings no image.

    The outer corner of its first pixel is taken as 0, 0 of the run's µm; an offset between the two is absorbed by
    the registration only where the image, and not the run's own µm, is what is registered. Gives its channels.
    """
    capture = read_capture(store, name)
    if is_on_slide(capture):
        raise StoreError(f"The capture '{name}' lies on the H&E by itself.", "It needs no image of its own.")
    if capture.stage_to_morphology is not None and MORPHOLOGY not in capture.references:
        raise StoreError(f"The run '{name}' brings its own images.", "Register it by those.")
    if capture.own_mpp is not None and MORPHOLOGY in capture.references:
        raise StoreError(f"The capture '{name}' was added with its own image.", "It is registered by that one.")
    low, high = PLAUSIBLE_MPP
    if not low <= mpp <= high:
        raise InputError(f"A pixel size of {mpp:g} µm is none of a microscope's.", f"Give {low:g} to {high:g} µm.")
    channels = read_channels(path, mpp, on_event)
    to_pixels = Transform(np.diag([1 / mpp, 1 / mpp, 1.0]), "stage_um", "morphology_px")
    write_morphology(store, name, reference(path, store.path), to_pixels)
    return channels
