"""Blocks that several models share: the perceptron over superpixels, and units resident on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_pixelgene.arithmetic.metrics import pearson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import Batch, TrainingData

# Fewer stop units than this judge nothing.
LEAST_JUDGES = 3


class Perceptron(nn.Sequential):
    """Two hidden layers with GELU and dropout, then one linear head: (…, features) to (…, outputs)."""

    def __init__(self, n_features: int, n_outputs: int, hidden: int = 256, dropout: float = 0.3) -> None:
        super().__init__(
            nn.Linear(n_features, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_outputs),
        )


@dataclass(frozen=True, slots=True)
class UnitFeatures:
    """The superpixels of every unit, on the device that trains.

    `features` (superpixels, channels); `index` (units, widest footprint) rows of it, padded with 0;
    `size` (units,) how many of them count. `mean` and `sd` (channels,) are what was taken off.
    """

    features: torch.Tensor
    index: IntArray
    size: IntArray
    mean: FloatArray
    sd: FloatArray

    @classmethod
    def of(cls, data: TrainingData, standardise: bool = True) -> UnitFeatures:
        """Stack the sections; z-score each channel over all superpixels that units touch."""
        features = np.concatenate([s.features for s in data.sections])
        mean, sd = np.zeros(features.shape[1]), np.ones(features.shape[1])
        if standardise:
            mean, sd = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
            sd[sd < 1e-8] = 1.0
            features = ((features - mean) / sd).astype(features.dtype)
        size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections])
        index = np.zeros((len(size), int(size.max(initial=1))), dtype=np.int64)
        columns = np.arange(index.shape[1])[None, :] < size[:, None]
        offsets = np.cumsum([0, *(len(s.features) for s in data.sections[:-1])])
        index[columns] = np.concatenate([s.pooling.indices + o for s, o in zip(data.sections, offsets, strict=True)])
        return cls(torch.from_numpy(features).to(data.device), index, size, mean, sd)

    def sample(self, units: IntArray, most: int, rng: np.random.Generator) -> torch.Tensor:
        """(units, samples, channels): at most `most` superpixels of each unit (see `draw`)."""
        return self.features[torch.from_numpy(self.draw(units, most, rng)).to(self.features.device)]

    def draw(self, units: IntArray, most: int, rng: np.random.Generator) -> IntArray:
        """(units, samples) rows of `features`: at most `most` superpixels of each unit, drawn without replacement; a
        unit with fewer gives its own again, in turn."""
        index, size = self.index[units], self.size[units]
        keys = rng.random(index.shape)
        keys[np.arange(index.shape[1]) >= size[:, None]] = 2.0
        turn = np.arange(min(most, int(size.max(initial=1)))) % np.maximum(size, 1)[:, None]
        order = np.take_along_axis(np.argsort(keys, axis=1, kind="stable"), turn, axis=1)
        chosen: IntArray = np.take_along_axis(index, order, axis=1)
        return chosen


def alike(mask: BoolArray) -> list[tuple[tuple[int, ...], IntArray]]:
    """Members whose units (members, units) are the same, and those units."""
    found: dict[bytes, list[int]] = {}
    for member, row in enumerate(np.packbits(mask, axis=1)):
        found.setdefault(row.tobytes(), []).append(member)
    return [(tuple(members), np.flatnonzero(mask[members[0]])) for members in found.values()]


def of_members(pieces: Sequence[torch.Tensor], batches: Sequence[Batch], members: int) -> list[FloatArray]:
    """What batches say of each member, joined over its units: pieces (members of the batch, units, …) float64."""
    own: list[list[torch.Tensor]] = [[] for _ in range(members)]
    for piece, batch in zip(pieces, batches, strict=True):
        for row, member in enumerate(batch.members or range(members)):
            own[member].append(piece[row])
    return [torch.cat(rows).double().cpu().numpy() if rows else np.zeros((0, 1)) for rows in own]


def mean_and_permuted(predicted: FloatArray, truth: FloatArray) -> FloatArray:
    """(2,) the mean Pearson over genes, and the same with the units shuffled: what chance gives."""
    shuffled = truth[np.random.default_rng(0).permutation(len(truth))]
    return np.array([_mean_pearson(predicted, truth), _mean_pearson(predicted, shuffled)])


def _mean_pearson(a: FloatArray, b: FloatArray) -> float:
    r = pearson(a, b)
    return float(np.nanmean(r)) if np.isfinite(r).any() else np.nan
