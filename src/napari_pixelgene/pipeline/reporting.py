"""A cross-validated section and its scores as the content of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_pixelgene.elements.expression import MEASURED
from napari_pixelgene.pipeline.held_out import gene_panels, known_scores
from napari_pixelgene.pipeline.learning import FitSettings, prepare_fit
from napari_pixelgene.pipeline.preparing import ensure_tissue
from napari_pixelgene.pipeline.slide import grid_of, open_slide
from napari_pixelgene.pipeline.slide_pictures import alignment_content, overview
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.report.content import ReportContent
from napari_pixelgene.store import provenance
from napari_pixelgene.store.models import run_meta

if TYPE_CHECKING:
    from napari_pixelgene.elements.alignment import Registration
    from napari_pixelgene.pipeline.kept_scores import Evaluation
    from napari_pixelgene.settings import Section
    from napari_pixelgene.simulate.known import KnownTruth
    from napari_pixelgene.store.section import SectionStore

PREDICTED_HOW = (
    "Predicted shows every place by the members of the cross-validation that had not learned from it; where two of "
    "their blocks meet, a seam may show. The maps that the window shows are the mean over all members of the run, "
    "which have seen most of this tissue: look at them, but judge by the maps and numbers here."
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a report says that no store knows: words, times, and what only a simulation or a fresh fit can give."""

    title: str
    done: Sequence[str] = ()
    notes: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Section] = field(default_factory=dict)
    registration: Registration | None = None
    truth: KnownTruth | None = None


def report_content(
    store: SectionStore, settings: FitSettings, evaluation: Evaluation, told: Told, on_event: OnEvent = silent
) -> ReportContent:
    """Everything the page shows of a section that was cross-validated with these settings."""
    prepared = prepare_fit([store], settings, "cross", on_event)
    scores, bins = evaluation.sections[0], prepared.measured[0].footprint.shape == "square"
    measured = prepared.measured[0].layer == MEASURED
    panels = gene_panels(prepared, evaluation, told.truth)
    return ReportContent(
        title=told.title,
        scores=evaluation.sections,
        panels=panels,
        predicted_how=PREDICTED_HOW if panels else "",
        he=overview(open_slide(store)),
        alignment=alignment_content(store, measured, told.registration, told.truth, on_event),
        tissue=ensure_tissue(store, on_event=on_event),
        superpixel_um=grid_of(store).superpixel_um,
        truth=known_scores(prepared, scores, told.truth) if told.truth is not None and bins else None,
        history=run_meta(store, evaluation.run)["history"],
        seconds=told.seconds,
        settings={name: values.model_dump() for name, values in told.settings.items()},
        versions=provenance.versions("torch", "scipy", "scikit-image", "zarr", "napari"),
        done=told.done,
        notes=told.notes,
    )
