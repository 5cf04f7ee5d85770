"""The published recipe (specs/histosge.md sections 3 to 5), kept selectable for comparison.

Raw mean features of every unit, log1p(CP10k), sets by the order of the table, whole columns and rows looked up, mean
squared error, Adam at 1e-3, no stopping. Each member is a network of its own and its sets hold only what it learns
from. Columns and rows are counted in pitches from the slide's corner, so that any place of any slide has some.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pixelgene.arithmetic.targets import log1p_cp10k
from napari_pixelgene.elements.scores import CHANCE, HELD_OUT_R
from napari_pixelgene.models.base import Batch, Plan, Scores
from napari_pixelgene.models.heads import LEAST_JUDGES, mean_and_permuted
from napari_pixelgene.models.histosge.network import OriginalNet
from napari_pixelgene.models.histosge.places import Layout
from napari_pixelgene.models.histosge.sets import by_order, pitch_um

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import TrainingData
    from napari_pixelgene.models.histosge.settings import HistoSgeSettings

EPOCHS, RATE = 1000, 1e-3
# Cells to either side that a superpixel's set is filled with: with itself as many as in a published set.
_AROUND = 3


@dataclass(slots=True)
class OriginalPlan(Plan):
    """One member's units, in order: `features` (units, channels), `place` (units, 2), `targets` (units, genes)."""

    features: torch.Tensor
    place: torch.Tensor
    targets: torch.Tensor
    section: IntArray
    fit: BoolArray  # (members, units)
    stop: BoolArray
    layout: Layout
    pitch_um: float
    depth: float  # counts in a superpixel, on average

    @property
    def members(self) -> int:  # type: ignore[override]
        """One: members are trained in turn."""
        return len(self.fit)

    def network(self, settings: HistoSgeSettings) -> nn.Module:
        """The published network."""
        return OriginalNet(self.features.shape[1], self.targets.shape[1])

    def batches(self, settings: HistoSgeSettings, rng: np.random.Generator) -> Iterator[Batch]:
        """Every set is a step, in an order drawn anew."""
        sets = self._sets(self.fit[0], settings.set_size)
        return (self._batch(sets[i]) for i in rng.permutation(len(sets)))

    def stop_batches(self, settings: HistoSgeSettings) -> Iterator[Batch]:
        """The stop units, in sets of their own."""
        return (self._batch(units) for units in self._sets(self.stop[0], settings.set_size))

    def _sets(self, mask: BoolArray, most: int) -> list[IntArray]:
        found = (np.flatnonzero(mask & (self.section == s)) for s in np.unique(self.section))
        return [units[run] for units in found if len(units) for run in by_order(len(units), most)]

    def _batch(self, units: IntArray) -> Batch:
        rows = torch.from_numpy(units).to(self.features.device)
        weight = torch.ones((1, len(units)), device=self.features.device, dtype=self.features.dtype)
        return Batch((self.features[rows], self.place[rows]), {"targets": self.targets[rows]}, weight)

    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean squared error over the set; (members,)."""
        return ((output - batch.targets["targets"]) ** 2).mean(dim=(1, 2))

    def scores(self, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """Mean Pearson on the stop units: shown, but the published recipe never stops on it."""
        r, permuted = np.zeros(1), np.zeros(1)
        if sum(b.weight.shape[1] for b in batches) >= LEAST_JUDGES:
            said = torch.cat([o[0] for o in outputs]).double().cpu().numpy()
            truth = torch.cat([b.targets["targets"] for b in batches]).double().cpu().numpy()
            r[0], permuted[0] = np.nan_to_num(mean_and_permuted(said, truth))
        return Scores({"last": r}, {HELD_OUT_R: r, CHANCE: permuted})

    def arrays(self) -> dict[str, Array]:
        """What is saved beside the networks."""
        g = self.layout
        return {
            "layout": np.array([g.spacing, g.footprint, g.around]),
            "pitch_um": np.array([self.pitch_um]),
            "depth": np.array([self.depth]),
        }


def plan_original(data: TrainingData, settings: HistoSgeSettings, halo: int) -> OriginalPlan:
    """Mean features, places and targets of all units."""
    dtype = data.sections[0].features.dtype
    pitch, side = pitch_um([s.xy_um for s in data.sections]), data.sections[0].superpixel_um
    size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections])
    footprint = int(np.clip(round(float(np.sqrt(np.median(size)))), 1, halo))
    layout = Layout.of(max(1, round(pitch / side), footprint), footprint, halo, _AROUND)

    def tensor(parts: list[Array]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(parts).astype(dtype)).to(data.device)

    return OriginalPlan(
        tensor([np.asarray(s.pooling @ s.features) for s in data.sections]),
        tensor([places(s.xy_um, pitch) for s in data.sections]),
        tensor([log1p_cp10k(s.counts, s.library) for s in data.sections]),
        data.section_of_unit, data.fit, data.stop, layout, pitch,
        float(sum(s.library.sum() for s in data.sections) / max(size.sum(), 1)),
    )  # fmt: skip


def places(xy_um: FloatArray, pitch: float) -> FloatArray:
    """(…, 2) column and row of any place, in pitches; the network cuts them to whole numbers."""
    out: FloatArray = (np.asarray(xy_um) / pitch).astype(np.float32)
    return out
