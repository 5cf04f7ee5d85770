"""Scores of one section: per gene, and as the means that `metrics.json` holds (accuracy.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray, IntArray

# The two numbers of a run while it trains, on the units that its members stop on: the mean Pearson over genes, and the
# same against those units shuffled.
HELD_OUT_R, CHANCE = "held-out r", "chance"
CONTROLS = ("permuted", "total_only", "nuclear", "position", "ceiling")


@dataclass(frozen=True, slots=True)
class QuantityScores:
    """How well `log` or `counts` are predicted: one number a gene, (genes,) each.

    A gene that does not vary in the section has no correlation: NaN, counted in `undefined_genes`.
    `controls` has the Pearson of every control that could be had; `reasons` says in words why one is missing.
    """

    pearson: FloatArray
    spearman: FloatArray
    rmse: FloatArray
    controls: Mapping[str, FloatArray]
    reasons: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The keys of `metrics.json`; what is undefined is null with a reason beside it."""
        out: dict[str, Any] = {
            "pearson_mean": _mean(self.pearson),
            "pearson_median": _number(np.nanmedian(self.pearson)) if np.isfinite(self.pearson).any() else None,
            "spearman_mean": _mean(self.spearman),
            "rmse_mean": _mean(self.rmse),
            "genes_above_0.3": int(np.sum(self.pearson > 0.3)),
        }
        if undefined := int(np.sum(~np.isfinite(self.pearson))):
            out["undefined_genes"] = undefined
        for key in [key for key, value in out.items() if value is None]:
            out[f"{key}_reason"] = "every gene is constant in the prediction or in the counts"
        for control in CONTROLS:
            key = f"{control}_pearson_mean"
            out[key] = _mean(self.controls[control]) if control in self.controls else None
            if out[key] is None:
                out[f"{key}_reason"] = self.reasons.get(control, "undefined: a constant map correlates with nothing")
        return out


@dataclass(frozen=True, slots=True)
class SectionScores:
    """One scored section. `block_um` is the side of the squares that bins were pooled into, None where units
    were scored as they are; `at_8um` are the scores of the single bins beside it."""

    name: str
    genes: tuple[str, ...]
    units: int
    block_um: float | None
    dropped_genes: tuple[str, ...]
    log: QuantityScores
    counts: QuantityScores
    at_8um: tuple[QuantityScores, QuantityScores] | None = None
    totals: FloatArray = field(default_factory=lambda: np.zeros(0))  # (genes,) counts in the section
    permuted_training: float | None = None  # mean Pearson of the log after training on shuffled counts

    def as_dict(self) -> dict[str, Any]:
        """The section's entry in `metrics.json`."""
        small = self.at_8um
        out: dict[str, Any] = {
            "genes": len(self.genes),
            "units": self.units,
            "block_um": self.block_um,
            "dropped_genes": list(self.dropped_genes),
            "log": self.log.as_dict(),
            "counts": self.counts.as_dict(),
            "at_8um": None if small is None else {"log": small[0].as_dict(), "counts": small[1].as_dict()},
            "permuted_training_pearson_mean": self.permuted_training,
        }
        if self.permuted_training is None:
            out["permuted_training_pearson_mean_reason"] = "not asked for (--permuted-training)"
        return out

    def per_gene(self) -> dict[str, Any]:
        """Columns of the per-gene table."""
        table: dict[str, Any] = {"gene": list(self.genes), "total": self.totals}
        for name, scores in (("log", self.log), ("counts", self.counts)):
            for metric in ("pearson", "spearman", "rmse"):
                table[f"{name}_{metric}"] = getattr(scores, metric)
            table |= {f"{name}_{control}": values for control, values in scores.controls.items()}
        return table


