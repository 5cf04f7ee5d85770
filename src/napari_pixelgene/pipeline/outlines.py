"""What tissue of both images says of pairs and matrices that are sound by themselves: whether tissue meets tissue.

Outlines and the crowding of nuclei are compared as for a rough alignment, on coarse pixels: sections that share no
nucleus, but their tissue, will do. Two placements are far from one another here, so that a look is enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.errors import InputError, RegistrationError
from napari_pixelgene.pipeline.nuclei import is_same_place, laid_by
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.alignments import OPPOSITE
from napari_pixelgene.stages.mispairings import Proposal, Reading
from napari_pixelgene.stages.rough_alignment import Agreements, agreements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.elements.alignment import Keypoints, Transform
    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.elements.image import Image

# Sections of one tumour agreed by 0.73 and more where they are laid right, by at most 0.64 under any other reading;
# unrelated slides by at most 0.24 at their best.
_AGREE, _NO_BETTER = 0.45, 0.9
_CHANCE = 0.15
# As they stand, right pairs between her2st sections reach 0.94 and more of what a shift gives; 0.3 mm off, 0.76 to
# 0.84; 0.5 mm off, 0.62 to 0.72.
_OFF, _FAR_UM = 0.75, 100.0
_FEWEST = 3
_STRANGE = "The pairs fit one another, but not what the images show."
_LOOK = "Look at the overlay in the Register dock."


@dataclass(frozen=True, slots=True)
class Seen:
    """Two images (moving, fixed), µm per level-0 pixel of either, and how pairs between them are fitted."""

    images: tuple[Image, Image]
    mpp: tuple[float, float]
    threshold_um: float
    mirror: bool = False

    def agreements(self, readings: Sequence[Reading], seek: bool = False) -> Agreements | None:
        """Of the tissue under each reading, with `seek` also the best shift of the first; None where an image is the
        same all over."""
        moving, fixed = (replace(image, mpp=size) for image, size in zip(self.images, self.mpp, strict=True))
        laid = [laid_by(reading, self.mpp, self.threshold_um, self.mirror).matrix for reading in readings]
        try:
            return agreements(fixed, moving, laid, seek)
        except RegistrationError:
            return None


def by_outlines(pairs: Keypoints, others: Sequence[Reading], seen: Seen) -> Proposal | None:
    """The one of the `others` that lays tissue of (moving, fixed) on one another clearly better than the pairs do as
    they stand. Without one: None, or that it is no better than chance as they stand. Few pairs, or pairs on one spot,
    are none to judge by."""
    here = pairs.enabled
    if here.sum() < _FEWEST or any(
        geometry.is_degenerate("similarity", xy[here]) for xy in (pairs.moving_xy, pairs.fixed_xy)
    ):
        return None
    readings = [Reading("as they stand", pairs), *others]
    found = seen.agreements(readings, seek=True)
    if found is None:
        return None
    agreed = found.values
    best = int(np.argmax(agreed))
    least = max(_AGREE, _NO_BETTER * found.shifted)  # what a mere shift explains better was not meant otherwise
    if best and agreed[best] >= least and agreed[0] < _NO_BETTER * agreed[best]:
        words = f"tissue of both images then agrees by {agreed[best]:.2f} of 1, as they stand by {_shown(agreed[0])}"
        meant = Proposal("", None, tuple(others)).decided(readings[best], words)
        return replace(meant, why=_STRANGE)
    words = _misplaced(found, "these pairs lay", "the pairs belong")
    return Proposal(words, None, why=_STRANGE) if words else None


def told_apart(proposal: Proposal, others: Sequence[Reading], seen: Seen) -> Proposal:
    """Of the readings of a proposal and the `others` the one that lays tissue on tissue clearly better than any that
    lays it elsewhere; else the proposal as it was."""
    readings = [*proposal.readings, *others]
    found = seen.agreements(readings) if len(readings) > 1 else None
    if found is None:
        return proposal
    best = int(np.argmax(found.values))
    elsewhere = [
        value
        for value, reading in zip(found.values, readings, strict=True)
        if not is_same_place(readings[best], reading, seen.mpp, seen.threshold_um)
    ]
    most, rest = found.values[best], max(elsewhere, default=0.0)
    if not elsewhere or most < _AGREE or rest >= _NO_BETTER * most:
        return proposal
    words = f"tissue of both images then agrees by {most:.2f} of 1, otherwise by at most {_shown(rest)}"
    return proposal.decided(readings[best], words)


def check_direction(
    name: str, transform: Transform, is_told: bool, images: tuple[Image, Image], on_event: OnEvent = silent
) -> None:
    """Hold a bare matrix and its opposite against tissue of (moving, fixed), whose pixel sizes are known.

    Where the opposite is clearly better, a direction that was assumed is an error and one that was told a warning.
    """
    opposite = OPPOSITE.get(transform.name)
    if opposite is None:
        return
    as_read = transform if transform.target == "he_px" else transform.inverse()
    ways = [_affine(each, images[0]) for each in (as_read.matrix, np.linalg.inv(as_read.matrix))]
    try:
        found = agreements(images[1], images[0], ways, seek=True)
    except RegistrationError:
        return  # an image that is the same all over tells nothing
    here, there = found.values
    if there >= _AGREE and here < _NO_BETTER * there:
        words = (
            f"Read as {transform.name}, the matrix in {name} makes tissue of both images agree by {_shown(here)} "
            f"of 1; as {opposite} by {there:.2f}."
        )
        if not is_told:
            raise InputError(words, f"Say which it is: --direction {opposite}, or --direction {transform.name}.")
        on_event(Note(f"{words} Check the direction.", "warning", "alignment"))
        return
    words = _misplaced(found, f"the matrix in {name} lays", "it belongs")
    if words:
        on_event(Note(f"{words} It is taken all the same.", "warning", "alignment"))


def _misplaced(found: Agreements, laying: str, whose: str) -> str:
    """That the first placement lays tissue beside tissue, or nowhere near it; empty where it does not, and where an
    image has no outline to tell by. How far it is off is known where a shift is clearly better."""
    here = found.values[0]
    if not found.has_outline:
        return ""
    if found.shifted >= _AGREE and found.shift_um >= _FAR_UM and here < _OFF * found.shifted:
        return (
            f"As {laying} them, tissue of both images agrees by {_shown(here)} of 1; moved by "
            f"{found.shift_um / 1000:.1f} mm it would by {found.shifted:.2f}. Check that {whose} "
            f"to these two images. {_LOOK}"
        )
    if here < _CHANCE:
        return f"As {laying} them, tissue of both images agrees no better than by chance. {_LOOK}"
    return ""


def agree_as_laid(fixed: Image, moving: Image, laid: Transform) -> float | None:
    """How well tissue of two images agrees under a transform between their level-0 pixels; None where it does not."""
    try:
        (agreed,) = agreements(fixed, moving, [_affine(laid.matrix, moving)]).values
    except RegistrationError:
        return None
    return agreed if agreed >= _AGREE else None


def _affine(matrix: FloatArray, image: Image) -> FloatArray:
    """The affine that does to an image nearly what a homography does."""
    rows, columns = image.yx_shape
    steps = (np.arange(5) + 0.5) / 5
    grid = np.stack(np.meshgrid(steps * columns, steps * rows), axis=-1).reshape(-1, 2)
    return geometry.fit("affine", grid, geometry.apply_matrix(matrix, grid))


def _shown(agreed: float) -> str:
    """An agreement, which is none where it is negative."""
    return f"{max(agreed, 0.0):.2f}"
