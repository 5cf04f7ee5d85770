"""The sound recipe: sets by space, any place, components and the total, early stopping.

Superpixels of a unit ask, units are looked at, and the mean over the unit's superpixels is what was measured: so the
network has seen what a map asks of it. A unit counts less the farther it lies and nothing from the reach on, so sets
have no edges where maps could show seams. Waves of place start anywhere in every set (`relative`): no network can learn
a slide by heart by them. Units that lie denser than a superpixel's set are looked at in layers as thin as that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.elements.scores import CHANCE, HELD_OUT_R
from napari_pixelgene.models.base import Batch, Plan, Scores
from napari_pixelgene.models.heads import LEAST_JUDGES, UnitFeatures, mean_and_permuted
from napari_pixelgene.models.histosge.network import SetNet
from napari_pixelgene.models.histosge.places import Layout, log_window, wavelengths, waves
from napari_pixelgene.models.histosge.sets import by_space, padded, pitch_um
from napari_pixelgene.models.targets import component_targets
from napari_pixelgene.models.units import merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import TrainingData
    from napari_pixelgene.models.histosge.fitted import Ask
    from napari_pixelgene.models.histosge.settings import HistoSgeSettings
    from napari_pixelgene.models.targets import ComponentTargets

# Cells to either side of a superpixel's own at the finest spacing: 7 × 7 of them, as many as units in a published set.
_AROUND = 3
_STOP_SAMPLES = 8
# At most about so many units calibrate the counts.
_CALIBRATING = 5_000
# Where the waves of a set may start: many times the longest.
_SHIFT_UM = 1e5


@dataclass(frozen=True, slots=True)
class Geometry:
    """How units and cells lie: `layout` of a slide's cells, `reach_um`, `lengths_um` of the waves, `layers` that units
    are dealt to, `absolute` whether waves start at the slide's corner."""

    layout: Layout
    reach_um: float
    lengths_um: FloatArray
    layers: int
    absolute: bool

    @classmethod
    def of(cls, data: TrainingData, settings: HistoSgeSettings) -> Geometry:
        """From the pitch and the size of the units, and how far a set may reach."""
        side = data.sections[0].superpixel_um
        size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections])
        footprint = int(np.clip(round(float(np.sqrt(np.median(size)))), 1, settings.reach))
        reach = (settings.reach - footprint / 2 - 1) * side
        pitch = pitch_um([s.xy_um for s in data.sections])
        spacing = max(1, round(max(pitch, reach / (_AROUND + 0.5)) / side), footprint)
        layers = max(1, round((spacing * side / pitch) ** 2))
        extent = max(float(np.ptp(s.xy_um, axis=0).max()) for s in data.sections)
        absolute = settings.position == "absolute"
        longest = 4 * extent if absolute else 8 * reach
        lengths = wavelengths(2 * spacing * side, longest, 8 if absolute else 6)
        if settings.position == "none":
            lengths = lengths[:0]
        around = int(reach / (spacing * side) + 0.5)
        return cls(Layout(spacing, footprint, around), reach, lengths, layers, absolute)


