"""A capture that was added to the slide of another one: its positions are its own, and lie nowhere on that slide yet.

A source speaks of `he_px` and `he_um`, meaning the image that came with the run. On a mother slide that image is the
capture's own: its pixels are `morphology_px`, its µm `stage_um`, 0, 0 at the outer corner of its first pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.alignment import Frame, Transform
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.transcripts import TranscriptBatch, Transcripts

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture

ON_IMAGE = ("he_px", "he_um")


def in_own_frame(capture: Capture, mpp: float, has_image: bool) -> Capture:
    """The capture with its positions called its own; without an image pixels become µm at `mpp` µm per pixel."""
    frames = {"he_px": "morphology_px" if has_image else "stage_um", "he_um": "stage_um"}

    def own(frame: Frame) -> tuple[Frame, float]:
        scale = mpp if frame == "he_px" and not has_image else 1.0
        return frames.get(frame, frame), scale  # type: ignore[return-value]

    units, transcripts, between = capture.units, capture.transcripts, capture.stage_to_morphology
    if units is not None:
        frame, scale = own(units.frame)
        units = replace(units, xy=np.asarray(units.xy) * scale, frame=frame)
    if transcripts is not None:
        frame, scale = own(transcripts.frame)
        transcripts = _scaled(transcripts, frame, scale)
    if has_image and between is None:
        between = Transform(np.diag([1 / mpp, 1 / mpp, 1.0]), "stage_um", "morphology_px")
    return replace(capture, units=units, transcripts=transcripts, stage_to_morphology=between)


def stand_in(mpp: float | None, name: str) -> Image:
    """What a source is given where a capture has no image: one white pixel of that size."""
    return Image((np.full((1, 1, 3), 255, np.uint8),), mpp, None, name)


def _scaled(transcripts: Transcripts, frame: Frame, scale: float) -> Transcripts:
    def batches() -> Iterator[TranscriptBatch]:
        for batch in transcripts.batches():
            yield TranscriptBatch(np.asarray(batch.xy) * scale, batch.gene)

    return replace(transcripts, frame=frame, batches=transcripts.batches if scale == 1.0 else batches)
