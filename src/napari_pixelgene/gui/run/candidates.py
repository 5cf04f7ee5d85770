"""Sections that can be trained on or predicted, and in a few words why one cannot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui.recent import recent
from napari_pixelgene.store.section import SUFFIX, SectionStore


@dataclass(frozen=True, slots=True)
class Candidate:
    """A section as the Run dock sees it. An empty reason means that it can be chosen."""

    path: Path
    genes: frozenset[str] = frozenset()
    runs: frozenset[str] = frozenset()  # names that are taken
    encoders: frozenset[str] = frozenset()  # whose features are there
    not_trained: str = ""
    not_predicted: str = ""

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
    names = frozenset([*store.runs(), *store.mapped_runs()])
    return Candidate(path, frozenset(genes), names, frozenset(store.encoders()), why, lost)


def _lost(store: SectionStore) -> str:
    from napari_pixelgene.pipeline.describing import files

    try:
        gone = [Path(each["path"]).name for each in files(store) if each["state"] == "gone"]
    except PixelGeneError as error:
        return error.problem
    return f"{gone[0]} is not where it was: find it again in the Section dock." if gone else ""


def _measured(store: SectionStore) -> tuple[Sequence[str], str]:
    """The measured genes, and why they cannot be learned from."""
    from napari_pixelgene.pipeline.slide import is_placed, require_capture

    if not store.captures():
        return (), "Nothing was measured on it: it can only be predicted."
    try:
        capture = require_capture(store)
    except PixelGeneError as error:
        return (), error.problem
    why = "" if is_placed(capture) else "Not registered to its H&E yet: do that in the Register dock."
    return capture.genes.symbols, why