@dataclass(slots=True)
class SoundPlan(Plan):
    """Units of all sections (joined where they hold few counts), their superpixels and targets."""

    data: TrainingData
    units: UnitFeatures
    targets: ComponentTargets
    geometry: Geometry
    means: torch.Tensor  # (units, channels)
    centres_um: FloatArray  # (superpixels, 2)
    xy_um: FloatArray  # (units, 2)

    @property
    def members(self) -> int:  # type: ignore[override]
        """Size of the ensemble."""
        return self.data.members

    def network(self, settings: HistoSgeSettings) -> nn.Module:
        """See `TorchModel.network`."""
        channels, outputs = self.units.features.shape[1], self.targets.values.shape[2]
        waved = 4 * len(self.geometry.lengths_um)
        return SetNet(
            channels, waved, outputs, settings.width, settings.hidden, settings.dropout, self.geometry.absolute
        )

    def batches(self, settings: HistoSgeSettings, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch of sets in an order of their own."""
        sets = self.sets(settings.set_size, rng)
        order, left = rng.permutation(len(sets)), settings.units_per_epoch
        step = max(1, round(settings.batch_units / settings.set_size))
        for start in range(0, len(order), step):
            units = padded([sets[i] for i in order[start : start + step]])
            left -= int((units >= 0).sum())
            yield self.batch(units, settings.superpixels_per_unit, rng, self.data.fit)
            if left <= 0:
                return

    def stop_batches(self, settings: HistoSgeSettings) -> Iterator[Batch]:
        """All units once, in sets that stay the same; members are judged by their own."""
        rng = np.random.default_rng(0)
        for units in self.sets(settings.set_size, rng):
            if self.data.stop[:, units].any():
                yield self.batch(units[None], _STOP_SAMPLES, rng, self.data.stop)

    def sets(self, most: int, rng: np.random.Generator) -> list[IntArray]:
        """Sets of every section; none holds units of two."""
        out, first = [], 0
        for section in self.data.sections:
            out += [first + s for s in by_space(section.xy_um, most, rng, self.geometry.layers)]
            first += len(section)
        return out

    def batch(self, units: IntArray, samples: int, rng: np.random.Generator, mask: BoolArray) -> Batch:
        """A step of some sets (sets, units), -1 where a set has fewer."""
        there, filled = units >= 0, np.maximum(units, 0)
        rows = self.units.draw(filled.ravel(), samples, rng)  # (sets · units, samples)
        asking = rows.reshape(len(units), -1)
        asking_um, seen_um = self.centres_um[asking], self.xy_um[filled]
        away = np.linalg.norm(asking_um[:, :, None] - seen_um[:, None], axis=-1)
        bias = log_window(away, self.geometry.reach_um)
        bias[~np.broadcast_to(there[:, None], bias.shape)] = -np.inf
        shift = 0.0 if self.geometry.absolute else rng.uniform(0, _SHIFT_UM, (len(units), 1, 2))
        like = self.units.features
        inputs = (
            like[torch.from_numpy(asking).to(like.device)],
            self.means[torch.from_numpy(filled).to(like.device)],
            *(self._tensor(waves(xy + shift, self.geometry.lengths_um)) for xy in (asking_um, seen_um)),
            self._tensor(bias),
        )
        flat = filled.ravel()
        weight = self._tensor(mask[:, flat] & there.ravel())
        own = {"targets": self._tensor(self.targets.values[:, flat])}
        return Batch(inputs, {"units": torch.from_numpy(units.ravel())}, weight, own)

    def _tensor(self, values: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.units.features)

    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Squared errors of the mean over each unit's superpixels, summed over components and total; (members,)."""
        error = ((of_units(output, batch) - batch.own["targets"]) ** 2).sum(-1)
        return (error * batch.weight).sum(1) / batch.weight.sum(1).clamp_min(1)

    def scores(self, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """Mean Pearson over genes on each member's stop units, and that of the total."""
        rows = np.zeros((self.members, 3))
        units = np.concatenate([b.targets["units"].cpu().numpy() for b in batches])
        said = torch.cat([of_units(o, b) for o, b in zip(outputs, batches, strict=True)], dim=1).double().cpu().numpy()
        for member, stop in enumerate(self.data.stop):
            mine = (units >= 0) & stop[np.maximum(units, 0)]
            if mine.sum() >= LEAST_JUDGES:
                rows[member] = self._score(member, said[member, mine], units[mine])
        composition, total, permuted = np.nan_to_num(rows).T
        return Scores({"composition": composition, "total": total}, {HELD_OUT_R: composition, CHANCE: permuted})

    def _score(self, member: int, said: FloatArray, units: IntArray) -> FloatArray:
        z, truth = said[:, :-1] @ self.targets.components[member], self.targets.z[units]
        total = pearson(said[:, -1:], self.targets.values[member, units, -1:])[0]
        r, permuted = mean_and_permuted(z, truth)
        return np.array([r, total, permuted])

    def latents(self, ask: Ask, settings: HistoSgeSettings) -> Iterator[tuple[IntArray, FloatArray]]:
        """(units, latents (members, units, samples, outputs)) of units with their own sets, to calibrate counts."""
        rng, most = np.random.default_rng([self.data.seed, 5]), _CALIBRATING
        sets = self.sets(settings.set_size, rng)
        for i in rng.permutation(len(sets)):
            batch = self.batch(sets[i][None], _STOP_SAMPLES, rng, self.data.fit)
            said = ask([x.cpu().numpy() for x in batch.inputs])
            yield sets[i], said.reshape(len(said), len(sets[i]), -1, said.shape[-1])
            most -= len(sets[i])
            if most <= 0:
                return

    def arrays(self) -> dict[str, Array]:
        """What is saved beside the networks."""
        g = self.geometry
        return self.targets.arrays() | {
            "feature_mean": self.units.mean,
            "feature_sd": self.units.sd,
            "layout": np.array([g.layout.spacing, g.layout.footprint, g.layout.around]),
            "reach_um": np.array([g.reach_um]),
            "lengths_um": g.lengths_um,
        }


def of_units(output: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(members, sets · units, outputs) of (members, sets, asking, outputs): the mean over each unit's superpixels."""
    members, units = output.shape[0], batch.targets["units"].shape[0]
    return output.reshape(members, units, -1, output.shape[-1]).mean(2)


def plan_sound(data: TrainingData, settings: HistoSgeSettings) -> SoundPlan:
    """Work out targets and how units lie."""
    data = merged(data)
    units = UnitFeatures.of(data)
    raw = np.concatenate([np.asarray(s.pooling @ s.features, dtype=np.float64) for s in data.sections])
    means = torch.from_numpy((raw - units.mean) / units.sd).to(units.features)
    targets = component_targets(data, settings.components, data.fit)
    centres = np.concatenate([s.centres_um() for s in data.sections])
    xy = np.concatenate([s.xy_um for s in data.sections])
    return SoundPlan(data, units, targets, Geometry.of(data, settings), means, centres, xy)
