"""What a capture without an image can look like, so that landmarks are recognised: its counts, quick clusters, a gene.

All looks of a capture share one raster. They are made when they are first looked at, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pixelgene.arithmetic.quick_clusters import quick_clusters
from napari_pixelgene.arithmetic.stamping import NOBODY, stamp
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.views import KeptView
from napari_pixelgene.errors import unknown_name
from napari_pixelgene.store.by_gene import find_columns
from napari_pixelgene.store.tables import take_column, take_part, take_positions

if TYPE_CHECKING:
    from scipy import sparse

    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

CLUSTERS, GENE = "clusters", "gene: "
# Okabe and Ito's colours, told apart by the colour-blind.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
_UNCOUNTED = (150, 150, 150)
# A cell as it is drawn, and units read at once.
_CELL_UM, _ROWS = 12.0, 8192
_FEWEST_A_CLUSTER = 4


@dataclass(frozen=True)
class UnitsDrawn:
    """The units of a capture on a raster of pixels of `pixel` whose outer corner lies at `origin` in their frame."""

    store: SectionStore
    capture: StoredCapture
    pixel: float
    origin: tuple[float, float]
    yx_shape: tuple[int, int]

    @cached_property
    def owners(self) -> IntArray:
        """(rows, columns): the unit a pixel belongs to, or NOBODY."""
        footprint = take_part(self.capture.path, "uns")["footprint"]
        size = float(footprint["size_um"]) or _CELL_UM
        xy_px = (take_positions(self.capture.path) - self.origin) / self.pixel
        return stamp(xy_px, size / self.pixel, self.yx_shape, footprint["shape"] == "square")

    def clusters(self) -> Image:
        """Quick clusters in colours that the colour-blind tell apart; black where no unit is."""
        return self._image(CLUSTERS, self._coloured, (3,), np.dtype(np.uint8))

    def gene(self, symbol: str) -> Image:
        """One gene: log(1 + its counts), each unit scaled to the same total; 0 where no unit is."""
        symbol = _spelled(symbol, self.capture.genes.symbols)
        index = self.capture.genes.index(symbol)
        return self._image(GENE + symbol, lambda: self._levels_of(index), (), np.dtype(np.float32))

    def _image(self, name: str, draw: Callable[[], Array], rest: tuple[int, ...], dtype: np.dtype[Any]) -> Image:
        whole = Drawn((*self.yx_shape, *rest), dtype, draw)
        half = Drawn((*(-(-side // 2) for side in self.yx_shape), *rest), dtype, lambda: np.asarray(whole[::2, ::2]))
        return Image((whole, half), self.pixel, None, name)

    def _coloured(self) -> Array:
        xy = take_positions(self.capture.path)
        count = min(len(COLOURS), max(2, len(xy) // _FEWEST_A_CLUSTER))
        labels = quick_clusters(self._batches, xy, count)
        table = np.array([*COLOURS, _UNCOUNTED], dtype=np.uint8)
        return _painted(self.owners, table[labels])

    def _batches(self) -> Iterator[sparse.csr_matrix]:
        for start in range(0, self.capture.units_count, _ROWS):
            yield self.capture.unit_rows(start, min(start + _ROWS, self.capture.units_count))

    def _levels_of(self, gene: int) -> FloatArray:
        total = np.asarray(take_column(self.capture.path, "library"), dtype=np.float64)
        depth = float(np.median(total[total > 0])) if (total > 0).any() else 1.0
        value = np.zeros(len(total), dtype=np.float32)
        units, counts = self._column(gene)
        value[units] = np.log1p(counts * depth / np.maximum(total[units], 1.0))
        out = np.where(self.owners == NOBODY, 0.0, value[self.owners]).astype(np.float32)
        return out

    def _column(self, gene: int) -> tuple[IntArray, FloatArray]:
        columns = find_columns(self.store, "captures", self.capture.name)
        if columns is not None:
            return columns.column(gene)
        found = np.concatenate([np.asarray(part[:, [gene]].todense()).ravel() for part in self._batches()])
        return np.flatnonzero(found), found[found > 0]


class Drawn(KeptView):
    """A picture that is drawn when it is first looked at."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], draw: Callable[[], Array]) -> None:
        super().__init__(shape, dtype)
        self._draw = draw

    def whole(self) -> Array:
        """All of it."""
        return self._draw()


def _spelled(asked: str, symbols: Sequence[str]) -> str:
    """A gene's symbol as the capture writes it, in whatever case a person does."""
    if asked in symbols:
        return asked
    alike = [symbol for symbol in symbols if symbol.lower() == asked.strip().lower()]
    if len(alike) != 1:
        raise unknown_name("gene", asked, symbols)
    return alike[0]


def _painted(owners: IntArray, colours: Array) -> Array:
    """(rows, columns, 3) of each unit's colour (n, 3); black, which an overlay leaves out, where no unit is."""
    out: Array = colours[owners]
    out[owners == NOBODY] = 0
    return out
