"""The recipe for bins with few counts: which genes (a multinomial) and how many (a Poisson).

A superpixel of a Xenium run holds tens of transcripts; log1p(CP10k) of such a bin is nearly presence or
absence. So the network gives programmes, which a matrix shared by all superpixels mixes into one logit a
gene, plus one for all genes that are not asked for, and the log of the expected total.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse
from torch import nn

from napari_pixelgene.elements.scores import CHANCE, HELD_OUT_R
from napari_pixelgene.models.base import Plan, Scores
from napari_pixelgene.models.heads import LEAST_JUDGES, Perceptron, mean_and_permuted, of_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import Batch, Quantity, TrainingData
    from napari_pixelgene.models.heads import UnitFeatures
    from napari_pixelgene.models.superpixels.settings import SuperpixelSettings

_STOP_UNITS = 20_000  # at most so many units judge an epoch,
_STOP_RATES = 10_000_000  # and at most so many rates, units times genes: 40 MB a partition
_BLOCK_UM = 80.0  # a running score pools bins into squares of this side


class ProgrammeNet(nn.Module):
    """(…, features) to (…, genes + 1), the rest counted as a gene: a logit for each, then the log total, both as
    departures from the training data's mean."""

    def __init__(self, n_features: int, genes: int, rank: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.trunk = Perceptron(n_features, rank + 1, hidden, dropout)
        self.mix = nn.Linear(rank, genes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        latent = self.trunk(x)  # (…, rank + 1)
        return torch.cat([self.mix(latent[..., :-1]), latent[..., -1:]], dim=-1)  # (…, genes + 1)


@dataclass(frozen=True, slots=True)
class Offsets:
    """What differs between sections before the histology speaks: `section` (units,) is the section of each unit,
    `total` (sections,) and `logits` (sections, genes + 1) are added to the network's."""

    section: IntArray
    total: FloatArray
    logits: FloatArray


@dataclass(slots=True)
class LikelihoodPlan(Plan):
    """Counts stay sparse; a batch makes its rows dense."""

    units: UnitFeatures
    counts: sparse.csr_matrix  # (units, genes)
    other: FloatArray  # (units,) counts of genes that are not asked for
    fit: BoolArray
    stop: BoolArray  # only the units that judge an epoch
    base_total: float  # log of the mean count in one superpixel
    base_logits: FloatArray  # (genes + 1,) log of the mean composition
    blocks: sparse.csr_matrix  # (blocks, units) squares that pool bins for the running score
    offsets: Offsets | None = None

    @property
    def members(self) -> int:  # type: ignore[override]
        """Size of the ensemble."""
        return len(self.fit)

    def network(self, settings: SuperpixelSettings) -> nn.Module:
        """As many programmes as asked for, never more than genes."""
        genes = self.counts.shape[1] + 1
        rank = min(settings.rank, genes)
        return ProgrammeNet(self.units.features.shape[1], genes, rank, settings.hidden, settings.dropout)

    def batch_units(self, settings: SuperpixelSettings) -> int:
        """Units in a step: bins are many and each says little; a unit of many superpixels counts for some."""
        drawn = min(settings.superpixels_per_unit, int(self.units.size.max(initial=1)))
        return max(settings.batch_units, 8 * settings.batch_units // drawn)

    def targets_of(self, units: IntArray) -> dict[str, torch.Tensor]:
        """Dense counts of a batch, the rest in the last column; superpixels in each unit; offsets."""
        features = self.units.features
        rows = np.column_stack([self.counts[units].toarray(), self.other[units]])
        return {
            "counts": torch.from_numpy(rows).to(features),
            "size": torch.from_numpy(self.units.size[units]).to(features),
            **self._bases(units, features),
        }

    def _bases(self, units: IntArray, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Total and logits that the network departs from: the same for all units, or each section's own."""
        if self.offsets is None:
            total, logits = torch.tensor(self.base_total), torch.from_numpy(self.base_logits)
        else:
            of = self.offsets.section[units]
            total = torch.from_numpy(self.base_total + self.offsets.total[of])[:, None, None]
            logits = torch.from_numpy(self.base_logits + self.offsets.logits[of])[:, None]
        return {"base_total": total.to(features), "base_logits": logits.to(features)}

    def own_of(self, units: IntArray) -> dict[str, torch.Tensor]:
        """Nothing of a member's own."""
        return {}

    def loss(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Poisson deviance of whole units (a multinomial and a total in one); (members,)."""
        composition, total = _split_deviance(unit_log_rates(output, batch.targets), batch.targets["counts"])
        return ((composition + total) * batch.weight).sum(1) / batch.weight.sum(1).clamp_min(1)

    def scores(self, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """Minus the mean deviance of each member's stop units, split into composition and total."""
        rates = [unit_log_rates(o, b.targets) for o, b in zip(outputs, batches, strict=True)]
        parts = [_split_deviance(r, b.targets["counts"]) for r, b in zip(rates, batches, strict=True)]
        composition, total = (
            np.array([-x.mean() if x.size else 0.0 for x in of_members(p, batches, self.members)])
            for p in zip(*parts, strict=True)
        )
        expected = of_members([torch.exp(r) for r in rates], batches, self.members)
        shown = np.nan_to_num(np.array([self._shown(m, x) for m, x in enumerate(expected)])).T
        return Scores({"composition": composition, "total": total}, {HELD_OUT_R: shown[0], CHANCE: shown[1]})

    def _shown(self, member: int, expected: FloatArray) -> FloatArray:
        """Mean Pearson of composition on squares of stop units, and of the same squares shuffled."""
        stop = np.flatnonzero(self.stop[member])
        pool = self.blocks[:, stop]
        pool = pool[pool.getnnz(1) > 0]
        if pool.shape[0] < LEAST_JUDGES:
            return np.full(2, np.nan)
        counts = np.column_stack([(pool @ self.counts[stop]).toarray(), pool @ self.other[stop]])
        return mean_and_permuted(_composition_log(pool @ expected), _composition_log(counts))

    def arrays(self) -> dict[str, Array]:
        """See `Plan.arrays`."""
        return {"base_total": np.full(self.members, self.base_total), "base_logits": self.base_logits}


def plan_likelihood(data: TrainingData, units: UnitFeatures) -> LikelihoodPlan:
    """Work out offsets and the units that judge."""
    counts = sparse.vstack([s.counts for s in data.sections]).tocsr()
    library = np.concatenate([s.library for s in data.sections]).astype(np.float64)
    kept = np.asarray(counts.sum(1)).ravel()
    composition = np.append(np.asarray(counts.sum(0)).ravel(), (library - kept).sum()) + 0.5
    return LikelihoodPlan(
        units, counts, library - kept, data.fit, _judging(data),
        float(np.log(max(library.sum(), 1.0) / units.size.sum())),
        np.log(composition / composition.sum()), _blocks(data),
    )  # fmt: skip


def _judging(data: TrainingData) -> BoolArray:
    """The stop units of every member, thinned at random where there are more than needed."""
    units = data.stop.shape[1]
    most = min(_STOP_UNITS, max(1000, _STOP_RATES // max(len(data.genes), 1)))
    if units <= most:
        return data.stop
    kept = np.zeros(units, dtype=bool)
    kept[np.random.default_rng([data.seed, 1]).choice(units, most, replace=False)] = True
    return np.asarray(data.stop & kept)


def _blocks(data: TrainingData) -> sparse.csr_matrix:
    """(blocks, units) ones: squares of `_BLOCK_UM` within each section."""
    xy = np.concatenate([s.xy_um for s in data.sections])
    keys = np.column_stack([data.section_of_unit, np.floor(xy / _BLOCK_UM).astype(np.int64)])
    _, block = np.unique(keys, axis=0, return_inverse=True)
    block = block.ravel()
    ones = np.ones(len(xy), dtype=np.float32)
    return sparse.csr_matrix((ones, (block, np.arange(len(xy)))), shape=(int(block.max(initial=-1)) + 1, len(xy)))


def unit_log_rates(output: torch.Tensor, targets: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Log expected counts of whole units (members, units, genes + 1): superpixels add up."""
    logits = output[..., :-1] + targets["base_logits"]
    logs = torch.log_softmax(logits, dim=-1) + output[..., -1:] + targets["base_total"]  # (members, units, samples, ·)
    samples = output.shape[2]
    pooled = logs[:, :, 0] if samples == 1 else torch.logsumexp(logs, dim=2) - float(np.log(samples))
    return pooled + torch.log(targets["size"])[:, None]


def _split_deviance(log_rates: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    log_total = torch.logsumexp(log_rates, dim=-1)  # (members, units)
    multinomial = -(counts * (log_rates - log_total[..., None])).sum(-1)
    poisson = torch.exp(log_total) - counts.sum(-1) * log_total
    return multinomial, poisson


def _composition_log(counts: FloatArray) -> FloatArray:
    """log1p(CP10k) of all but the last column (the rest)."""
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1e-12)
    return np.asarray(np.log1p(1e4 * share[:, :-1]))


def likelihood_log_rates(arrays: Mapping[str, Array], latent: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ensemble composition logits (where, genes + 1) and log total (where,): logits and totals are averaged."""
    mix, bias = arrays["mix.weight"], arrays["mix.bias"]  # (members, genes + 1, rank), (members, genes + 1)
    flat = np.moveaxis(latent[..., :-1], 0, -2).reshape(latent.shape[1], -1)
    weights = np.moveaxis(mix, 1, 2).reshape(-1, mix.shape[1]) / len(mix)
    logits = flat @ weights.astype(latent.dtype) + bias.mean(0) + arrays["base_logits"]
    return logits, np.log(np.exp(latent[..., -1] + arrays["base_total"][:, None]).mean(0))


def calibrated_totals(
    latents: Iterable[FloatArray], data: TrainingData, totals: FloatArray | None = None
) -> FloatArray:
    """(members,) `base_total` that makes the counts each member expects of its own units those it was shown.

    Without dropout the network varies less than it did while it learned, and so the mean of the exponential
    is too small. `latents` (members, superpixels, latent), one a section; `totals` (sections,) are added to them.
    """
    expected, observed = np.zeros(data.members), np.zeros(data.members)
    learned = np.split(data.fit | data.stop, np.cumsum([len(s) for s in data.sections])[:-1], axis=1)
    more = np.zeros(len(data.sections)) if totals is None else totals
    for section, latent, mine, own in zip(data.sections, latents, learned, more, strict=True):
        cover = section.pooling > 0
        expected += (mine.T * (cover @ np.exp(latent[..., -1].astype(np.float64) + own).T)).sum(0)
        observed += mine @ section.library
    out: FloatArray = np.log(np.maximum(observed, 1.0) / expected)
    return out


def likelihood_mean(arrays: Mapping[str, Array], latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
    """The ensemble's answer (where, genes)."""
    logits, log_total = likelihood_log_rates(arrays, latent)
    return _quantity(logits, log_total, genes, quantity)


def likelihood_each(arrays: Mapping[str, Array], latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
    """Every member's answer (members, where, genes)."""
    one = []
    for m in range(len(latent)):
        member = {name: arrays[name][m : m + 1] for name in ("mix.weight", "mix.bias", "base_total")}
        one.append(likelihood_log_rates({**arrays, **member}, latent[m : m + 1]))
    return np.stack([_quantity(logits, total, genes, quantity) for logits, total in one])


def _quantity(logits: FloatArray, log_total: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
    logits = logits - logits.max(-1, keepdims=True)
    share = np.exp(logits)
    share = share[:, genes] / share.sum(-1, keepdims=True)
    return np.asarray(np.log1p(1e4 * share) if quantity == "log" else share * np.exp(log_total)[:, None])
