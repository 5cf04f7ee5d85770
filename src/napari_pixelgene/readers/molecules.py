"""Molecules in a long table, one a row (or `count` of them), as a stream of transcripts.

One pass counts them by gene and checks every position and count, so that what is left out is told and what is wrong is
found before anything is made of the table. What a row means, the reader that names the columns knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from napari_pixelgene.elements.alignment import Frame
from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.transcripts import TranscriptBatch, Transcripts
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, Progress, silent
from napari_pixelgene.readers.streamed_table import (
    Kind,
    StreamedTable,
    are_counts,
    numbers,
    refuse_count,
    refuse_lost,
    texts,
)

_STAGE = "transcripts"
# Molecules handed on in one batch.
_MOST = 2_000_000


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a table what stands. `controls` are the lower-case begins of names that are no genes."""

    table: StreamedTable
    x: int
    y: int
    gene: int
    count: int | None = None
    controls: tuple[str, ...] = ()

    @property
    def wanted(self) -> dict[int, Kind]:
        """The columns to read, in the order that `_read` expects."""
        columns: dict[int, Kind] = {self.x: "number", self.y: "number", self.gene: "text"}
        return columns if self.count is None else {**columns, self.count: "number"}


@dataclass(slots=True)
class Survey:
    """What one pass found: rows, molecules by gene, and what is left out. `low`, `high` (2,) bound the positions."""

    rows: int = 0
    molecules: dict[str, int] = field(default_factory=dict)
    controls: dict[str, int] = field(default_factory=dict)  # rows by name
    unnamed: int = 0
    zero: int = 0
    low: FloatArray = field(default_factory=lambda: np.full(2, np.inf))
    high: FloatArray = field(default_factory=lambda: np.full(2, -np.inf))


@dataclass(frozen=True, slots=True)
class _Rows:
    """A batch: positions (n, 2), the different names, each row's place among them (-1: none), counts (n,)."""

    xy: FloatArray
    names: list[str]
    code: IntArray
    count: IntArray


def survey(layout: Layout, on_event: OnEvent = silent) -> Survey:
    """One pass over the table. Raises InputError for the first position or count that is none."""
    found = Survey()
    for rows in _batches(layout):
        gene = _gene_rows(rows, layout.controls)
        found.unnamed += int((rows.code < 0).sum())
        found.zero += int((gene & (rows.count == 0)).sum())
        _add(found.molecules, rows.names, rows.code[gene], rows.count[gene])
        control = ~gene & (rows.code >= 0)
        _add(found.controls, rows.names, rows.code[control], np.ones(int(control.sum()), dtype=np.int64))
        found.low, found.high = np.minimum(found.low, rows.xy.min(0)), np.maximum(found.high, rows.xy.max(0))
        found.rows += len(rows.code)
        on_event(Progress(_STAGE, found.rows, layout.table.rows))
    return found


def stream(layout: Layout, found: Survey, um: float, frame: Frame, on_event: OnEvent = silent) -> Transcripts:
    """The molecules of genes, positions times `um`, genes in alphabetical order; says what is left out."""
    filters = _tell(layout.table.path, found, on_event)
    genes = GeneTable(tuple(sorted(name for name, n in found.molecules.items() if n)))
    if not len(genes):
        why = "; ".join(filters.values()) or "it has no rows"
        raise InputError(
            f"No molecule of {layout.table.path} is left ({why}).",
            "Check the columns, and that the file is complete.",
        )
    return Transcripts(layout.table.path, genes, found.rows, lambda: _stream(layout, genes, um), frame, filters)


def extent_words(low: FloatArray, high: FloatArray, unit: str) -> str:
    """Where positions lie, for people: between the corners `low` and `high` (2,)."""
    (left, top), (right, bottom) = low, high
    return f"x {left:,.0f} to {right:,.0f}, y {top:,.0f} to {bottom:,.0f} {unit}"


def _stream(layout: Layout, genes: GeneTable, um: float) -> Iterator[TranscriptBatch]:
    for rows in _batches(layout):
        known = [genes.index(name) if name in genes else -1 for name in rows.names]
        gene = np.array([*known, -1], dtype=np.int32)[rows.code]
        keep = gene >= 0
        yield from _molecules(rows.xy[keep] * um, gene[keep], rows.count[keep])


def _molecules(xy: FloatArray, gene: IntArray, count: IntArray) -> Iterator[TranscriptBatch]:
    """Each row as often as it counts, a bounded number at once."""
    ends = np.cumsum(count)
    for start in range(0, int(ends[-1]) if len(ends) else 0, _MOST):
        reached = np.clip(ends, start, start + _MOST)
        times = np.diff(reached, prepend=start)
        yield TranscriptBatch(np.repeat(xy, times, axis=0), np.repeat(gene, times))


def _batches(layout: Layout) -> Iterator[_Rows]:
    first = 0
    for batch in layout.table.batches(layout.wanted):
        if batch.num_rows:
            yield _read(layout, batch, first)
        first += batch.num_rows


def _read(layout: Layout, batch: pa.RecordBatch, first: int) -> _Rows:
    xy = np.stack([numbers(batch, 0), numbers(batch, 1)], axis=1)
    refuse_lost(layout.table.path, first, xy)
    names, code = texts(batch, 2)
    if layout.count is None:
        return _Rows(xy, names, code, np.ones(len(code), dtype=np.int64))
    count = numbers(batch, 3)
    good = are_counts(count)
    if not good.all():
        row = int((~good).argmax())
        raise refuse_count(layout.table.path, first + row + 1, layout.table.columns[layout.count], count[row])
    return _Rows(xy, names, code, count.astype(np.int64))


def _gene_rows(rows: _Rows, controls: tuple[str, ...]) -> BoolArray:
    is_gene = [not name.lower().startswith(controls) for name in rows.names] if controls else [True] * len(rows.names)
    gene: BoolArray = np.array([*is_gene, False])[rows.code]
    return gene


def _add(total: dict[str, int], names: list[str], code: IntArray, count: IntArray) -> None:
    sums = np.bincount(code, weights=count, minlength=len(names)) if len(code) else np.zeros(len(names))
    for place in np.flatnonzero(np.bincount(code, minlength=len(names))):
        total[names[place]] = total.get(names[place], 0) + int(sums[place])


def _tell(path: Path, found: Survey, on_event: OnEvent) -> dict[str, str]:
    """Say what is left out; the same words for reports."""
    shown = ", ".join(sorted(found.controls)[:5]) + (", …" if len(found.controls) > 5 else "")
    left_out = {
        "controls": (sum(found.controls.values()), f"are of {len(found.controls)} control targets ({shown})"),
        "unnamed": (found.unnamed, "name no gene"),
        "zero": (found.zero, "count 0"),
    }
    words = {
        key: f"{n:,} of {found.rows:,} rows in {path.name} {why} and are left out ({n / found.rows:.1%})."
        for key, (n, why) in left_out.items()
        if n
    }
    for text in words.values():
        on_event(Note(text, stage=_STAGE))
    return words
