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
    return np.floor((xy_um - origin) / block_um).astype(np.int64), origin


def _deal(
    blocks: tuple[IntArray, FloatArray], folds: int, block_um: float, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    place, origin = blocks
    _, block, size = np.unique(place, axis=0, return_inverse=True, return_counts=True)
    if len(size) < folds:
        raise InputError(
            f"The units fill {len(size)} blocks of {block_um:g} µm, fewer than the {folds} folds.",
            "Use fewer folds or smaller blocks.",
        )
    fold_of, load = np.empty(len(size), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for i in np.lexsort((rng.random(len(size)), -size)):
        fold_of[i] = load.argmin()
        load[fold_of[i]] += size[i]
    return fold_of[block.ravel()], origin


def members(folds: Folds, kind: Literal["fit", "cross"], reach_um: float, xy_um: FloatArray) -> MemberPlan:
    """What every member sees: one member a fold of every partition.

    `fit`: it stops on its fold and learns from the rest. `cross`: it is scored on its fold, stops on the next
    one and learns from the rest but for units within `reach_um` of a scored block.
    """
    fit, stop, score = [], [], []
    if kind == "cross" and folds.count < 3:
        raise InputError(f"A cross-validation needs three folds, not {folds.count}.", "Use --folds 3 or more.")
    for fold, origin in zip(folds.fold, folds.origin, strict=True):
        for k in range(folds.count):
            mine = fold == k
            if kind == "fit":
                fit.append(~mine)
                stop.append(mine)
                score.append(np.zeros_like(mine))
                continue
            after = fold == (k + 1) % folds.count
            near = _near(xy_um, mine, origin, folds.block_um, reach_um)
            fit.append(~mine & ~after & ~near)
            stop.append(after & ~near)
            score.append(mine)
    return MemberPlan(np.array(fit), np.array(stop), np.array(score))


def _near(xy_um: FloatArray, scored: BoolArray, origin: FloatArray, block_um: float, reach_um: float) -> BoolArray:
    """Units within `reach_um` of a block that holds scored units, measured to the block's square."""
    place = np.floor((xy_um - origin) / block_um).astype(np.int64)
    blocks = np.unique(place[scored], axis=0)
    if len(blocks) == 0:
        return np.zeros(len(xy_um), dtype=bool)
    centres = origin + (blocks + 0.5) * block_um
    tree = cKDTree(centres)
    # Blocks that can be in reach: none is further from the unit than this, centre to centre.
    span = reach_um + block_um * np.sqrt(0.5)
    near = np.zeros(len(xy_um), dtype=bool)
    by_block, inverse = np.unique(place, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    order = np.argsort(inverse, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)
    for at, rows in zip(by_block, groups, strict=True):
        middle = origin + (at + 0.5) * block_um
        for index in tree.query_ball_point(middle, span + block_um * np.sqrt(0.5)):
            gap = np.maximum(np.abs(xy_um[rows] - centres[index]) - block_um / 2, 0.0)
            near[rows] |= np.hypot(gap[:, 0], gap[:, 1]) <= reach_um
    return near
