"""Units as simple models see them: their mean features, and bins of few counts joined until they say something."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import TrainingData, TrainingSection

# Below this median count, log1p(CP10k) of one unit is nearly presence or absence (accuracy.md).
ENOUGH_COUNTS = 200.0
# Units are not joined over more than this: histology differs from one end of it to the other.
WIDEST_UM = 250.0
_AT_ONCE, _SAMPLES = 256, 8


def merged(data: TrainingData, enough: float = ENOUGH_COUNTS, widest_um: float = WIDEST_UM) -> TrainingData:
    """The data with units of few counts joined in squares, until the median unit of each section holds `enough`, or
    squares would be wider than `widest_um`.

    Only units that every member treats alike are joined, so nobody learns from what scores it. Sections whose units
    hold enough stay as they are.
    """
    sections, fit, stop, first = [], [], [], 0
    for section in data.sections:
        mine = slice(first, first + len(section))
        first += len(section)
        one, masks = merged_section(section, np.vstack([data.fit[:, mine], data.stop[:, mine]]), enough, widest_um)
        sections.append(one)
        fit.append(masks[: data.members])
        stop.append(masks[data.members :])
    return replace(data, sections=tuple(sections), fit=np.concatenate(fit, 1), stop=np.concatenate(stop, 1))


def merged_section(
    section: TrainingSection, masks: BoolArray, enough: float = ENOUGH_COUNTS, widest_um: float = WIDEST_UM
) -> tuple[TrainingSection, BoolArray]:
    """One section so joined, and its masks (rows, units); units whose columns of `masks` differ stay apart."""
    if len(section) < 2 or np.median(section.library) >= enough:
        return section, masks
    pattern = np.unique(np.packbits(masks, axis=0).T, axis=0, return_inverse=True)[1].ravel()
    pitch = float(np.median(cKDTree(section.xy_um).query(section.xy_um, 2)[0][:, 1]))
    most = int(widest_um / max(pitch, 1.0))
    if most < 2:
        return section, masks
    for multiple in range(2, most + 1):
        group = _squares(section.xy_um, multiple * pitch, pattern)
        if np.median(np.bincount(group, section.library)) >= enough:
            break
    return _joined(section, group), masks[:, np.unique(group, return_index=True)[1]]


def _squares(xy_um: FloatArray, side_um: float, pattern: IntArray) -> IntArray:
    """(n,) number of the square that holds each unit, another one for each pattern."""
    place = np.column_stack([np.floor(xy_um / side_um).astype(np.int64), pattern])
    group: IntArray = np.unique(place, axis=0, return_inverse=True)[1].ravel()
    return group


def _joined(section: TrainingSection, group: IntArray) -> TrainingSection:
    n, count = len(group), int(group.max()) + 1
    join = sparse.csr_matrix((np.ones(n), (group, np.arange(n))), shape=(count, n))
    mean = sparse.csr_matrix(join.multiply(1 / join.sum(1)))
    return replace(
        section,
        pooling=sparse.csr_matrix(mean @ section.pooling).astype(section.pooling.dtype),
        counts=sparse.csr_matrix(join @ section.counts),
        library=join @ section.library,
        xy_um=mean @ section.xy_um,
        lattice=None,
    )


def unit_means(data: TrainingData) -> FloatArray:
    """(units, channels) float64 mean features of every unit, sections in order."""
    return np.concatenate([np.asarray(s.pooling @ s.features, dtype=np.float64) for s in data.sections])


def distinct(rows: BoolArray) -> tuple[list[int], IntArray]:
    """The first member with each set of units, and for every member which of those it is."""
    _, first, which = np.unique(np.packbits(rows, axis=1), axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return [int(m) for m in first[order]], rank[which.ravel()]


def drawn(data: TrainingData, most: int = 5_000) -> Iterator[tuple[IntArray, IntArray, int]]:
    """Some superpixels of some units, as a calibration needs them: (units, rows (units, samples) of the features of
    their section, which section), some units at a time; at most `most` units, seeded by the data."""
    rng = np.random.default_rng([data.seed, 5])
    total = sum(map(len, data.sections))
    chosen = np.arange(total) if total <= most else np.sort(rng.choice(total, most, replace=False))
    first = 0
    for index, section in enumerate(data.sections):
        mine = chosen[(chosen >= first) & (chosen < first + len(section))]
        start, size = section.pooling.indptr, np.diff(section.pooling.indptr)
        for units in np.split(mine, range(_AT_ONCE, len(mine), _AT_ONCE)) if len(mine) else []:
            local = units - first
            place = np.floor(rng.random((len(local), _SAMPLES)) * size[local, None]).astype(np.int64)
            yield units, section.pooling.indices[start[local, None] + place].astype(np.int64), index
        first += len(section)
