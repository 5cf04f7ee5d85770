"""Blocks that several models share: the perceptron over superpixels, and units resident on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray, IntArray
    from napari_pixelgene.models.base import TrainingData


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
        """(units, samples, channels): at most `most` superpixels of each unit, drawn without replacement;
        a unit with fewer gives some of its own again."""
        index, size = self.index[units], self.size[units]
        wide = min(most, int(size.max(initial=1)))
        keys = rng.random(index.shape)
        keys[np.arange(index.shape[1])[None, :] >= size[:, None]] = 2.0
        order = (
            np.argsort(keys, axis=1, kind="stable")[:, :wide] if index.shape[1] > 1 else np.zeros((len(units), 1), int)
        )
        order = np.where(np.arange(wide)[None, :] < size[:, None], order, order[:, :1])
        chosen = np.take_along_axis(index, order, axis=1)
        return self.features[torch.from_numpy(chosen).to(self.features.device)]
