"""The noise ceiling that stands above every score (accuracy.md, "Controls").

Counts are split binomially in two; what the halves agree on is signal. Spearman and Brown (1910) carry the halves'
agreement to full depth, and its square root is what a prediction without error would correlate with the counts.
For counts that is exact. For log1p(CP10k) it is not: the logarithm bends more where counts are few, so halves are
not small copies of the whole, and Spearman–Brown says .02–.08 more than the true rates score (measured on Poisson
counts of 200 to 10,000 a unit). The same excess shows on counts drawn from rates as uneven as the measured ones,
whose truth is known, and is taken off by the ratio of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.targets import PER, log1p_cp10k

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
# The excess is measured on so many units and genes at most, on genes whose halves agree this well at full depth.
_UNITS, _GENES, _CLEAR = 5000, 500, 0.3
# More units say little more about an agreement (the error of one gene's is below .005) and cost time.
_ENOUGH = 50_000
_DRAWS, _DRAW_HALVES = 4, 2


@dataclass(frozen=True, slots=True)
class _Agreement:
    """Of a table's halves, averaged over splits: Pearson of log and of counts, covariance of shares; (genes,) each."""

    log: Floats
    counts: Floats
    share_cov: Floats


def noise_ceiling(counts: sparse.csr_matrix, library: Floats, halves: int, seed: int) -> tuple[Floats, Floats]:
    """What the true rates would score on these counts, per gene: (log, counts), (genes,) each.

    `counts` (n, genes) are integers, `library` (n,) their totals over all genes of the file. A gene whose halves
    disagree, or that is constant, has 0. Of more than 50,000 units a seeded sample is read. Raises ValueError
    for counts that are not whole.
    """
    rng = np.random.default_rng([seed, 5])
    if counts.shape[0] > _ENOUGH:
        units = np.sort(rng.choice(counts.shape[0], _ENOUGH, replace=False))
        counts, library = sparse.csr_matrix(counts)[units], library[units]
    counts = _whole(counts)
    known = np.asarray(counts.sum(1), dtype=np.int64).ravel()
    total: Ints = np.maximum(np.rint(library).astype(np.int64), known)
    agreement = _agreement(counts, total, halves, rng)
    log = _reliability_root(agreement.log)
    log = np.minimum(log * _excess(counts, total, agreement.share_cov, rng), 1.0)
    return log, _reliability_root(agreement.counts)


def _whole(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    counts = sparse.csr_matrix(counts, copy=True)
    counts.sum_duplicates()
    if (counts.data != np.rint(counts.data)).any() or (counts.data < 0).any():
        raise ValueError("counts must be whole numbers, none negative, to be split in two")
    return counts.astype(np.int64)


def _agreement(counts: sparse.csr_matrix, library: Ints, halves: int, rng: np.random.Generator) -> _Agreement:
    """Split in two, `halves` times. The halves keep the table's sparse structure, so sums run over its entries."""
    table = sparse.csc_matrix(counts)
    n, rows = table.shape[0], table.indices
    rest = library - np.asarray(table.sum(1), dtype=np.int64).ravel()
    log, raw, cov = (np.zeros(table.shape[1]) for _ in range(3))
    for _ in range(halves):
        first = rng.binomial(table.data, 0.5)
        depth = np.bincount(rows, first, n) + rng.binomial(rest, 0.5)
        a, b = first.astype(np.float64), (table.data - first).astype(np.float64)
        share_a, share_b = a / np.maximum(depth, 1)[rows], b / np.maximum(library - depth, 1)[rows]
        log += _moments(np.log1p(PER * share_a), np.log1p(PER * share_b), table.indptr, n)[0]
        raw += _moments(a, b, table.indptr, n)[0]
        cov += _moments(share_a, share_b, table.indptr, n)[1]
    return _Agreement(log / halves, raw / halves, cov / halves)


def _moments(a: Floats, b: Floats, starts: Ints, n: int) -> tuple[Floats, Floats]:
    """Pearson (0 where undefined) and covariance by column, (genes,) each, of two sparse tables of n rows.

    Their entries a, b stand at the same places, column by column from `starts`; the rest is 0.
    """
    mean_a, mean_b = _sums(a, starts) / n, _sums(b, starts) / n
    square_a, square_b = _sums(a * a, starts) / n, _sums(b * b, starts) / n
    cov = _sums(a * b, starts) / n - mean_a * mean_b
    spread = np.maximum(square_a - mean_a**2, 0) * np.maximum(square_b - mean_b**2, 0)
    # What is left of a constant column's spread is rounding.
    varies = spread > 1e-24 * square_a * square_b
    r = np.divide(cov, np.sqrt(spread), out=np.zeros(len(cov)), where=varies)
    return np.clip(r, -1, 1), cov


def _sums(values: Floats, starts: Ints) -> Floats:
    """Sums (columns,) of entries that stand column by column; 0 for columns without any."""
    out = np.zeros(len(starts) - 1)
    filled = np.flatnonzero(np.diff(starts))
    if len(filled):
        out[filled] = np.add.reduceat(values, starts[filled])
    return out


def _reliability_root(r: Floats) -> Floats:
    """The square root of what Spearman and Brown make of the halves' correlation, 0 where they disagree."""
    r = np.maximum(r, 0.0)
    out: Floats = np.sqrt(2 * r / (1 + r))
    return out


def _excess(counts: sparse.csr_matrix, library: Ints, share_cov: Floats, rng: np.random.Generator) -> float:
    """What true rates score over what Spearman–Brown says, on counts drawn from rates like the measured ones.

    The rates are the measured shares drawn towards their mean until they vary as much as the halves agree on.
    """
    share = _few(counts, library, share_cov, rng)
    if share is None:
        return 1.0
    rates, depth = share
    true, told = np.zeros(rates.shape[1]), np.zeros(rates.shape[1])
    for _ in range(_DRAWS):
        drawn = sparse.csr_matrix(rng.poisson(rates * depth[:, None]))
        total: Ints = np.maximum(depth, np.asarray(drawn.sum(1), dtype=np.int64).ravel())
        truth = np.log1p(PER * rates)
        true += np.nan_to_num(pearson(truth, log1p_cp10k(drawn, total.astype(np.float64))))
        told += _reliability_root(_agreement(drawn, total, _DRAW_HALVES, rng).log)
    clear = told > _CLEAR * _DRAWS
    return float(true[clear].sum() / told[clear].sum()) if clear.any() else 1.0


def _few(
    counts: sparse.csr_matrix, library: Ints, share_cov: Floats, rng: np.random.Generator
) -> tuple[Floats, Ints] | None:
    """Shares (units, genes) without their noise, and libraries (units,), of a sample; None: no gene has signal."""
    genes = np.flatnonzero(share_cov > 0)
    units = np.flatnonzero(library > 0)
    if not len(genes) or not len(units):
        return None
    genes = np.sort(rng.choice(genes, min(_GENES, len(genes)), replace=False))
    units = np.sort(rng.choice(units, min(_UNITS, len(units)), replace=False))
    share = counts[units][:, genes].toarray() / library[units, None]
    mean, spread = share.mean(0), share.var(0)
    signal = np.divide(share_cov[genes], spread, out=np.zeros(len(genes)), where=spread > 0)
    rates: Floats = np.maximum(mean + np.sqrt(np.clip(signal, 0, 1)) * (share - mean), 0.0)
    return rates, library[units]
