"""What is wrong with a file of pairs, in words, and the pairs as they are probably meant: a proposal, never a deed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np

from napari_pixelgene.arithmetic import mispairings
from napari_pixelgene.arithmetic.mispairings import Mispairing, Side
from napari_pixelgene.elements.alignment import Frame, Keypoints
from napari_pixelgene.elements.arrays import FloatArray, IntArray

Shape = tuple[int, int]

# Points outside their image, of all, from which on the pairs are another image's.
_MOST = 2 / 3
_ODD = "The pairs fit at a scale, turn or mirror their images do not have."
_UNORDERED = "The pairs do not all fit one another."
_MIRRORED = "if one image is mirrored"
_TURNED_TOO = "a mirrored image that is turned by a right angle as well would explain them too"
_CALLED: dict[Frame, str] = {
    "he_px": "H&E",
    "he_um": "H&E",
    "morphology_px": "morphology image",
    "stage_um": "run",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to understand the pairs: "if x and y … are swapped", and the pairs so meant.

    `is_mirror`: as they stand, with one image turned over.
    """

    words: str
    keypoints: Keypoints
    is_mirror: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would make the pairs fit, in a sentence, and those pairs; None where several readings fit equally well, and
    where they fit as they stand if one image is mirrored.

    `readings` are all that fit, the likeliest first: more than one where pixels would have to tell. `why` says what is
    odd about pairs that can be fitted as they stand.
    """

    words: str
    keypoints: Keypoints | None
    readings: tuple[Reading, ...] = ()
    why: str = _ODD

    def decided(self, reading: Reading, why: str) -> Proposal:
        """One of the readings alone, for a reason in words."""
        meant = None if reading.is_mirror else reading.keypoints
        return Proposal(f"These pairs fit {reading.words}: {why}.", meant, (reading,))

    @property
    def clear(self) -> Reading | None:
        """The reading to take: the only one, or the likeliest where it is proposed; None where pixels have to tell."""
        is_clear = self.keypoints is not None or len(self.readings) == 1
        return self.readings[0] if is_clear else None

    @property
    def is_mirror(self) -> bool:
        """Whether the pairs are right and one image is mirrored."""
        return self.clear is not None and self.clear.is_mirror


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of the two images: µm per unit of either frame, and level-0 (rows, columns); None where unknown.

    `moving_name` is what the moving image is called where that is not a morphology image or a run.
    """

    moving_mpp: float | None
    fixed_mpp: float | None
    moving_shape: Shape | None = None
    fixed_shape: Shape | None = None
    moving_name: str = ""

    def sides(self, keypoints: Keypoints, rows: IntArray) -> tuple[Side, Side]:
        """The pairs of these rows with what is known of their images."""
        return (
            Side(keypoints.moving_xy[rows], self.moving_mpp, _span(self.moving_shape)),
            Side(keypoints.fixed_xy[rows], self.fixed_mpp, _span(self.fixed_shape)),
        )

    def names(self, keypoints: Keypoints) -> tuple[str, str]:
        """What the images of the pairs are called, with an article: moving and fixed."""
        return self.moving_name or f"the {_CALLED[keypoints.moving_frame]}", f"the {_CALLED[keypoints.fixed_frame]}"


def proposed(
    keypoints: Keypoints, around: Surroundings, threshold_um: float = 15.0, allow_mirror: bool = False
) -> Proposal | None:
    """How the pairs are probably meant, where they make no sense as they stand and one simple mistake explains it.

    Tried are: the images swapped, x and y swapped in one image or both, a pyramid level, the order of rows. x and y
    swapped in one image look like a mirror: they are proposed where that lays the images clearly better on one another,
    or, where that says nothing, leaves them unturned; else both are said. None where the pairs are sound, and where
    nothing tried explains them, as with an image that is really mirrored.
    """
    rows = np.flatnonzero(keypoints.enabled)
    found = mispairings.explain(*around.sides(keypoints, rows), threshold_um, allow_mirror=allow_mirror)
    if not found:
        return None
    names = around.names(keypoints)
    readings = [Reading(_if(one, names), _applied(keypoints, one, rows)) for one in found]
    if any(one.rival for one in found):
        mirror = Reading(_MIRRORED, keypoints, is_mirror=True)
        readings = [*readings, mirror] if all(one.clear for one in found) else [mirror, *readings]
    if len(found) > 1 or not found[0].clear:
        ways = "; or ".join(one.words for one in readings)
        return Proposal(f"These pairs fit in several ways: {ways}.", None, tuple(readings))
    some = f"{len(found[0].rows)} of {len(rows)}" if len(found[0].rows) < len(rows) else "These"
    but = f" ({_TURNED_TOO})" if found[0].rival else ""
    why = _UNORDERED if found[0].fault in ("reversed", "order") else _ODD
    return Proposal(f"{some} pairs fit {readings[0].words}{but}.", readings[0].keypoints, tuple(readings), why)


