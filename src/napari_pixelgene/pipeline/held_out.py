"""Maps of a cross-validation: every place by the members that had not learned from it, beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.targets import PER, log1p_cp10k
from napari_pixelgene.pipeline.fitting import learned_context
from napari_pixelgene.pipeline.learning import Prepared, load_fitted
from napari_pixelgene.pipeline.slide import grid_of
from napari_pixelgene.report.content import GenePanel, TruthContent, ranked
from napari_pixelgene.stages.evaluation import Predicted, ScoredUnits, pool
from napari_pixelgene.stages.prediction import predict_units

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.scores import SectionScores
    from napari_pixelgene.pipeline.kept_scores import Evaluation
    from napari_pixelgene.simulate.known import KnownTruth


def gene_panels(prepared: Prepared, evaluation: Evaluation, truth: KnownTruth | None) -> tuple[GenePanel, ...]:
    """The best, median and worst gene of the first section; none where units are not squares of the lattice."""
    scores, measured = evaluation.sections[0], prepared.measured[0]
    if measured.footprint.shape != "square":
        return ()
    rows = ranked(scores.log.pearson)
    predicted = _predicted(prepared, evaluation.run, np.array(list(rows.values())))
    return tuple(
        _panel(prepared, scores, rank, row, predicted[:, i], truth) for i, (rank, row) in enumerate(rows.items())
    )


def _predicted(prepared: Prepared, run: str, genes: IntArray) -> FloatArray:
    """Expected counts (units, genes) of the first section's units by the members that held them out."""
    fitted, _ = load_fitted(prepared.stores[0], run)
    section = prepared.data.sections[0]
    held_out, needs = prepared.plan.score[:, : len(section)], prepared.model.needs
    context = learned_context(prepared, prepared.measured[0].store)
    return predict_units(fitted, section, genes, held_out, prepared.data.device, needs, context)[1]


def _panel(
    prepared: Prepared,
    scores: SectionScores,
    rank: str,
    row: int,
    predicted: FloatArray,
    truth: KnownTruth | None,
) -> GenePanel:
    gene, measured, grid = scores.genes[row], prepared.measured[0], grid_of(prepared.stores[0])
    counts = measured.counts[:, measured.genes.index(gene)].toarray().ravel().astype(np.float64)
    at = superpixels(prepared)
    side = 1 if scores.block_um is None else round(scores.block_um / grid.superpixel_um)
    true = None
    if truth is not None:
        true = on_lattice(truth.rates_of(gene).ravel()[at], at, grid.yx_shape)
    controls = scores.log.controls
    return GenePanel(
        gene,
        rank,
        square_means(on_lattice(counts, at, grid.yx_shape), side),
        on_lattice(predicted, at, grid.yx_shape),
        float(scores.log.pearson[row]),
        float(controls["permuted"][row]),
        float(controls["ceiling"][row]),
        true,
        grid.superpixel_um,
        scores.block_um,
        group=truth.group[gene] if truth is not None else "",
    )


def superpixels(prepared: Prepared) -> IntArray:
    """Flat superpixel of every unit of the first section, whose units are bins."""
    return np.asarray(prepared.measured[0].pooling.indices)


def on_lattice(values: FloatArray, at: IntArray, yx_shape: tuple[int, int]) -> FloatArray:
    """Values (units,) at flat superpixels as a map (rows, columns); NaN elsewhere."""
    out = np.full(yx_shape, np.nan, dtype=np.float32)
    out.ravel()[at] = values
    return out


def square_means(values: FloatArray, side: int) -> FloatArray:
    """Every value (rows, columns) replaced by the mean over its square of `side`²; NaN stays and counts for nothing."""
    there = np.isfinite(values)
    rows, columns = (np.arange(n) // side for n in values.shape)
    square = rows[:, None] * (columns[-1] + 1) + columns[None, :]
    total = np.bincount(square[there], values[there], minlength=square.max() + 1)
    count = np.bincount(square[there], minlength=square.max() + 1)
    out: FloatArray = np.where(there, (total / np.maximum(count, 1))[square], np.nan)
    return out


def known_scores(prepared: Prepared, scores: SectionScores, truth: KnownTruth) -> TruthContent:
    """What the true rates score on the counts of the first section, as the model was scored: the composition of
    the same squares."""
    units = _bare_units(prepared, scores)
    rates = np.column_stack([truth.rates_of(gene).ravel()[superpixels(prepared)] for gene in scores.genes])
    share = rates / np.maximum(rates.sum(1, keepdims=True), 1e-12)
    predicted = Predicted(np.log1p(PER * share), rates)
    if scores.block_um is not None:
        units, predicted = pool(units, predicted, scores.block_um)
    assert predicted.log is not None
    return TruthContent(
        tuple(truth.group[gene] for gene in scores.genes),
        np.asarray(pearson(predicted.log, log1p_cp10k(units.counts, units.library))),
    )


def _bare_units(prepared: Prepared, scores: SectionScores) -> ScoredUnits:
    """The first section's units with the folds that squares may not mix, and without features."""
    measured, score = prepared.measured[0], prepared.plan.score[:, : len(prepared.measured[0])]
    nothing = np.zeros((len(measured), 1))
    counts = measured.counts[:, measured.genes.indices(scores.genes)]
    fold = _first_partition(score).argmax(0)
    pitch = grid_of(prepared.stores[0]).superpixel_um
    return ScoredUnits(counts, measured.library, measured.xy_um, nothing, nothing[:, 0], fold, pitch)


def _first_partition(score: BoolArray) -> BoolArray:
    """The members (folds, units) of the first way the tissue was dealt."""
    times = int(score[:, 0].sum())  # every unit is scored once a partition
    return score[: len(score) // max(times, 1)]


def shown_and_hidden(scores: SectionScores, truth: TruthContent) -> dict[str, dict[str, float]]:
    """Mean log scores of the genes that the histology shows and of those it does not."""
    return {
        name: {
            "genes": int(mask.sum()),
            "pearson_mean": _mean(scores.log.pearson[mask]),
            "true_rates_pearson_mean": _mean(truth.pearson[mask]),
            "ceiling_pearson_mean": _mean(scores.log.controls["ceiling"][mask]),
        }
        for name, mask in (("shown", truth.shown), ("hidden", ~truth.shown))
        if mask.any()
    }


def _mean(values: Sequence[float] | FloatArray) -> float:
    finite = np.asarray(values)[np.isfinite(values)]
    return round(float(finite.mean()), 6) if finite.size else 0.0