@dataclass(frozen=True, slots=True)
class GeneScores:
    """What a gene list shows of a run, (genes,) each: the Pearson of the log on tissue not seen, beside what chance,
    one map of the total, counting nuclei and position alone reach, and the ceiling of the counts. NaN: not to be had.

    Of several sections it is the mean; `total` is the sum of counts.
    """

    genes: tuple[str, ...]
    held_out_r: FloatArray
    chance: FloatArray
    total_only: FloatArray
    nuclear: FloatArray
    position: FloatArray
    ceiling: FloatArray
    total: FloatArray

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> GeneScores:
        """From the columns of `per_gene`, of one section or of several below one another."""
        names = np.asarray(columns["gene"])
        genes, first, at = np.unique(names, return_index=True, return_inverse=True)
        order = np.argsort(first)  # as they were listed
        means = {c: _gene_means(columns.get(f"log_{c}"), at, len(genes))[order] for c in ("pearson", *CONTROLS)}
        counts = np.nan_to_num(np.asarray(columns["total"], dtype=np.float64))
        total: FloatArray = np.bincount(at, counts, len(genes)).astype(np.float64)
        return cls(
            tuple(map(str, genes[order])), means["pearson"], means["permuted"], means["total_only"],
            means["nuclear"], means["position"], means["ceiling"], total[order],
        )  # fmt: skip


def headline(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The run in one line, from the sections of `metrics.json`: held-out r, chance (None: not to be had), verdict."""
    log = [s["log"] for s in sections.values()]
    return {
        "held_out_r": _across(log, "pearson_mean"),
        "chance": _across(log, "permuted_pearson_mean"),
        "verdict": verdict(sections),
    }


def verdict(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """What the scores of `metrics.json` mean, in plain words: against chance, then against the easy explanations."""
    log = [s["log"] for s in sections.values()]
    score = _across(log, "pearson_mean")
    if score is None:
        return "No score can be had: nothing that was predicted varies."
    easy = {
        "one map of the total for every gene": _across(log, "total_only_pearson_mean"),
        "counting nuclei": _across(log, "nuclear_pearson_mean"),
        "position alone": _across(log, "position_pearson_mean"),
    }
    chance = round(_across(log, "permuted_pearson_mean") or 0.0, 2) + 0.0  # never "-0.00"
    if not above_chance(score, chance):
        return f"These maps are not better than chance: held-out r {score:.2f}, chance {chance:.2f}. Do not use them."
    above = [f"{name} ({r:.2f})" for name, r in easy.items() if r is not None and score <= r]
    if above:
        return f"Held-out r is {score:.2f}, above chance ({chance:.2f}) but not above {' nor '.join(above)}."
    ceiling = _across(log, "ceiling_pearson_mean")
    limit = f" of at most {ceiling:.2f} that these counts allow" if ceiling else ""
    if all(r is None for r in easy.values()):
        return f"Held-out r is {score:.2f}{limit}; chance gives {chance:.2f}. No simple explanation stands beside it."
    return f"Held-out r is {score:.2f}{limit}; chance gives {chance:.2f} and every simple control less."


def above_chance(score: float | None, chance: float | None) -> bool:
    """Whether a held-out r says more than the same maps with their places permuted."""
    return score is not None and score > round(chance or 0.0, 2) + 0.03


def _across(scores: list[Mapping[str, Any]], key: str) -> float | None:
    values = [s[key] for s in scores if s.get(key) is not None]
    return float(np.mean(values)) if values else None


def _gene_means(values: Any, at: IntArray, genes: int) -> FloatArray:
    """Mean of the finite values of each gene, (genes,); NaN where there is none."""
    if values is None:
        return np.full(genes, np.nan)
    given = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(given)
    count = np.bincount(at[finite], minlength=genes)
    total = np.bincount(at[finite], given[finite], genes)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _mean(values: FloatArray) -> float | None:
    finite = np.asarray(values)[np.isfinite(values)]
    return _number(finite.mean()) if finite.size else None


def _number(value: Any) -> float:
    return round(float(value), 6)
