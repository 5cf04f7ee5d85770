"""The gene list as plain arrays: what each row says, which rows a search finds, and in which order. No Qt here.

18,000 genes are three arrays: nothing is made for a gene before its row is seen.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.genes import GeneTable

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray, IntArray
    from napari_pixelgene.elements.scores import GeneScores

GENE, HELD_OUT, CONTROL, TOTAL, PIN = range(5)
HEADINGS = ("gene", "held-out r", "chance", "total", "★")
TIPS = (
    "The gene's symbol. Click a row, or walk with ↑ and ↓, to see its map; Enter pins it.",
    "Correlation of the predicted with the measured gene on tissue the model had not seen. 1 is perfect, 0 is nothing.",
    "The same correlation after shuffling: what chance gives. A gene that is not clearly above it cannot be trusted.",
    "Counts of the gene over the whole section.",
    "Pinned genes are kept beside the list, and are there when you come back.",
)
NOT_SCORED = "This run was not scored: score it in the Run dock to see which genes can be trusted."
NOT_COUNTED = "Nothing was counted for it in this section."


class GeneRows:
    """One run's genes: `held_out_r`, `chance` and `total` (genes,), NaN where nobody knows."""

    def __init__(self, genes: GeneTable, scores: GeneScores | None = None) -> None:
        self.genes = genes
        self.scored = scores is not None
        columns = (scores.held_out_r, scores.chance, scores.total) if scores is not None else (None, None, None)
        known = scores.genes if scores is not None else ()
        self.held_out_r, self.chance, self.total = (_aligned(genes, known, values) for values in columns)
        self._lower: tuple[list[str], list[str]] | None = None

    def __len__(self) -> int:
        return len(self.genes)

    def fill_totals(self, genes: GeneTable, totals: FloatArray) -> None:
        """Counts of the section's own capture, where the scores say nothing."""
        counted = _aligned(self.genes, genes.symbols, totals)
        self.total = np.where(np.isnan(self.total), counted, self.total)

    def value(self, row: int, column: int) -> float:
        """The number of a column; NaN where there is none."""
        values = {HELD_OUT: self.held_out_r, CONTROL: self.chance, TOTAL: self.total}.get(column)
        return float("nan") if values is None else float(values[row])

    def text(self, row: int, column: int, pinned: bool = False) -> str:
        """What a cell shows."""
        if column == GENE:
            return self.genes.symbols[row]
        if column == PIN:
            return "★" if pinned else "☆"
        value = self.value(row, column)
        if np.isnan(value):
            return "–"
        if column == TOTAL:
            return _short(value)
        return f"{round(value, 2) + 0.0:.2f}"  # never "-0.00"

    def tip(self, row: int, column: int) -> str:
        """What a cell says when it is pointed at."""
        if column == GENE:
            symbol, identifier = self.genes.symbols[row], self.genes.ids[row]
            return symbol if identifier == symbol else f"{symbol} · {identifier}"
        if column in (HELD_OUT, CONTROL) and np.isnan(self.value(row, column)):
            return "This gene was not scored." if self.scored else NOT_SCORED
        if column == TOTAL:
            value = self.value(row, column)
            return NOT_COUNTED if np.isnan(value) else f"{value:,.0f} counts over the whole section"
        return TIPS[column]

    def order(self, text: str, column: int, descending: bool, pins: Collection[str] = ()) -> IntArray:
        """The rows that a search finds: the symbol itself, then symbols that begin with it, then those that hold it,
        then ids; within each by `column`. What has no number comes last, whichever way it is sorted."""
        rank = self._ranks(text.strip().lower())
        rows = np.flatnonzero(rank >= 0)
        return np.asarray(rows[np.lexsort((rows, self._keys(column, descending, pins)[rows], rank[rows]))])

    def _keys(self, column: int, descending: bool, pins: Collection[str]) -> FloatArray:
        if column == GENE:
            place = np.argsort(np.argsort(np.array(self._lowered()[0], dtype=object), kind="stable")).astype(float)
            return -place if descending else place
        if column == PIN:
            unpinned = np.ones(len(self))
            unpinned[[self.genes.index(gene) for gene in pins if gene in self.genes]] = 0
            return unpinned
        values = {HELD_OUT: self.held_out_r, CONTROL: self.chance, TOTAL: self.total}[column]
        return np.where(np.isnan(values), np.inf, -values if descending else values)

    def _ranks(self, text: str) -> IntArray:
        """0 the symbol itself, 1 begins with, 2 holds, 3 an id that holds it; -1 not found."""
        if not text:
            return np.zeros(len(self), dtype=np.int64)
        symbols, ids = self._lowered()
        return np.array([_rank(text, s, i) for s, i in zip(symbols, ids, strict=True)], dtype=np.int64)

    def _lowered(self) -> tuple[list[str], list[str]]:
        if self._lower is None:
            self._lower = [s.lower() for s in self.genes.symbols], [i.lower() for i in self.genes.ids]
        return self._lower


def _short(count: float) -> str:
    """A count in few digits: 7,420, 402 k, 1.9 M."""
    if count < 1e4:
        return f"{count:,.0f}"
    return f"{count / 1e3:.0f} k" if count < 999_500 else f"{count / 1e6:,.1f} M"


def _rank(text: str, symbol: str, identifier: str) -> int:
    at = symbol.find(text)
    if at == 0:
        return 0 if len(symbol) == len(text) else 1
    if at > 0:
        return 2
    return 3 if text in identifier else -1


def _aligned(genes: GeneTable, known: tuple[str, ...], values: FloatArray | None) -> FloatArray:
    """Values of `known` genes in the order of `genes`; NaN for the others."""
    out = np.full(len(genes), np.nan)
    if values is not None:
        at = {gene: i for i, gene in enumerate(known)}
        where = [(row, at[symbol]) for row, symbol in enumerate(genes.symbols) if symbol in at]
        if where:
            rows, places = np.array(where).T
            out[rows] = np.asarray(values, dtype=np.float64)[places]
    return out
