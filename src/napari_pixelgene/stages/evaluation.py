"""Scores of held-out predictions, and the controls that stand beside them (accuracy.md).

Everything comes in as arrays: predictions, counts, centres, unit features. Bins with few counts are pooled
into squares first, inside which predicted counts add up like measured ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from scipy import sparse

from napari_pixelgene.arithmetic.controls import noise_ceiling
from napari_pixelgene.arithmetic.metrics import pearson, permuted_pearson, rmse, spearman
from napari_pixelgene.arithmetic.regression import fit_ridge
from napari_pixelgene.arithmetic.targets import PER, composition_log, log1p_cp10k
from napari_pixelgene.elements.scores import QuantityScores, SectionScores
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray

# Squares with fewer units than this share of a full one have a rim's depth; they are left out.
_LEAST_COVER = 0.5
# Side of the lattice that position is expanded on, as a share of the tissue's extent.
_POSITION_KNOTS = 6
_SMALL_HALVES, _SMALL_PERMUTATIONS = 4, 10
# Numbers made dense at once: genes are scored in groups, so memory does not grow with genes times units.
_DENSE = 1 << 23


class EvaluationSettings(Section):
    """How predictions are scored."""

    permutations: int = Field(100, ge=1, description="Shuffles of the prediction that give the floor.")
    halves: int = Field(20, ge=1, description="Binomial splits that give the ceiling.")
    min_library: float = Field(
        200.0, gt=0, description="Bins are pooled into squares until the median one holds so many counts."
    )
    seed: int = Field(0, ge=0, description="Seed of shuffles and splits.")
    permuted_training: bool = Field(
        False, description="Train once more on counts shuffled among units, and score that too: takes twice as long."
    )


@dataclass(frozen=True, slots=True)
class ScoredUnits:
    """Units of one section for scoring or for fitting controls; (n, …) each.

    `features` are unit means of the standardised vectors, `nuclear` the nuclear fraction within 136 µm.
    `fold` tells which units were held out together; -1 where all were.
    """

    counts: sparse.csr_matrix
    library: FloatArray
    xy_um: FloatArray
    features: FloatArray
    nuclear: FloatArray
    fold: IntArray
    pitch_um: float = 0.0  # of bins on a lattice; 0: spots or cells, which are never pooled


@dataclass(frozen=True, slots=True)
class Predicted:
    """log1p(CP10k) and expected counts (n, genes) of the scored units; `log` None: a pure model of counts."""

    log: FloatArray | None
    counts: FloatArray


def score_section(
    name: str,
    genes: Sequence[str],
    scored: ScoredUnits,
    predicted: Predicted,
    training: Sequence[ScoredUnits] | None,
    settings: EvaluationSettings,
    dropped: Sequence[str] = (),
) -> SectionScores:
    """Score one section. `training` are the units that controls are fitted on; None: the section's own other folds."""
    predicted = _with_log(predicted)
    block_um = block_side(scored, settings.min_library)
    small = None
    pooled, pooled_prediction = scored, predicted
    if block_um is not None:
        quick = settings.replace(halves=_SMALL_HALVES, permutations=_SMALL_PERMUTATIONS)
        reason = dict.fromkeys(("total_only", "nuclear", "position"), "controls are fitted on pooled squares")
        small = _both(scored, predicted, {}, reason, quick)
        pooled, pooled_prediction = pool(scored, predicted, block_um)
        # Spots that were learned from hold enough counts as they are.
        training = None if training is None else [pool(t, None, block_um)[0] if t.pitch_um else t for t in training]
    maps, reasons = control_maps(pooled, training)
    log, counts = _both(pooled, pooled_prediction, maps, reasons, settings)
    totals = np.asarray(scored.counts.sum(0), dtype=np.float64).ravel()
    return SectionScores(name, tuple(genes), len(pooled.library), block_um, tuple(dropped), log, counts, small, totals)


def block_side(units: ScoredUnits, min_library: float) -> float | None:
    """The smallest multiple of the pitch whose squares hold `min_library` counts in the median; None: no pooling."""
    if units.pitch_um <= 0 or np.median(units.library) >= min_library:
        return None
    for multiple in range(2, 65):
        side = multiple * units.pitch_um
        if np.median(_squares(units, side)[1]) >= min_library:
            return side
    return 64 * units.pitch_um


