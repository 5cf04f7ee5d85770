"""Which units share a set: by the order of their table, as published, or by space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.elements.arrays import FloatArray, IntArray

_BITS = 12


def by_order(n: int, most: int = 50) -> list[IntArray]:
    """n units in order, in ceil(n / most) runs whose lengths differ by one at most (published)."""
    return list(np.array_split(np.arange(n), max(1, -(-n // most))))


def by_space(xy_um: FloatArray, most: int, rng: np.random.Generator, layers: int = 1) -> list[IntArray]:
    """Runs of at most `most` units (n, 2) along a Hilbert curve that `rng` lays over them.

    `layers` > 1: units that lie denser than they will be looked at are dealt to so many layers first, at random, each
    as dense as the places a superpixel finds its set at.
    """
    place = xy_um - xy_um.min(0)
    if rng.random() < 0.5:
        place = place[:, ::-1]
    extent = max(float(place.max()), 1.0)
    place = (place + rng.uniform(0, extent, 2)) / (2 * extent)
    along = hilbert(np.minimum((place * (1 << _BITS)).astype(np.int64), (1 << _BITS) - 1), _BITS)
    layer = rng.permutation(len(xy_um)) % max(1, min(layers, len(xy_um)))
    out: list[IntArray] = []
    for one in range(int(layer.max()) + 1):
        mine = np.flatnonzero(layer == one)
        mine = mine[np.argsort(along[mine], kind="stable")]
        out += [mine[run] for run in by_order(len(mine), most)]
    return out


def hilbert(place: IntArray, bits: int) -> IntArray:
    """(n,) where whole places (n, 2) in [0, 2^bits) lie along the Hilbert curve: neighbours on it are neighbours."""
    x, y = place[:, 0].copy(), place[:, 1].copy()
    along = np.zeros(len(place), dtype=np.int64)
    side = 1 << (bits - 1)
    while side:
        right, upper = (x & side) > 0, (y & side) > 0
        along += side * side * ((3 * right) ^ upper)
        flip = ~upper & right
        x, y = (
            np.where(flip, side - 1 - (x & (side - 1)), x & (side - 1)),
            np.where(flip, side - 1 - (y & (side - 1)), y & (side - 1)),
        )
        x, y = np.where(~upper, y, x), np.where(~upper, x, y)
        side >>= 1
    return along


def padded(sets: Sequence[IntArray]) -> IntArray:
    """(sets, widest) units, padded with -1."""
    out = np.full((len(sets), max(map(len, sets))), -1, dtype=np.int64)
    for row, units in zip(out, sets, strict=True):
        row[: len(units)] = units
    return out


def pitch_um(xy_um: Sequence[FloatArray]) -> float:
    """The distance between neighbouring units: the median over the sections' units."""
    near = [cKDTree(xy).query(xy, 2)[0][:, 1] for xy in xy_um if len(xy) > 1]
    found = float(np.median(np.concatenate(near))) if near else 0.0
    return found if found > 0 else 100.0