def otherwise(
    keypoints: Keypoints, around: Surroundings, threshold_um: float = 15.0, allow_mirror: bool = False
) -> tuple[Reading, ...]:
    """All ways the pairs could be meant so that they fit one another: for pixels to tell."""
    rows = np.flatnonzero(keypoints.enabled)
    found = mispairings.alternatives(*around.sides(keypoints, rows), threshold_um, allow_mirror=allow_mirror)
    names = around.names(keypoints)
    return tuple(Reading(_if(one, names), _applied(keypoints, one, rows)) for one in found)


def outside(keypoints: Keypoints, around: Surroundings) -> str:
    """In words, that most pairs lie outside an image that they are said to be on; empty where they do not."""
    rows = np.flatnonzero(keypoints.enabled)
    sides = around.sides(keypoints, rows)
    for side, name, strays in zip(sides, around.names(keypoints), mispairings.strays(*sides), strict=True):
        if len(strays) and len(strays) >= _MOST * len(rows):
            assert side.span is not None
            x, y = side.xy[strays[0]]
            return (
                f"{len(strays)} of {len(rows)} points lie outside {name}, which has {side.span[0]:g} × "
                f"{side.span[1]:g} pixels (pair {rows[strays[0]] + 1} is at {x:,.0f}, {y:,.0f})."
            )
    return ""


def _span(shape: Shape | None) -> tuple[float, float] | None:
    return None if shape is None else (float(shape[1]), float(shape[0]))


def _if(found: Mispairing, names: tuple[str, str]) -> str:
    moving, fixed = names
    if found.fault in ("both_um", "source_um", "target_um"):
        side = {"both_um": "both images", "source_um": moving, "target_um": fixed}[found.fault]
        return f"if the points of {side} are µm, not pixels"
    if found.fault == "both_scale":
        return _level_of("the points of both images", found.factor)
    if found.fault in ("source_scale", "target_scale"):
        return _level_of(f"the points of {moving if found.fault == 'source_scale' else fixed}", found.factor)
    return {
        "sides": f"if the points of {moving} and of {fixed} are swapped",
        "source_xy": f"if x and y of the points of {moving} are swapped",
        "target_xy": f"if x and y of the points of {fixed} are swapped",
        "both_xy": "if x and y are swapped in both images",
        "reversed": f"if the points of {fixed} are taken in the opposite order",
        "order": f"if the points of {fixed} are taken in another order: {_order(found.rows, found.target_rows)}",
    }[found.fault]


def _level_of(points: str, factor: float) -> str:
    level = abs(round(log2(factor)))
    if factor > 1:
        return f"if {points} are pixels of pyramid level {level} (times {factor:g})"
    return f"if {points} were scaled by {1 / factor:g} once too often, as for pyramid level {level}"


def _order(rows: Sequence[int] | IntArray, others: Sequence[int] | IntArray) -> str:
    """Where rows belong that are not where they should be, counted from 1."""
    moved = [f"{i + 1} with {j + 1}" for i, j in zip(rows, others, strict=True) if i != j]
    return ", ".join(moved[:6]) + (", …" if len(moved) > 6 else "")


def _applied(keypoints: Keypoints, found: Mispairing, rows: IntArray) -> Keypoints:
    """The pairs without the mistake. What concerns a whole side is done to pairs that are switched off too."""
    moving, fixed = keypoints.moving_xy, keypoints.fixed_xy
    if found.fault in ("reversed", "order"):
        return Keypoints(found.source, found.target, keypoints.moving_frame, keypoints.fixed_frame)
    if found.fault == "sides":
        moving, fixed = fixed, moving
    if found.fault in ("source_xy", "both_xy"):
        moving = moving[:, ::-1]
    if found.fault in ("target_xy", "both_xy"):
        fixed = fixed[:, ::-1]
    if found.fault.endswith(("_scale", "_um")):
        moving, fixed = _rescaled(keypoints, found, rows)
    return Keypoints(moving, fixed, keypoints.moving_frame, keypoints.fixed_frame, keypoints.enabled)


def _rescaled(keypoints: Keypoints, found: Mispairing, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    """All points of both sides, each scaled as those in `rows` were found to be."""
    sides = ((keypoints.moving_xy, found.source), (keypoints.fixed_xy, found.target))
    return tuple(xy * (np.linalg.norm(known) / np.linalg.norm(xy[rows])) for xy, known in sides)  # type: ignore[return-value]
