"""Targets that several models learn: composition on few principal components, and the total (accuracy.md).

Targets are log1p(CP10k), z-scored per section, projected on the leading components of each member's own units and
divided by one scalar, so that their mean squared norm is 1; and the log of the total, z-scored per section. A latent
is the same: (members, where, components + 1), the last number the total.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_pixelgene.arithmetic.targets import (
    FARTHEST_SD,
    MOST_LOG,
    PER,
    calibration,
    fit_components,
    log1p_cp10k,
    standardise,
)
from napari_pixelgene.models.base import Fitted, Quantity

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.models.base import TrainingData

# Units whose expected counts are added up at once.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class ComponentTargets:
    """What every member learns, and what turns it into expression again.

    `values` (members, units, components + 1), the last one the total; `z` (units, genes) unprojected; `components`
    (members, components, genes); `scale` (members,); `gene_mean`, `gene_sd` (genes,) and `total` (mean and sd of the
    log total): means over the sections; `size` (units,) superpixels under each unit.
    """

    values: FloatArray
    z: FloatArray
    components: FloatArray
    scale: FloatArray
    gene_mean: FloatArray
    gene_sd: FloatArray
    total: FloatArray
    size: IntArray

    @property
    def unit_size(self) -> float:
        """Superpixels in a unit, on average."""
        return float(self.size.mean())

    def arrays(self) -> dict[str, Array]:
        """What is saved of it; `calibration` is still 1 everywhere."""
        return {
            "components": self.components.astype(np.float32),
            "scale": self.scale,
            "gene_mean": self.gene_mean,
            "gene_sd": self.gene_sd,
            "total": self.total,
            "unit_size": np.array([self.unit_size]),
            "calibration": np.ones((len(self.scale) + 1, self.z.shape[1])),
        }


@dataclass(frozen=True, slots=True)
class Standard:
    """Log composition and log total of all units about mean 0 and sd 1: `z` (units, genes), `total_z` (units,), and
    what takes them back: `gene_mean`, `gene_sd` (genes,), `total` (mean and sd)."""

    z: FloatArray
    total_z: FloatArray
    gene_mean: FloatArray
    gene_sd: FloatArray
    total: FloatArray


def by_section(data: TrainingData) -> Standard:
    """Every section at its own mean and sd; what takes them back is the mean over sections."""
    logs = [standardise(log1p_cp10k(s.counts, s.library)) for s in data.sections]
    z = np.concatenate([log.values for log in logs])
    gene_mean, gene_sd = (np.mean([getattr(log, k) for log in logs], axis=0) for k in ("mean", "sd"))
    totals = [np.log(np.maximum(s.library, 1.0)) for s in data.sections]
    total_z = np.concatenate([(t - t.mean()) / max(t.std(), 1e-8) for t in totals])
    total = np.array([np.mean([t.mean() for t in totals]), np.mean([t.std() for t in totals])])
    return Standard(z, total_z, gene_mean, gene_sd, total)


def component_targets(
    data: TrainingData, components: int, learned: BoolArray, standard: Standard | None = None
) -> ComponentTargets:
    """Work out the targets; `learned` (members, units) are the units that a member's components are fitted on, and
    `standard` what they are components of (`by_section` when left out)."""
    of = standard or by_section(data)
    k = min(components, int(learned.sum(1).min()), of.z.shape[1])
    basis = [fit_components(of.z[f], k) for f in learned]
    projected = [of.z @ b.T for b in basis]
    squares = np.array([(p[f] ** 2).sum(1).mean() for p, f in zip(projected, learned, strict=True)])
    scale = np.sqrt(np.maximum(squares, 1e-12))
    values = np.stack([np.column_stack([p / s, of.total_z]) for p, s in zip(projected, scale, strict=True)])
    size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections])
    dtype = data.sections[0].features.dtype
    return ComponentTargets(
        values.astype(dtype), of.z, np.stack(basis), scale, of.gene_mean, of.gene_sd, of.total, size
    )


def components_log(arrays: Mapping[str, Array], latent: FloatArray, genes: IntArray, members: slice) -> FloatArray:
    """log1p(CP10k) (members, where, genes) from latents (members, where, components + 1)."""
    basis = arrays["components"][members][:, :, genes] * arrays["scale"][members, None, None]
    z = latent[..., :-1] @ basis.astype(latent.dtype)
    out: FloatArray = arrays["gene_mean"][genes] + z * arrays["gene_sd"][genes]
    return out


def components_mean(arrays: Mapping[str, Array], latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
    """The ensemble's answer (where, genes): logs and totals are averaged, then turned into counts."""
    basis = arrays["components"][:, :, genes] * arrays["scale"][:, None, None]  # (members, components, genes)
    flat = np.moveaxis(latent[..., :-1], 0, -2).reshape(latent.shape[1], -1)  # (where, members × components)
    z = flat @ (basis.reshape(-1, len(genes)) / len(latent)).astype(latent.dtype)
    log = arrays["gene_mean"][genes] + z * arrays["gene_sd"][genes]
    if quantity == "log":
        return np.asarray(log)
    return np.asarray(components_counts(arrays, log, latent[..., -1].mean(0)) * arrays["calibration"][-1, genes])


