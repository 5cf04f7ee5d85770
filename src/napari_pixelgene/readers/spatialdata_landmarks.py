"""Landmarks in a SpatialData store: two elements of points or circles, row i of one belonging to row i of the other.

So napari-spatialdata saves clicked points (as circles), and `align_elements_using_landmarks` takes them. A coordinate
system says what the numbers are. One that is called as a frame of ours (`morphology_px`, `he_px`, `stage_um`, `he_um`)
is that frame. Of any other the landmarks go into the pixels of an image of the store, where one is named, and are taken
as pixels otherwise. SpatialData's pixels begin at the outer corner, as ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_pixelgene.elements.alignment import Frame, Keypoints
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import silent
from napari_pixelgene.readers import spatialdata_elements as elements
from napari_pixelgene.readers.alignment_json import FRAMES

LANDMARKS = ("landmarks_moving", "landmarks_fixed")


def read_landmarks(
    store: Path,
    names: tuple[str, str] = LANDMARKS,
    *,
    images: tuple[str, str] = ("", ""),
    system: str = "",
) -> Keypoints:
    """Pairs of the elements `names` (moving, fixed), in the frames that their coordinate systems are.

    `images` names the image of the store that either was clicked on; `system` the coordinate system, where an element
    lies in several. Raises InputError that names the element; MissingDependency without the package spatialdata.
    """
    elements.require_package()
    if not elements.is_store(store):
        raise InputError(f"{store} is no SpatialData store.", "Give the .zarr folder that spatialdata wrote.")
    usual: tuple[Frame, Frame] = ("morphology_px", "he_px")
    sides = [_side(store, *each, system) for each in zip(names, images, usual, strict=True)]
    (moving, moving_frame), (fixed, fixed_frame) = sides
    if len(moving) != len(fixed):
        raise InputError(
            f"{store}: '{names[0]}' holds {len(moving)} points, '{names[1]}' holds {len(fixed)}.",
            "Row i of one must show the same spot as row i of the other: remove or add points.",
        )
    return Keypoints(moving, fixed, moving_frame, fixed_frame)


def _side(store: Path, name: str, image: str, usual: Frame, system: str) -> tuple[FloatArray, Frame]:
    element = _find(store, name)
    chosen = elements.choose_system(element, system)
    matrix = elements.transformation(element, chosen)
    frame = chosen if chosen in FRAMES else usual
    if image:
        picture = elements.require(store, "images", image, "image")
        matrix, frame = np.linalg.inv(elements.transformation(picture, chosen)) @ matrix, usual
    if element.parent.name == "points":
        return elements.moved(elements.read_positions(element), matrix), frame
    return elements.read_shapes(element, matrix, silent, sized=False).xy, frame


def _find(store: Path, name: str) -> Path:
    there = {each: room for room in ("points", "shapes") for each in elements.names(store, room)}
    if name not in there:
        known = ", ".join(sorted(there)) or "none"
        raise InputError(
            f"{store} has no '{name}' among its points and shapes.", f"Name the two with --landmarks; it has: {known}."
        )
    return store / there[name] / name
