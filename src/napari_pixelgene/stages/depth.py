"""Counts as a shallower run would have measured them.

`binomial`: every count is kept with a probability of the unit's own, which is what sequencing less or fewer cycles
does. `multinomial` repeats Pixel2Gene's experiment (specs/pixel2gene.md section 7.1): the unit's total times a factor
that may exceed 1, dealt anew over the unit's gene proportions, so that a gene can even gain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray


class DepthSettings(Section):
    """How much of the depth is kept."""

    mean: float = Field(0.5, gt=0, le=1, description="Share of the counts kept, on average over units.")
    sd: float = Field(0.1, ge=0, description="Its standard deviation from unit to unit (Gamma).")
    method: Literal["binomial", "multinomial"] = Field(
        "binomial",
        description="binomial: each count is kept or lost; multinomial: totals scaled and dealt anew, as published.",
    )


def keep_factors(units: int, settings: DepthSettings, rng: np.random.Generator) -> FloatArray:
    """(units,) Gamma with the mean and sd asked for; constant where the sd is 0."""
    if settings.sd == 0:
        return np.full(units, settings.mean)
    shape, scale = (settings.mean / settings.sd) ** 2, settings.sd**2 / settings.mean
    out: FloatArray = rng.gamma(shape, scale, size=units)
    return out


def thinned(
    counts: sparse.csr_matrix, library: FloatArray, settings: DepthSettings, rng: np.random.Generator
) -> tuple[sparse.csr_matrix, FloatArray]:
    """Counts (n, genes) and library (n,) of the same units, shallower. The part of the library that lies in genes
    that are not among the columns is thinned with the same factor."""
    factors = keep_factors(counts.shape[0], settings, rng)
    own = np.asarray(counts.sum(1), dtype=np.float64).ravel()
    thin = _dealt_anew(counts, factors, rng) if settings.method == "multinomial" else _kept(counts, factors, rng)
    rest = np.maximum(np.rint(library - own), 0).astype(np.int64)
    rest = rng.binomial(rest, np.minimum(factors, 1.0))
    return thin, np.asarray(thin.sum(1), dtype=np.float64).ravel() + rest


def _kept(counts: sparse.csr_matrix, factors: FloatArray, rng: np.random.Generator) -> sparse.csr_matrix:
    share = np.minimum(np.repeat(factors, np.diff(counts.indptr)), 1.0)
    data = rng.binomial(counts.data.astype(np.int64), share)
    out = sparse.csr_matrix((data.astype(counts.dtype), counts.indices, counts.indptr), shape=counts.shape)
    out = out.copy()
    out.eliminate_zeros()
    return out


def _dealt_anew(counts: sparse.csr_matrix, factors: FloatArray, rng: np.random.Generator) -> sparse.csr_matrix:
    out = counts.copy()
    totals = np.rint(np.asarray(counts.sum(1)).ravel() * factors).astype(np.int64)
    for unit, (start, stop) in enumerate(zip(counts.indptr[:-1], counts.indptr[1:], strict=True)):
        if stop > start:
            part = counts.data[start:stop].astype(np.float64)
            out.data[start:stop] = rng.multinomial(totals[unit], part / part.sum())
    out.eliminate_zeros()
    return out
