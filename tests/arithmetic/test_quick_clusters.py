"""Clusters find planted regions, whatever the depth and the batches, and the same each time."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from napari_pixelgene.arithmetic.quick_clusters import quick_clusters


def planted(seed: int = 2) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Three regions side by side, the middle one the largest, each with its genes up by 40 %; depth varies tenfold."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 1000, (900, 2))
    region = np.digitize(xy[:, 0] + 80 * np.sin(xy[:, 1] / 150), [220, 700])
    base = rng.gamma(1.0, 1.0, 60)
    rates = base * np.where(np.arange(60)[None, :] // 20 == np.arange(3)[:, None], 1.4, 1.0)
    depth = 10 ** rng.uniform(-0.5, 0.5, (900, 1))
    counts = rng.poisson(rates[region] * depth)
    counts[5] = 0
    return sparse.csr_matrix(counts), xy, region


def test_planted_regions_are_found() -> None:
    counts, xy, region = planted()
    labels = quick_clusters(lambda: [counts[:400], counts[400:]], xy, 3, seed=1)
    np.testing.assert_array_equal(labels, quick_clusters(lambda: [counts], xy, 3, seed=1))
    assert labels[5] == -1
    table = np.array([[((labels == k) & (region == r)).sum() for r in range(3)] for k in range(3)])
    assert table.max(axis=1).sum() / 900 > 0.9 and sorted(table.argmax(axis=1)) == [0, 1, 2]
    assert table.sum(axis=1)[0] == table.sum(axis=1).max() and table[0].argmax() == 1  # the largest comes first


def test_fewer_units_than_clusters() -> None:
    counts, xy, _ = planted()
    assert sorted(quick_clusters(lambda: [counts[:6]], xy[:6], 7)) == [-1, 0, 1, 2, 3, 4]
