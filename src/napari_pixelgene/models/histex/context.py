"""Measured units near by, as tokens: which of them a window may look at, and what they say.

A token is what a unit was measured to be, in the member's own components and total, then 1 (it is there), then how
near it lies. A token that is not there is 0 throughout. A unit is never a token of its own window while it is learned
from, nor is a point half way between it and a neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree

from napari_pixelgene.arithmetic.dense_lattice import denser, mean_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import TrainingSection

# So many points near a window are candidates, of which a member takes the nearest that it may see.
CANDIDATES = 64
# Distances are told apart to a millionth of a µm, so that a lattice's ties are ties.
_DIGITS = 6
# Asked for beyond what is kept, so that ties at the end are broken by index.
_SPARE = 8


@dataclass(frozen=True, slots=True)
class Points:
    """Measured units and, where asked, points half way between them: `xy_um` (points, 2), `parents` (points, widest)
    the units each is the mean of, padded with -1."""

    xy_um: FloatArray
    parents: IntArray

    @classmethod
    def of(cls, xy_um: FloatArray, dense: bool) -> Points:
        """Of units (n, 2)."""
        parents = denser(xy_um) if dense else np.arange(len(xy_um))[:, None]
        return cls(mean_of(parents, np.asarray(xy_um, dtype=np.float64)), parents)

    def usable(self, use: BoolArray) -> BoolArray:
        """(members, points) from (members, units): all units of a point are a member's to see."""
        padded = np.concatenate([use, np.ones((len(use), 1), dtype=bool)], axis=1)
        return np.asarray(padded[:, self.parents].all(-1))


@dataclass(frozen=True, slots=True)
class Near:
    """Candidates (queries, K) in ascending order, by distance, then by index; past the last one infinitely far."""

    index: IntArray
    distance: FloatArray

    def rows(self, some: IntArray | slice) -> Near:
        """Those of some queries."""
        return Near(self.index[some], self.distance[some])


def nearest(points: FloatArray, at: FloatArray, most: int = CANDIDATES) -> Near:
    """The nearest points (p, 2) of every place (queries, 2)."""
    k = min(len(points), most + _SPARE)
    if k == 0:
        return Near(np.zeros((len(at), most), np.int32), np.full((len(at), most), np.inf, np.float32))
    distance, index = cKDTree(points).query(at, k=np.arange(1, k + 1))
    order = np.lexsort((index, np.round(distance, _DIGITS)))[:, :most]
    index, distance = np.take_along_axis(index, order, 1), np.take_along_axis(distance, order, 1)
    spare = ((0, 0), (0, most - order.shape[1]))
    return Near(
        np.pad(index, spare).astype(np.int32), np.pad(distance, spare, constant_values=np.inf).astype(np.float32)
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """How far neighbours lie in training (µm): units nearer than `least` count as so near, farther than `reach` not."""

    least: float
    reach: float

    def nearness(self, distance: FloatArray) -> FloatArray:
        """1 beside a window, 0 at the end of the reach."""
        out: FloatArray = 1 - np.clip(distance, self.least, self.reach) / self.reach
        return out


@dataclass(frozen=True, slots=True)
class UnitContext:
    """What training units may look at: points of all sections, candidates of every unit, and who may see which.

    `values` (members, points, components + 1); `usable` (members, points): made of units that the member fits;
    `open` (units, K): candidates within reach that are not the unit itself.
    """

    near: Near
    values: FloatArray
    usable: BoolArray
    open: BoolArray
    scale: Scale

    def tokens(self, units: IntArray, hidden_um: FloatArray, count: int) -> FloatArray:
        """(members, units, count, components + 3): the nearest that are farther than `hidden_um` (units,)."""
        near = self.near.rows(units)
        allowed = self.open[units] & (near.distance >= hidden_um[:, None])
        return tokens_of(self.values, near, allowed & self.usable[:, near.index], self.scale, count)


def unit_context(
    sections: Sequence[TrainingSection], values: FloatArray, fit: BoolArray, dense: bool = False
) -> UnitContext:
    """Candidates of the units of all sections, each within its own; `values` (members, units, components + 1)."""
    near, opened, points, usable = [], [], [], []
    unit = point = 0
    for section in sections:
        mine = slice(unit, unit + len(section))
        found = Points.of(section.xy_um, dense)
        close = nearest(found.xy_um, section.xy_um)
        itself = (found.parents[close.index] == np.arange(len(section))[:, None, None]).any(-1)
        opened.append(np.isfinite(close.distance) & ~itself)
        near.append(Near(close.index + np.int32(point), close.distance))
        points.append(mean_of(found.parents, values[:, mine]))
        usable.append(found.usable(fit[:, mine]))
        unit, point = unit + len(section), point + len(found.xy_um)
    joined = Near(np.concatenate([n.index for n in near]), np.concatenate([n.distance for n in near]))
    open_ = np.concatenate(opened)
    scale = _scale(joined, open_)
    return UnitContext(
        joined, np.concatenate(points, axis=1), np.concatenate(usable, axis=1),
        open_ & (joined.distance <= scale.reach), scale,
    )  # fmt: skip


def _scale(near: Near, opened: BoolArray) -> Scale:
    """The median distance to the nearest candidate and to the last one."""
    distance = np.where(opened, near.distance, np.nan)
    some = opened.any(1)
    if not some.any():
        return Scale(1.0, 1.0)
    return Scale(*(float(np.median(end(distance[some], axis=1))) for end in (np.nanmin, np.nanmax)))


def tokens_of(values: FloatArray, near: Near, allowed: BoolArray, scale: Scale, count: int) -> FloatArray:
    """(members, queries, count, components + 3) of the first candidates that are `allowed` (members, queries, K).

    `values` (members, points, components + 1).
    """
    order = np.argsort(~allowed, axis=-1, kind="stable")[..., :count]
    there = np.take_along_axis(allowed, order, -1)
    queries = np.arange(len(near.index))[:, None]
    index, distance = near.index[queries, order], near.distance[queries, order]
    out = np.zeros((*order.shape, values.shape[-1] + 2), dtype=values.dtype)
    out[..., :-2] = values[np.arange(len(values))[:, None, None], index]
    out[..., -2] = 1.0
    out[..., -1] = scale.nearness(distance)
    return out * there[..., None]


def absent(members: int, queries: int, count: int, width: int, dtype: np.dtype[Any]) -> FloatArray:
    """Tokens of nothing at all."""
    return np.zeros((members, queries, count, width), dtype=dtype)