def _squares(units: ScoredUnits, side: float) -> tuple[sparse.csr_matrix, FloatArray]:
    """(squares, n) ones for squares that are covered well enough, and their libraries. No square holds two folds."""
    place = np.column_stack([np.floor(units.xy_um / side).astype(np.int64), units.fold])
    place -= place.min(axis=0)
    number = np.ravel_multi_index(tuple(place.T), tuple(place.max(axis=0) + 1))
    _, square, size = np.unique(number, return_inverse=True, return_counts=True)
    ones = np.ones(len(place), dtype=np.float64)
    pool_all = sparse.csr_matrix((ones, (square, np.arange(len(place)))), shape=(len(size), len(place)))
    full = (side / units.pitch_um) ** 2
    kept = pool_all[size >= min(_LEAST_COVER * full, size.max())]
    return kept, np.asarray(kept @ units.library)


def pool(units: ScoredUnits, predicted: Predicted | None, side: float) -> tuple[ScoredUnits, Predicted]:
    """Units and predictions of squares: counts add up, features are averaged, the log is that of the sums."""
    squares, library = _squares(units, side)
    mean = squares.multiply(1.0 / squares.getnnz(axis=1)[:, None]).tocsr()
    out = ScoredUnits(
        counts=sparse.csr_matrix(squares @ units.counts),
        library=library,
        xy_um=mean @ units.xy_um,
        features=mean @ units.features,
        nuclear=mean @ units.nuclear,
        fold=np.rint(mean @ units.fold).astype(np.int64),
    )
    if predicted is None:
        return out, Predicted(None, np.zeros((len(library), 0)))
    assert predicted.log is not None
    counts = squares @ predicted.counts
    total = squares @ _implied_total(predicted)
    return out, Predicted(np.log1p(PER * counts / np.maximum(total, 1e-12)[:, None]), counts)


def _implied_total(predicted: Predicted) -> FloatArray:
    """The library that goes with predicted counts and composition, (n,)."""
    assert predicted.log is not None
    share = (np.expm1(np.maximum(predicted.log, 0.0)) / PER).sum(1, dtype=np.float64)
    counts = predicted.counts.sum(1, dtype=np.float64)
    out: FloatArray = np.divide(counts, share, out=counts.copy(), where=share > 0)
    return out


def _with_log(predicted: Predicted) -> Predicted:
    """A pure model of counts has the composition of its counts divided by their own sum."""
    if predicted.log is not None:
        return predicted
    return Predicted(composition_log(predicted.counts), predicted.counts)


Maps = dict[str, tuple["FloatArray", "FloatArray"]]


def control_maps(scored: ScoredUnits, training: Sequence[ScoredUnits] | None) -> tuple[Maps, dict[str, str]]:
    """What the simple explanations predict at the scored units, {control: (log, counts)}, and why one is missing."""
    reasons: dict[str, str] = {}
    if training is not None:
        reasons["position"] = "the sections are not registered to one another"
        return _fit_controls(list(training), scored, with_position=False), reasons
    folds = np.unique(scored.fold)
    if len(folds) < 2:
        return {}, dict.fromkeys(("total_only", "nuclear", "position"), "there are no units to fit controls on")
    maps: Maps = {}
    for fold in folds:
        rows = scored.fold == fold
        part = _fit_controls([_take(scored, ~rows)], _take(scored, rows), with_position=True)
        for control, values in part.items():
            whole = maps.setdefault(control, (np.zeros(scored.counts.shape), np.zeros(scored.counts.shape)))
            for out, value in zip(whole, values, strict=True):
                out[rows] = value
    return maps, reasons


