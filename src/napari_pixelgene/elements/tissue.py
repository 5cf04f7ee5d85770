"""Tissue: which superpixels hold it. Folds: which block, and so which part, a unit belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Tissue:
    """A mask over the grid, (rows, columns), and where it came from in words."""

    mask: BoolArray
    source: str = ""

    @property
    def fraction(self) -> float:
        """Share of the grid that is tissue."""
        return float(self.mask.mean()) if self.mask.size else 0.0


@dataclass(frozen=True, slots=True)
class Folds:
    """For every unit its fold under each partition: (partitions, units), and the block side in µm.

    A partition deals spatial blocks to folds; a second one starts at another offset, so that its blocks
    cut the tissue elsewhere.
    """

    fold: IntArray
    count: int
    block_um: float
    origin: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))  # (partitions, 2) corner of a block, µm

    @property
    def partitions(self) -> int:
        """How many ways the tissue is dealt."""
        return int(self.fold.shape[0])


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """What each member of an ensemble does with each unit, (members, units) bool each; no unit is in two."""

    fit: BoolArray
    stop: BoolArray
    score: BoolArray
