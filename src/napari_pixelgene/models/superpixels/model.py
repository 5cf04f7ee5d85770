"""The recipes of a network over superpixels: which targets, which network, which batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from napari_pixelgene.models.base import Batch, Scores, Snapshots, TorchModel, TrainingData, View
from napari_pixelgene.models.heads import UnitFeatures, alike
from napari_pixelgene.models.superpixels import components, likelihood, minmax
from napari_pixelgene.models.superpixels.fitted import RECIPES, FittedSuperpixels

if TYPE_CHECKING:
    from torch import nn

    from napari_pixelgene.elements.arrays import Array, IntArray

# Below this median count, log1p(CP10k) of one unit is nearly presence or absence (accuracy.md).
ENOUGH_COUNTS = 200
_STOP_SAMPLES = 32
_STOP_BATCH = 2048

RecipePlan = components.ComponentsPlan | likelihood.LikelihoodPlan | minmax.OriginalPlan


class SuperpixelModel(TorchModel):
    """Expression of a superpixel from its own histology vector; `Settings` are `SuperpixelSettings` with a `recipe`."""

    fitted: ClassVar[type[FittedSuperpixels]] = FittedSuperpixels

    def recipe(self, data: TrainingData) -> str:
        """One of `RECIPES`: that for these data when the setting says auto."""
        if self.settings.recipe != "auto":
            return str(self.settings.recipe)
        library = np.concatenate([s.library for s in data.sections])
        return "components" if np.median(library) >= ENOUGH_COUNTS else "likelihood"

    def plan(self, data: TrainingData) -> RecipePlan:
        """See `TorchModel.plan`."""
        recipe = self.recipe(data)
        units = UnitFeatures.of(data, standardise=recipe != "original")
        if recipe == "components":
            return components.plan_components(data, units, self.settings.components)
        return likelihood.plan_likelihood(data, units) if recipe == "likelihood" else minmax.plan_original(data, units)

    def network(self, plan: RecipePlan) -> nn.Module:
        """See `TorchModel.network`."""
        return plan.network(self.settings)

    def batches(self, plan: RecipePlan, rng: np.random.Generator) -> Iterator[Batch]:
        """See `TorchModel.batches`: all units in one order, whoever learns from them."""
        units = rng.permutation(plan.fit.shape[1])[: self.settings.units_per_epoch]
        size = plan.batch_units(self.settings)
        for start in range(0, len(units), size):
            yield _batch(plan, units[start : start + size], self.samples(plan), rng, plan.fit)

    def samples(self, plan: RecipePlan) -> int:
        """Superpixels of a unit in one step."""
        return int(self.settings.superpixels_per_unit)

    def stop_batches(self, plan: RecipePlan) -> Iterator[Batch]:
        """See `TorchModel.stop_batches`: every member is asked about its own stop units only."""
        rng = np.random.default_rng(0)
        for members, units in alike(plan.stop):
            for start in range(0, len(units), _STOP_BATCH):
                some = units[start : start + _STOP_BATCH]
                yield _batch(plan, some, _STOP_SAMPLES, rng, plan.stop).only(members)

    def loss(self, plan: RecipePlan, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """See `TorchModel.loss`."""
        return plan.loss(output, batch)

    def stop_scores(self, plan: RecipePlan, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """See `TorchModel.stop_scores`."""
        return plan.scores(outputs, batches)

    def optimizer(self, plan: RecipePlan, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
        """The published recipe has Adam at a rate that depends on the number of units."""
        if isinstance(plan, minmax.OriginalPlan):
            return torch.optim.Adam(parameters, lr=plan.rate())
        return super().optimizer(plan, parameters)

    def epochs(self, plan: RecipePlan) -> tuple[int, int | None]:
        """The published recipe never stops early; it has its own epochs unless a person chose otherwise."""
        if isinstance(plan, minmax.OriginalPlan):
            chosen = "epochs" in self.settings.model_fields_set
            return (self.settings.epochs if chosen else plan.epochs), None
        return super().epochs(plan)

    def finish(self, plan: RecipePlan, snapshots: Snapshots, data: TrainingData) -> FittedSuperpixels:
        """See `TorchModel.finish`."""
        arrays: dict[str, Array] = {**plan.arrays(), "recipe": np.array([RECIPES.index(self.recipe(data))])}
        arrays |= {"feature_mean": plan.units.mean, "feature_sd": plan.units.sd}
        for score, parameters in snapshots.parameters.items():
            for name, tensor in parameters.items():
                array = tensor.detach().cpu().numpy()
                arrays[f"net.{score}.{name}"] = array
        arrays = _split_mix(arrays)
        fitted = self.fitted(arrays, self.settings, data.genes)
        if isinstance(plan, minmax.OriginalPlan):
            return fitted
        if isinstance(plan, components.ComponentsPlan):
            arrays["calibration"] = components.calibrated(fitted, plan, data)
        else:
            latents = (fitted.latent(View(s.features), data.device) for s in data.sections)
            totals = None if plan.offsets is None else plan.offsets.total
            arrays["base_total"] = likelihood.calibrated_totals(latents, data, totals)
        return self.fitted(arrays, self.settings, data.genes)


def _split_mix(arrays: dict[str, Array]) -> dict[str, Array]:
    """Keep the trunk under `net.`, the composition's mixing matrix beside it; the total needs none."""
    out = {}
    for name, array in arrays.items():
        if name.startswith("net.composition.mix."):
            out[name.removeprefix("net.composition.")] = array
        elif ".mix." not in name:
            out[name.replace(".trunk.", ".")] = array
    return out


def _batch(plan: RecipePlan, units: IntArray, samples: int, rng: np.random.Generator, mask: Array) -> Batch:
    features = plan.units.sample(units, samples, rng)
    weight = torch.from_numpy(mask[:, units]).to(features)
    return Batch((features,), plan.targets_of(units), weight, plan.own_of(units))
