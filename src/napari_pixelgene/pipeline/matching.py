"""Help with pairs, from a section: those a person set moved onto the nuclei they meant, and new ones proposed.

Nothing is stored or changed: proposals are for a person to take, one by one or together (`take_proposals`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.errors import RegistrationError
from napari_pixelgene.pipeline.moving import open_moving
from napari_pixelgene.pipeline.outlines import agree_as_laid
from napari_pixelgene.pipeline.slide import grid_of, is_on_slide, open_slide, require_capture
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.stages.matching import ROUGH_UM, STAGE, MatchingSettings, match_places, snap, suggest
from napari_pixelgene.stages.tissue import find_tissue
from napari_pixelgene.store.tissue import read_tissue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.elements.matching import Matches, Proposal
    from napari_pixelgene.elements.tissue import Tissue
    from napari_pixelgene.pipeline.moving import Moving
    from napari_pixelgene.store.section import SectionStore

SNAP_UM = 40.0
_APART = (
    "No nuclei of the two images could be matched: they lie too far off, or they are not the same section. "
    "Align them roughly where they are not yet; on neighbouring sections set a few pairs by hand."
)
_NEIGHBOURS = (
    "No nuclei could be matched although tissue of both images lies on one another ({:.2f} of 1): these are probably "
    "neighbouring sections. If so, say it (pixelgene register --sections serial) and set a few pairs by hand."
)
CONTRADICTED_UM = 15.0


def snap_pairs(
    store: SectionStore,
    keypoints: Keypoints,
    transform: Transform | None = None,
    radius_um: float = SNAP_UM,
    capture: str | None = None,
    on_event: OnEvent = silent,
) -> tuple[Proposal, ...]:
    """A proposal for every enabled pair: its moving point on the nuclei that lie at its fixed point, or why not.

    `row` counts in `keypoints`; points are in the frame of the capture's image and in H&E pixels, which are those of
    the keypoints unless a file had others. The search begins where a pair says and takes turn and scale from
    `transform`, without which the stored one is used. Raises RegistrationError without either, and where the run has
    no picture of nuclei.
    """
    laid = _Laid.of(store, capture, transform, on_event)
    pairs = laid.moving.keypoints_here(keypoints, laid.he.require_mpp())
    rows = np.flatnonzero(pairs.enabled)
    there = laid.to_picture(pairs.moving_xy[rows]), pairs.fixed_xy[rows]
    settings = MatchingSettings(radius_um=radius_um)
    found = snap(laid.he, laid.picture, laid.drawn, there, settings, on_event)
    return tuple(laid.in_frame(replace(one, row=int(row))) for row, one in zip(rows, found, strict=True))


def suggest_pairs(
    store: SectionStore,
    count: int = 12,
    transform: Transform | None = None,
    keypoints: Keypoints | None = None,
    radius_um: float = ROUGH_UM,
    capture: str | None = None,
    on_event: OnEvent = silent,
) -> tuple[Proposal, ...]:
    """Up to `count` new pairs spread over the tissue, none near one of `keypoints`, each a clear match.

    `transform`, without which the stored one is used, may be off by `radius_um` and some degrees. Frames as in
    `snap_pairs`. When there are fewer, or none, a note says so.
    """
    laid = _Laid.of(store, capture, transform, on_event)
    taken = None
    if keypoints is not None:
        taken = laid.moving.keypoints_here(keypoints, laid.he.require_mpp()).fixed_xy
    tissue = tissue_um(store, laid.he, on_event)
    settings = MatchingSettings(radius_um=radius_um)
    found = suggest(laid.he, laid.picture, laid.drawn, tissue, count, settings, taken, on_event)
    if not found:
        agreed = agree_as_laid(laid.he, laid.picture, laid.drawn)
        on_event(Note(_APART if agreed is None else _NEIGHBOURS.format(agreed), "warning", STAGE))
    return tuple(laid.in_frame(one) for one in found)


def match_at(
    store: SectionStore,
    place_um: FloatArray,
    transform: Transform | None = None,
    settings: MatchingSettings | None = None,
    capture: str | None = None,
    on_event: OnEvent = silent,
) -> Matches:
    """Where the run's image shows what lies at each place (n, 2) of the H&E in µm; see `stages.matching`.

    `moving_px` of the answer are pixels of the run's image, also where keypoints are in another frame.
    """
    laid = _Laid.of(store, capture, transform, on_event)
    return match_places(laid.he, laid.picture, laid.drawn, place_um, settings, on_event)


def take_proposals(keypoints: Keypoints, proposals: Iterable[Proposal]) -> Keypoints:
    """The pairs as they are once the proposals are taken: moved, or added at the end; the rest stays as it is.

    `keypoints` must be in the frames of the proposals. Which to take is the caller's choice: `one.accepted` or other.
    """
    chosen = list(proposals)
    new = [one for one in chosen if one.row is None]
    moving = np.array(keypoints.moving_xy, dtype=np.float64).reshape(-1, 2)
    for one in chosen:
        if one.row is not None:
            moving[one.row] = one.new_moving
    moving = np.concatenate([moving, np.array([one.new_moving for one in new]).reshape(-1, 2)])
    fixed = np.concatenate([keypoints.fixed_xy.reshape(-1, 2), np.array([one.fixed_xy for one in new]).reshape(-1, 2)])
    enabled = np.concatenate([keypoints.enabled, np.ones(len(new), dtype=bool)])
    return replace(keypoints, moving_xy=moving, fixed_xy=fixed, enabled=enabled)


def contradicted(proposals: Iterable[Proposal], beyond_um: float = CONTRADICTED_UM) -> list[int]:
    """Rows of pairs that were not accepted and lie farther than `beyond_um` from where the snapped pairs put them.

    They had better be disabled: beside pairs that are true to a µm, one that is off by tens bends the fit.
    """
    return [one.row for one in proposals if one.row is not None and not one.accepted and one.others_um > beyond_um]


@dataclass(frozen=True, slots=True)
class _Laid:
    """The slide, and what a transform lays on it. `drawn` takes level-0 pixels of `picture` to those of the slide."""

    he: Image
    moving: Moving
    drawn: Transform

    @classmethod
    def of(cls, store: SectionStore, capture: str | None, transform: Transform | None, on_event: OnEvent) -> _Laid:
        found = require_capture(store, capture)
        if is_on_slide(found):
            raise RegistrationError(f"'{found.name}' lies on the H&E by itself.", "It needs no pairs.")
        transform = transform or found.to_he
        if transform is None:
            raise RegistrationError(
                f"The run '{found.name}' of {store.path.name} has no transform yet to start from.",
                "Set two or more pairs, or align it roughly, and fit.",
            )
        moving = open_moving(store, found.name, on_event)
        if moving.channels[0].name in _NOT_NUCLEI:
            raise RegistrationError(
                f"'{found.name}' has no image of nuclei, only a {moving.channels[0].name}, so nothing can be matched.",
                "Set the pairs by hand, or give its morphology image.",
            )
        return cls(open_slide(store), moving, moving.drawn_by(moving.transform_from_here(transform)))

    @property
    def picture(self) -> Image:
        """The channel of nuclei: the first, in every run that has several."""
        return self.moving.channels[0]

    def to_picture(self, xy: FloatArray) -> FloatArray:
        """From the moving frame to level-0 pixels of the picture."""
        return Transform(np.linalg.inv(self.moving.picture_to_frame), "morphology_px", "morphology_px").apply(xy)

    def in_frame(self, one: Proposal) -> Proposal:
        """The same proposal with its moving points in the moving frame."""
        way = Transform(self.moving.picture_to_frame, "morphology_px", "morphology_px")
        old, new = (
            None if xy is None else _point(way.apply(np.array([xy]))[0]) for xy in (one.old_moving, one.new_moving)
        )
        assert new is not None
        return replace(one, old_moving=old, new_moving=new)


# How densely spots or molecules lie has no nuclei; how cells lie has something of them.
_NOT_NUCLEI = ("density of spots", "density of transcripts")


def _point(xy: FloatArray) -> tuple[float, float]:
    return float(xy[0]), float(xy[1])


def tissue_um(store: SectionStore, he: Image, on_event: OnEvent = silent) -> FloatArray:
    """Centres (n, 2) in µm of the superpixels that are tissue: as stored with a person's strokes, else found now."""
    grid = grid_of(store, he)
    tissue: Tissue = (
        read_tissue(store) if store.find("tissue", "mask") is not None else find_tissue(he, grid, None, on_event)
    )
    return grid.centres_um(np.flatnonzero(tissue.mask))
