"""Where tokens lie: waves that tell places of any pitch, and the units that a superpixel of a slide looks at.

A map asks at every superpixel, but sets are of units. So the slide is laid out in square cells whose corners are whole
multiples of the spacing from the slide's own corner. The middle of each cell, as large as a unit, stands for a unit
that might have been measured there; a superpixel looks at the cells around its own. Nothing depends on tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import View

# Superpixels that ask at once.
_ASKING = 4096


def wavelengths(shortest_um: float, longest_um: float, count: int = 6) -> FloatArray:
    """(count,) from short to long, each the same multiple of the one before."""
    out: FloatArray = np.geomspace(shortest_um, max(longest_um, 2 * shortest_um), count)
    return out


def waves(xy_um: FloatArray, lengths_um: FloatArray) -> FloatArray:
    """(…, 4 · lengths) sines and cosines of x and of y (…, 2), float32; defined between units as on them."""
    turn = 2 * np.pi * np.asarray(xy_um, dtype=np.float64)[..., None] / lengths_um
    both = np.concatenate([np.sin(turn), np.cos(turn)], axis=-1)  # (…, 2, 2 · lengths)
    out: FloatArray = both.reshape(*both.shape[:-2], -1).astype(np.float32)
    return out


def log_window(distance: FloatArray, reach_um: float) -> FloatArray:
    """The logarithm of (1 - (d / reach)²)²: 0 at the place itself, -inf from `reach_um` on, and no edge between."""
    inside = np.maximum(1 - (np.asarray(distance, dtype=np.float64) / reach_um) ** 2, 0.0)
    with np.errstate(divide="ignore"):
        out: FloatArray = (2 * np.log(inside)).astype(np.float32)
    return out


@dataclass(frozen=True, slots=True)
class Layout:
    """The cells of slides: their side and that of the middle that is looked at, in superpixels; how many cells to
    either side are looked at."""

    spacing: int
    footprint: int
    around: int

    @classmethod
    def of(cls, spacing: int, footprint: int, halo: int, most: int | None = None) -> Layout:
        """As many cells around as a halo holds whole, from wherever in its cell a superpixel asks; `most` at most.

        A cell is never so large that the halo does not hold one's own.
        """
        spacing = max(1, min(spacing, 2 * halo - footprint))
        fit = (2 * halo - spacing - footprint) // (2 * spacing)
        return cls(spacing, footprint, fit if most is None else min(fit, most))


@dataclass(frozen=True, slots=True)
class Asking:
    """Some superpixels of a tile, grouped by their cell: `index` (cells, asking) in the flat tile, -1 where a cell has
    fewer; `seen` (cells, seen, channels) and `seen_um` (cells, seen, 2) of the cells around, `valid` where there is
    tissue."""

    index: IntArray
    seen: FloatArray
    seen_um: FloatArray
    valid: BoolArray


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a view: mean features (rows, columns, channels) of their middles, centres (rows, columns, 2), and
    whether there is tissue; `first` (row, column) of the slide's cells, and of the view's first superpixel `origin`."""

    features: FloatArray
    xy_um: FloatArray
    valid: BoolArray
    first: tuple[int, int]
    origin: tuple[int, int]


def cells_of(view: View, layout: Layout) -> Cells:
    """Average the middle of every cell that lies in the view whole; others have no tissue."""
    assert view.xy_um is not None
    side = float(view.xy_um[0, 1, 0] - view.xy_um[0, 0, 0])
    origin = tuple(round(float(view.xy_um[0, 0, axis]) / side - 0.5) for axis in (1, 0))
    p, f = layout.spacing, layout.footprint
    first = tuple(o // p for o in origin)
    starts, whole = [], []
    for o, cell, size in zip(origin, first, view.features.shape[:2], strict=True):
        start = np.arange(cell, (o + size - 1) // p + 1) * p + (p - f) // 2 - o
        starts.append(start)
        whole.append((start >= 0) & (start + f <= size))
    rows, columns = (
        np.clip(s[:, None] + np.arange(f), 0, n - 1) for s, n in zip(starts, view.features.shape, strict=False)
    )
    valid: BoolArray = np.asarray(np.outer(whole[0], whole[1]), dtype=bool)
    features = np.zeros((*valid.shape, view.features.shape[2]), dtype=np.float32)
    for i, j in np.argwhere(valid):
        middle = view.features[rows[i, 0] : rows[i, 0] + f, columns[j, 0] : columns[j, 0] + f]
        tissue = np.isfinite(middle).all(-1)
        if tissue.any():
            features[i, j] = middle[tissue].mean(0, dtype=np.float64)
        valid[i, j] = tissue.any()
    centre = [(s + o + f / 2) * side for s, o in zip(starts, origin, strict=True)]
    xy = np.stack(np.meshgrid(centre[1], centre[0]), axis=-1)
    return Cells(features, xy, valid, (first[0], first[1]), (origin[0], origin[1]))


def asking_of(view: View, layout: Layout, cells: Cells) -> Iterator[Asking]:
    """The superpixels of tissue of a view without its halo, some cells at a time."""
    h = view.halo
    inner = view.features[h : view.features.shape[0] - h, h : view.features.shape[1] - h]
    tissue = np.isfinite(inner).all(-1)
    rows, columns = np.nonzero(tissue if view.asked is None else tissue & view.asked)
    place = np.column_stack([rows, columns]) + np.array(cells.origin) + h
    cell = place // layout.spacing - np.array(cells.first)
    flat = rows * inner.shape[1] + columns
    number, group = np.unique(cell, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    runs = np.split(flat[order], np.cumsum(np.bincount(group.ravel(), minlength=len(number)))[:-1]) if len(flat) else []
    step = max(1, _ASKING // max(map(len, runs), default=1))
    for start in range(0, len(number), step):
        some = runs[start : start + step]
        index = np.full((len(some), max(map(len, some))), -1, dtype=np.int64)
        for row, run in zip(index, some, strict=True):
            row[: len(run)] = run
        yield Asking(index, *_around(cells, number[start : start + step], layout.around))


def _around(cells: Cells, centre: IntArray, around: int) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Features, centres and tissue of the cells (n, seen) around some cells (n, 2)."""
    step = np.arange(-around, around + 1)
    offsets = np.stack(np.meshgrid(step, step, indexing="ij"), axis=-1).reshape(-1, 2)
    at = centre[:, None] + offsets
    shape = np.array(cells.valid.shape)
    exists = np.asarray(((at >= 0) & (at < shape)).all(-1))
    i, j = np.moveaxis(np.where(exists[..., None], at, 0), -1, 0)
    return cells.features[i, j], cells.xy_um[i, j], cells.valid[i, j] & exists
