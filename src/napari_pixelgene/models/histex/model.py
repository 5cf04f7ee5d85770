"""The recipe itself: which windows, which context, which network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from napari_pixelgene.models.base import Batch, Fitted, Needs, Scores, Snapshots, TorchModel, TrainingData
from napari_pixelgene.models.histex.components import ComponentsPlan, plan_components
from napari_pixelgene.models.histex.fitted import FittedWindows
from napari_pixelgene.models.histex.fitted_original import FittedOriginal
from napari_pixelgene.models.histex.original import EPOCHS, RATE, OriginalPlan, plan_original
from napari_pixelgene.models.histex.settings import HistexSettings

if TYPE_CHECKING:
    from torch import nn

    from napari_pixelgene.settings import Section

RecipePlan = ComponentsPlan | OriginalPlan


class Histex(TorchModel):
    """Windows of superpixels that attend to measured units near by."""

    name: ClassVar[str] = "histex"
    title: ClassVar[str] = "HISTEX: windows that look at measured units near by"
    Settings = HistexSettings
    fitted: ClassVar[type[Fitted]] = FittedWindows
    joins_bins: ClassVar[bool] = True
    effort: ClassVar[float] = 3.0

    def __init__(self, settings: Section | None = None) -> None:
        super().__init__(settings)
        original = self.settings.recipe == "original"
        self.needs = Needs(
            standardised=not original,
            halo=self.settings.widest - 1,
            positions=True,
            lattice=original,
            context_counts=True,
        )

    def plan(self, data: TrainingData) -> RecipePlan:
        """See `TorchModel.plan`."""
        planned = plan_original if self.settings.recipe == "original" else plan_components
        return planned(data, self.settings)

    def network(self, plan: RecipePlan) -> nn.Module:
        """See `TorchModel.network`."""
        return plan.network(self.settings)

    def batches(self, plan: RecipePlan, rng: np.random.Generator) -> Iterator[Batch]:
        """See `TorchModel.batches`."""
        return plan.batches(self.settings, rng)

    def loss(self, plan: RecipePlan, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """See `TorchModel.loss`."""
        return plan.loss(output, batch)

    def stop_batches(self, plan: RecipePlan) -> Iterator[Batch]:
        """See `TorchModel.stop_batches`."""
        return plan.stop_batches(self.settings)

    def stop_scores(self, plan: RecipePlan, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """See `TorchModel.stop_scores`."""
        return plan.scores(outputs, batches)

    def optimizer(self, plan: RecipePlan, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
        """The published recipe has Adam at 1e-4."""
        if isinstance(plan, OriginalPlan):
            return torch.optim.Adam(parameters, lr=RATE, fused=True)
        return super().optimizer(plan, parameters)

    def epochs(self, plan: RecipePlan) -> tuple[int, int | None]:
        """The published recipe never stops early; 500 epochs unless a person chose otherwise."""
        if isinstance(plan, OriginalPlan):
            chosen = "epochs" in self.settings.model_fields_set
            return (self.settings.epochs if chosen else EPOCHS), None
        return super().epochs(plan)

    def finish(self, plan: RecipePlan, snapshots: Snapshots, data: TrainingData) -> Fitted:
        """See `TorchModel.finish`."""
        windows = plan.windows
        arrays = {**plan.arrays(), "side": np.array([windows.side])}
        for state, parameters in snapshots.parameters.items():
            arrays |= {f"net.{state}.{name}": tensor.detach().cpu().numpy() for name, tensor in parameters.items()}
        if isinstance(plan, OriginalPlan):
            return FittedOriginal(arrays, self.settings, data.genes)
        arrays |= {"feature_mean": windows.mean, "feature_sd": windows.sd}
        fitted = FittedWindows(arrays, self.settings, data.genes)
        fitted.calibrate_on(windows, plan.data)
        return fitted
