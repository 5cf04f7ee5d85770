"""What is asked of a fit, and what it learns from: values that every file of the chapter passes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from napari_pixelgene.settings import Section, shown
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.stages.unit_quality import QualitySettings

if TYPE_CHECKING:
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.elements.tissue import MemberPlan
    from napari_pixelgene.models.base import Model, TrainingData
    from napari_pixelgene.pipeline.choosing import Chosen
    from napari_pixelgene.pipeline.measured import Measured
    from napari_pixelgene.store.section import SectionStore


class FitSettings(Section):
    """What is learned, from what, with what."""

    model: str = Field("pixel2gene", description="The model, by name (see `pixelgene models`).")
    model_settings: dict[str, Any] = Field(default_factory=dict, description="Settings of that model.")
    features: FeatureSettings = Field(default_factory=FeatureSettings, description="The encoder and its settings.")
    genes: str = Field(
        "top:300",
        description="Genes to learn: top:N, variable:N, file:FILE, panel or all; vocabulary: all that STPath knows.",
    )
    captures: tuple[str, ...] = Field(
        (),
        title="Captures",
        description="Captures to learn from, by NAME or SECTION/NAME; all that have a place on the slide when left "
        "out.",
        json_schema_extra=shown(empty="all that are placed"),
    )
    without_captures: tuple[str, ...] = Field(
        (),
        title="Captures left out",
        description="Captures not to learn from; only genes that all others measured are learned.",
        json_schema_extra=shown(empty="none"),
    )
    folds: FoldSettings = Field(default_factory=FoldSettings, description="Spatial blocks the members stop on.")
    quality: QualitySettings = Field(
        default_factory=QualitySettings, description="Which units are good enough to learn from."
    )
    max_units: int = Field(200_000, ge=1, description="At most so many units are learned from, drawn at random.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    device: str = Field("auto", description="auto (GPU where there is one), cpu, cuda or cuda:N.")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run learns from, ready to learn: sections, and of each the captures it takes, one after the other.

    `measured` and the sections of `data` are captures, in the order of `chosen`; `features` are the sections'.
    `apart` are the captures of these sections that are to be scored and were kept out of training.
    """

    chosen: tuple[Chosen, ...]
    measured: tuple[Measured, ...]
    features: tuple[Features, ...]
    genes: GeneTable
    data: TrainingData
    plan: MemberPlan
    model: Model
    fingerprint: str
    kind: Literal["fit", "cross"] = "fit"
    apart: tuple[Measured, ...] = ()

    @property
    def stores(self) -> tuple[SectionStore, ...]:
        """The training sections."""
        return tuple(each.store for each in self.chosen)
