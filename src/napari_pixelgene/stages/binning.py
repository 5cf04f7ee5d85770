"""Counts onto the superpixel lattice: transcripts batch by batch, or cells by their centres.

Each batch is mapped to the H&E and turned into keys (superpixel · genes + gene); keys are sorted and
counted, and such partial sums are merged two by two, the way a binary counter carries. So memory follows the number
of different (superpixel, gene) pairs, never the number of transcripts. Bins lie on the lattice of the
H&E's outer corner, where the features lie; a bin without any count does not exist; what lands outside the lattice is
counted and told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import FloatArray, IntArray
from napari_pixelgene.elements.bins import Bins
from napari_pixelgene.elements.capture import Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.transcripts import TranscriptBatch, Transcripts
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, Progress, silent
from napari_pixelgene.settings import Section

STAGE = "binning"
# Keys sorted and counted in one go: 64 MB of them.
_PENDING_KEYS = 8_000_000
# Keys merged in one go.
_RANGE_KEYS = 1_000_000


class BinningSettings(Section):
    """What is counted on the superpixels."""

    count: Literal["transcripts", "cells"] = Field(
        "transcripts",
        description="What is counted in a superpixel: its transcripts, or all transcripts of the cells centred in it.",
    )
    min_qv: float = Field(
        20.0, ge=0, le=40, description="Transcripts with a quality (QV) below this are left out; 10x use 20."
    )


@dataclass(frozen=True, slots=True)
class BinnedCounts:
    """Bins, and how many transcripts (or units) they count and how many fell outside the lattice."""

    bins: Bins
    counted: int
    outside: int

    @property
    def notes(self) -> dict[str, int]:
        """To be stored beside the bins."""
        return {"counted": self.counted, "outside": self.outside}


def bin_transcripts(
    transcripts: Transcripts, to_he_um: Transform, grid: Grid, on_event: OnEvent = silent
) -> BinnedCounts:
    """Count accepted transcripts per superpixel and gene; `to_he_um` leads from their frame to `he_um`.

    Raises InputError when none lands on the grid. What `on_event` raises ends the stream.
    """
    _check_frames(to_he_um, transcripts.frame)
    width = len(transcripts.genes)
    tally, counted, seen = _Tally(), 0, 0
    on_event(Progress(STAGE, 0, transcripts.rows))
    for batch in transcripts.batches():
        keys = _keys(batch, to_he_um, grid, width)
        tally.add(keys)
        counted, seen = counted + len(keys), seen + len(batch.gene)
        on_event(Progress(STAGE, seen, transcripts.rows, values={"outside": seen - counted}))
    on_event(Progress(STAGE, transcripts.rows, transcripts.rows))
    _tell(seen, counted, "transcripts", on_event)
    keys, sums = tally.total()
    return BinnedCounts(_bins(keys, sums, transcripts.genes, grid), counted, seen - counted)


def bin_units(units: Units, to_he_um: Transform, grid: Grid, on_event: OnEvent = silent) -> BinnedCounts:
    """Add up the counts and libraries of the units whose centres share a superpixel; none is dropped.

    A bin exists where a unit lies, also one without counts.
    """
    _check_frames(to_he_um, units.frame)
    place = grid.row_column(_mapped(units.xy, to_he_um))
    inside = grid.inside(place)
    _tell(len(units), int(inside.sum()), "units", on_event)
    superpixel, row = np.unique(grid.flat(place[inside]), return_inverse=True)
    unit = np.flatnonzero(inside)
    ones = np.ones(len(unit), dtype=np.int64)
    gather = sparse.csr_matrix((ones, (row, unit)), shape=(len(superpixel), len(units)))
    counts = sparse.csr_matrix(gather @ units.counts.astype(np.int64)).astype(np.int32)
    library = np.asarray(gather @ units.library, dtype=np.float64)
    bins = Bins(superpixel, counts, library, units.genes, grid.yx_shape, grid.superpixel_um)
    return BinnedCounts(bins, len(unit), len(units) - len(unit))


# Where


def _check_frames(to_he_um: Transform, frame: str) -> None:
    if (to_he_um.source, to_he_um.target) != (frame, "he_um"):
        raise ValueError(f"positions are in {frame}, the transform leads from {to_he_um.source} to {to_he_um.target}")


def _mapped(xy: FloatArray, to_he_um: Transform) -> FloatArray:
    """Positions in H&E µm, -1 where there is none: beyond a homography's horizon points would come back mirrored,
    and a bend walked backwards may lead nowhere.

    Axis by axis: a threaded matrix product of two columns costs ten times as much.
    """
    x, y = np.asarray(xy, dtype=np.float64).T
    m = to_he_um.matrix / to_he_um.matrix[2, 2]
    w = m[2, 0] * x + m[2, 1] * y + 1.0
    w[w <= 0] = np.nan
    out: FloatArray = np.empty((len(x), 2))
    for axis in (0, 1):
        out[:, axis] = (m[axis, 0] * x + m[axis, 1] * y + m[axis, 2]) / w
    if to_he_um.bend is not None:
        out = to_he_um.bend.apply(out)
    lost = ~(np.isfinite(out[:, 0]) & np.isfinite(out[:, 1]))
    out[lost] = -1.0
    return out


def _keys(batch: TranscriptBatch, to_he_um: Transform, grid: Grid, genes: int) -> IntArray:
    """superpixel · genes + gene of the transcripts that land on the grid."""
    place = grid.row_column(_mapped(batch.xy, to_he_um))
    inside = grid.inside(place)
    keys: IntArray = grid.flat(place)[inside] * genes + batch.gene[inside]
    return keys


def _tell(seen: int, counted: int, what: str, on_event: OnEvent) -> None:
    if not counted:
        raise InputError(
            f"None of {seen:,} {what} lands on the H&E.",
            "Check the alignment and its direction, the pixel size, and that image and run are of one section.",
        )
    if counted < seen:
        share = (seen - counted) / seen
        level = "warning" if share > 0.5 else "info"
        text = f"{seen - counted:,} of {seen:,} {what} ({share:.1%}) lie outside the H&E and are not counted."
        on_event(Note(text, level, STAGE))


# How many

Sums = tuple[IntArray, IntArray]  # ascending keys, each once, and how often it came


class _Tally:
    """Counts keys by merging sorted partial sums of like size."""

    def __init__(self) -> None:
        self._pending: list[IntArray] = []
        self._waiting = 0
        self._sums: list[Sums] = []

    def add(self, keys: IntArray) -> None:
        """Take some keys in."""
        self._pending.append(keys)
        self._waiting += len(keys)
        if self._waiting >= _PENDING_KEYS:
            self._settle()

    def total(self) -> Sums:
        """All keys with their counts."""
        self._settle()
        while len(self._sums) > 1:
            self._carry()
        return self._sums[0]

    def _settle(self) -> None:
        keys = np.concatenate(self._pending or [np.zeros(0, dtype=np.int64)])
        self._pending, self._waiting = [], 0
        keys.sort()
        starts = _run_starts(keys)
        self._sums.append((keys[starts], np.diff(starts, append=len(keys)).astype(np.int32)))
        while len(self._sums) > 1 and len(self._sums[-1][0]) >= len(self._sums[-2][0]) // 2:
            self._carry()

    def _carry(self) -> None:
        self._sums.append(_merged(self._sums.pop(), self._sums.pop()))


def _merged(a: Sums, b: Sums) -> Sums:
    """The sum of two partial sums, range of keys by range, so that nothing but the result is as long as they are."""
    size = len(a[0]) + len(b[0])
    keys, sums, end = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int32), 0
    for part_a, part_b in _ranges(a[0], b[0]):
        some_keys, some_sums = _merged_range((a[0][part_a], a[1][part_a]), (b[0][part_b], b[1][part_b]))
        here = slice(end, end + len(some_keys))
        keys[here], sums[here], end = some_keys, some_sums, here.stop
    keys.resize(end, refcheck=False)
    sums.resize(end, refcheck=False)
    return keys, sums


def _ranges(a: IntArray, b: IntArray) -> Iterator[tuple[slice, slice]]:
    """Slices of two ascending arrays that hold the same ranges of values, one after the other."""
    cuts = (a if len(a) > len(b) else b)[_RANGE_KEYS::_RANGE_KEYS]
    of_a, of_b = ([0, *np.searchsorted(each, cuts).tolist(), len(each)] for each in (a, b))
    for i in range(len(cuts) + 1):
        yield slice(of_a[i], of_a[i + 1]), slice(of_b[i], of_b[i + 1])


def _merged_range(a: Sums, b: Sums) -> Sums:
    keys = np.concatenate([a[0], b[0]])
    order = np.argsort(keys, kind="stable")  # two ascending runs: one merge
    keys, sums = keys[order], np.concatenate([a[1], b[1]])[order]
    starts = _run_starts(keys)
    return keys[starts], np.add.reduceat(sums, starts, dtype=sums.dtype) if len(starts) else sums


def _run_starts(ascending: IntArray) -> IntArray:
    """Where each value of an ascending array stands first."""
    new = np.ones(len(ascending), dtype=bool)
    np.not_equal(ascending[1:], ascending[:-1], out=new[1:])
    return np.flatnonzero(new)


def _bins(keys: IntArray, sums: IntArray, genes: GeneTable, grid: Grid) -> Bins:
    """CSR from keys and sums; turns the keys into superpixels in place, for they may be most of the memory."""
    gene = np.empty(len(keys), dtype=np.int32)
    for start in range(0, len(keys), _RANGE_KEYS):
        here = slice(start, start + _RANGE_KEYS)
        keys[here], gene[here] = np.divmod(keys[here], len(genes))
    first = _run_starts(keys)
    shape = (len(first), len(genes))
    counts = sparse.csr_matrix((sums, gene, np.append(first, len(keys))), shape=shape)
    library = np.add.reduceat(sums, first, dtype=np.float64)
    return Bins(keys[first], counts, library, genes, grid.yx_shape, grid.superpixel_um)
