"""Ridge regression on the mean features of a unit: the baseline that stands beside every network.

No torch, no iterations: each member is one closed-form fit on its own fit units, the penalty chosen by
cross-validation inside them. With `components` the z-scored log targets are projected on their leading
principal components first, which alone brings it from .27 to .29 on the real sections (accuracy.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse

from napari_pixelgene.arithmetic.regression import Ridge, fit_ridge
from napari_pixelgene.arithmetic.targets import (
    FARTHEST_SD,
    calibration,
    counts_from_log,
    fit_components,
    log1p_cp10k,
    standardise,
)
from napari_pixelgene.models.base import Fitted, Model, Quantity, TrainingData, View
from napari_pixelgene.progress import OnEvent, Progress
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
    from napari_pixelgene.elements.genes import GeneTable


class RidgeSettings(Section):
    """Settings of the ridge baseline."""

    components: int = Field(8, ge=0, description="Principal components of the targets; 0 predicts every gene alone.")


class FittedRidge(Fitted):
    """`weights` (members, channels, genes + 1) and `intercept` (members, genes + 1); the last output is the total."""

    def __init__(self, arrays: Mapping[str, Array], genes: GeneTable) -> None:
        self._arrays = dict(arrays)
        self.genes = genes
        self.members = len(arrays["weights"])

    def arrays(self) -> dict[str, Array]:
        """See `Fitted.arrays`."""
        return dict(self._arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> FittedRidge:
        """See `Fitted.from_arrays`."""
        return cls(arrays, genes)

    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """The features themselves: the model is linear in them."""
        out: FloatArray = np.broadcast_to(view.features, (self.members, *view.features.shape))
        return out

    def decode(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """See `Fitted.decode`."""
        return np.stack([self.of_member(m, x, genes, quantity) for m, x in enumerate(latent)])

    def of_member(self, member: int, features: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """(where, genes) of one member."""
        return self._answer(features, slice(member, member + 1), genes, quantity)

    def combine(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """The mean of linear members is linear; counts are made of it afterwards."""
        return self._answer(latent[0], slice(None), genes, quantity)

    def units_from_latent(
        self, latent: FloatArray, pooling: sparse.csr_matrix, genes: IntArray, quantity: Quantity
    ) -> FloatArray:
        """Asked at the mean features of a unit, as it was fitted."""
        out = self.combine(np.asarray(pooling @ latent[0])[None], genes, quantity)
        return out * pooling.getnnz(axis=1)[:, None] if quantity == "counts" else out

    def decode_units(
        self, latent: FloatArray, pooling: sparse.csr_matrix, genes: IntArray, quantity: Quantity
    ) -> FloatArray:
        """See `units_from_latent`, each member alone."""
        out = self.decode(np.stack([np.asarray(pooling @ x) for x in latent]), genes, quantity)
        return out * pooling.getnnz(axis=1)[:, None] if quantity == "counts" else out

    def _answer(self, features: FloatArray, members: slice, genes: IntArray, quantity: Quantity) -> FloatArray:
        weights, intercept = (self._arrays[k][members].mean(0) for k in ("weights", "intercept"))
        columns = np.append(genes, weights.shape[1] - 1)
        z = features @ weights[:, columns].astype(features.dtype) + intercept[columns]
        log = self._arrays["gene_mean"][genes] + z[..., :-1] * self._arrays["gene_sd"][genes]
        if quantity == "log":
            return np.asarray(log)
        mean, sd = self._arrays["total"]
        total = mean + sd * np.clip(z[..., -1], -FARTHEST_SD, FARTHEST_SD)
        counts = counts_from_log(log, total) / float(self._arrays["unit_size"][0])
        return np.asarray(counts * self._arrays["calibration"][members].mean(0)[genes])


class RidgeModel(Model):
    """Ridge on unit means."""

    name: ClassVar[str] = "ridge"
    title: ClassVar[str] = "Ridge regression on the mean features of a unit (baseline)"
    Settings = RidgeSettings
    fitted = FittedRidge

    def fit(self, data: TrainingData, on_event: OnEvent) -> FittedRidge:
        """One closed-form fit a member, on its fit and stop units: nothing here needs stopping."""
        means = np.concatenate([np.asarray(s.pooling @ s.features, dtype=np.float64) for s in data.sections])
        logs = [standardise(log1p_cp10k(s.counts, s.library)) for s in data.sections]
        totals = [np.log(np.maximum(s.library, 1.0))[:, None] for s in data.sections]
        z = np.concatenate([log.values for log in logs])
        total_z = np.concatenate([standardise(t).values for t in totals])
        fits: list[tuple[FloatArray, FloatArray]] = []
        seen: dict[bytes, int] = {}  # members with the same units are the same: all of them where nothing is scored
        for member, rows in enumerate(data.fit | data.stop):
            same = seen.setdefault(rows.tobytes(), member)
            fits.append(fits[same] if same < member else self._member(means[rows], z[rows], total_z[rows]))
            on_event(Progress("fit", member + 1, data.members))
        size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections])
        arrays = {
            "weights": np.stack([w for w, _ in fits]),
            "intercept": np.stack([b for _, b in fits]),
            "gene_mean": np.mean([log.mean for log in logs], axis=0),
            "gene_sd": np.mean([log.sd for log in logs], axis=0),
            "total": np.array([np.mean([t.mean() for t in totals]), np.mean([t.std() for t in totals])]),
            "unit_size": np.array([size.mean()]),
            "calibration": np.ones((data.members, len(data.genes))),
        }
        arrays["calibration"] = self._calibrated(FittedRidge(arrays, data.genes), means, size, data)
        return FittedRidge(arrays, data.genes)

    def _calibrated(self, fitted: FittedRidge, means: FloatArray, size: IntArray, data: TrainingData) -> FloatArray:
        """(members, genes) factors on counts, from each member's own units."""
        counts = sparse.vstack([s.counts for s in data.sections]).tocsr()
        genes, learned = np.arange(counts.shape[1]), (data.fit | data.stop).astype(np.float64)
        expected = [(size * mine) @ fitted.of_member(m, means, genes, "counts") for m, mine in enumerate(learned)]
        return calibration(learned @ counts, np.array(expected))

    def _member(self, x: FloatArray, z: FloatArray, total: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(channels, genes + 1) and (genes + 1,) on the features as they are."""
        k = min(self.settings.components, len(z), z.shape[1])
        basis = fit_components(z, k) if k else None
        targets = z if basis is None else z @ basis.T
        genes, alone = fit_ridge(x, targets), fit_ridge(x, total)
        weights, intercept = _plain(genes)
        if basis is not None:
            weights, intercept = weights @ basis, intercept @ basis
        total_weights, total_intercept = _plain(alone)
        return np.column_stack([weights, total_weights]), np.append(intercept, total_intercept)


def _plain(ridge: Ridge) -> tuple[FloatArray, FloatArray]:
    """Weights (channels, outputs) and intercept (outputs,) for features that are not standardised again."""
    slope = ridge.weights / ridge.scale[:, None]
    return slope, ridge.intercept - ridge.mean @ slope
