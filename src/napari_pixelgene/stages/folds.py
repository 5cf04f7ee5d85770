"""Spatial blocks dealt to folds, and what each member of an ensemble learns, stops and is scored on.

Three disjoint parts: fit, stop, score (accuracy.md, "Protocol"). Blocks are at least 500 µm a side, and in a
cross-validation a unit whose feature window reaches into a scored block is not learned from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field
from scipy.spatial import cKDTree

from napari_pixelgene.elements.tissue import Folds, MemberPlan
from napari_pixelgene.errors import InputError
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray


class FoldSettings(Section):
    """How the tissue is dealt."""

    block_um: float = Field(500.0, ge=64, description="Side of a spatial block in µm; at least 500 for a sound score.")
    folds: int = Field(5, ge=2, description="Folds that blocks are dealt to; in a cross-validation at least 3.")
    partitions: int = Field(
        2, ge=1, description="Ways to deal; each begins at another offset and adds `folds` members."
    )


def deal_blocks(xy_um: FloatArray, block_um: float, folds: int, seed: int, partitions: int = 2) -> Folds:
    """Deal square blocks of units at `xy_um` (n, 2) to folds, largest first to the emptiest fold.

    Every partition has a random offset of its own. Raises InputError with fewer blocks than folds.
    """
    rng = np.random.default_rng([seed, 4])
    dealt = [_deal(_blocks(xy_um, block_um, rng.random(2)), folds, block_um, rng) for _ in range(partitions)]
    fold, origin = (np.stack(x) for x in zip(*dealt, strict=True))
    return Folds(fold, folds, block_um, origin)


def _blocks(xy_um: FloatArray, block_um: float, offset: FloatArray) -> tuple[IntArray, FloatArray]:
    """(n, 2) block column and row, and the corner of block (0, 0)."""
    origin = xy_um.min(0) - offset * block_um
    return _place(xy_um, origin, block_um), origin


def _place(xy_um: FloatArray, origin: FloatArray, block_um: float) -> IntArray:
    """(n, 2) column and row of the block that holds each unit."""
    return np.floor((xy_um - origin) / block_um).astype(np.int64)


def _flat(place: IntArray, rows: int) -> IntArray:
    """One number a block; `rows` is above every row (with fewer, blocks far apart would share a number)."""
    out: IntArray = place[:, 0] * rows + place[:, 1]
    return out


def _deal(
    blocks: tuple[IntArray, FloatArray], folds: int, block_um: float, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    place, origin = blocks
    number = _flat(place, int(place[:, 1].max()) + 1)
    _, block, size = np.unique(number, return_inverse=True, return_counts=True)
    if len(size) < folds:
        raise InputError(
            f"The units fill {len(size)} blocks of {block_um:g} µm, fewer than the {folds} folds.",
            "Use fewer folds or smaller blocks.",
        )
    fold_of, load = np.empty(len(size), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for i in np.lexsort((rng.random(len(size)), -size)):
        fold_of[i] = load.argmin()
        load[fold_of[i]] += size[i]
    return fold_of[block], origin


def require_folds(count: int) -> None:
    """Refuse a cross-validation with no fold left to learn from: one is scored, one stops."""
    if count < 3:
        raise InputError(f"A cross-validation needs three folds, not {count}.", "Use --folds 3 or more.")


def members(folds: Folds, kind: Literal["fit", "cross"], reach_um: float, xy_um: FloatArray) -> MemberPlan:
    """What every member sees: one member a fold of every partition.

    `fit`: it stops on its fold and learns from the rest. `cross`: it is scored on its fold, stops on the next
    one and learns from the rest; units that see a scored block, `reach_um` to either side of their centre, do
    neither. A member may be left without units here: whether all sections together give it enough is
    training's to say.
    """
    if kind == "cross":
        require_folds(folds.count)
    plans = []
    for fold, origin in zip(folds.fold, folds.origin, strict=True):
        mine = np.stack([fold == k for k in range(folds.count)])
        if kind == "fit":
            plans.append((~mine, mine, np.zeros_like(mine)))
            continue
        seen = _seen(_place(xy_um, origin, folds.block_um), fold, folds, (xy_um - origin, reach_um))
        after = np.roll(mine, -1, axis=0)
        plans.append((~mine & ~after & ~seen, after & ~seen, mine))
    fit, stop, score = (np.concatenate(part) for part in zip(*plans, strict=True))
    return MemberPlan(fit, stop, score)


def _seen(place: IntArray, fold: IntArray, folds: Folds, window: tuple[FloatArray, float]) -> BoolArray:
    """(folds, n) whether a unit's square window touches a block that holds units of the fold.

    `window` are positions from the corner of block (0, 0) and half the window's side. Blocks are asked, not
    pairs of units: a unit looks at the few blocks around its own.
    """
    xy, reach = window
    around = int(np.ceil(reach / folds.block_um))
    fold_at = _fold_at(place, fold, around)
    seen = np.zeros((folds.count, len(fold)), dtype=bool)
    for step in np.ndindex(2 * around + 1, 2 * around + 1):
        shift = np.array(step) - around
        units = np.flatnonzero((_gap(xy, place + shift, folds.block_um) <= reach).all(axis=1))
        there = fold_at[tuple((place[units] + step).T)]
        seen[there[there >= 0], units[there >= 0]] = True
    return seen


def _fold_at(place: IntArray, fold: IntArray, rim: int) -> IntArray:
    """The fold of every block (column, row), -1 where there are no units, with a rim of such blocks."""
    out = np.full(place.max(axis=0) + 1 + 2 * rim, -1, dtype=np.int64)
    out[tuple((place + rim).T)] = fold
    return out


def _gap(xy: FloatArray, place: IntArray, block_um: float) -> FloatArray:
    """(n, 2) how far a block is from its unit along each axis; 0 where it lies above, below or beside it."""
    low = place * block_um
    out: FloatArray = np.maximum(np.maximum(low - xy, xy - (low + block_um)), 0.0)
    return out


def sees(xy_um: FloatArray, reach_um: float, there_um: FloatArray, half_um: float) -> BoolArray:
    """(n,) whether a unit's square window, `reach_um` to either side of its centre `xy_um` (n, 2), touches a square of
    `half_um` to either side around one of the centres `there_um` (m, 2)."""
    if not len(there_um):
        return np.zeros(len(xy_um), dtype=bool)
    distance, _ = cKDTree(there_um).query(xy_um, p=np.inf, distance_upper_bound=(reach_um + half_um) * (1 + 1e-9))
    return np.asarray(np.isfinite(distance))
