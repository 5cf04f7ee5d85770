"""What a run's maps say of the tissue: clusters, names by marker genes, and what each gene is like in them.

Maps are (gene, row, column) in expected counts a square, NaN off the tissue; they are read tile by tile, a share of the
genes at a time, so that memory follows the tile and the grid, and not the number of genes. Formulas and what is done
otherwise than in the published systems: specs/iscale.md sections 5.4 to 5.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from napari_pixelgene.arithmetic.clusters import NOWHERE, Grouping, by_size, islands_taken_in
from napari_pixelgene.arithmetic.contrasts import Moments
from napari_pixelgene.arithmetic.markers import panel_score
from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.elements.labelling import UNCLASSIFIED
from napari_pixelgene.errors import InputError, SettingsError
from napari_pixelgene.progress import OnEvent, silent, track
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.arithmetic.tiles import Tile
    from napari_pixelgene.elements.arrays import FloatArray, IntArray
    from napari_pixelgene.elements.expression import Expression

STAGE = "analysis"
# Squares a side and genes that are read at once: 67 MB in float32.
_TILE, _SHARE = 512, 64
# Groups are learned from so many squares, and from so many values of them (200 MB in float32).
_SAMPLE, _VALUES = 50_000, 50_000_000
_GENES = 1000
# Composition: counts in ten thousand.
_DEPTH = 1e4


class AnalysisSettings(Section):
    """How maps are grouped and named."""

    clusters: int = Field(10, ge=2, le=70, description="How many clusters.")
    components: int = Field(20, ge=1, le=200, description="Principal components that clusters are made from.")
    smallest: int = Field(
        20, ge=1, description="Islands of a cluster with fewer squares than this take the cluster around them."
    )
    confidence: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Squares whose best panel of markers ranks lower than this among all squares, on average over its "
        "genes, are Unclassified (0: none, 0.5: below the middle).",
    )
    seed: int = Field(0, ge=0, description="Seed of the sample and of the clusters.")


@dataclass(frozen=True, slots=True)
class Annotation:
    """`labels` (rows, columns): -1 off the tissue, 0 unclassified, else a place in `names`; `confidence` is the score
    of the best panel, NaN off the tissue."""

    labels: IntArray
    names: tuple[str, ...]
    confidence: FloatArray


def cluster_maps(maps: Expression, settings: AnalysisSettings, on_event: OnEvent = silent) -> IntArray:
    """(rows, columns) clusters from 0 for the largest on, -1 where there is no tissue or nothing is expected.

    Composition (log1p of counts in ten thousand) of the up to 1,000 genes that vary most, their leading principal
    components, k-means; learned from a seeded sample of the squares, the same for any tiling. Then islands are taken
    in. Raises SettingsError where there are fewer squares than clusters, InputError where there are too few genes.
    """
    if len(maps.genes) < 2:
        raise InputError(
            f"The maps of '{maps.run}' hold one gene: its composition is the same everywhere.",
            "Predict more genes: pixelgene predict without --genes.",
        )
    total = _totals(maps, on_event)
    held = total > 0
    if held.sum() < settings.clusters:
        raise SettingsError(
            f"The maps of '{maps.run}' have counts on {int(held.sum())} squares, too few for {settings.clusters} "
            "clusters.",
            "Ask for fewer with --clusters.",
        )
    places = _sample(held, len(maps.genes), settings.seed)
    sample = np.log1p(_gathered(maps, places, on_event) * (_DEPTH / total.ravel()[places, None]))
    genes = np.sort(np.argsort(-sample.var(axis=0), kind="stable")[:_GENES])
    learned = Grouping.learn(sample[:, genes], settings.clusters, settings.components, settings.seed)
    labels = _labelled(maps, total, genes, learned, on_event)
    return by_size(islands_taken_in(labels, settings.smallest))


def annotate_maps(
    maps: Expression, panels: Mapping[str, Sequence[str]], settings: AnalysisSettings, on_event: OnEvent = silent
) -> Annotation:
    """Name every square after the panel whose genes rank highest in it, `panels` being {name: symbols of the maps}.

    Names are in alphabetical order, and the first wins a tie. Unlike in the original a square that lacks all genes of
    one panel still has a name: that panel scores 0 in it.
    """
    names = tuple(sorted(panels))
    shape = (maps.levels[0].shape[1], maps.levels[0].shape[2])
    best, winner = np.full(shape, np.nan, dtype=np.float32), np.full(shape, NOWHERE, dtype=np.int32)
    for place, name in enumerate(track(names, STAGE, on_event), start=1):
        genes = maps.genes.indices(panels[name])
        tissue = np.isfinite(_plane(maps, int(genes[0])))
        score = panel_score((_plane(maps, int(gene)) for gene in genes), tissue)
        better = tissue & ~(score <= best)
        best[better], winner[better] = score[better], place
    weak = (winner > 0) & ((best < settings.confidence) | (best <= 0))
    return Annotation(np.where(weak, 0, winner), (UNCLASSIFIED, *names), best)


def label_moments(maps: Expression, labels: IntArray, count: int, on_event: OnEvent = silent) -> Moments:
    """Squares, mean and variance of every gene of the maps inside each of `count` labels (rows, columns)."""
    shares = _shares(len(maps.genes))
    found: list[Moments | None] = [None] * len(shares)
    for tile in _tracked(labels.shape, on_event):
        own = labels[tile.region].ravel()
        for place, (_, block) in enumerate(_blocks(maps, tile)):
            part, before = Moments.of(block.reshape(len(block), -1).T, own, count), found[place]
            found[place] = part if before is None else before.joined(part)
    whole = [moments for moments in found if moments is not None]
    return Moments(
        whole[0].count, np.hstack([m.mean for m in whole]), np.hstack([m.variance for m in whole])
    )  # fmt: skip


def _totals(maps: Expression, on_event: OnEvent) -> FloatArray:
    """(rows, columns) expected counts of all genes; NaN off the tissue."""
    out = np.zeros((maps.levels[0].shape[1], maps.levels[0].shape[2]), dtype=np.float32)
    for tile in _tracked(out.shape, on_event):
        for _, block in _blocks(maps, tile):
            out[tile.region] += block.sum(axis=0)
    return out


def _sample(held: np.ndarray, genes: int, seed: int) -> IntArray:
    """Flat places of some squares, in order."""
    places: IntArray = np.flatnonzero(held)
    count = max(min(_SAMPLE, _VALUES // genes), 1000)
    if len(places) > count:
        places = np.sort(np.random.default_rng(seed).choice(places, count, replace=False))
    return places


def _gathered(maps: Expression, places: IntArray, on_event: OnEvent) -> FloatArray:
    """(places, genes) float32 of squares at flat places."""
    rows, columns = np.divmod(places, maps.levels[0].shape[2])
    out = np.empty((len(places), len(maps.genes)), dtype=np.float32)
    for tile in _tracked(maps.levels[0].shape[1:], on_event):
        top, left = tile.rows.start, tile.columns.start
        mine = (rows >= top) & (rows < tile.rows.stop) & (columns >= left) & (columns < tile.columns.stop)
        if mine.any():
            for genes, block in _blocks(maps, tile):
                out[mine, genes] = block[:, rows[mine] - top, columns[mine] - left].T
    return out


def _labelled(maps: Expression, total: FloatArray, genes: IntArray, learned: Grouping, on_event: OnEvent) -> IntArray:
    """(rows, columns) the learned group of every square that has counts; `genes` are those it was learned from."""
    out = np.full(total.shape, NOWHERE, dtype=np.int32)
    for tile in _tracked(total.shape, on_event):
        held = total[tile.region] > 0
        if not held.any():
            continue
        scale = (_DEPTH / total[tile.region][held]).astype(np.float32)
        scores: FloatArray = np.zeros((len(scale), len(learned.axes)))
        for share, block in _blocks(maps, tile):
            first, last = np.searchsorted(genes, (share.start, share.stop))
            values = np.log1p(block[genes[first:last] - share.start][:, held] * scale)
            scores += learned.scores(values.T, slice(int(first), int(last)))
        out[tile.region][held] = learned.labels(scores)
    return out


def _plane(maps: Expression, gene: int) -> FloatArray:
    """(rows, columns) float32 of one gene."""
    level = maps.levels[0]
    out = np.empty((level.shape[1], level.shape[2]), dtype=np.float32)
    for tile in tiles(out.shape, _TILE):
        out[tile.region] = level[(slice(gene, gene + 1), *tile.region)][0]
    return out


def _shares(genes: int) -> list[slice]:
    return [slice(start, min(start + _SHARE, genes)) for start in range(0, genes, _SHARE)]


def _blocks(maps: Expression, tile: Tile) -> Iterator[tuple[slice, FloatArray]]:
    """(genes, their block (genes, rows, columns) float32) of a tile, share by share."""
    for share in _shares(len(maps.genes)):
        yield share, np.asarray(maps.levels[0][(share, *tile.region)], dtype=np.float32)


def _tracked(yx_shape: tuple[int, ...], on_event: OnEvent) -> Iterator[Tile]:
    return track(list(tiles((yx_shape[0], yx_shape[1]), _TILE)), STAGE, on_event)
