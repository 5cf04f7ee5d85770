"""A verdict in words: the sentence, and the reasons below it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_pixelgene.elements.verdict import Basis, Level, Outlines, QualityMap
from napari_pixelgene.stages.verdict.evidence import PairEvidence, VerdictSettings

_UNSEEN = "A shift that all pairs share cannot be seen by them"
_SEE = (
    "To see such a shift, lay both images on one another (Blend or Flicker in the Register dock) and look at glands, "
    "vessels or folds that no pair was set on: both images must show them at the same place."
)
_SEE_SPOTS = (
    "To see such a shift, look whether what was measured ends where the tissue ends, and set a few pairs anew by other "
    "landmarks: the fit must not move."
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found out, and what it came to.

    `at_odds`: nuclei do not agree where both images show them. `serial`: neighbouring sections, `marked` as such or
    taken for them; `same`: known to be one section. `fine`: the numbers of a good one. `out_of_place`: by outlines.
    """

    level: Level
    basis: Basis
    median: float
    ninth: float
    map: QualityMap
    pairs: PairEvidence
    settings: VerdictSettings
    outlines: Outlines | None
    at_odds: bool
    serial: bool
    marked: bool
    same: bool
    fine: bool
    out_of_place: bool

    @property
    def comparable(self) -> int:
        """Places with nuclei in both images."""
        return int(self.map.compared.sum())


def sentence(f: Findings) -> str:
    """The level and the numbers behind it."""
    says = {"nuclei": _by_nuclei, "outlines": _by_outlines, "pairs": _by_pairs, "nothing": _by_nothing}[f.basis]
    return f"{f.level.capitalize()}: {says(f)}"


def _by_nuclei(f: Findings) -> str:
    row = int(np.nanargmax(f.map.distance_um))
    x, y = f.map.place_um[row]
    each = _left_out_in_turn(f, f"each of the {f.pairs.trusted} pairs,")
    return (
        f"nuclei of both images lie {f.median:.1f} µm apart (median over the tissue; nine tenths of it within"
        f" {f.ninth:.1f} µm), seen at {int(f.map.seen.sum())} of {len(f.map)} places, at most"
        f" {f.map.distance_um[row]:.1f} µm, at x {x:.0f}, y {y:.0f} µm{each}."
    )


def _by_outlines(f: Findings) -> str:
    assert f.outlines is not None
    if f.out_of_place:
        why = "these sections share no nuclei" if f.serial else _missing(f)
        return f"{why}, and by the outlines of the tissue the run lies {_where(f.outlines)}."
    why = "these sections share no nuclei" if f.serial else f"since {_missing(f)}"
    by = "pairs and outlines" if np.isfinite(f.median) else "outlines"
    good = ", it is good as far as they tell" if f.fine else ""
    near = f"utlines of tissue{_no_less(f)} agree best {f.outlines.shift_um:.0f} µm away"
    told = (
        f"By the {f.pairs.trusted} pairs {_likely(f)}; o{near}"
        if np.isfinite(f.median)
        else f"O{near}{_without_pairs(f)}"
    )
    if f.serial:
        return f"{why}; judged by {by}{good}. {told}."
    return f"judged by {by}, {why}{good}. {told}."


def _no_less(f: Findings) -> str:
    """What a distance of outlines is worth beside the µm of pairs."""
    limit = f.settings.outline_um
    small = f.outlines is not None and f.outlines.shift_um <= limit
    return f", which tell no shift under {limit:g} µm," if small else ""


def _by_pairs(f: Findings) -> str:
    why = "these sections share no nuclei" if f.serial and f.marked else _missing(f)
    good = ": good as far as they tell" if f.fine else ""
    return f"only the {f.pairs.trusted} pairs were judged, since {why}{good}; by them {_likely(f)}. {_UNSEEN}."


def _by_nothing(f: Findings) -> str:
    known = "" if f.at_odds else "nothing shows how well the images lie on one another; "
    return f"{known}{_missing(f)}{_without_pairs(f)}."


def _likely(f: Findings) -> str:
    return (
        f"the error is likely under {f.median:.1f} µm (median over the tissue; {f.ninth:.1f} µm for nine tenths of it)"
        f"{_left_out_in_turn(f, 'each of them,')}"
    )


