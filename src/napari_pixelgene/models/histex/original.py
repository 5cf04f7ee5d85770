"""The published recipe (specs/histex.md sections 4, 7–9), kept selectable for comparison.

Raw features, counts scaled per gene by minimum and maximum, the five nearest points of the 2× lattice as context (a
unit's own point is among them, as published), Adam at 1e-4, 500 epochs in one order, no stopping. What is shown while
it trains is of stop units, whose counts are not on the lattice then. A section without context shows the network the
mean of what it was trained with: the published code has no such case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pixelgene.arithmetic.dense_lattice import is_staggered, published_denser
from napari_pixelgene.arithmetic.geometry import apply_matrix, fit_affine
from napari_pixelgene.arithmetic.targets import min_max
from napari_pixelgene.elements.scores import CHANCE, HELD_OUT_R
from napari_pixelgene.errors import InputError
from napari_pixelgene.models.base import Batch, Plan, Scores
from napari_pixelgene.models.heads import LEAST_JUDGES, alike, mean_and_permuted, of_members
from napari_pixelgene.models.histex.components import over_footprint
from napari_pixelgene.models.histex.context import nearest
from napari_pixelgene.models.histex.network import HistexNet
from napari_pixelgene.models.histex.windows import UnitWindows, unit_windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import TrainingData, TrainingSection
    from napari_pixelgene.models.histex.settings import HistexSettings

EPOCHS, RATE, EMBEDDING = 500, 1e-4, 128
_STOP_BATCH = 256
# Empty columns between the arrays of two captures, at least.
_APART = 500


def batch_size(units: int) -> int:
    """min(32, units // 16); the published rule gives 0 below 16 units, here at least 1."""
    return max(1, min(32, units // 16))


def require_lattice(section: TrainingSection) -> IntArray:
    """(n, 2) column and row of the units, or the error that says what to do without."""
    if section.lattice is None:
        raise InputError(
            f"The units of {section.name} have no places on an array, which HISTEX's published recipe needs.",
            "Import the section again where its files tell them (legacy ST, Visium), or use the default recipe.",
        )
    if np.linalg.matrix_rank(section.lattice - section.lattice[:1]) < 2:
        raise InputError(
            f"The {len(section)} units of {section.name} lie on one line of their array.",
            "HISTEX's published recipe needs rows and columns; use the default recipe.",
        )
    return section.lattice


def dense_units(section: TrainingSection, use: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Centres (points, 2) in µm and counts (points, genes) of the published 2× lattice over the units in `use` (n,)."""
    lattice = require_lattice(section)
    xy: list[FloatArray] = [np.zeros((0, 2))]
    counts: list[FloatArray] = [np.zeros((0, section.counts.shape[1]))]
    for array in _arrays(lattice):
        mine = array[use[array]]
        if not len(mine):
            continue
        place = lattice[array]
        row_column, values = published_denser(
            lattice[mine][:, ::-1], section.counts[mine].toarray(), is_staggered(place)
        )
        to_um = fit_affine(place.astype(np.float64), section.xy_um[array])
        xy.append(apply_matrix(to_um, row_column[:, ::-1]))
        counts.append(values)
    return np.concatenate(xy), np.concatenate(counts)


def _arrays(lattice: IntArray) -> list[IntArray]:
    """The units (n,) of every array: those of several captures of one slide lie side by side, far apart."""
    order = np.argsort(lattice[:, 0], kind="stable")
    return np.split(order, np.flatnonzero(np.diff(lattice[order, 0]) > _APART) + 1)


@dataclass(frozen=True, slots=True)
class DenseContext:
    """What one member looks at: scaled values (points, genes) and, for every unit, the nearest points (units, k)."""

    values: FloatArray
    index: IntArray

    def tokens(self, units: IntArray) -> FloatArray:
        """(units, k, genes)."""
        return np.asarray(self.values[self.index[units]])


def dense_context(sections: Sequence[TrainingSection], fit: BoolArray, count: int) -> DenseContext:
    """Of the units a member fits, those of all sections scaled together; each unit looks within its own section."""
    values, index, unit, point = [], [], 0, 0
    for section in sections:
        xy, counts = dense_units(section, fit[unit : unit + len(section)])
        unit += len(section)
        if not len(xy):
            raise InputError(
                f"A member of the ensemble learns from no unit of {section.name}.", "Use more folds or smaller blocks."
            )
        near = nearest(xy, section.xy_um, count)
        index.append(near.index + point)
        values.append(counts)
        point += len(xy)
    return DenseContext(min_max(np.concatenate(values))[0], np.concatenate(index))


@dataclass(slots=True)
class OriginalPlan(Plan):
    """Windows, scaled counts and lattices of every member, from its own fit units."""

    windows: UnitWindows
    counts: FloatArray  # (units, genes)
    low: FloatArray  # (members, genes)
    span: FloatArray
    context: list[DenseContext]
    fit: BoolArray
    stop: BoolArray

    @property
    def members(self) -> int:  # type: ignore[override]
        """Size of the ensemble."""
        return len(self.low)

    def network(self, settings: HistexSettings) -> nn.Module:
        """The published network."""
        chosen = "embedding" in settings.model_fields_set
        channels = self.windows.features.shape[1]
        return HistexNet(channels, self.counts.shape[1], settings.embedding if chosen else EMBEDDING)

    def batches(self, settings: HistexSettings, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch in the order of the units; so many at once that a member finds the published batch among them."""
        mine, every = int(self.fit.sum(1).max()), self.fit.shape[1]
        size = max(1, int(batch_size(mine) * every / max(mine, 1) + 0.5))
        for start in range(0, every, size):
            yield self._batch(np.arange(start, min(start + size, every)), self.fit)

    def stop_batches(self, settings: HistexSettings) -> Iterator[Batch]:
        """The stop units."""
        for members, units in alike(self.stop):
            for start in range(0, len(units), _STOP_BATCH):
                yield self._batch(units[start : start + _STOP_BATCH], self.stop).only(members)

    def _batch(self, units: IntArray, mask: BoolArray) -> Batch:
        features, _, inside = self.windows.whole(units)
        scaled = (self.counts[None, units] - self.low[:, None]) / (self.span[:, None] + 1e-12)
        tokens = np.stack([each.tokens(units) for each in self.context])
        return Batch(
            (features,),
            {"inside": inside},
            torch.from_numpy(mask[:, units]).to(features),
            {"targets": torch.from_numpy(scaled).to(features)},
            own_inputs=(torch.from_numpy(tokens).to(features),),
        )

    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean over genes of the squared error of the footprint's mean; (members,)."""
        error = ((over_footprint(output, batch) - batch.own["targets"]) ** 2).mean(-1)
        return (error * batch.weight).sum(1) / batch.weight.sum(1).clamp_min(1)

    def scores(self, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """Mean Pearson on the stop units: shown, but the published recipe never stops on it."""
        pooled = [over_footprint(o, b) for o, b in zip(outputs, batches, strict=True)]
        rows = [
            mean_and_permuted(p, self.counts[s]) if len(p) >= LEAST_JUDGES else np.full(2, np.nan)
            for p, s in zip(of_members(pooled, batches, self.members), self.stop, strict=True)
        ]
        r, permuted = np.nan_to_num(np.array(rows)).T
        return Scores({"last": r}, {HELD_OUT_R: r, CHANCE: permuted})

    def arrays(self) -> dict[str, Array]:
        """What is saved besides the networks."""
        mean = np.stack([c.values[c.index].mean((0, 1)) for c in self.context])
        return {
            "low": self.low, "span": self.span, "unit_size": np.array([self.windows.unit_size]),
            "mean_context": mean.astype(np.float32),
        }  # fmt: skip


def plan_original(data: TrainingData, settings: HistexSettings) -> OriginalPlan:
    """Each member's own minimum, maximum and lattice."""
    for section in data.sections:
        require_lattice(section)
    windows = unit_windows(data, settings.window, standardise=False)
    counts = np.concatenate([np.asarray(s.counts.toarray(), dtype=np.float64) for s in data.sections])
    low, high = (np.stack(x) for x in zip(*(min_max(counts[f])[1:] for f in data.fit), strict=True))
    context = [dense_context(data.sections, f, settings.neighbours) for f in data.fit]
    return OriginalPlan(windows, counts, low, high - low, context, data.fit, data.stop)
