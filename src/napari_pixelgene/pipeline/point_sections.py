"""Captures as a model sees them that speaks at points: a vector a unit, all genes that were measured, who may be shown.

Units smaller than a spot (squares of 8 µm, cells) are added up on squares of 56 µm first: such models have learned from
spots, and look at all units at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_pixelgene.elements.capture import Footprint
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.models.base import Everything, TrainingSection
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.gene_list import read_gene_list
from napari_pixelgene.store.tissue import read_region

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray
    from napari_pixelgene.pipeline.measured import Measured

# Squares and cells narrower than this are added up, on squares of this side.
_LEAST_UM, SPOT_UM = 40.0, 56.0
# Where nothing was measured: whose counts the network is taken to predict, and on which squares.
_VISIUM_UM, _SQUARE_UM = 55.0, 8.0
_NAMED = 5


def as_spots(measured: Measured, on_event: OnEvent = silent) -> Measured:
    """A capture whose small squares or cells are added up on squares of 56 µm; spots stay as they are."""
    if measured.footprint.shape == "disk" or measured.footprint.size_um >= _LEAST_UM:
        return measured
    place = np.floor(measured.xy_um / SPOT_UM).astype(np.int64)
    squares, group = np.unique(place, axis=0, return_inverse=True)
    n = len(measured)
    add = sparse.csr_matrix((np.ones(n), (group.ravel(), np.arange(n))), shape=(len(squares), n))
    pooling = sparse.csr_matrix(add @ (measured.pooling > 0).astype(np.float32))
    pooling.data[:] = 1.0
    pooling = sparse.csr_matrix(pooling.multiply(1.0 / pooling.getnnz(axis=1)[:, None]), dtype=np.float32)
    what = "squares" if measured.footprint.shape == "square" else "cells"
    text = (
        f"{measured.name}: {n:,} {what} are added up on {len(squares):,} squares of {SPOT_UM:g} µm, the size of spots."
    )
    on_event(Note(text, stage="fit"))
    return replace(
        measured,
        counts=sparse.csr_matrix(add @ measured.counts).astype(measured.counts.dtype),
        library=np.asarray(add @ measured.library),
        xy_um=(squares + 0.5) * SPOT_UM,
        pooling=pooling,
        footprint=Footprint("square", SPOT_UM),
        superpixel_um=SPOT_UM,
        lattice=None,
    )


def point_section(
    measured: Measured,
    vectors: FloatArray,
    ids: Sequence[str],
    wanted: Sequence[str],
    may_lean: BoolArray,
    square_um: float,
) -> TrainingSection:
    """A capture with a vector (n, c) a unit. `ids` are those of its genes in the model's vocabulary, `wanted` those of
    the run's genes, which it need not all have measured."""
    column = {gene: i for i, gene in reversed(list(enumerate(ids))) if gene}
    kept = [(column[gene], run) for run, gene in enumerate(wanted) if gene in column]
    there, run = np.array(kept, dtype=np.int64).reshape(-1, 2).T
    shape = (len(measured.genes), len(wanted))
    taken = sparse.csr_matrix((np.ones(len(run), dtype=np.int64), (there, run)), shape=shape)
    counts = sparse.csr_matrix(measured.counts @ taken)
    counts.sort_indices()
    n = len(measured)
    return TrainingSection(
        name=measured.name,
        features=vectors,
        pooling=sparse.identity(n, dtype=np.float32, format="csr") if len(vectors) else sparse.csr_matrix((n, 0)),
        counts=counts,
        library=measured.library,
        xy_um=measured.xy_um,
        everything=Everything(measured.counts, measured.genes, may_lean, squares_of(measured.footprint, square_um)),
    )


