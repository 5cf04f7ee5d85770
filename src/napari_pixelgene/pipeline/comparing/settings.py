"""The TOML file of `pixelgene compare`: which sections, models and encoders, and how tissue is held out.

    sections = ["C2.section.zarr", "C3.section.zarr", "C4.section.zarr"]
    genes = "top:300"

    [split]
    kind = "sections"

    [[models]]
    name = "pixel2gene"

    [[models]]
    name = "pixel2gene"
    label = "pixel2gene, as published"
    settings = { recipe = "original" }

Paths are relative to the file. A misspelt key is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from napari_pixelgene.encoders.registry import require_name
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.models.registry import model_class
from napari_pixelgene.pipeline.beforehand import require_genes
from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.settings import Section, read_toml
from napari_pixelgene.stages.depth import DepthSettings
from napari_pixelgene.stages.evaluation import EvaluationSettings
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.stages.pseudo_spots import SpotSettings

SplitKind = Literal["sections", "blocks", "captures", "random", "nearest", "pseudo-visium", "depth"]
# Shares held out (random, nearest) or kept (depth) where none are named: HisToSGE's, STPath's, Pixel2Gene's.
_SHARES: dict[str, tuple[float, ...]] = {"random": (0.5,), "nearest": (0.8, 0.9, 0.95), "depth": (0.5,)}


class SplitSettings(Section):
    """How tissue is held out."""

    kind: SplitKind = Field(
        "sections",
        description="sections: each is scored by models of the others; blocks: cross-validation inside each; captures: "
        "each capture of a slide is scored by models of its others; random: spots drawn at random are scored; nearest: "
        "the region around the spot furthest right is scored; pseudo-visium: learned from spots made of a Xenium or "
        "Visium HD capture, scored on its squares; depth: learned from shallower counts, scored on all of them.",
    )
    shares: tuple[float, ...] = Field(
        (), description="Shares of the units held out (random, nearest), or of the counts kept (depth)."
    )
    test_captures: tuple[str, ...] = Field(
        (), description="Captures that are scored, each by models of all others (captures); none: every one in turn."
    )
    spots: SpotSettings = Field(default_factory=SpotSettings, description="The spots that are made (pseudo-visium).")
    depth: DepthSettings = Field(default_factory=DepthSettings, description="How counts are lost (depth).")

    def all_shares(self) -> tuple[float, ...]:
        """Those named, or the papers'."""
        return self.shares or _SHARES.get(self.kind, ())


class ModelChoice(Section):
    """One row of the leaderboard, for each encoder."""

    name: str = Field(description="The model, by name (see `pixelgene models`).")
    label: str = Field("", description="What the row is called; made of name and settings when left out.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Settings of that model.")
    encoders: tuple[str, ...] = Field((), description="Only with these encoders; those of the file when left out.")

    def title(self) -> str:
        """What the row is called."""
        chosen = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        return self.label or (f"{self.name} ({chosen})" if chosen else self.name)


class CompareSettings(Section):
    """All of the file."""

    sections: tuple[Path, ...] = Field(description="The sections, with counts that have a place on the slide.")
    models: tuple[ModelChoice, ...] = Field(description="The models, a table each.")
    encoders: tuple[str, ...] = Field(("stain_texture",), description="The encoders each model is tried with.")
    genes: str = Field("top:300", description="Genes to learn, chosen on what is learned from alone.")
    split: SplitSettings = Field(default_factory=SplitSettings, description="How tissue is held out.")
    folds: FoldSettings = Field(default_factory=FoldSettings, description="Spatial blocks the members stop on.")
    max_units: int = Field(200_000, ge=1, description="At most so many units are learned from, drawn at random.")
    permutations: int = Field(100, ge=1, description="Shuffles of the prediction that give the floor.")
    halves: int = Field(20, ge=1, description="Binomial splits that give the ceiling.")
    draws: int = Field(1000, ge=50, description="Draws of tissue blocks that give the intervals.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    device: str = Field("auto", description="auto (GPU where there is one), cpu, cuda or cuda:N.")

    def fit_settings(self, choice: ModelChoice, encoder: str) -> FitSettings:
        """What one model learns, as the pipeline takes it."""
        return FitSettings(
            model=choice.name, model_settings=choice.settings, features=FeatureSettings(encoder=encoder),
            genes=self.genes, folds=self.folds, max_units=self.max_units, seed=self.seed, device=self.device,
        )  # fmt: skip

    def evaluation(self) -> EvaluationSettings:
        """How it is scored."""
        return EvaluationSettings(permutations=self.permutations, halves=self.halves, seed=self.seed)


def read_comparison(path: Path) -> CompareSettings:
    """The file at `path`; names and settings are checked before anything slow begins."""
    settings = CompareSettings.make(read_toml(path), where=path.name)
    settings = settings.replace(sections=tuple(path.parent / section for section in settings.sections))
    if not settings.sections or not settings.models:
        raise SettingsError(f"{path} names no section or no model.", "Give sections = […] and a [[models]] table.")
    require_genes(settings.genes)
    for choice in settings.models:
        model_class(choice.name).Settings.make(choice.settings, where=choice.name)
    titles = [choice.title() for choice in settings.models]
    if twice := next((title for title in titles if titles.count(title) > 1), None):
        raise SettingsError(f"{path} has two rows called '{twice}'.", "Give one of them another label.")
    for encoder in {e for c in settings.models for e in (*c.encoders, *settings.encoders)}:
        require_name(encoder)
    return settings
