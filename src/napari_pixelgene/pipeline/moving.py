"""What is laid onto the H&E: a run's morphology image, or, where it brings none, a picture of how its units lie.

Coordinates of keypoints are those of the moving frame: morphology pixels, or stage µm for the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.arithmetic.density import density
from napari_pixelgene.elements.alignment import Frame, Keypoints, Transform
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import PixelGeneError, RegistrationError
from napari_pixelgene.pipeline.drafting import scale_known_from
from napari_pixelgene.pipeline.looks import UnitsDrawn
from napari_pixelgene.pipeline.slide import is_on_slide, open_morphology, reopen, require_capture
from napari_pixelgene.pipeline.sources.registry import source_from
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.tables import take_column, take_part, take_positions

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

# The picture of units: fine enough to tell them apart, at most so many pixels a side.
_SIDE_PX = 2048
_FINEST_UM = 2.0
_CELL_BLUR_UM, _MOLECULE_UM = 4.0, 5.0
UNITS = "density"


@dataclass(frozen=True, slots=True)
class Moving:
    """The image that moves: lazy channels, the frame of its keypoints, and where its pixels lie in that frame.

    `um_per_unit` is µm per unit of `frame`; `picture_to_frame` (3, 3) takes level-0 pixels of a channel to `frame`.
    `between` leads between the capture's two frames, where it is known. `known_scale` says in words what the scale is
    known from, empty where it is not; `drawn` draws the looks of a capture that is shown by its units.
    """

    capture: str
    title: str
    channels: tuple[Image, ...]
    frame: Frame
    um_per_unit: float
    picture_to_frame: FloatArray
    between: Transform | None = None
    known_scale: str = ""
    drawn: UnitsDrawn | None = None

    def with_gene(self, symbol: str) -> Moving:
        """The same with one more channel that shows a gene. Raises SettingsError where it was not measured."""
        if self.drawn is None:
            raise RegistrationError(f"'{self.capture}' is not shown by its units.", "Register it by its image.")
        image = self.drawn.gene(symbol)
        others = tuple(channel for channel in self.channels if channel.name != image.name)
        return replace(self, channels=(*others, image))

    def drawn_by(self, transform: Transform) -> Transform:
        """From a channel's level-0 pixels to the H&E, for a transform from the moving frame."""
        return replace(transform, matrix=transform.matrix @ self.picture_to_frame)

    def transform_from_here(self, transform: Transform) -> Transform:
        """A transform to the H&E as one from this image's frame. Raises RegistrationError when no way leads there."""
        forward = transform.inverse() if transform.target != "he_px" else transform
        if forward.target != "he_px" or forward.source == "he_um":
            raise RegistrationError(
                f"The matrix maps {transform.source} to {transform.target}, not {self.title} to the H&E.",
                "Import the matrix that Xenium Explorer exports with the alignment.",
            )
        if forward.source != self.frame:
            forward = replace(self._way(forward.source).inverse().then(forward), kind=forward.kind)
        return replace(forward, matrix=geometry.scaled(forward.matrix))

    def keypoints_here(self, keypoints: Keypoints, he_mpp: float) -> Keypoints:
        """Keypoints of any frames as pairs of this frame and H&E pixels, whichever side was called moving."""
        if keypoints.moving_frame in ("he_px", "he_um") and keypoints.fixed_frame not in ("he_px", "he_um"):
            there = keypoints.fixed_xy, keypoints.moving_xy, keypoints.fixed_frame, keypoints.moving_frame
            keypoints = Keypoints(*there, keypoints.enabled)
        if keypoints.fixed_frame not in ("he_px", "he_um"):
            raise RegistrationError(
                f"The keypoints are in {keypoints.moving_frame} and {keypoints.fixed_frame}; none is on the H&E.",
                "Import pairs of this slide.",
            )
        fixed = keypoints.fixed_xy / (he_mpp if keypoints.fixed_frame == "he_um" else 1.0)
        moving = keypoints.moving_xy
        if keypoints.moving_frame != self.frame:
            moving = self._way(keypoints.moving_frame).apply(moving)
        return Keypoints(moving, fixed, self.frame, "he_px", keypoints.enabled)

    def _way(self, frame: Frame) -> Transform:
        """From another frame of the capture to this one."""
        between = self.between
        if between is not None and {between.source, between.target} == {frame, self.frame}:
            return between if between.source == frame else between.inverse()
        raise RegistrationError(
            f"These coordinates are in {frame}; '{self.capture}' is registered in {self.frame}.",
            "Choose a file that belongs to this run.",
        )


