"""Composition and total as targets, each member's from nothing but its own units.

As in `models/targets.py`: log1p(CP10k), z-scored per section, on principal components, and the log total. Since a
member's context is made of the same numbers, its means and deviations too are of the units it fits and stops on, and
so a score can never be helped by what it scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_pixelgene.arithmetic.targets import PER, fit_components, log1p_cp10k

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import TrainingData, TrainingSection

# Fewer units than this have no mean and deviation of their own.
LEAST_UNITS = 8


@dataclass(frozen=True, slots=True)
class OwnTargets:
    """What every member learns, and what turns it into expression again.

    `values` (members, units, components + 1), the last one the total; `logs` (units, genes); `axes` (members, genes,
    components) from z-scores to values and `basis` (members, components, genes) back; `mean`, `sd` (members, sections,
    genes) and `total` (members, sections, 2).
    """

    values: FloatArray
    logs: FloatArray
    axes: FloatArray
    basis: FloatArray
    mean: FloatArray
    sd: FloatArray
    total: FloatArray

    def arrays(self) -> dict[str, Array]:
        """As `FittedComponents` takes them: members differ in mean and deviation, so the deviation is in the
        components, and one more component, whose value is always 1, is what a member's mean differs by."""
        mean, sd = self.mean.mean(1), self.sd.mean(1)  # (members, genes)
        everyone, total = mean.mean(0), self.total.mean(1)
        components = np.concatenate([self.basis * sd[:, None], (mean - everyone)[:, None]], axis=1)
        return {
            "components": components.astype(np.float32),
            "scale": np.ones(len(components)),
            "gene_mean": everyone,
            "gene_sd": np.ones(len(everyone)),
            "total": total.mean(0),
            "own_total": total,
            "own_mean": mean,
            "own_sd": sd,
            "axes": self.axes.astype(np.float32),
        }


def own_targets(data: TrainingData, components: int) -> OwnTargets:
    """Work out the targets of all members."""
    logs = np.concatenate([log1p_cp10k(s.counts, s.library) for s in data.sections])
    totals = np.concatenate([log_total(s) for s in data.sections])
    own, section = data.fit | data.stop, data.section_of_unit
    sections = len(data.sections)
    k = min(components, int(data.fit.sum(1).min()), logs.shape[1])
    parts = []
    for fit, mine in zip(data.fit, own, strict=True):
        mean, sd = _per_section(logs, mine, section, sections)
        at, spread = _per_section(totals[:, None], mine, section, sections)
        z, total = _scores(logs, mean[section], sd[section]), _scores(totals[:, None], at[section], spread[section])
        basis = fit_components(z[fit], k)
        scale = np.sqrt(max(((z[fit] @ basis.T) ** 2).sum(1).mean(), 1e-12))
        values = np.column_stack([z @ basis.T / scale, total])
        parts.append((values, basis.T / scale, basis * scale, mean, sd, np.column_stack([at, spread])))
    values, axes, basis, mean, sd, total = (np.stack(each) for each in zip(*parts, strict=True))
    dtype = data.sections[0].features.dtype
    return OwnTargets(values.astype(dtype), logs.astype(dtype), axes, basis, mean, sd, total)


def log_total(section: TrainingSection) -> FloatArray:
    """(units,) the log of the total."""
    return np.asarray(np.log(np.maximum(section.library, 1.0)))


def _scores(values: FloatArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
    return np.divide(values - mean, sd, out=np.zeros_like(values), where=sd > 0)


def _per_section(
    values: FloatArray, mine: BoolArray, section: IntArray, sections: int
) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation (sections, columns) of a member's units; a section with too few takes those of the others."""
    mean, sd = np.full((2, sections, values.shape[1]), np.nan)
    for s in range(sections):
        rows = values[mine & (section == s)]
        if len(rows) >= LEAST_UNITS:
            mean[s], sd[s] = rows.mean(0), rows.std(0)
    lost = np.isnan(mean[:, 0])
    if lost.all():
        mean[:], sd[:] = values[mine].mean(0), values[mine].std(0)
    elif lost.any():
        mean[lost], sd[lost] = mean[~lost].mean(0), sd[~lost].mean(0)
    return mean, np.where(sd <= 1e-9 * np.abs(mean), 0.0, sd)


def context_values(section: TrainingSection, use: BoolArray, arrays: dict[str, Array]) -> FloatArray:
    """(members, units, components + 1) of measured units, standardised over those that a member may see (members,
    units); over the training's where they are few."""
    logs = sparse.csr_matrix(section.counts, dtype=np.float64, copy=True)
    logs.data = np.log1p(logs.data * np.repeat(PER / np.maximum(section.library, 1.0), np.diff(logs.indptr)))
    totals, squares = log_total(section), logs.multiply(logs).tocsr()
    out = []
    for m, mine in enumerate(use):
        mean, sd = arrays["own_mean"][m], arrays["own_sd"][m]
        at, spread = (float(x) for x in arrays["own_total"][m])
        if mine.sum() >= LEAST_UNITS:
            share = mine / mine.sum()
            mean = np.asarray(share @ logs).ravel()
            sd = np.sqrt(np.maximum(np.asarray(share @ squares).ravel() - mean**2, 0))
            sd = np.where(sd <= 1e-6 * np.abs(mean), 0.0, sd)
            at, spread = float(totals[mine].mean()), float(totals[mine].std())
        axes = np.divide(arrays["axes"][m], sd[:, None], out=np.zeros(arrays["axes"][m].shape), where=sd[:, None] > 0)
        total = (totals - at) / spread if spread > 1e-9 else np.zeros(len(totals))
        out.append(np.column_stack([logs @ axes - mean @ axes, total]))
    return np.stack(out).astype(np.float32)
