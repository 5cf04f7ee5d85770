"""`pixelgene fit`: train a run. What is learned, and from what, is asked for here and by `evaluate` alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import (
    Listener,
    Overwrite,
    SectionPaths,
    default,
    given,
    of,
    open_sections,
    pairs,
    whole,
)
from napari_pixelgene.pipeline import learning
from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.stages.unit_quality import QualitySettings


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What is learned, with what."""

    model: Annotated[str, of(FitSettings, "model")] = default(FitSettings, "model")
    encoder: Annotated[str, of(FeatureSettings, "encoder")] = default(FeatureSettings, "encoder")
    weights: Annotated[Path | None, of(FeatureSettings, "weights")] = None
    download: Annotated[bool, of(FeatureSettings, "download", negative="")] = default(FeatureSettings, "download")
    genes: Annotated[str, of(FitSettings, "genes")] = default(FitSettings, "genes")
    captures: Annotated[
        tuple[str, ...],
        of(FitSettings, "captures", name=("--captures", "--train-captures"), consume_multiple=True, negative="",
           show_default=False),
    ] = ()  # fmt: skip
    without_captures: Annotated[
        tuple[str, ...],
        of(FitSettings, "without_captures", consume_multiple=True, negative="", show_default=False),
    ] = ()
    recipe: Annotated[
        str | None,
        Parameter(help="The recipe of the model, where it has several: auto, original, … (see `pixelgene models`)."),
    ] = None
    epochs: Annotated[int | None, Parameter(help="At most so many passes over the units.", converter=whole)] = None
    set_: Annotated[
        tuple[str, ...],
        Parameter(name="--set", help="Settings of the model, NAME=VALUE (see `pixelgene models`).",
                  consume_multiple=True, negative="", show_default=False),
    ] = ()  # fmt: skip
    block_um: Annotated[float, of(FoldSettings, "block_um")] = default(FoldSettings, "block_um")
    folds: Annotated[int, of(FoldSettings, "folds")] = default(FoldSettings, "folds")
    partitions: Annotated[int, of(FoldSettings, "partitions")] = default(FoldSettings, "partitions")
    quality_percentile: Annotated[float, of(QualitySettings, "percentile")] = default(QualitySettings, "percentile")
    quality_clusters: Annotated[int, of(QualitySettings, "clusters")] = default(QualitySettings, "clusters")
    max_units: Annotated[int, of(FitSettings, "max_units")] = default(FitSettings, "max_units")
    seed: Annotated[int, of(FitSettings, "seed")] = default(FitSettings, "seed")
    device: Annotated[str, of(FitSettings, "device")] = default(FitSettings, "device")

    def settings(self) -> FitSettings:
        """As the pipeline takes them."""
        return FitSettings.make(
            {
                "model": self.model,
                "model_settings": {**given(recipe=self.recipe, epochs=self.epochs), **pairs(self.set_)},
                "features": FeatureSettings.make(
                    {"encoder": self.encoder, "weights": self.weights, "download": self.download}
                ),
                "genes": self.genes,
                "captures": self.captures,
                "without_captures": self.without_captures,
                "folds": FoldSettings.make(
                    {"block_um": self.block_um, "folds": self.folds, "partitions": self.partitions}
                ),
                "quality": QualitySettings.make(
                    {"percentile": self.quality_percentile, "clusters": self.quality_clusters}
                ),
                "max_units": self.max_units,
                "seed": self.seed,
                "device": self.device,
            }
        )


def fit(
    *,
    train: SectionPaths,
    run: Annotated[str, Parameter(help="Name of the run; it is kept in the first section.")],
    learned: Learned = Learned(),
    overwrite: Overwrite = False,
    terminal: Listener,
) -> None:
    """Train a model on one or several sections."""
    stores = open_sections(train)
    fitted = learning.fit(stores, run, learned.settings(), terminal, overwrite)
    values = {"section": str(stores[0].path), "run": run, "genes": len(fitted.genes), "members": fitted.members}
    following = f"pixelgene predict {_beside(train)} --run {run}"
    text = f"The run '{run}' knows {len(fitted.genes)} genes; it is in {stores[0].path.name}. Next: {following}"
    terminal.result(values, text)


def _beside(train: list[Path]) -> str:
    """What to predict next: the first section, which holds the run."""
    return str(train[0])
