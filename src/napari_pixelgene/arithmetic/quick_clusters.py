"""Quick clusters of units by their counts, to tell regions of a tissue apart by eye: no analysis, a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.cluster.vq import kmeans2, vq
from scipy.spatial import cKDTree

from napari_pixelgene.arithmetic.clusters import by_size

Array = npt.NDArray[Any]
Rows = Callable[[], Iterable[sparse.csr_matrix]]

_GENES, _COMPONENTS, _SAMPLE, _NEIGHBOURS = 1000, 10, 20_000, 7
_TRIES = 5


def quick_clusters(batches: Rows, xy: Array, count: int, seed: int = 0) -> npt.NDArray[np.int32]:
    """Labels (n,) from 0 for the largest cluster on, -1 for units without counts.

    `batches()` gives the counts (some units, genes) from the first unit on, each time anew; `xy` (n, 2) are the units'
    places. Log-normalised counts of the most variable genes become a few principal components, those are averaged over
    a unit and its nearest neighbours (so that regions show and not single units), and grouped by k-means.
    """
    total = np.concatenate([np.asarray(part.sum(axis=1)).ravel() for part in batches()]).astype(np.float64)
    held = total > 0
    labels = np.full(len(total), -1, dtype=np.int32)
    if held.sum() <= count:
        labels[held] = np.arange(int(held.sum()))
        return labels
    depth = float(np.median(total[held]))
    chosen = np.flatnonzero(held)[:: -(-int(held.sum()) // _SAMPLE)]
    sample = sparse.vstack([_levelled(part, depth) for part in _rows(batches, chosen)]).tocsr()
    genes = _most_variable(sample)
    mean, axes = _components(sample[:, genes])
    scores = np.concatenate([_levelled(part, depth)[:, genes] @ axes - mean @ axes for part in batches()])[held]
    labels[held] = by_size(_grouped(_smoothed(scores, np.asarray(xy)[held]), count, seed))
    return labels


def _levelled(counts: sparse.csr_matrix, depth: float) -> sparse.csr_matrix:
    """log(1 + counts), each row scaled to the same total."""
    total = np.maximum(np.asarray(counts.sum(axis=1), dtype=np.float64).ravel(), 1.0)
    scaled = sparse.diags(depth / total) @ sparse.csr_matrix(counts, dtype=np.float64)
    return sparse.csr_matrix(scaled.log1p())


def _rows(batches: Rows, chosen: Array) -> Iterable[sparse.csr_matrix]:
    first = 0
    for part in batches():
        mine = chosen[(chosen >= first) & (chosen < first + part.shape[0])] - first
        first += part.shape[0]
        yield sparse.csr_matrix(part)[mine]


def _most_variable(levelled: sparse.csr_matrix) -> Array:
    mean = np.asarray(levelled.mean(axis=0)).ravel()
    spread = np.asarray(levelled.multiply(levelled).mean(axis=0)).ravel() - mean**2
    return np.sort(np.argsort(-spread, kind="stable")[:_GENES])


def _components(levelled: sparse.csr_matrix) -> tuple[Array, Array]:
    """The mean (genes,) and the leading axes (genes, k)."""
    dense = np.asarray(levelled.todense(), dtype=np.float64)
    mean = dense.mean(axis=0)
    dense -= mean
    _, vectors = np.linalg.eigh(dense.T @ dense)
    return mean, vectors[:, ::-1][:, : min(_COMPONENTS, vectors.shape[1])]


def _smoothed(scores: Array, xy: Array) -> Array:
    """Each unit's scores averaged with those of its nearest neighbours."""
    _, near = cKDTree(xy).query(xy, k=min(_NEIGHBOURS, len(xy)))
    averaged: Array = np.asarray(scores)[near.reshape(len(xy), -1)].mean(axis=1)
    return averaged


def _grouped(scores: Array, count: int, seed: int) -> Array:
    """The best of several tries; the centres from at most a sample of the units."""
    some = scores[:: -(-len(scores) // _SAMPLE)]
    best: tuple[float, Array] | None = None
    for turn in range(_TRIES):
        centres, _ = kmeans2(some, count, minit="++", rng=np.random.default_rng([seed, turn]), missing="warn")
        misfit = float(vq(some, centres)[1].sum())
        if best is None or misfit < best[0]:
            best = misfit, centres
    assert best is not None
    labels: Array = vq(scores, best[1])[0]
    return labels
