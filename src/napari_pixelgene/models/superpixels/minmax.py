"""The published recipe of iStar, iSCALE and Pixel2Gene (specs/pixel2gene.md sections 5.1–5.4), for comparison.

Raw features, four hidden layers with LeakyReLU, counts scaled per gene by their own minimum and maximum,
mean squared error, Adam at a constant rate that depends on the number of units, no stopping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_pixelgene.arithmetic.targets import min_max
from napari_pixelgene.elements.scores import CHANCE, HELD_OUT_R
from napari_pixelgene.models.base import Plan, Scores
from napari_pixelgene.models.heads import LEAST_JUDGES, mean_and_permuted, of_members

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import Batch, TrainingData
    from napari_pixelgene.models.heads import UnitFeatures
    from napari_pixelgene.models.superpixels.settings import SuperpixelSettings

FLOOR = 0.01
EPOCHS = 600


class Dense(nn.Module):
    """A linear map that keeps the published state-dict name `linear`."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, n_in) to (…, n_out)."""
        out: torch.Tensor = self.linear(x)
        return out


class OriginalNet(nn.Module):
    """(…, features) to (…, genes) in units of each gene's training range; tensors named as published."""

    def __init__(self, n_features: int, n_outputs: int, hidden: int = 256) -> None:
        super().__init__()
        self.net_lat = nn.ModuleList(Dense(n_features if i == 0 else hidden, hidden) for i in range(4))
        self.net_out = Dense(hidden, n_outputs)

    def latent(self, x: torch.Tensor) -> torch.Tensor:
        """The last hidden layer (…, hidden)."""
        for layer in self.net_lat:
            x = nn.functional.leaky_relu(layer(x), 0.1)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """ELU with α = 0.01, lifted by 0.01: never negative."""
        return nn.functional.elu(self.net_out(self.latent(x)), alpha=FLOOR) + FLOOR


def learning_rate(units: int) -> float:
    """The published rate for so many training units."""
    return 1e-4 if units < 10_000 else 1e-6 if units >= 500_000 else 1e-5


def batch_size(units: int) -> int:
    """min(128, units // 16); the published rule gives 0 below 16 units, here at least 1."""
    return max(1, min(128, units // 16))


@dataclass(slots=True)
class OriginalPlan(Plan):
    """Scaled counts of every member, whose range is that of its own fit units."""

    units: UnitFeatures
    counts: FloatArray  # (units, genes)
    low: FloatArray  # (members, genes)
    span: FloatArray  # (members, genes)
    unit_size: float
    fit: BoolArray
    stop: BoolArray

    @property
    def members(self) -> int:  # type: ignore[override]
        """Size of the ensemble."""
        return len(self.low)

    @property
    def epochs(self) -> int:
        """Passes over the units, where a person chose none."""
        return EPOCHS

    def rate(self) -> float:
        """The rate of Adam."""
        return learning_rate(int(self.fit.sum(1).max()))

    def network(self, settings: SuperpixelSettings) -> nn.Module:
        """The published network."""
        return OriginalNet(self.units.features.shape[1], self.counts.shape[1], settings.hidden)

    def batch_units(self, settings: SuperpixelSettings) -> int:
        """So many units that a member finds the published batch among them."""
        mine = int(self.fit.sum(1).max())
        return max(1, int(batch_size(mine) * self.fit.shape[1] / max(mine, 1) + 0.5))

    def targets_of(self, units: IntArray) -> dict[str, torch.Tensor]:
        """Nothing that all members share."""
        return {}

    def own_of(self, units: IntArray) -> dict[str, torch.Tensor]:
        """(members, units, genes) in each member's range."""
        scaled = (self.counts[None, units] - self.low[:, None]) / (self.span[:, None] + 1e-12)
        return {"targets": torch.from_numpy(scaled).to(self.units.features)}

    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean over genes of the squared error of the footprint's mean; (members,)."""
        error = ((output.mean(2) - batch.own["targets"]) ** 2).mean(-1)
        return (error * batch.weight).sum(1) / batch.weight.sum(1).clamp_min(1)

    def scores(self, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """Mean Pearson on the stop units: shown, but the published recipe never stops on it."""
        predicted = of_members([o.mean(2) for o in outputs], batches, self.members)
        few = np.full(2, np.nan)
        rows = [
            mean_and_permuted(p, self.counts[s]) if len(p) >= LEAST_JUDGES else few
            for p, s in zip(predicted, self.stop, strict=True)
        ]
        r, permuted = np.nan_to_num(np.array(rows)).T
        return Scores({"last": r}, {HELD_OUT_R: r, CHANCE: permuted})

    def arrays(self) -> dict[str, Array]:
        """See `Plan.arrays`."""
        return {"low": self.low, "span": self.span, "unit_size": np.array([self.unit_size])}


def plan_original(data: TrainingData, units: UnitFeatures) -> OriginalPlan:
    """Each member's own minimum and maximum."""
    counts = np.concatenate([np.asarray(s.counts.toarray(), dtype=np.float64) for s in data.sections])
    ranges = [min_max(counts[f])[1:] for f in data.fit]
    low, high = (np.stack(x) for x in zip(*ranges, strict=True))
    return OriginalPlan(units, counts, low, high - low, float(units.size.mean()), data.fit, data.stop)


def original_each(arrays: Mapping[str, Array], output: FloatArray, genes: IntArray) -> FloatArray:
    """Counts in one superpixel (members, where, genes): output · range / K + minimum / K (section 5.4)."""
    size = float(arrays["unit_size"][0])
    span, low = (arrays[name][:, None][..., genes] for name in ("span", "low"))
    out: FloatArray = (output[..., genes] * span + low) / size
    return out
