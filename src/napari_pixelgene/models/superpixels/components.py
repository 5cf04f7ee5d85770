"""The recipe for units with many counts: composition on few principal components, and the total.

The targets are those of `models/targets.py`, their components fitted on each member's own fit units (accuracy.md,
"A recipe that reached .31").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.targets import calibration
from napari_pixelgene.elements.scores import CHANCE, HELD_OUT_R
from napari_pixelgene.models.base import Plan, Scores, View
from napari_pixelgene.models.heads import LEAST_JUDGES, Perceptron, mean_and_permuted, of_members
from napari_pixelgene.models.targets import Standard, component_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import Batch, Fitted, TrainingData
    from napari_pixelgene.models.heads import UnitFeatures
    from napari_pixelgene.models.superpixels.settings import SuperpixelSettings

# At most so many units calibrate the counts, so many at once, through so many of their superpixels.
_CALIBRATING, _AT_ONCE, _SAMPLES = 5_000, 64, 16


@dataclass(slots=True)
class ComponentsPlan(Plan):
    """Targets of all members, (members, units, components + 1), the last one the total."""

    units: UnitFeatures
    targets: FloatArray
    z: FloatArray  # (units, genes) unprojected
    components: FloatArray  # (members, components, genes)
    scale: FloatArray  # (members,)
    gene_mean: FloatArray
    gene_sd: FloatArray
    total: FloatArray  # (2,) mean and sd of the log total
    unit_size: float  # superpixels in a unit, on average
    fit: BoolArray
    stop: BoolArray

    @property
    def members(self) -> int:  # type: ignore[override]
        """Size of the ensemble."""
        return len(self.scale)

    def network(self, settings: SuperpixelSettings) -> nn.Module:
        """Components and the total in one linear head."""
        channels = self.units.features.shape[1]
        return Perceptron(channels, self.targets.shape[2], settings.hidden, settings.dropout)

    def batch_units(self, settings: SuperpixelSettings) -> int:
        """Units in a step."""
        return settings.batch_units

    def targets_of(self, units: IntArray) -> dict[str, torch.Tensor]:
        """Nothing that all members share."""
        return {}

    def own_of(self, units: IntArray) -> dict[str, torch.Tensor]:
        """(members, units, components + 1): each member has components of its own."""
        return {"targets": torch.from_numpy(self.targets[:, units]).to(self.units.features.device)}

    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Squared errors of the footprint's mean, summed over components and total; (members,)."""
        error = ((output.mean(2) - batch.own["targets"]) ** 2).sum(-1)  # (members, units)
        return (error * batch.weight).sum(1) / batch.weight.sum(1).clamp_min(1)

    def scores(self, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """Mean Pearson over genes on each member's stop units, and the Pearson of the total."""
        predicted = of_members([o.mean(2) for o in outputs], batches, self.members)  # each (units, outputs)
        rows = [self._score(m, p, np.flatnonzero(self.stop[m])) for m, p in enumerate(predicted)]
        composition, total, permuted = np.nan_to_num(np.array(rows)).T
        return Scores({"composition": composition, "total": total}, {HELD_OUT_R: composition, CHANCE: permuted})

    def _score(self, member: int, predicted: FloatArray, stop: IntArray) -> FloatArray:
        if len(stop) < LEAST_JUDGES:
            return np.zeros(3)
        z, truth = predicted[:, :-1] @ self.components[member], self.z[stop]
        total = pearson(predicted[:, -1:], self.targets[member, stop, -1:])[0]
        r, permuted = mean_and_permuted(z, truth)
        return np.array([r, total, permuted])

    def arrays(self) -> dict[str, Array]:
        """See `Plan.arrays`."""
        return {
            "components": self.components.astype(np.float32),
            "scale": self.scale,
            "gene_mean": self.gene_mean,
            "gene_sd": self.gene_sd,
            "total": self.total,
            "unit_size": np.array([self.unit_size]),
            "calibration": np.ones((self.members + 1, self.z.shape[1])),
        }


def plan_components(
    data: TrainingData, units: UnitFeatures, components: int, standard: Standard | None = None
) -> ComponentsPlan:
    """Work out the targets, of what `standard` says the composition and the total are."""
    learned = component_targets(data, components, data.fit, standard)
    return ComponentsPlan(
        units, learned.values, learned.z, learned.components, learned.scale, learned.gene_mean, learned.gene_sd,
        learned.total, float(units.size.mean()), data.fit, data.stop,
    )  # fmt: skip


def calibrated(fitted: Fitted, plan: ComponentsPlan, data: TrainingData) -> FloatArray:
    """(members + 1, genes) factors on counts, from each member's own units; the last row is the ensemble's."""
    counts = sparse.vstack([s.counts for s in data.sections]).tocsr()
    learned = data.fit | data.stop
    learned = np.vstack([learned, learned.any(0)]).astype(np.float64)
    rng, genes = np.random.default_rng([data.seed, 5]), np.arange(counts.shape[1])
    chosen = np.arange(counts.shape[0])
    if len(chosen) > _CALIBRATING:
        chosen = np.sort(rng.choice(chosen, _CALIBRATING, replace=False))
    expected = np.zeros((len(learned), len(genes)))
    for units in np.split(chosen, range(_AT_ONCE, len(chosen), _AT_ONCE)):
        drawn = plan.units.sample(units, _SAMPLES, rng).cpu().numpy() * plan.units.sd + plan.units.mean
        latent = fitted.latent(View(drawn), data.device)  # (members, units, samples, latent)
        each = fitted.decode(latent, genes, "counts").mean(2)
        whole = fitted.combine(latent, genes, "counts").mean(1)
        size = plan.units.size[units] * learned[:, units]
        expected += np.einsum("mug,mu->mg", np.concatenate([each, whole[None]]), size)
    return calibration(learned[:, chosen] @ counts[chosen], expected)
