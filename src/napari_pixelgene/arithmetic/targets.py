"""Counts to what is learned, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.floating[Any]]
SCALE = 1e4


def log1p_cp10k(counts: sparse.csr_matrix | Floats, library: Floats) -> Floats:
    """log1p of counts (n, genes) per 10,000 of the library (n,), float64; an empty unit gives zeros."""
    dense = counts.toarray() if sparse.issparse(counts) else np.asarray(counts)
    factor = np.divide(SCALE, library, out=np.zeros(len(library)), where=np.asarray(library) > 0)
    return np.log1p(dense * factor[:, None])


def counts_from_log(log: Floats, log_total: Floats) -> Floats:
    """Counts (…, genes) from log1p(CP10k) (…, genes) and the log of the library (…)."""
    out: Floats = np.expm1(np.maximum(log, 0.0)) / SCALE * np.exp(log_total)[..., None]
    return out


def fit_components(z: Floats, k: int) -> Floats:
    """The leading `k` right singular vectors (k, genes) of z (n, genes), z-scored columns; orthonormal rows.

    The sign is fixed: the entry of largest size is positive.
    """
    _, _, rows = np.linalg.svd(z, full_matrices=False)
    basis = rows[:k]
    largest = np.take_along_axis(basis, np.abs(basis).argmax(1)[:, None], axis=1)
    out: Floats = basis * np.sign(largest)
    return out


def normalize_counts(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """Min–max scaling per gene (specs/pixel2gene.md section 5.2): scaled (n, genes), minimum, maximum (genes,).

    A constant gene becomes 0.
    """
    low, high = counts.min(axis=0), counts.max(axis=0)
    return (counts - low) / (high - low + 1e-12), low, high
