"""The recipe itself: which targets, which network, which sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from napari_pixelgene.models.base import Batch, Needs, Scores, Snapshots, TorchModel, TrainingData
from napari_pixelgene.models.histosge.fitted import RECIPES, FittedHistoSge
from napari_pixelgene.models.histosge.original import EPOCHS, RATE, OriginalPlan, plan_original
from napari_pixelgene.models.histosge.settings import HistoSgeSettings
from napari_pixelgene.models.histosge.sound import SoundPlan, plan_sound

if TYPE_CHECKING:
    from torch import nn

    from napari_pixelgene.settings import Section


class HistoSge(TorchModel):
    """Units attend to the units around them."""

    name: ClassVar[str] = "histosge"
    title: ClassVar[str] = "HisToSGE: units attend to the units around them"
    Settings = HistoSgeSettings
    joins_bins: ClassVar[bool] = True
    effort: ClassVar[float] = 2.5
    fitted = FittedHistoSge

    def __init__(self, settings: Section | None = None) -> None:
        super().__init__(settings)
        published = self.settings.recipe == "original"
        halo = self.settings.reach * (2 if published else 1)
        self.needs = Needs(standardised=not published, halo=halo, positions=True)
        self.batched_members = not published  # type: ignore[misc]

    def plan(self, data: TrainingData) -> SoundPlan | OriginalPlan:
        """See `TorchModel.plan`."""
        if self.settings.recipe == "original":
            return plan_original(data, self.settings, self.needs.halo)
        return plan_sound(data, self.settings)

    def network(self, plan: SoundPlan | OriginalPlan) -> nn.Module:
        """See `TorchModel.network`."""
        return plan.network(self.settings)

    def batches(self, plan: SoundPlan | OriginalPlan, rng: np.random.Generator) -> Iterator[Batch]:
        """See `TorchModel.batches`."""
        return plan.batches(self.settings, rng)

    def stop_batches(self, plan: SoundPlan | OriginalPlan) -> Iterator[Batch]:
        """See `TorchModel.stop_batches`."""
        return plan.stop_batches(self.settings)

    def loss(self, plan: SoundPlan | OriginalPlan, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """See `TorchModel.loss`."""
        return plan.loss(output, batch)

    def stop_scores(
        self, plan: SoundPlan | OriginalPlan, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]
    ) -> Scores:
        """See `TorchModel.stop_scores`."""
        return plan.scores(outputs, batches)

    def optimizer(self, plan: SoundPlan | OriginalPlan, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
        """The published recipe has Adam at a constant rate."""
        if isinstance(plan, OriginalPlan):
            chosen = "learning_rate" in self.settings.model_fields_set
            return torch.optim.Adam(parameters, lr=self.settings.learning_rate if chosen else RATE)
        return super().optimizer(plan, parameters)

    def epochs(self, plan: SoundPlan | OriginalPlan) -> tuple[int, int | None]:
        """The published recipe never stops early; 1,000 epochs unless a person chose otherwise."""
        if isinstance(plan, OriginalPlan):
            chosen = "epochs" in self.settings.model_fields_set
            return (self.settings.epochs if chosen else EPOCHS), None
        return super().epochs(plan)

    def finish(self, plan: SoundPlan | OriginalPlan, snapshots: Snapshots, data: TrainingData) -> FittedHistoSge:
        """See `TorchModel.finish`."""
        arrays = {**plan.arrays(), "recipe": np.array([RECIPES.index(self.settings.recipe)])}
        for score, parameters in snapshots.parameters.items():
            for name, tensor in parameters.items():
                arrays[f"net.{score}.{name}"] = tensor.detach().cpu().numpy()
        fitted = FittedHistoSge(arrays, self.settings, data.genes)
        if isinstance(plan, SoundPlan):
            fitted.calibrate(
                plan.latents(fitted.ask(data.device), self.settings), plan.data, plan.data.fit | plan.data.stop
            )
        return fitted
