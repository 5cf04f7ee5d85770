"""Random numbers that belong to places: a value depends on the seed and the place, never on what was asked before.

That is what lets any tile of a slide be made alone and still agree with its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray

_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mixed(x: Array) -> Array:
    """A bijective scramble of 64-bit integers (the finaliser of SplitMix64; Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return np.asarray(x ^ (x >> np.uint64(31)))


def uniform(seed: int, *keys: int | IntArray) -> FloatArray:
    """Numbers in (0, 1), one for every combination of the broadcast integer keys."""
    # Seeds are scrambled before keys come in: else seed 8 would repeat seed 7 at other places.
    state = _mixed(np.full(1, seed, dtype=np.uint64) + _ODD)
    for key in keys:
        state = _mixed((state + _ODD) ^ np.atleast_1d(np.asarray(key, dtype=np.int64)).view(np.uint64))
    out: FloatArray = ((_mixed(state + _ODD) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return out


def normal(seed: int, *keys: int | IntArray) -> FloatArray:
    """Standard normal numbers, one for every combination of the broadcast integer keys."""
    out: FloatArray = ndtri(uniform(seed, *keys))
    return out


@dataclass(frozen=True, slots=True)
class LatticeNoise:
    """Smooth Gaussian fields of mean 0 and variance 1: normal numbers on a lattice, joined by cubic B-splines.

    Correlation is about 0.4 at one `spacing_um` and gone at three. `channels` fields are independent.
    """

    seed: int
    tag: int
    spacing_um: float
    channels: int = 1

    def at(self, xy_um: FloatArray) -> FloatArray:
        """The fields at points (n, 2): (n, channels)."""
        place = np.asarray(xy_um, dtype=np.float64) / self.spacing_um
        node = np.floor(place).astype(np.int64)
        wx, wy = (_spline(place[:, axis] - node[:, axis]) for axis in (0, 1))
        table, first = self._table(node)
        width = table.shape[1]
        flat = (node[:, 1] - first[1] - 1) * width + node[:, 0] - first[0] - 1
        values = table.reshape(table.shape[0] * width, self.channels)
        out = np.zeros((len(place), self.channels))
        for j in range(4):
            for i in range(4):
                out += (wy[j] * wx[i])[:, None] * values.take(flat + (j * width + i), axis=0)
        # Divided by its own standard deviation, which swings by a third between nodes and mid-cells.
        spread = np.sqrt((wx**2).sum(axis=0) * (wy**2).sum(axis=0))
        return np.asarray(out / spread[:, None])

    def _table(self, node: IntArray) -> tuple[FloatArray, IntArray]:
        if not len(node):
            return np.zeros((4, 4, self.channels)), np.zeros(2, dtype=np.int64)
        low, high = node.min(axis=0) - 1, node.max(axis=0) + 3
        rows, columns = np.arange(low[1], high[1])[:, None, None], np.arange(low[0], high[0])[None, :, None]
        return normal(self.seed, self.tag, rows, columns, np.arange(self.channels)), low


def _spline(t: FloatArray) -> FloatArray:
    """Weights (4, n) of the four nodes around a point that lies `t` past the second."""
    return np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6


@dataclass(frozen=True, slots=True)
class Grain:
    """White noise by pixel that repeats only after the product of two primes, cheap at any place."""

    patches: tuple[FloatArray, FloatArray]

    @classmethod
    def seeded(cls, seed: int, tag: int) -> Grain:
        """Two square patches (sides 509 and 383) of normal numbers; their sum has variance 1."""
        rng = np.random.default_rng([seed, tag])
        first, second = (rng.standard_normal((side, side), dtype=np.float32) * np.sqrt(0.5) for side in (509, 383))
        return cls((first.astype(np.float32), second.astype(np.float32)))

    def at(self, row: int, column: int, yx_shape: tuple[int, int]) -> FloatArray:
        """The noise of the pixels from (row, column) on, float32."""
        blocks = []
        for patch in self.patches:
            rows = np.arange(row, row + yx_shape[0]) % len(patch)
            columns = np.arange(column, column + yx_shape[1]) % len(patch)
            blocks.append(patch[rows].take(columns, axis=1))
        return np.asarray(blocks[0] + blocks[1])
