"""What is held against the files of a run before anything of it is written: the slide's pixels, and where units lie."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.progress import Note, OnEvent
from napari_pixelgene.stages.checks import check_on_tissue, check_pitch, check_placement
from napari_pixelgene.stages.tissue import find_tissue

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.elements.transcripts import Transcripts
    from napari_pixelgene.pipeline.sources.base import Source

STAGE = "import"
# Molecules looked at.
_SAMPLE = 5000


def measured(image: Image, source: Source | None, on_event: OnEvent) -> Image:
    """The H&E with the pixel size that the run's files tell, where it states none itself."""
    mpp = source.pixel_size(image) if source is not None and image.mpp is None else None
    if source is None or mpp is None:
        return image
    on_event(Note(f"By the {source.title} run the H&E has {mpp:.4g} µm per pixel.", stage=STAGE))
    return replace(image, mpp=mpp)


def chosen_of(source: Source | None) -> dict[str, Any]:
    """The source's settings apart from where its files lie."""
    if source is None:
        return {}
    return {key: value for key, value in source.plain().items() if key not in source.places}


def check_place(capture: Capture, image: Image, work_mpp: float, on_event: OnEvent) -> None:
    """Spots must lie on the image and on its tissue, or image, table or pixel size are wrong."""
    units = capture.units
    assert units is not None
    grid = Grid.of_image(image, work_mpp)
    mpp = image.require_mpp()
    xy_um = units.xy * (mpp if units.frame == "he_px" else 1.0)
    check_pitch(xy_um, units.footprint, mpp)
    check_placement(xy_um, units.ids, grid, on_event)
    check_on_tissue(xy_um, grid, find_tissue(image, grid, on_event=on_event), on_event)


def check_molecules(transcripts: Transcripts, image: Image, work_mpp: float) -> None:
    """Most of the first molecules must lie on the image; how many do not in all, the binning tells."""
    first = next(transcripts.batches()).xy
    xy = first[:: max(1, len(first) // _SAMPLE)]
    xy_um = xy * (image.require_mpp() if transcripts.frame == "he_px" else 1.0)
    check_placement(xy_um, np.arange(len(xy)), Grid.of_image(image, work_mpp), what="of the first molecules")