def unmeasured_section(name: str, genes: int, units: int = 2) -> TrainingSection:
    """What stands in where nothing was measured: units without a count, of the size of a Visium spot."""
    counts = sparse.csr_matrix((units, genes), dtype=np.int64)
    everything = Everything(
        sparse.csr_matrix((units, 0), dtype=np.int64), GeneTable(()), np.zeros(units, dtype=bool),
        squares_of(Footprint("disk", _VISIUM_UM), _SQUARE_UM),
    )  # fmt: skip
    return TrainingSection(
        name, np.zeros((0, 0), dtype=np.float32), sparse.csr_matrix((units, 0)), counts, np.zeros(units),
        np.zeros((units, 2)), everything=everything,
    )  # fmt: skip


def squares_of(footprint: Footprint, square_um: float) -> float:
    """How many superpixels of side `square_um` a unit covers; one for a point."""
    size = footprint.size_um
    area = {"disk": math.pi * size**2 / 4, "square": size**2, "point": square_um**2}[footprint.shape]
    return float(area / square_um**2)


def may_lean(measured: Measured, context: str, names: np.ndarray | None, on_event: OnEvent = silent) -> BoolArray:
    """(n,) units that a model may be shown, by the words of its setting: measured, region, file:FILE, none.

    `names` (n,) are the units' own, None where they have none.
    """
    kind, _, argument = context.strip().partition(":")
    if kind in ("none", "measured") and not argument:
        return np.full(len(measured), kind == "measured")
    if kind == "region" and not argument:
        region = read_region(measured.store)
        if region is None:
            raise InputError(
                f"No region is drawn on {measured.name} to lean on.",
                "Draw “train only here” in the Section dock, or choose context=measured.",
            )
        inside: BoolArray = np.asarray(measured.pooling @ region.ravel().astype(np.float32)) > 0.5
        return inside
    if kind != "file" or not argument:
        raise InputError(
            f"'{context}' does not say which units to lean on.", "Use measured, region, file:FILE or none."
        )
    if names is None:
        raise InputError(
            f"The units of {measured.name} have no names, so none can be leaned on by name.",
            "Use context=region with a region drawn, or context=measured.",
        )
    wanted = read_gene_list(Path(argument))
    named: BoolArray = np.isin(names, np.array(wanted))
    if not named.any():
        raise InputError(
            f"None of the {len(wanted):,} units that {argument} names is one of {measured.name}, such as '{names[0]}'.",
            "Write the units' names as the counts have them, one a line.",
        )
    lost = len(wanted) - int(named.sum())
    text = f"{measured.name}: {int(named.sum()):,} units are leaned on by name"
    on_event(
        Note(f"{text}; {lost:,} names of {argument} are not among its units." if lost else f"{text}.", stage="fit")
    )
    return named


def joined_points(sections: Sequence[TrainingSection]) -> TrainingSection:
    """Captures of one slide as one section; genes that only some measured count as zero in the others, which to the
    network is the same as not being measured."""
    if len(sections) == 1:
        return sections[0]
    each = [s.everything for s in sections if s.everything is not None]
    symbols = tuple(dict.fromkeys(symbol for e in each for symbol in e.genes.symbols))
    ids = {symbol: gene for e in reversed(each) for symbol, gene in zip(e.genes.symbols, e.genes.ids, strict=True)}
    union = GeneTable(symbols, tuple(ids[symbol] for symbol in symbols))
    counts = [
        sparse.csr_matrix((e.counts.data, union.indices(e.genes.symbols)[e.counts.indices], e.counts.indptr),
                          shape=(e.counts.shape[0], len(union)))
        for e in each
    ]  # fmt: skip
    everything = Everything(
        sparse.vstack(counts).tocsr(), union, np.concatenate([e.may_lean for e in each]),
        float(np.mean([e.squares for e in each])),
    )  # fmt: skip
    n = sum(map(len, sections))
    features = np.concatenate([s.features for s in sections])
    return replace(
        sections[0],
        name=sections[0].name.rpartition("/")[0] or sections[0].name,
        features=features,
        pooling=sparse.identity(n, dtype=np.float32, format="csr") if len(features) else sparse.csr_matrix((n, 0)),
        counts=sparse.vstack([s.counts for s in sections]).tocsr(),
        library=np.concatenate([s.library for s in sections]),
        xy_um=np.concatenate([s.xy_um for s in sections]),
        everything=everything,
    )
