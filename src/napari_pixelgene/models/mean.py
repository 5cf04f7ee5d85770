"""The training mean at every place: the least that any model must beat.

It knows no histology. Its correlation within a section is undefined, because a constant map correlates with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import sparse

from napari_pixelgene.arithmetic.targets import log1p_cp10k
from napari_pixelgene.models.base import Fitted, Model, Quantity, TrainingData, View
from napari_pixelgene.progress import OnEvent, Progress
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
    from napari_pixelgene.elements.genes import GeneTable


class MeanSettings(Section):
    """The mean has no settings."""


class FittedMean(Fitted):
    """`log` and `counts` (members, genes): the mean log1p(CP10k) of a unit, and the counts of one superpixel."""

    def __init__(self, arrays: Mapping[str, Array], genes: GeneTable) -> None:
        self._arrays = dict(arrays)
        self.genes = genes
        self.members = len(arrays["log"])

    def arrays(self) -> dict[str, Array]:
        """See `Fitted.arrays`."""
        return dict(self._arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> FittedMean:
        """See `Fitted.from_arrays`."""
        return cls(arrays, genes)

    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """Nothing is looked at: (members, where, 1) zeros."""
        return np.zeros((self.members, *view.features.shape[:-1], 1), dtype=view.features.dtype)

    def decode(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """See `Fitted.decode`."""
        values = self._arrays[quantity][:, genes].reshape(self.members, *(1,) * (latent.ndim - 2), len(genes))
        out: FloatArray = np.broadcast_to(values, (*latent.shape[:-1], len(genes)))
        return out


class MeanModel(Model):
    """The training mean."""

    name: ClassVar[str] = "mean"
    title: ClassVar[str] = "The training mean at every place (baseline)"
    Settings = MeanSettings
    fitted = FittedMean

    def fit(self, data: TrainingData, on_event: OnEvent) -> FittedMean:
        """The mean over each member's fit and stop units."""
        learned = (data.fit | data.stop).astype(np.float64)
        log = np.concatenate([log1p_cp10k(s.counts, s.library) for s in data.sections])
        counts = sparse.vstack([s.counts for s in data.sections]).tocsr()
        size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections])
        arrays = {
            "log": learned @ log / learned.sum(1, keepdims=True),
            "counts": np.asarray(learned @ counts) / (learned @ size)[:, None],
        }
        on_event(Progress("fit", data.members, data.members))
        return FittedMean(arrays, data.genes)
