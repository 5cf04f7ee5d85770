"""Nearest neighbours in feature space: what tissue that looks alike expressed.

The mean features of every training unit are kept, z-scored over them. A place gets the weighted mean of the targets of
the units that look most like it: weights fall as exp(-2 (d / d_k)²) with the distance d, d_k that of the farthest of
the k neighbours. Targets are components of the composition and the total (`models/targets.py`). No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from napari_pixelgene.models.base import Model, TrainingData, View
from napari_pixelgene.models.targets import FittedComponents, component_targets
from napari_pixelgene.models.units import distinct, drawn, merged, unit_means
from napari_pixelgene.progress import OnEvent, Progress
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray
    from napari_pixelgene.elements.genes import GeneTable

# Distances that are held at once: 160 MB.
_PAIRS = 20_000_000


class KnnSettings(Section):
    """Settings of the nearest neighbours."""

    neighbours: int = Field(30, ge=1, description="Training units that a place takes its expression from.")
    components: int = Field(8, ge=1, description="Principal components of the targets.")


class FittedKnn(FittedComponents):
    """Beside the arrays of `FittedComponents`: `units` (units, channels) z-scored mean features, their `feature_mean`
    and `feature_sd`, `targets` (members, units, components + 1), `learned` (members, units) and `neighbours`."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> FittedKnn:
        """See `Fitted.from_arrays`."""
        return cls(arrays, settings, genes)

    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """(members, where, components + 1)."""
        a = self._arrays
        flat = view.features.reshape(-1, view.features.shape[-1]).astype(np.float64)
        z = (flat - a["feature_mean"]) / a["feature_sd"]
        first, which = distinct(a["learned"])
        answers = [self._answer(z, member) for member in first]
        out = np.stack([answers[i] for i in which]).astype(a["targets"].dtype)
        return out.reshape(self.members, *view.features.shape[:-1], out.shape[-1])

    def _answer(self, z: FloatArray, member: int) -> FloatArray:
        """(where, components + 1) of one member, for features (where, channels) on the scale of `units`."""
        from sklearn.neighbors import NearestNeighbors

        rows = np.flatnonzero(self._arrays["learned"][member])
        k = min(int(self._arrays["neighbours"][0]), len(rows))
        found = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(self._arrays["units"][rows])
        step = max(256, _PAIRS // len(rows))
        parts = []
        for start in range(0, max(len(z), 1), step):
            some = z[start : start + step]
            if not len(some):
                parts.append(np.zeros((0, self._arrays["targets"].shape[2])))
                continue
            distance, index = found.kneighbors(some)
            weight = np.exp(-2 * (distance / np.maximum(distance[:, -1:], 1e-12)) ** 2)
            weight /= weight.sum(1, keepdims=True)
            parts.append(np.einsum("nk,nkc->nc", weight, self._arrays["targets"][member, rows[index]]))
        return np.concatenate(parts)


class KnnModel(Model):
    """Nearest neighbours in feature space."""

    name: ClassVar[str] = "knn"
    title: ClassVar[str] = "Nearest neighbours: units that look alike (baseline)"
    Settings = KnnSettings
    joins_bins: ClassVar[bool] = True
    fitted = FittedKnn

    def fit(self, data: TrainingData, on_event: OnEvent) -> FittedKnn:
        """Keep the units, each member its own; nothing here needs stopping."""
        data = merged(data)
        learned = data.fit | data.stop
        targets = component_targets(data, self.settings.components, learned)
        means = unit_means(data)
        seen = means[learned.any(0)]
        sd = seen.std(0)
        centre, scale = seen.mean(0), np.where(sd < 1e-8, 1.0, sd)
        arrays = targets.arrays() | {
            "units": (means - centre) / scale,
            "feature_mean": centre,
            "feature_sd": scale,
            "targets": targets.values,
            "learned": learned,
            "neighbours": np.array([self.settings.neighbours]),
        }
        fitted = FittedKnn(arrays, self.settings, data.genes)
        latents = ((units, fitted.latent(View(data.sections[i].features[rows]))) for units, rows, i in drawn(data))
        fitted.calibrate(latents, data, learned)
        on_event(Progress("fit", data.members, data.members))
        return fitted