def movable(store: SectionStore) -> list[str]:
    """The captures that have to be registered: those that do not lie on the H&E by themselves."""
    return [name for name in store.captures() if not is_on_slide(read_capture(store, name))]


def open_moving(store: SectionStore, name: str, on_event: OnEvent = silent) -> Moving:
    """A capture's image, opened and not read; without one the picture of its units, which is made now."""
    capture = require_capture(store, name)
    alone = len(store.captures()) == 1  # else a person tells captures apart by their names
    title = source_from(capture.source).title.split(" (")[0] if alone else name
    channels = _channels(store, capture, on_event)
    if channels:
        between = capture.stage_to_morphology
        mpp = float(1.0 / between.matrix[0, 0]) if between is not None else channels[0].require_mpp()
        return Moving(name, title, channels, "morphology_px", mpp, np.eye(3), between)
    frame: Frame = capture.frame
    image, origin = _picture(store, capture, on_event)
    pixel = image.require_mpp()
    place = np.array([[pixel, 0, origin[0]], [0, pixel, origin[1]], [0, 0, 1.0]])
    drawn = UnitsDrawn(store, capture, pixel, origin, image.yx_shape) if capture.units_count else None
    channels = (image,) if drawn is None else (image, drawn.clusters())
    between, known = capture.stage_to_morphology, scale_known_from(capture)
    return Moving(name, title, channels, frame, 1.0, place, between, known, drawn)


def _channels(store: SectionStore, capture: StoredCapture, on_event: OnEvent) -> tuple[Image, ...]:
    """The morphology channels; where they cannot be opened that is told, and there are none."""
    try:
        return open_morphology(store, capture, on_event)
    except PixelGeneError as error:
        on_event(Note(f"The images of '{capture.name}' cannot be shown, its cells are instead. {error}", "warning"))
        return ()


def _picture(store: SectionStore, capture: StoredCapture, on_event: OnEvent) -> tuple[Image, tuple[float, float]]:
    """How densely units lie (spots and bins by their counts), else molecules."""
    if capture.units_count:
        xy, footprint = take_positions(capture.path), take_part(capture.path, "uns")["footprint"]
        size_um = float(footprint["size_um"])
        weights = take_column(capture.path, "library").astype(np.float64) if size_um else None
        pixel = max(_FINEST_UM, float(np.ptp(xy, axis=0).max()) / _SIDE_PX)
        raster, origin = density([(xy, weights)], pixel, size_um / 3 if size_um else _CELL_BLUR_UM)
        return _image(raster, pixel, "spots" if size_um else "cells"), origin
    raster, origin = density(_molecules(store, capture, on_event), _MOLECULE_UM, _MOLECULE_UM / 2)
    return _image(raster, _MOLECULE_UM, "transcripts"), origin


def _molecules(
    store: SectionStore, capture: StoredCapture, on_event: OnEvent
) -> Iterator[tuple[FloatArray, FloatArray | None]]:
    transcripts = reopen(store, capture, on_event).transcripts
    assert transcripts is not None
    for batch in transcripts.batches():
        yield np.asarray(batch.xy, dtype=np.float64), None


def _image(raster: FloatArray, pixel: float, name: str) -> Image:
    """A pyramid of the picture, so that the canvas has something coarse to begin with."""
    levels = [raster]
    while max(levels[-1].shape) > 512 and len(levels) < 4:
        levels.append(_halved(levels[-1]))
    if len(levels) == 1:
        levels.append(_halved(raster))
    return Image(tuple(levels), pixel, None, f"density of {name}")


def _halved(raster: FloatArray) -> FloatArray:
    rows, columns = (-(-side // 2) * 2 for side in raster.shape)
    whole = np.zeros((rows, columns), dtype=raster.dtype)
    whole[: raster.shape[0], : raster.shape[1]] = raster
    half: FloatArray = whole.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
    return half
