"""Registrations that should not be relied on as they are: said before one learns from them, or believes what they show.

Only what was judged, and still holds, is said: a registration that nobody checked is neither praised nor blamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pixelgene.pipeline.rough import is_rough
from napari_pixelgene.pipeline.slide import is_on_slide
from napari_pixelgene.progress import Note
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.verdicts import verdict_words

if TYPE_CHECKING:
    from napari_pixelgene.elements.verdict import Level, Verdict
    from napari_pixelgene.progress import OnEvent
    from napari_pixelgene.store.section import SectionStore

_THEN: dict[str, str] = {
    "do not use": "its counts probably lie in the wrong places of the tissue.",
    "look here": "look at its worst places before you rely on it.",
}

_BLIND = "no nuclei could be compared there, so look at the overlay before you rely on it."


@dataclass(frozen=True, slots=True)
class Distrust:
    """One capture that should be looked at first: its verdict's level, and why in one sentence."""

    capture: str
    level: Level
    words: str


def distrusted(store: SectionStore) -> tuple[Distrust, ...]:
    """The section's captures whose registration is only rough, or was judged to be looked at or not to be used."""
    found = (_of_capture(store, name) for name in store.captures())
    return tuple(each for each in found if each is not None)


def tell_distrusted(store: SectionStore, stage: str, on_event: OnEvent) -> None:
    """Say it to who is about to rely on the section, with the command that shows where to look."""
    for each in distrusted(store):
        look = f"See where: pixelgene register {store.path.name} --report qc.html"
        on_event(Note(f"{each.words} {look}", "warning", stage))


def held_against(store: SectionStore, capture: str) -> Verdict | None:
    """The verdict against a capture's registration; None where it is good, out of date, or was never asked for."""
    told = verdict_words(store, capture)
    if told is None or told["level"] == "good":
        return None
    from napari_pixelgene.pipeline.verdict import kept_verdict  # heavy, and seldom needed

    kept = kept_verdict(store, capture)
    return kept[0] if kept is not None and kept[1] else None


def _of_capture(store: SectionStore, name: str) -> Distrust | None:
    capture = read_capture(store, name)
    if is_on_slide(capture) or capture.to_he is None:
        return None
    if is_rough(store, name):
        words = f"'{name}' is only roughly aligned to {store.name}: refine it with pairs before you rely on it."
        return Distrust(name, "look here", words)
    verdict = held_against(store, name)
    if verdict is None:
        return None
    judged = f"The registration of '{name}' on {store.name} was judged “{verdict.level}”"
    then = _BLIND if verdict.level == "look here" and verdict.basis != "nuclei" else _THEN[verdict.level]
    return Distrust(name, verdict.level, f"{judged}: {then}")
