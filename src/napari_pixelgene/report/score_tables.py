"""Tables of scores: what was reached, beside what chance, easy explanations and a perfect model would."""

from __future__ import annotations

import numpy as np

from napari_pixelgene.elements.arrays import BoolArray, FloatArray
from napari_pixelgene.elements.scores import QuantityScores, SectionScores
from napari_pixelgene.report.content import TruthContent
from napari_pixelgene.report.markup import MISSING, number, table

# In reading order: name on the page, and what it means.
_MEANING = {
    "ceiling": ("noise ceiling", "about the most that these counts allow anybody"),
    "position": ("position alone", "no image, only where a place lies"),
    "nuclear": ("counting nuclei", "one feature of the image: the share of nuclei"),
    "total_only": ("total only", "one map of the total count, the same for every gene"),
    "permuted": ("permuted", "chance: the prediction's places shuffled"),
}


def scores_table(scores: SectionScores, truth: TruthContent | None = None) -> str:
    """Means over genes: the model first, then every control; what is missing has its reason."""
    small = scores.at_8um
    head = ["", "composition (log)", "raw counts", *(["log at 8 µm", "counts at 8 µm"] if small else []), "what it is"]
    both = [scores.log, scores.counts, *(small or ())]
    rows = [["model", *(number(_mean(q.pearson)) for q in both), "the prediction on tissue it had not seen"]]
    if truth is not None:
        blank = [MISSING] * (len(both) - 1)
        rows.append(["true rates", number(_mean(truth.pearson)), *blank, "the simulator's own truth on these counts"])
    for control, (name, meaning) in _MEANING.items():
        rows.append([name, *(_control(q, control) for q in both), _said(scores.log, control, meaning)])
    return table(head, rows, words=(0, len(head) - 1), strong=(0,))


def _control(scores: QuantityScores, control: str) -> str:
    return number(_mean(scores.controls[control])) if control in scores.controls else MISSING


def _said(scores: QuantityScores, control: str, meaning: str) -> str:
    return meaning if control in scores.controls else f"not available: {scores.reasons.get(control, 'undefined')}"


def group_table(scores: SectionScores, truth: TruthContent) -> str:
    """Mean log scores by group of genes, and for the shown ones together."""
    groups = list(dict.fromkeys(truth.group))
    groups.sort(key=lambda g: g == truth.hidden)
    of = np.array(truth.group)
    masks: list[tuple[str, BoolArray]] = [("all the histology shows", truth.shown)]
    masks += [(f"{g} (not shown)" if g == truth.hidden else g, of == g) for g in groups]
    rows = [_group_row(name, mask, scores.log, truth) for name, mask in masks if mask.any()]
    head = ("genes", "how many", "held-out r", "true rates", "noise ceiling", "permuted", "model / true rates")
    return table(head, rows, strong=(0,))


def _group_row(name: str, mask: BoolArray, scores: QuantityScores, truth: TruthContent) -> tuple[str, ...]:
    reached, best = _mean(scores.pearson[mask]), _mean(truth.pearson[mask])
    controls = (_mean(scores.controls[c][mask]) if c in scores.controls else np.nan for c in ("ceiling", "permuted"))
    share = f"{number(100 * reached / best, 0)}%" if best > 0 else MISSING
    return name, str(int(mask.sum())), number(reached), number(best), *map(number, controls), share


def gene_table(scores: SectionScores, truth: TruthContent | None = None) -> str:
    """Every gene, best first."""
    head = ["gene", "group" if truth else "", "counts in all", "log r", "permuted", "ceiling", "counts r"]
    order = np.argsort(-np.nan_to_num(scores.log.pearson, nan=-2.0), kind="stable")
    rows = []
    for i in order:
        group = truth.group[i] if truth else ""
        total = f"{scores.totals[i]:,.0f}" if len(scores.totals) else MISSING
        controls = [_at(scores.log.controls.get(c), i) for c in ("permuted", "ceiling")]
        ends = (number(scores.log.pearson[i]), *controls, number(scores.counts.pearson[i]))
        rows.append((scores.genes[i], group, total, *ends))
    return table(head, rows, words=(0, 1))


def _at(values: FloatArray | None, i: int) -> str:
    return MISSING if values is None else number(float(values[i]))


def _mean(values: FloatArray) -> float:
    finite = np.asarray(values)[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")
