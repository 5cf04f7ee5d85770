"""Pictures of a section for a report: the slide, and close-ups of the run's image drawn onto it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.pipeline.showing import open_section
from napari_pixelgene.pipeline.slide import grid_of, open_slide, require_capture
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.report.content import AlignmentContent, CloseUp, Picture
from napari_pixelgene.store.alignments import read_alignment

if TYPE_CHECKING:
    from napari_pixelgene.elements.alignment import Keypoints, Registration, Transform
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.simulate.known import KnownTruth
    from napari_pixelgene.store.section import SectionStore

_OVERVIEW_PX = 1200
_CLOSE_UP_UM = 200.0


def overview(image: Image) -> Picture:
    """The slide at the finest level whose sides are at most 1,200 pixels, or the coarsest there is."""
    small = [i for i, level in enumerate(image.levels) if max(level.shape[:2]) <= _OVERVIEW_PX]
    level = small[0] if small else len(image.levels) - 1
    return Picture(np.asarray(image.levels[level][:, :]), image.require_mpp() * image.downsample(level)[0])


def alignment_content(
    store: SectionStore,
    measured: BoolArray,
    registration: Registration | None = None,
    truth: KnownTruth | None = None,
    on_event: OnEvent = silent,
) -> AlignmentContent | None:
    """Pairs and transform of the only capture with their evidence; None where no pairs were clicked.

    `measured` (rows, columns) are superpixels where close-ups make sense.
    """
    keypoints, transform = read_alignment(store, require_capture(store).name)
    if keypoints is None or transform is None:
        return None
    image = open_slide(store)
    mpp = image.require_mpp()
    moved = transform.apply(keypoints.moving_xy)
    found = AlignmentContent(
        transform,
        keypoints,
        keypoints.fixed_xy * mpp,
        (moved - keypoints.fixed_xy) * mpp,
        tuple(registration.candidates.values()) if registration else (),
        registration.recommendation if registration else "",
        registration.cautions if registration else (),
        corner_error_um=None if truth is None else corner_errors_um(transform, truth.morphology_to_he, image),
    )
    drawn = open_section(store, on_event).morphology
    if not drawn:
        return found
    moving = drawn[0][1]
    places = _full_places(measured, grid_of(store).superpixel_um)
    return replace(
        found, close_ups=_close_ups(image, moving, keypoints, places), moving_name=moving.name or "morphology"
    )


def corner_errors_um(found: Transform, true: Transform, image: Image) -> FloatArray:
    """How far (4,) in µm a transform puts what belongs at each corner of the slide."""
    rows, columns = image.yx_shape
    corners = np.array([[0, 0], [columns, 0], [0, rows], [columns, rows]], dtype=np.float64)
    landed = found.apply(true.inverse().apply(corners))
    return np.asarray(np.hypot(*(landed - corners).T) * image.require_mpp())


def _close_ups(image: Image, moving: Image, keypoints: Keypoints, places: FloatArray) -> tuple[CloseUp, ...]:
    """The middle of the pairs, and the place furthest from all of them, where an alignment goes wrong first."""
    if not len(places):
        return ()
    pairs = keypoints.fixed_xy[keypoints.enabled] * image.require_mpp()
    middle = np.hypot(*(places - pairs.mean(0)).T).argmin()
    far = np.hypot(*np.moveaxis(places[:, None] - pairs[None], -1, 0)).min(1).argmax()
    named = {"Middle": places[middle], "Far from pairs": places[far]}
    if middle == far:
        named.pop("Far from pairs")
    return tuple(_close_up(image, moving, corner, where) for where, corner in named.items())


def _full_places(measured: BoolArray, superpixel_um: float) -> FloatArray:
    """Outer corners (n, 2) in µm of the squares of a lattice that are measured nearly everywhere."""
    side = max(1, int(_CLOSE_UP_UM // superpixel_um))
    rows, columns = (n // side for n in measured.shape)
    squares = measured[: rows * side, : columns * side].reshape(rows, side, columns, side).mean((1, 3))
    if not squares.size:
        return np.zeros((0, 2))
    row, column = np.nonzero(squares >= min(0.95, squares.max()))
    return np.column_stack([column, row]) * side * superpixel_um


def _close_up(image: Image, moving: Image, corner_um: FloatArray, where: str) -> CloseUp:
    mpp = image.require_mpp()
    left, top = (round(c / mpp) for c in corner_um)
    side = round(_CLOSE_UP_UM / mpp)
    region = (slice(top, min(top + side, image.yx_shape[0])), slice(left, min(left + side, image.yx_shape[1])))
    he = Picture(np.asarray(image.levels[0][region]), mpp, (left * mpp, top * mpp))
    return CloseUp(he, np.asarray(moving.levels[0][region]), where)
