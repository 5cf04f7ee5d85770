"""What differs between captures, and how much each measured place counts.

Captures of one slide differ in depth and, gene by gene, in yield: two runs are two batches. They also differ because
they lie on different tissue. Where every capture is brought to its own mean, both go, and a tumour capture and a stroma
capture teach that both express the same. So a ridge is fitted inside the captures, from unit means of the features to
log composition and log total; what its prediction leaves between the captures' means is the batch (`offset`), and only
that is taken off.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_pixelgene.arithmetic.regression import fit_ridge
from napari_pixelgene.arithmetic.targets import MOST_LOG, calibration, log1p_cp10k
from napari_pixelgene.models.targets import Standard, by_section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.elements.arrays import FloatArray, IntArray
    from napari_pixelgene.models.base import TrainingData, TrainingSection

# A ridge is fitted on at most so many units, drawn evenly from the captures.
_MOST_UNITS = 20_000


@dataclass(frozen=True, slots=True)
class Shifts:
    """By how much each capture lies above the others: `genes` (captures, genes) on log1p(CP10k), `total` (captures,) on
    the log of counts a superpixel. Their mean over captures is 0. `raw` are the same before the histology is asked."""

    genes: FloatArray
    total: FloatArray
    raw: FloatArray


def overlap_weights(sections: Sequence[TrainingSection]) -> FloatArray:
    """(units,) the share of its place that a unit speaks for: 1 where its capture alone measured it, 1/2 where two did;
    the mean over its footprint. Captures are of one slide where their names begin alike, before a slash."""
    slides: dict[str, list[int]] = defaultdict(list)
    for i, section in enumerate(sections):
        slides[section.name.rpartition("/")[0] or f"/{i}"].append(i)
    out = [np.ones(len(section)) for section in sections]
    for captures in (c for c in slides.values() if len(c) > 1):
        places = [sections[i].row_column[np.unique(sections[i].pooling.indices)] for i in captures]
        number, cover = np.unique(np.concatenate(places), axis=0, return_counts=True)
        width = int(number[:, 1].max()) + 1
        flat = number @ np.array([width, 1])
        for i in captures:
            section = sections[i]
            if not len(section.row_column):
                continue
            at = np.searchsorted(flat, section.row_column @ np.array([width, 1])).clip(max=len(flat) - 1)
            out[i] = np.asarray(section.pooling @ (1.0 / cover[at]))
    return np.concatenate(out)


def shifts_of(data: TrainingData, ask_histology: bool) -> Shifts:
    """What differs between the captures' means; with `ask_histology` less what a ridge inside the captures explains."""
    logs = [log1p_cp10k(s.counts, s.library) for s in data.sections]
    totals = [_log_density(s) for s in data.sections]
    means = [np.asarray(s.pooling @ s.features, dtype=np.float64) for s in data.sections]
    y = [np.column_stack([log, total]) for log, total in zip(logs, totals, strict=True)]
    raw = _about_zero(np.array([v.mean(0) for v in y]))
    left = raw
    if ask_histology and len(data.sections) > 1:
        most = max(2, _MOST_UNITS // len(y))
        thin = [slice(None, None, -(-len(v) // most)) for v in y]
        within_x, within_y = (
            np.concatenate([v[t] - v[t].mean(0) for v, t in zip(values, thin, strict=True)]) for values in (means, y)
        )
        explained = fit_ridge(within_x, within_y)
        left = raw - _about_zero(explained.predict(np.array([x.mean(0) for x in means])))
    return Shifts(left[:, :-1], left[:, -1], raw[:, :-1])


def _about_zero(values: FloatArray) -> FloatArray:
    return np.asarray(values - values.mean(0))


def _log_density(section: TrainingSection) -> FloatArray:
    """Log counts a superpixel, (n,): spots and bins have one measure."""
    return np.asarray(np.log(np.maximum(section.library, 1.0) / np.maximum(section.pooling.getnnz(axis=1), 1)))


def standard_of(data: TrainingData, shifts: Shifts) -> Standard:
    """Composition and total less the shifts, at the mean and sd of all units together, every capture weighing alike.
    Totals are those of one superpixel."""
    pairs = list(zip(data.sections, shifts.genes, shifts.total, strict=True))
    logs = np.concatenate([log1p_cp10k(s.counts, s.library) - genes for s, genes, _ in pairs])
    totals = np.concatenate([_log_density(s) - total for s, _, total in pairs])
    size = np.array([len(s) for s in data.sections])
    weight = np.repeat(1 / np.maximum(size, 1), size)
    weight /= weight.sum()
    mean, sd = _moments(logs, weight)
    total_mean, total_sd = _moments(totals[:, None], weight)
    z = np.divide(logs - mean, sd, out=np.zeros_like(logs), where=sd > 0)
    total_z = (totals - total_mean[0]) / max(float(total_sd[0]), 1e-8)
    return Standard(z, total_z, mean, sd, np.array([total_mean[0], total_sd[0]]))


def standard_by_capture(data: TrainingData) -> Standard:
    """Every capture at its own mean and sd; totals are those of one superpixel."""
    own = by_section(data)
    totals = [_log_density(s) for s in data.sections]
    z = np.concatenate([(t - t.mean()) / max(t.std(), 1e-8) for t in totals])
    total = np.array([np.mean([t.mean() for t in totals]), np.mean([t.std() for t in totals])])
    return Standard(own.z, z, own.gene_mean, own.gene_sd, total)


def _moments(values: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = weight @ values
    sd = np.sqrt(weight @ (values - mean) ** 2)
    return mean, np.where(sd <= 1e-9 * np.abs(mean), 0.0, sd)


# Bins with few counts: yields instead of differences of logarithms


def yields_of(data: TrainingData, blocks: sparse.csr_matrix, ask_histology: bool) -> Shifts:
    """The same of units with few counts, pooled into `blocks` (blocks, units) of one capture each: log factors on the
    composition (captures, genes + 1), the last one of all genes that are not asked for, and on the total."""
    counts, size, means, capture = _pooled(data, blocks)
    library = counts.sum(1)
    y = np.column_stack([log1p_cp10k(counts, library), np.log(np.maximum(library, 1.0) / size)])
    captures = np.arange(len(data.sections))
    mine = [capture == c for c in captures]
    observed = np.array([counts[m].sum(0) for m in mine])
    level = np.average(y, axis=0, weights=1 / np.array([m.sum() for m in mine])[capture])
    predicted = np.tile(level, (len(y), 1))
    if ask_histology and len(captures) > 1:
        x_mean, y_mean = (np.array([v[m].mean(0) for m in mine]) for v in (means, y))
        explained = fit_ridge(means - x_mean[capture], y - y_mean[capture])
        predicted += explained.predict(means - x_mean.mean(0)) - explained.intercept
    share = np.expm1(np.clip(predicted[:, :-1], 0, MOST_LOG))
    share /= share.sum(1, keepdims=True)
    expected = np.array([library[m] @ share[m] for m in mine])
    total = _about_zero(np.array([(y[m, -1] - predicted[m, -1]).mean() for m in mine]))
    genes = _about_zero(np.log(calibration(observed, expected)))
    even = (observed / observed.sum(1, keepdims=True)).mean(0)
    raw = _about_zero(np.log(calibration(observed, observed.sum(1, keepdims=True) * even)))
    return Shifts(genes, total, raw[:, :-1])


def _pooled(data: TrainingData, blocks: sparse.csr_matrix) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Of every block: counts (blocks, genes + 1), superpixels, mean features, capture."""
    counts = sparse.vstack([s.counts for s in data.sections]).tocsr()
    library = np.concatenate([s.library for s in data.sections])
    other = library - np.asarray(counts.sum(1)).ravel()
    size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections]).astype(np.float64)
    means = np.concatenate([np.asarray(s.pooling @ s.features, dtype=np.float64) for s in data.sections])
    covered = np.asarray(blocks @ size)
    kept = covered > 0
    x = np.asarray(blocks @ (means * size[:, None])) / np.maximum(covered, 1)[:, None]
    pooled = np.column_stack([(blocks @ counts).toarray(), blocks @ other])
    first = np.asarray(blocks[kept].argmax(axis=1)).ravel()
    return pooled[kept], covered[kept], x[kept], data.section_of_unit[first]
