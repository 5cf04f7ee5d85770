"""Pairs of a file held against the images they are said to be on, before anything is fitted to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.errors import PixelGeneError, RegistrationError
from napari_pixelgene.pipeline.nuclei import by_nuclei, nuclear_channel
from napari_pixelgene.pipeline.outlines import Seen, by_outlines, told_apart
from napari_pixelgene.pipeline.slide import open_morphology, open_slide
from napari_pixelgene.progress import Note, OnEvent
from napari_pixelgene.stages.mispairings import Proposal, Reading, Shape, Surroundings, otherwise, outside, proposed
from napari_pixelgene.stages.registration import STAGE, RegistrationSettings

if TYPE_CHECKING:
    from napari_pixelgene.elements.alignment import Frame, Keypoints, Transform
    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.pipeline.moving import Moving
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

_IF_SO, _ELSE = "take them so with --mend", "the file should tell which"
_TAKE = "Mend the file, or take them so with --mend."
_CHECK = "Check that the file belongs to this slide, and on which pyramid level its points were clicked."


@dataclass(frozen=True, slots=True)
class Around(Surroundings):
    """The same with the images themselves, in whose level-0 pixels the points are; None where there is none."""

    moving_image: Image | None = None
    fixed_image: Image | None = None

    @classmethod
    def of(
        cls,
        moving_mpp: float | None,
        fixed_mpp: float,
        moving: Image | None = None,
        fixed: Image | None = None,
        capture: str = "",
    ) -> Around:
        """With the shapes of the images; an H&E that moves is called by its capture."""
        there, here = (None if image is None else image.yx_shape for image in (moving, fixed))
        name = f"'{capture}'" if capture and moving is not None and moving.is_rgb else ""
        return cls(moving_mpp, fixed_mpp, there, here, name, moving, fixed)

    def unseen(self) -> Surroundings:
        """What numbers say of the images alone, at no cost: for pairs that a person looks at as they change."""
        known = self.moving_mpp, self.fixed_mpp, self.moving_shape, self.fixed_shape
        return Surroundings(*known, self.moving_name)

    def seen(self, settings: RegistrationSettings) -> Seen | None:
        """The images and their µm a pixel; None where one is missing."""
        if self.moving_image is None or self.fixed_image is None or self.moving_mpp is None or self.fixed_mpp is None:
            return None
        images, mpp = (self.moving_image, self.fixed_image), (self.moving_mpp, self.fixed_mpp)
        return Seen(images, mpp, settings.threshold_um, settings.allow_mirror)


def surroundings(
    store: SectionStore, capture: StoredCapture, moving: Frame, fixed: Frame, moving_mpp: float | None = None
) -> Around:
    """What the section knows of the images of two frames; an image that cannot be opened is one of unknown size."""
    image = _morphology(store, capture) if moving == "morphology_px" else None
    if fixed != "he_px":
        return Around.of(moving_mpp, 1.0, image, capture=capture.name)
    return Around.of(moving_mpp, float(store.meta()["mpp"]), image, _he(store), capture.name)


def around_work(moving: Moving, he: Image) -> Around:
    """The same of images that are open."""
    image = nuclear_channel(moving.channels) if moving.frame == "morphology_px" else None
    return Around.of(moving.um_per_unit, he.require_mpp(), image, he, moving.capture)


def as_meant(pairs: Keypoints, proposal: Proposal | None, mend: bool, on_event: OnEvent) -> Keypoints:
    """The pairs, or, where a person accepts that beforehand, the proposed ones; it is told."""
    if not mend or proposal is None or proposal.keypoints is None:
        return pairs
    on_event(Note(f"{proposal.words} They are taken so.", "warning", STAGE))
    return proposal.keypoints


def proposal_for(pairs: Keypoints, around: Surroundings, settings: RegistrationSettings) -> Proposal | None:
    """How pairs that make no sense are probably meant. Where several ways fit, nuclei of both images are asked. Where
    that says nothing, and where the pairs are sound by themselves, tissue of both is asked, of all ways there are."""
    threshold_um, mirror = settings.threshold_um, settings.allow_mirror
    found = proposed(pairs, around, threshold_um, mirror)
    seen = around.seen(settings) if isinstance(around, Around) else None
    if seen is None:
        return found
    if found is not None and len(found.readings) > 1:
        by = by_nuclei(found, seen.images, seen.mpp, threshold_um)
        if len(by.readings) == 1:
            return by
    others = otherwise(pairs, around, threshold_um, mirror)
    return by_outlines(pairs, others, seen) if found is None else told_apart(found, others, seen)


def looked_into(pairs: Keypoints, around: Surroundings, settings: RegistrationSettings) -> tuple[str, Reading | None]:
    """Why imported pairs make no sense and how they are clearly meant, in words; and that reading of them."""
    proposal, off = proposal_for(pairs, around, settings), outside(pairs, around)
    known = proposal is not None and (proposal.readings or not off)
    words = proposal.words if known and proposal is not None else _CHECK if off else ""
    return f"{off} {words}".strip(), None if proposal is None else proposal.clear


def explained(error: RegistrationError, proposal: Proposal | None) -> RegistrationError:
    """The error with the proposal before its next step."""
    if proposal is None or not proposal.readings:
        return error
    if proposal.is_mirror:
        return type(error)(error.problem, f"{proposal.words} {error.mend}")
    take = _TAKE if proposal.keypoints is not None else "The file should tell which."
    else_ = "" if error.mend.startswith("If ") else "Otherwise: "
    return type(error)(error.problem, f"{proposal.words} {take} {else_}{error.mend}")


def require_on_images(pairs: Keypoints, around: Surroundings, proposal: Proposal | None, on_event: OnEvent) -> str:
    """Pairs outside their images are an error; what else the images say against them is told, and given back."""
    off = outside(pairs, around)
    if off:
        raise explained(RegistrationError(off, _CHECK), proposal)
    if proposal is None:
        return ""
    words = f"{proposal.why} {proposal.words}"
    if proposal.readings:
        words += f" If so, {_IF_SO if proposal.keypoints is not None else _ELSE}."
    on_event(Note(words, "warning", STAGE))
    return words


def require_whole(transform: Transform, around: Surroundings, mend: str) -> None:
    """A matrix must not turn the plane inside out within either image."""
    back = np.linalg.inv(transform.matrix)
    for matrix, shape, frame in (
        (transform.matrix, around.moving_shape, transform.source),
        (back, around.fixed_shape, transform.target),
    ):
        if shape is not None and _is_torn(matrix, shape):
            name = "H&E" if frame == "he_px" else "morphology image"
            raise RegistrationError(
                f"The {transform.name} matrix turns the plane inside out within the {name}: its denominator changes "
                "sign there, so that part of the image has no place on the other.",
                mend,
            )


def _is_torn(matrix: FloatArray, shape: Shape) -> bool:
    rows, columns = shape
    corners = np.array([[0, 0], [columns, 0], [0, rows], [columns, rows]], dtype=np.float64)
    w = geometry.denominator(matrix, corners)
    return bool(w.min() <= 0 <= w.max())


def _morphology(store: SectionStore, capture: StoredCapture) -> Image | None:
    try:
        return nuclear_channel(open_morphology(store, capture))
    except PixelGeneError:
        return None


def _he(store: SectionStore) -> Image | None:
    try:
        return open_slide(store)
    except PixelGeneError:
        return None