def _left_out_in_turn(f: Findings, each: str) -> str:
    """The held-out error, where there is one."""
    if not np.isfinite(f.pairs.loo_um):
        return ""
    return f"; {each} left out in turn, is foretold to {f.pairs.loo_um:.1f} µm"


def _without_pairs(f: Findings) -> str:
    """That nobody can be asked instead."""
    return ", and no pairs can be spared to check it" if f.pairs.trusted else ", and there are no pairs"


def _where(outlines: Outlines) -> str:
    """Where outlines would have the run instead."""
    if outlines.elsewhere:
        return f"wrong: they agree far better when it is {outlines.elsewhere}"
    return f"{outlines.shift_um:.0f} µm off"


def _missing(f: Findings) -> str:
    """Why nuclei were not heard."""
    if f.at_odds:
        seen = int(f.map.seen.sum())
        few = f"only {seen}" if seen else "none"
        return (
            f"nuclei of the two images agree at {few} of the {f.comparable} places where both show them, sought"
            f" up to {f.map.searched_um:.0f} µm away"
        )
    if not f.map.searched_um:
        return "there is no image to compare with the H&E"
    if not f.comparable:
        return "no place shows nuclei in both images"
    return f"both images show nuclei at only {f.comparable} of {len(f.map)} places"


def reasons(f: Findings) -> Iterator[str]:
    """What speaks against it, what nobody knows, and how to find out."""
    places, local = len(f.map), f.settings.local_um
    far = int((f.map.seen & (f.map.distance_um > local)).sum())
    if far:
        yield f"At {far} of {places} places nuclei lie more than {local:g} µm apart."
    yield from _of_unlike(f)
    unknown = places - f.comparable
    if unknown and not f.serial:
        yield f"At {unknown} of {places} places there is nothing to compare: how well they fit is unknown."
    yield from _of_pairs(f)
    yield from _of_what_is_unseen(f)


def _of_unlike(f: Findings) -> Iterator[str]:
    unlike = int(f.map.unlike.sum())
    if not unlike:
        return
    if not f.serial:
        yield (
            f"At {unlike} places both images show nuclei that do not agree within {f.map.searched_um:.0f} µm:"
            f" {_why_unlike(f)}."
        )
    elif not f.marked:
        yield (
            f"Nuclei do not agree at {unlike} of {f.comparable} places, outlines do: the sections are taken for"
            " neighbouring ones. If they are one and the same, it is not to be used; then mark them"
            " (pixelgene register --sections same)."
        )


def _why_unlike(f: Findings) -> str:
    """What may be behind nuclei that do not agree, the likeliest first."""
    if not (f.at_odds and f.same):
        return "laid in the wrong place, a fold, a tear, a part that was lost, or another section of the tissue"
    why = "the run is laid in the wrong place, or turned or mirrored wrongly"
    if f.outlines is None or f.out_of_place:
        return why
    return (
        f"{why}; or it is of a neighbouring section, since outlines of the tissue agree. If so, mark it"
        " (pixelgene register --sections serial)"
    )


def _of_pairs(f: Findings) -> Iterator[str]:
    """What the pairs leave open."""
    if f.pairs.left_out:
        yield f"{f.pairs.left_out} pairs disagree with the others and were left out."
    local = 2 * f.settings.serial_um if f.serial else f.settings.local_um
    bare = ~f.map.seen & (f.map.doubt_um > local)
    if bare.any():
        yield (
            f"{int(bare.sum())} places lie so far from the pairs that they leave the transform open by more than"
            f" {local:g} µm, and no nuclei confirm it."
        )
    if not np.isfinite(f.median) and f.pairs.trusted:
        yield "The fit passes through all its pairs, or they are too few to contradict it. Add pairs."


def _of_what_is_unseen(f: Findings) -> Iterator[str]:
    """What neither pairs nor outlines can show, and how to."""
    if f.basis == "outlines" and not f.out_of_place:
        limit = f.settings.outline_um
        if f.outlines is not None and f.outlines.shift_um > limit:
            yield f"Outlines lie over {limit:g} µm apart: the run may be shifted, or the sections differ at the rim."
        yield f"Outlines see no shift under about {limit:g} µm, and pairs none that they all share. {_SEE}"
    elif f.basis == "pairs":
        yield _SEE if f.map.searched_um else _SEE_SPOTS
