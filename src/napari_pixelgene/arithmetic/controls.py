"""What stands beside every score: the noise ceiling above it, chance below it (accuracy.md, "Controls")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.targets import log1p_cp10k

Floats = npt.NDArray[np.floating[Any]]


def noise_ceiling(counts: sparse.csr_matrix, library: Floats, halves: int, seed: int) -> tuple[Floats, Floats]:
    """The correlation nobody can beat on these counts, per gene: (log, counts), (genes,) each.

    Counts (n, genes) and the rest of the library (n,) are split binomially in two; the halves' Pearson,
    averaged over `halves` splits, is raised to full depth by Spearman and Brown; its square root is what the
    true rates would score. A gene whose halves disagree, or that is constant, has 0.
    """
    rng = np.random.default_rng([seed, 5])
    counts = sparse.csr_matrix(counts)
    rest = np.maximum(np.rint(library - np.asarray(counts.sum(1)).ravel()), 0).astype(np.int64)
    agreement = np.zeros((2, counts.shape[1]))
    for _ in range(halves):
        first = _half(counts, rng)
        second = sparse.csr_matrix(counts - first)
        rest_first = rng.binomial(rest, 0.5)
        agreement[0] += np.nan_to_num(pearson(_log(first, rest_first), _log(second, rest - rest_first)))
        agreement[1] += np.nan_to_num(pearson(first.toarray(), second.toarray()))
    log, raw = np.sqrt(_spearman_brown(np.maximum(agreement / halves, 0.0)))
    return log, raw


def _half(counts: sparse.csr_matrix, rng: np.random.Generator) -> sparse.csr_matrix:
    values = rng.binomial(counts.data.astype(np.int64), 0.5)
    return sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def _log(counts: sparse.csr_matrix, rest: npt.NDArray[np.int64]) -> Floats:
    return log1p_cp10k(counts, np.asarray(counts.sum(1)).ravel() + rest)


def _spearman_brown(r: Floats) -> Floats:
    return 2 * r / (1 + r)


def permuted(
    score: Callable[[Floats, Floats], Floats], predicted: Floats, truth: Floats, permutations: int, seed: int
) -> Floats:
    """The mean score (genes,) of predictions whose rows were shuffled, over seeded permutations."""
    rng = np.random.default_rng([seed, 6])
    total = np.zeros(truth.shape[1])
    for _ in range(permutations):
        total += np.nan_to_num(score(predicted[rng.permutation(len(predicted))], truth))
    return total / max(permutations, 1)
