"""The sound recipe: every unit with neighbours that are not itself, shown or left out at random.

A unit's window is judged by the mean over its footprint. Half of the time it sees no measured unit at all, which is
what happens on a section that nothing was measured on; else the nearest are hidden up to a random distance, which is
what happens in a block that is held out. So two states of every member are kept: that which did best alone, and that
which did best with what its fit units say. Bins of few counts are joined first, as far as a window holds them: the
composition of one is nearly noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.elements.scores import CHANCE, HELD_OUT_R
from napari_pixelgene.models.base import Batch, Plan, Scores
from napari_pixelgene.models.heads import LEAST_JUDGES, alike, mean_and_permuted, of_members
from napari_pixelgene.models.histex.context import UnitContext, unit_context
from napari_pixelgene.models.histex.network import WindowNet
from napari_pixelgene.models.histex.targets import OwnTargets, own_targets
from napari_pixelgene.models.histex.windows import UnitWindows, joined_um, unit_windows
from napari_pixelgene.models.units import merged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import TrainingData
    from napari_pixelgene.models.histex.settings import HistexSettings

ALONE, NEAR = "alone", "near"
_STOP_SAMPLES, _STOP_BATCH = 48, 512
_HIDE_ALL = float("inf")


@dataclass(slots=True)
class ComponentsPlan(Plan):
    """Windows, targets and context of all members."""

    data: TrainingData
    windows: UnitWindows
    targets: OwnTargets
    context: UnitContext

    @property
    def fit(self) -> BoolArray:
        """(members, units) what each member learns from."""
        return self.data.fit

    @property
    def stop(self) -> BoolArray:
        """(members, units) what each member stops on."""
        return self.data.stop

    @property
    def members(self) -> int:  # type: ignore[override]
        """Size of the ensemble."""
        return len(self.fit)

    def network(self, settings: HistexSettings) -> nn.Module:
        """The network of one member."""
        outputs = self.targets.values.shape[2]
        channels = self.windows.features.shape[1]
        return WindowNet(channels, outputs + 2, outputs, settings.embedding, settings.hidden, settings.dropout)

    def batches(self, settings: HistexSettings, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch: all units in one order, whoever learns from them."""
        order = rng.permutation(self.fit.shape[1])[: settings.units_per_epoch]
        for start in range(0, len(order), settings.batch_units):
            units = order[start : start + settings.batch_units]
            hidden = self.context.scale.reach / 2 * np.maximum(rng.uniform(-1, 1, len(units)), 0)
            hidden[rng.random(len(units)) < settings.context_drop] = _HIDE_ALL
            yield self._batch(units, hidden, (settings.superpixels_per_unit, settings.neighbours), rng, self.fit)

    def stop_batches(self, settings: HistexSettings) -> Iterator[Batch]:
        """Stop units twice: alone, and with the fit units around them."""
        rng = np.random.default_rng(0)
        for members, units in alike(self.stop):
            for start in range(0, len(units), _STOP_BATCH):
                some = units[start : start + _STOP_BATCH]
                for hidden in (_HIDE_ALL, 0.0):
                    um = np.full(len(some), hidden)
                    yield self._batch(some, um, (_STOP_SAMPLES, settings.neighbours), rng, self.stop).only(members)

    def _batch(
        self, units: IntArray, hidden: FloatArray, sizes: tuple[int, int], rng: np.random.Generator, mask: BoolArray
    ) -> Batch:
        features, there, inside = self.windows.sample(units, sizes[0], rng)
        tokens = self.context.tokens(units, hidden, sizes[1])
        alone = torch.tensor(bool(np.isinf(hidden).all()))
        return Batch(
            (features, there),
            {"inside": inside, "alone": alone},
            torch.from_numpy(mask[:, units]).to(features),
            {"targets": torch.from_numpy(self.targets.values[:, units]).to(features)},
            own_inputs=(torch.from_numpy(tokens).to(features),),
        )

    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Squared errors of the footprint's mean, summed over components and total; (members,)."""
        error = ((over_footprint(output, batch) - batch.own["targets"]) ** 2).sum(-1)  # (members, units)
        return (error * batch.weight).sum(1) / batch.weight.sum(1).clamp_min(1)

    def scores(self, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """Mean Pearson over genes on each member's stop units, alone and with context."""
        found = {}
        for name, alone in ((ALONE, True), (NEAR, False)):
            mine = [(o, b) for o, b in zip(outputs, batches, strict=True) if bool(b.targets["alone"]) is alone]
            pooled = [over_footprint(o, b) for o, b in mine]
            predicted = of_members(pooled, [b for _, b in mine], self.members)
            rows = [self._score(m, p, np.flatnonzero(self.stop[m])) for m, p in enumerate(predicted)]
            found[name] = np.nan_to_num(np.array(rows)).T  # composition, total, chance
        # The total is a tenth of what counts: it breaks ties between states, composition decides.
        stop = {name: rows[0] + 0.1 * rows[1] for name, rows in found.items()}
        return Scores(stop, {HELD_OUT_R: found[ALONE][0], CHANCE: found[ALONE][2]})

    def _score(self, member: int, predicted: FloatArray, stop: IntArray) -> FloatArray:
        if len(stop) < LEAST_JUDGES:
            return np.zeros(3)
        mean, sd = (x[member][self.data.section_of_unit[stop]] for x in (self.targets.mean, self.targets.sd))
        truth = np.divide(self.targets.logs[stop] - mean, sd, out=np.zeros(mean.shape), where=sd > 0)
        total = pearson(predicted[:, -1:], self.targets.values[member, stop, -1:])[0]
        r, permuted = mean_and_permuted(predicted[:, :-1] @ self.targets.basis[member], truth)
        return np.array([r, total, permuted])

    def arrays(self) -> dict[str, Array]:
        """What is saved besides the networks."""
        out = self.targets.arrays()
        scale = self.context.scale
        return out | {
            "calibration": np.ones((self.members + 1, len(out["gene_mean"]))),
            "unit_size": np.array([self.windows.unit_size]),
            "context_um": np.array([scale.least, scale.reach]),
        }


def over_footprint(output: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(members, units, outputs) the mean over the tokens that a unit covers."""
    return (output * batch.targets["inside"][..., None]).sum(2)


def plan_components(data: TrainingData, settings: HistexSettings) -> ComponentsPlan:
    """Work out windows, targets, context."""
    data = merged(data, widest_um=joined_um(settings, data.sections[0].superpixel_um))
    windows = unit_windows(data, settings.window)
    targets = own_targets(data, settings.components)
    context = unit_context(data.sections, targets.values, data.fit, settings.dense_context)
    return ComponentsPlan(data, windows, targets, context)