def _fit_controls(training: list[ScoredUnits], scored: ScoredUnits, with_position: bool) -> Maps:
    log = np.concatenate([log1p_cp10k(t.counts, t.library) for t in training])
    counts = np.concatenate([t.counts.toarray() for t in training]).astype(np.float64)
    features = np.concatenate([t.features for t in training])
    nuclear = np.concatenate([t.nuclear for t in training])[:, None]
    total = np.log(np.maximum(np.concatenate([t.library for t in training]), 1.0))[:, None]
    one_map = fit_ridge(features, total).predict(scored.features)
    flat = np.repeat(one_map, log.shape[1], axis=1)
    maps: Maps = {"total_only": (flat, np.exp(np.minimum(flat, 50.0)))}
    pairs = {"nuclear": (nuclear, scored.nuclear[:, None])}
    if with_position:
        at = training[0].xy_um
        pairs["position"] = (_bumps(at, at), _bumps(scored.xy_um, at))
    for control, (x, asked) in pairs.items():
        maps[control] = (fit_ridge(x, log).predict(asked), fit_ridge(x, counts).predict(asked))
    return maps


def _bumps(xy_um: FloatArray, extent: FloatArray) -> FloatArray:
    """Position on a lattice of Gaussian bumps over the training units' extent, (n, knots²)."""
    low, high = extent.min(0), extent.max(0)
    knots = [np.linspace(a, b, _POSITION_KNOTS) for a, b in zip(low, high, strict=True)]
    width = float(max((high - low).max() / (_POSITION_KNOTS - 1), 1e-9))
    x, y = (np.exp(-(((xy_um[:, i : i + 1] - knots[i]) / width) ** 2) / 2) for i in (0, 1))
    return (x[:, :, None] * y[:, None, :]).reshape(len(xy_um), -1)


def _both(
    scored: ScoredUnits, predicted: Predicted, maps: Maps, reasons: dict[str, str], settings: EvaluationSettings
) -> tuple[QuantityScores, QuantityScores]:
    """Scores of the log and of the counts, gene group by gene group."""
    assert predicted.log is not None
    ceilings = noise_ceiling(scored.counts, scored.library, settings.halves, settings.seed)
    columns = scored.counts.tocsc()
    group = max(1, _DENSE // max(len(scored.library), 1))
    out = []
    for i, prediction in enumerate((predicted.log, predicted.counts)):
        parts = []
        for start in range(0, columns.shape[1], group):
            genes = slice(start, start + group)
            truth = columns[:, genes]
            truth = truth.toarray().astype(np.float64) if i else log1p_cp10k(truth, scored.library)
            easy = {name: values[i][:, genes] for name, values in maps.items()}
            parts.append(_columns(prediction[:, genes], truth, easy, settings))
        out.append(_scores(parts, ceilings[i], reasons))
    return out[0], out[1]


def _columns(
    prediction: FloatArray, truth: FloatArray, easy: dict[str, FloatArray], settings: EvaluationSettings
) -> dict[str, FloatArray]:
    """Every number of a group of genes, (genes,) each; `varies` where a gene's truth does."""
    return {
        "pearson": pearson(prediction, truth),
        "spearman": spearman(prediction, truth),
        "rmse": rmse(prediction, truth),
        "varies": truth.max(axis=0, initial=-np.inf) > truth.min(axis=0, initial=np.inf),
        "permuted": permuted_pearson(prediction, truth, settings.permutations, settings.seed),
        **{name: pearson(values, truth) for name, values in easy.items()},
    }


def _scores(parts: list[dict[str, FloatArray]], ceiling: FloatArray, reasons: dict[str, str]) -> QuantityScores:
    table = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]} if parts else {}
    errors, varies = table.pop("rmse"), table.pop("varies")
    table = {name: _missed(r, varies) for name, r in table.items()}
    table["ceiling"] = np.where(varies, ceiling, np.nan)
    return QuantityScores(table.pop("pearson"), table.pop("spearman"), errors, table, reasons)


def _missed(r: FloatArray, varies: FloatArray) -> FloatArray:
    """A gene that varies but was predicted constant counts as 0, or leaving genes out would raise the mean.

    Where no gene has a number at all, none is made up. Genes that do not vary stay undefined.
    """
    if not np.isfinite(r).any():
        return r
    return np.where(np.isnan(r) & varies, 0.0, r)


def _take(units: ScoredUnits, rows: BoolArray) -> ScoredUnits:
    return replace(
        units,
        counts=units.counts[rows],
        library=units.library[rows],
        xy_um=units.xy_um[rows],
        features=units.features[rows],
        nuclear=units.nuclear[rows],
        fold=units.fold[rows],
    )
