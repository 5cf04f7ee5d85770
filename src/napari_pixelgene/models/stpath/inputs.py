"""What STPath is fed: places in a square of 0 to 100, and measured expression as tokens (specs/stpath.md, 4 and 5).

Expression goes in as natural log1p of raw counts, without a scaling by the library. A spot without a measurement holds
the mask token alone, which is one column of the gene embedding; a measured one is its sparse row times that embedding.
Neither needs a dense array of spots × 38,984.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray

SIDE = 100.0
# Fewer counts than this over all spots, and the published normalisation drops a gene.
LEAST_COUNTS = 3
Duplicates = Literal["max", "last"]


def scaled(xy: FloatArray, isotropic: bool = False) -> FloatArray:
    """(n, 2) float32 places in [0, 100]: each axis stretched by itself, as the network was trained; `isotropic` keeps
    the shape of the tissue, its longer side being 100. An axis along which nothing varies is 0."""
    xy = np.asarray(xy, dtype=np.float64)
    if not len(xy):
        return np.zeros((0, 2), dtype=np.float32)
    low = xy.min(axis=0)
    span = xy.max(axis=0) - low
    if isotropic:
        span = np.full_like(span, span.max())
    out: FloatArray = np.divide((xy - low) * SIDE, span, out=np.zeros_like(xy), where=span > 0).astype(np.float32)
    return out


def encoded(
    counts: sparse.csr_matrix, tokens: IntArray, width: int, duplicates: Duplicates = "max"
) -> sparse.csr_matrix:
    """(n, width) float32 CSR: log1p of raw counts (n, genes) in the columns `tokens` (genes,); -1 is left out.

    Where several genes share a token the largest count stands, or with "last" that of the last gene, zero or not.
    """
    known = np.flatnonzero(np.asarray(tokens) >= 0)
    if duplicates == "last":
        known = known[np.sort(len(known) - 1 - np.unique(tokens[known][::-1], return_index=True)[1])]
    taken = sparse.csr_matrix(counts)[:, known].tocoo()
    column = np.asarray(tokens)[known][taken.col]
    place = taken.row.astype(np.int64) * width + column
    order = np.lexsort((taken.data, place))
    last = np.flatnonzero(np.append(np.diff(place[order]) > 0, True)) if len(order) else order
    kept = order[last]
    values = np.log1p(taken.data[kept].astype(np.float64)).astype(np.float32)
    return sparse.csr_matrix((values, (taken.row[kept], column[kept])), shape=(counts.shape[0], width))


def counted(counts: sparse.csr_matrix) -> BoolArray:
    """(genes,) which genes the published normalisation keeps: those with at least 3 counts over all spots."""
    out: BoolArray = np.asarray(counts.sum(axis=0)).ravel() >= LEAST_COUNTS
    return out


def nearest(xy: FloatArray, centre: int, count: int) -> IntArray:
    """The `count` spots nearest to spot `centre`, itself first; all in file order where there are no more than these.

    Ties go to the spot that stands first.
    """
    if count >= len(xy):
        return np.arange(len(xy))
    distance = np.linalg.norm(np.asarray(xy, dtype=np.float64) - xy[centre], axis=1)
    out: IntArray = np.argsort(distance, kind="stable")[:count]
    return out
