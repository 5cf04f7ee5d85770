"""What nuclei of both images say where nothing else can tell: which of several readings of the pairs is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.arithmetic.scatter import well_spread
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.stages.matching import match_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.stages.mispairings import Proposal, Reading

_NUCLEAR = ("dapi", "hoechst", "dna", "nucle")
# Places that are looked at, of which so many must show the same nuclei under one reading, and how much fewer under all
# others.
_LOOKED_AT, _FEWEST, _LEAST_SHARE, _FEWER = 12, 3, 0.5, 3


def nuclear_channel(channels: Sequence[Image]) -> Image | None:
    """The channel that shows nuclei: by its name, else the first; None of none."""
    named = [one for one in channels if any(word in one.name.lower() for word in _NUCLEAR)]
    return next(iter(named or channels), None)


def by_nuclei(
    proposal: Proposal, images: tuple[Image, Image], mpp: tuple[float, float], threshold_um: float
) -> Proposal:
    """The one reading of several under which nuclei of (moving, fixed) agree where the pairs are; else as it was.

    `mpp` is µm per level-0 pixel of either. A second, for a dozen places a reading.
    """
    agreed = [_agreement(reading, images, mpp, threshold_um) for reading in proposal.readings]
    order = np.argsort([-seen for seen, _ in agreed], kind="stable")
    best = proposal.readings[order[0]]
    seen, places = agreed[order[0]]
    others = [agreed[i][0] for i in order[1:] if not is_same_place(best, proposal.readings[i], mpp, threshold_um)]
    if seen < max(_FEWEST, _LEAST_SHARE * places) or any(seen < _FEWER * other for other in others):
        return proposal
    return proposal.decided(best, f"nuclei of both images then agree at {seen} of {places} places")


def _agreement(
    reading: Reading, images: tuple[Image, Image], mpp: tuple[float, float], threshold_um: float
) -> tuple[int, int]:
    """At how many of how many places of the pairs nuclei agree."""
    moving, fixed = images
    pairs = reading.keypoints
    places = (pairs.fixed_xy * mpp[1])[pairs.enabled]
    places = places[well_spread(places, _LOOKED_AT)]
    found = match_places(fixed, moving, laid_by(reading, mpp, threshold_um), places)
    return int(found.clear.sum()), len(places)


def laid_by(reading: Reading, mpp: tuple[float, float], threshold_um: float, mirror: bool = False) -> Transform:
    """The affine of a reading's pairs, from pixels to pixels; of few pairs the similarity."""
    pairs = reading.keypoints
    source, target = (
        (xy * size)[pairs.enabled] for xy, size in zip((pairs.moving_xy, pairs.fixed_xy), mpp, strict=True)
    )
    kind: geometry.Kind = (
        "affine" if len(source) >= 5 and not geometry.is_degenerate("affine", source) else "similarity"
    )
    matrix, _ = geometry.robust_fit(kind, source, target, threshold_um, allow_mirror=mirror or reading.is_mirror)
    back = np.diag([1 / mpp[1], 1 / mpp[1], 1.0]) @ matrix @ np.diag([mpp[0], mpp[0], 1.0])
    return Transform(back, pairs.moving_frame, pairs.fixed_frame)


def is_same_place(one: Reading, other: Reading, mpp: tuple[float, float], threshold_um: float) -> bool:
    """Whether two readings lay the images on one another alike: then it does not matter which is true."""
    xy = one.keypoints.moving_xy[one.keypoints.enabled]
    landed = [laid_by(reading, mpp, threshold_um).apply(xy) * mpp[1] for reading in (one, other)]
    return bool(np.median(np.linalg.norm(landed[0] - landed[1], axis=1)) < threshold_um)
