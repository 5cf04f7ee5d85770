"""Sections that can be trained on or predicted, and in a few words why one cannot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui.recent import recent
from napari_pixelgene.store.section import SUFFIX, SectionStore

if TYPE_CHECKING:
    from napari_pixelgene.pipeline.trust import Distrust


@dataclass(frozen=True, slots=True)
class Candidate:
    """A section as the Run dock sees it. An empty reason means that it can be chosen."""

    path: Path
    genes: frozenset[str] = frozenset()
    runs: frozenset[str] = frozenset()  # names that are taken
    encoders: frozenset[str] = frozenset()  # whose features are there
    not_trained: str = ""
    not_predicted: str = ""
    distrusted: tuple[Distrust, ...] = ()  # registrations that had better be looked at before one learns from them

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.name.removesuffix(SUFFIX)


def candidates(open_one: Path | None, added: Iterable[Path] = ()) -> list[Candidate]:
    """The open section first, then what a person added, then recent ones; each once."""
    first = [open_one] if open_one is not None else []
    return [look_at(path) for path in dict.fromkeys([*first, *added, *recent()])]


def look_at(path: Path) -> Candidate:
    """What can be done with a section."""
    try:
        store = SectionStore.open(path)
    except PixelGeneError as error:
        why = error.problem if path.exists() else "It is not there any more."
        return Candidate(path, not_trained=why, not_predicted=why)
    lost = _lost(store)
    genes, why = ((), lost) if lost else _measured(store)
    against = () if lost or why else _distrusted(store)
    names = frozenset([*store.runs(), *store.mapped_runs()])
    return Candidate(path, frozenset(genes), names, frozenset(store.encoders()), why, lost, against)


def _distrusted(store: SectionStore) -> tuple[Distrust, ...]:
    from napari_pixelgene.pipeline.trust import distrusted

    try:
        return distrusted(store)
    except PixelGeneError:  # a verdict of another version, or spoilt: as if it had never been made
        return ()


def _lost(store: SectionStore) -> str:
    from napari_pixelgene.pipeline.describing import files

    try:
        gone = [Path(each["path"]).name for each in files(store) if each["state"] == "gone"]
    except PixelGeneError as error:
        return error.problem
    return f"{gone[0]} is not where it was: find it again in the Section dock." if gone else ""


def _measured(store: SectionStore) -> tuple[Sequence[str], str]:
    """The genes that all captures with a place measured, and why they cannot be learned from."""
    from napari_pixelgene.pipeline.slide import is_placed
    from napari_pixelgene.store.captures import read_capture

    captures = [read_capture(store, name) for name in store.captures()]
    if not captures:
        return (), "Nothing was measured on it: it can only be predicted."
    placed = [capture for capture in captures if is_placed(capture)]
    if not placed:
        return captures[0].genes.symbols, "Not registered to its H&E yet: do that in the Register dock."
    shared = set(placed[0].genes.symbols).intersection(*(capture.genes.symbols for capture in placed[1:]))
    if not shared:  # a person may still leave captures out
        shared = {symbol for capture in placed for symbol in capture.genes.symbols}
    return sorted(shared), ""
