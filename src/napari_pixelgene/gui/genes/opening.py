"""What stands beside the maps of a run and takes a moment to read: its scores, and what was measured. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui.genes.sayings import about
from napari_pixelgene.progress import Note, OnEvent

if TYPE_CHECKING:
    from napari_pixelgene.elements.expression import Expression
    from napari_pixelgene.elements.scores import GeneScores
    from napari_pixelgene.pipeline.measured_maps import MeasuredMaps
    from napari_pixelgene.store.section import SectionStore


@dataclass(frozen=True, slots=True)
class Beside:
    """Scores of a run (None: not scored) on held-out "blocks" or "sections"; measured maps, or why there are none."""

    scores: GeneScores | None = None
    held_out: str = "blocks"
    measured: MeasuredMaps | None = None
    why_not_measured: str = ""
    reading: bool = False

    def about(self, gene: str) -> str:
        """How far the gene's map can be trusted; nothing while the scores are being read."""
        return "…" if self.reading else about(gene, self.scores, self.held_out)


READING = Beside(why_not_measured="What was measured is being read…", reading=True)


def open_beside(store: SectionStore, maps: Expression, on_event: OnEvent) -> Beside:
    """Read both. Neither is needed to look at a map, so what fails is told and not raised."""
    from napari_pixelgene.pipeline.measured_maps import open_measured

    scores, held_out = _scores(store, maps.run, on_event)
    shapes = [(int(level.shape[1]), int(level.shape[2])) for level in maps.levels]
    try:
        return Beside(scores, held_out, open_measured(store, shapes, maps.superpixel_um, on_event))
    except PixelGeneError as error:
        return Beside(scores, held_out, None, str(error))


def _scores(store: SectionStore, run: str, on_event: OnEvent) -> tuple[GeneScores | None, str]:
    from napari_pixelgene.store.scores import read_scores

    try:
        found = read_scores(store, run)
        return (None, "blocks") if found is None else (found.genes(), found.held_out)
    except PixelGeneError as error:
        on_event(Note(f"The scores of '{run}' cannot be shown. {error}", "warning"))
        return None, "blocks"
