"""Counts to what is learned, and back: composition, log, z-scores, components, min–max.

Counts are (n, g), scipy sparse or dense; `library` (n,) is the total over all genes of the file, which may
be more than the g columns. log1p(CP10k) of 0 is 0, so sparse counts stay sparse until `to_dense`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
# A sparse matrix of scipy (which brings no types), or a dense array.
Counts: TypeAlias = Any
PER = 1e4
# log1p(CP10k) of a unit that holds one gene alone.
MOST_LOG = math.log1p(PER)
# Beyond so many standard deviations from the training mean a total is extrapolated: its exponential would explode.
FARTHEST_SD = 4.0


@dataclass(frozen=True, slots=True)
class Standardised:
    """Columns at mean 0 and standard deviation 1 (constant columns 0): `values` (n, g), `mean`, `sd` (g,)."""

    values: Floats
    mean: Floats
    sd: Floats


def to_dense(counts: Counts) -> Floats:
    """As a dense float64 array."""
    values = counts.toarray() if sparse.issparse(counts) else counts
    return np.asarray(values, dtype=np.float64)


def cp10k(counts: Counts, library: Floats) -> Floats:
    """Counts per 10,000 of the library, (n, g) float64; rows with library 0 are 0."""
    library = np.asarray(library, dtype=np.float64)
    factor = np.divide(PER, library, out=np.zeros_like(library), where=library > 0)
    out: Floats = to_dense(counts) * factor[:, None]
    return out


def log1p_cp10k(counts: Counts, library: Floats) -> Floats:
    """log1p of counts per 10,000, (n, g) float64: the composition a model learns."""
    out: Floats = np.log1p(cp10k(counts, library))
    return out


def composition_log(predicted: Floats, library: Floats | None = None) -> Floats:
    """The log target that predicted counts (n, g) say: divided by their own sum, negative values counted as 0.

    `library` (n,) is their sum where a model predicts more genes than these columns.
    """
    positive = np.maximum(np.asarray(predicted, dtype=np.float64), 0)
    return log1p_cp10k(positive, positive.sum(axis=1) if library is None else library)


def counts_from_log(log: Floats, log_total: Floats) -> Floats:
    """Expected counts (…, g) from a composition (…, g) and the logarithm of the total (…); no gene is more than all."""
    composition = np.expm1(np.clip(np.asarray(log, dtype=np.float64), 0, MOST_LOG)) / PER
    out: Floats = composition * np.exp(np.asarray(log_total, dtype=np.float64))[..., None]
    return out


def calibration(observed: Floats, expected: Floats, prior: float = 20.0) -> Floats:
    """Factors (…, g) that bring summed expected counts (…, g) to the observed ones.

    A model of logs expects too few counts: the exponential of a mean lies below the mean of exponentials.
    Genes with few counts lean towards the factor of all genes together, as if `prior` counts were expected.
    """
    overall = observed.sum(-1, keepdims=True) / np.maximum(expected.sum(-1, keepdims=True), 1e-12)
    out: Floats = (observed + prior * overall) / (expected + prior)
    return out


def standardise(values: Floats) -> Standardised:
    """z-scores of the columns over all rows; a constant column becomes 0 and keeps sd 0."""
    values = np.asarray(values, dtype=np.float64)
    mean = values.mean(axis=0)
    sd = values.std(axis=0)
    sd = np.where(sd <= 1e-9 * np.abs(mean), 0.0, sd)
    z = np.divide(values - mean, sd, out=np.zeros_like(values), where=sd > 0)
    return Standardised(z, mean, sd)


def fit_components(z: Floats, k: int) -> Floats:
    """The leading right singular vectors of z (n, g), orthonormal rows of a (min(k, n, g), g) array.

    The count does not depend on the rank, so members stack. Signs are fixed: the entry of largest size is
    positive. z should be centred.
    """
    z = np.asarray(z, dtype=np.float64)
    if len(z) > z.shape[1]:
        axes = np.linalg.eigh(z.T @ z)[1].T[::-1][:k]
    else:
        axes = np.linalg.svd(z, full_matrices=False)[2][:k]
    largest = np.abs(axes).argmax(axis=1)
    out: Floats = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return out


def min_max(counts: Counts) -> tuple[Floats, Floats, Floats]:
    """Each column brought to [0, 1], with its minimum and maximum (g,); a constant column becomes 0."""
    values = to_dense(counts)
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = np.divide(values - low, high - low, out=np.zeros_like(values), where=high > low)
    return scaled, low, high
