"""Small training data with a known truth: counts drawn from a composition that the features decide."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.models.base import TrainingData, TrainingSection


def composition(features: np.ndarray, genes: int, strength: float = 1.0) -> np.ndarray:
    """(superpixels, genes) shares that two directions of the features decide."""
    mix = np.random.default_rng(99).normal(size=(2, genes)) * strength
    logits = np.tanh(features[:, :2]) @ mix + np.linspace(0.5, -0.5, genes)
    share = np.exp(logits)
    return np.asarray(share / share.sum(1, keepdims=True))


def rates(features: np.ndarray, genes: int, depth: float) -> np.ndarray:
    """(superpixels, genes) expected counts; the total follows the third feature."""
    return composition(features, genes) * depth * np.exp(0.4 * np.tanh(features[:, 2:3]))


def training_section(
    name: str, seed: int, units: int = 60, covered: int = 4, genes: int = 12, depth: float = 100.0, channels: int = 6
) -> TrainingSection:
    """Units on a square lattice 100 µm apart, each over `covered` superpixels whose features are alike and which lie
    around its centre.

    Every seventh unit has lost its last superpixel, as at the rim of the tissue. `depth` counts a superpixel.
    """
    rng = np.random.default_rng(seed)
    features = np.repeat(rng.normal(size=(units, channels)), covered, axis=0)
    features = (features + 0.3 * rng.normal(size=features.shape)).astype(np.float32)
    rows, columns = np.divmod(np.arange(units * covered), covered)
    kept = ~((rows % 7 == 0) & (columns == covered - 1)) | (covered == 1)
    cover = sparse.csr_matrix((kept.astype(np.float32), (rows, np.arange(units * covered))))
    cover.eliminate_zeros()
    expected = cover @ rates(features, genes, depth)
    counts = rng.poisson(expected)
    rest = rng.poisson(0.5 * expected.sum(1))  # genes of the file that are not asked for
    pooling = sparse.csr_matrix(cover.multiply(1 / cover.sum(1)))
    side = int(np.ceil(np.sqrt(units)))
    xy = np.column_stack([np.arange(units) % side, np.arange(units) // side]) * 100.0 + 50.0
    across = int(np.ceil(np.sqrt(covered)))
    around = np.column_stack(np.divmod(np.arange(covered), across)) - across // 2
    place = (xy[:, ::-1] // 8.0).astype(np.int64)[:, None] + around
    return TrainingSection(
        name, features, pooling, sparse.csr_matrix(counts), (counts.sum(1) + rest).astype(float), xy,
        row_column=place.reshape(-1, 2), lattice=np.column_stack([np.arange(units) % side, np.arange(units) // side]),
    )  # fmt: skip


def training_data(
    sections: tuple[TrainingSection, ...] | None = None, members: int = 4, seed: int = 3, dtype: type = np.float32
) -> TrainingData:
    """Members stop on every `members`-th unit each, shifted, and learn from the rest."""
    from dataclasses import replace

    sections = sections or (training_section("left", 1), training_section("right", 2, units=45))
    sections = tuple(replace(s, features=s.features.astype(dtype)) for s in sections)
    units = sum(map(len, sections))
    stop = np.array([np.arange(units) % members == m for m in range(members)])
    genes = GeneTable(tuple(f"G{i}" for i in range(sections[0].counts.shape[1])))
    channels = tuple(f"c{i}" for i in range(sections[0].features.shape[1]))
    return TrainingData(sections, genes, channels, ~stop, stop, seed)
