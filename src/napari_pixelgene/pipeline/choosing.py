"""Which captures of which sections are meant: to learn from, or to be scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.slide import is_placed, require_capture, to_he_um
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.store.captures import read_capture

if TYPE_CHECKING:
    from napari_pixelgene.store.section import SectionStore


@dataclass(frozen=True, slots=True)
class Chosen:
    """A section, and those of its captures that are meant, by name."""

    store: SectionStore
    captures: tuple[str, ...]

    def labels(self) -> list[str]:
        """The captures as a person is told of them."""
        return [label_of(self.store, name) for name in self.captures]


def label_of(store: SectionStore, capture: str) -> str:
    """What a capture is called among others: the section, and its own name where the slide has several."""
    return store.name if len(store.captures()) < 2 else f"{store.name}/{capture}"


def choose_captures(
    stores: Sequence[SectionStore],
    named: Sequence[str] = (),
    without: Sequence[str] = (),
    on_event: OnEvent = silent,
    stage: str = "fit",
) -> tuple[Chosen, ...]:
    """The captures of each section that are `named`, as NAME or SECTION/NAME, or all that have a place on the slide;
    less those `without`.

    Captures that have no place yet are left out and told, where they are not named. Raises PixelGeneError for a name
    that no section has, for a section that is left with none, and for one that nothing was measured on.
    """
    for each in (*named, *without):
        _require_known(stores, each)
    return tuple(_of_section(store, named, without, on_event, stage) for store in stores)


def holds(store: SectionStore, names: Sequence[str]) -> bool:
    """Whether a section has one of the captures named."""
    return any(_is_meant(store, capture, names) for capture in store.captures())


def _is_meant(store: SectionStore, capture: str, names: Sequence[str]) -> bool:
    return capture in names or f"{store.name}/{capture}" in names


def _require_known(stores: Sequence[SectionStore], name: str) -> None:
    if not any(holds(store, [name]) for store in stores):
        there = ", ".join(label_of(store, capture) for store in stores for capture in store.captures())
        raise SettingsError(f"No section has a capture '{name}'; there is: {there or 'none'}.", "Name one of these.")


def _of_section(
    store: SectionStore, named: Sequence[str], without: Sequence[str], on_event: OnEvent, stage: str
) -> Chosen:
    captures = store.captures()
    if not captures:
        require_capture(store)  # says what such a section can still do
    there = ", ".join(captures)
    meant = [c for c in captures if not named or _is_meant(store, c, named)]
    if not meant:
        raise SettingsError(
            f"{store.path.name} has none of the captures named; it has: {there}.", "Name one, or leave the section out."
        )
    kept = [c for c in meant if not _is_meant(store, c, without)]
    if not kept:
        raise SettingsError(f"No capture of {store.path.name} is left; it has: {there}.", "Leave fewer out.")
    placed = [c for c in kept if is_placed(read_capture(store, c))]
    waiting = [c for c in kept if c not in placed]
    if waiting and (named or not placed):
        capture = read_capture(store, waiting[0])
        to_he_um(store, capture, capture.frame)  # says that it is to be registered
    if waiting:
        text = f"{store.path.name}: {', '.join(waiting)} not registered yet and left out."
        on_event(Note(text, "warning", stage))
    return Chosen(store, tuple(placed))