def components_counts(arrays: Mapping[str, Array], log: FloatArray, total_z: FloatArray) -> FloatArray:
    """Expected counts in one superpixel from log1p(CP10k) (…, genes) and the z-scored log total (…)."""
    mean, sd = arrays["total"]
    total = np.exp(mean + sd * np.clip(total_z, -FARTHEST_SD, FARTHEST_SD)) / float(arrays["unit_size"][0])
    return np.asarray(np.expm1(np.clip(log, 0.0, MOST_LOG)) / PER * total[..., None])


class FittedComponents(Fitted):
    """A fitted model whose latents are components and the total; a member brings `latent`."""

    def __init__(self, arrays: Mapping[str, Array], settings: object, genes: GeneTable) -> None:
        self._arrays = dict(arrays)
        self.settings = settings
        self.genes = genes
        self.members = len(arrays["scale"])

    def arrays(self) -> dict[str, Array]:
        """See `Fitted.arrays`."""
        return dict(self._arrays)

    def decode(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """See `Fitted.decode`."""
        where = latent.shape[1:-1]
        flat = latent.reshape(self.members, -1, latent.shape[-1])
        out = components_log(self._arrays, flat, genes, slice(None))
        if quantity == "counts":
            out = components_counts(self._arrays, out, flat[..., -1])
            out = out * self._arrays["calibration"][:-1, None][..., genes]
        return out.reshape(self.members, *where, len(genes))

    def combine(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """The ensemble's mean, taken where the members are linear: before counts are made of logs."""
        where = latent.shape[1:-1]
        flat = latent.reshape(self.members, -1, latent.shape[-1])
        return components_mean(self._arrays, flat, genes, quantity).reshape(*where, len(genes))

    def calibrate(self, latents: Iterable[tuple[IntArray, FloatArray]], data: TrainingData, learned: BoolArray) -> None:
        """Set the factors on counts from each member's own units; the last row is the ensemble's.

        `latents` gives (units, latents (members, units, samples, components + 1) of superpixels of them);
        `learned` (members, units).
        """
        counts = sparse.vstack([s.counts for s in data.sections]).tocsr()
        size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections])
        rows = np.vstack([learned, learned.any(0)]).astype(np.float64)
        genes = np.arange(counts.shape[1])
        observed, expected = np.zeros((len(rows), len(genes))), np.zeros((len(rows), len(genes)))
        for some, latent in latents:
            for start in range(0, len(some), _AT_ONCE):
                units, part = some[start : start + _AT_ONCE], latent[:, start : start + _AT_ONCE]
                each = self.decode(part, genes, "counts").mean(2)
                whole = self.combine(part, genes, "counts").mean(1)
                each = np.concatenate([each, whole[None]])
                expected += np.einsum("mug,mu->mg", each, size[units] * rows[:, units])
                observed += rows[:, units] @ counts[units]
        self._arrays["calibration"] = calibration(observed, expected)
