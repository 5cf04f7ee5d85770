"""A section's slide and captures as elements, opened again from the store and from the files it refers to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.capture import Units
from napari_pixelgene.elements.grid import WORK_MPP, Grid
from napari_pixelgene.errors import StoreError
from napari_pixelgene.pipeline.own_frame import in_own_frame, stand_in
from napari_pixelgene.pipeline.sources.registry import source_from
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.images import read_image, read_picture
from napari_pixelgene.store.captures import MORPHOLOGY, read_capture
from napari_pixelgene.store.pyramids import read_pyramid
from napari_pixelgene.store.references import content_hash, references, require_reference

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.pipeline.sources.base import Source
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

HE = "he"


def open_slide(store: SectionStore) -> Image:
    """The H&E: the pyramid in the store where it was converted, else the file itself."""
    mpp = float(store.meta()["mpp"])
    if store.find("images", HE) is not None:
        return replace(read_pyramid(store, HE), mpp=mpp)
    return replace(read_image(require_reference(store, HE), mpp), mpp=mpp)


def slide_hash(store: SectionStore) -> str:
    """What later stages name as their input: the pixels and their size."""
    return f"{content_hash(references(store)[HE])} {store.meta()['mpp']}"


def grid_of(store: SectionStore, image: Image | None = None) -> Grid:
    """The superpixel lattice of the section."""
    return Grid.of_image(image or open_slide(store), float(store.meta().get("work_mpp", WORK_MPP)))


def require_capture(store: SectionStore, name: str | None = None) -> StoredCapture:
    """The capture of that name, or the only one; a section without captures says what it can still do."""
    names = store.captures()
    if not names:
        raise StoreError(
            f"{store.path.name} has no capture: nothing was measured on it.",
            "Train on a section with counts and predict this one: pixelgene predict … --run RUN --from SECTION.",
        )
    if name is None and len(names) > 1:
        raise StoreError(
            f"{store.path.name} has several captures: {', '.join(names)}.",
            "Choose one with --capture.",
        )
    if name is not None and name not in names:
        raise StoreError(f"{store.path.name} has no capture '{name}'.", f"It has {', '.join(names)}.")
    return read_capture(store, name or names[0])


def of_several(store: SectionStore, name: str) -> str:
    """What a command needs besides, where the section has more captures than this one."""
    return f" --capture {name}" if len(store.captures()) > 1 else ""


def source_of(store: SectionStore, capture: StoredCapture) -> Source:
    """The capture's source, its files where they lie now; a file that is gone or another one is an error."""
    own = [key for key in capture.references if key != MORPHOLOGY]
    files = {key: require_reference(store, f"captures/{capture.name}/{key}") for key in own}
    return source_from(capture.source).moved(files)


def reopen(store: SectionStore, capture: StoredCapture, on_event: OnEvent = silent) -> Capture:
    """The run's files again, with the filters it was imported with."""
    source, own_mpp = source_of(store, capture), capture.own_mpp
    if own_mpp is None:
        return replace(source.read(open_slide(store), on_event), name=capture.name)
    image = given_image(store, capture, on_event) if MORPHOLOGY in capture.references else ()
    read = source.read(image[0] if image else stand_in(own_mpp, capture.name), on_event)
    has_image = capture.frame == "morphology_px"
    return replace(in_own_frame(read, own_mpp, has_image), name=capture.name)


def open_morphology(store: SectionStore, capture: StoredCapture, on_event: OnEvent = silent) -> tuple[Image, ...]:
    """The run's morphology channels, lazily; where it came without, those a person gave, else none."""
    if MORPHOLOGY in capture.references and capture.stage_to_morphology is not None:
        return given_image(store, capture, on_event)
    return source_of(store, capture).morphology(on_event)


def given_image(store: SectionStore, capture: StoredCapture, on_event: OnEvent = silent) -> tuple[Image, ...]:
    """The channels of the image that was given for a capture (one, where it is in colour): the file itself, or the
    pyramid in the store where it was converted."""
    assert capture.stage_to_morphology is not None
    mpp = float(1 / capture.stage_to_morphology.matrix[0, 0])
    pyramid = own_pyramid(capture.name)
    if capture.own_mpp is not None and store.find("images", pyramid) is not None:
        return (replace(read_pyramid(store, pyramid), mpp=mpp),)
    return read_picture(require_reference(store, f"captures/{capture.name}/{MORPHOLOGY}"), mpp, on_event)


def own_pyramid(name: str) -> str:
    """What the pyramid of a capture's own image is called among the section's images."""
    return f"{name}-own"


def is_on_slide(capture: StoredCapture) -> bool:
    """Whether its positions are those of the H&E by themselves, so that nothing is to be registered."""
    return capture.frame in ("he_px", "he_um")


def is_placed(capture: StoredCapture) -> bool:
    """Whether it has a place on the slide, by itself or by a registration."""
    return is_on_slide(capture) or capture.to_he is not None


def is_streamed(capture: StoredCapture) -> bool:
    """Whether its counts are transcripts, to be binned, and not units."""
    return capture.transcripts is not None


def to_he_um(store: SectionStore, capture: StoredCapture, frame: str) -> Transform:
    """From the capture's frame to H&E µm; an unregistered run is an error with its next step."""
    mpp = float(store.meta()["mpp"])
    scale = Transform(np.diag([mpp, mpp, 1.0]), "he_px", "he_um")
    if frame == "he_px":
        return scale
    if frame == "he_um":
        return Transform(np.eye(3), "he_um", "he_um")
    if capture.to_he is None:
        raise StoreError(
            f"The run '{capture.name}' of {store.path.name} is not registered to the H&E yet.",
            f"pixelgene register {store.path.name}{of_several(store, capture.name)} --keypoints FILE   "
            "(or --matrix FILE)",
        )
    to_he = capture.to_he
    if to_he.source != frame:
        between = capture.stage_to_morphology
        assert between is not None
        to_he = (between if between.source == frame else between.inverse()).then(to_he)
    return to_he.then(scale)


def units_in_um(store: SectionStore, capture: StoredCapture) -> Units:
    """Measured units with their centres in H&E µm."""
    units = capture.units()
    assert units is not None
    return replace(units, xy=to_he_um(store, capture, units.frame).apply(units.xy), frame="he_um")
