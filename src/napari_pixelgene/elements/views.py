"""Lazy arrays that compute a region when it is asked for: the base of every duck array of ours."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from threading import Lock
from typing import Any

import numpy as np

from napari_pixelgene.elements.arrays import Array, LazyArray


class RegionView(ABC):
    """A read-only array over rows and columns, with any number of axes behind them.

    A subclass sets `shape`, `dtype` and `chunks` and writes `read(rows, columns)`, which returns
    numpy for two slices inside the array. Indexing takes integers, slices with any step, and `...`;
    only the rectangle that holds what was asked for is read. napari and numpy need no more.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]

    @abstractmethod
    def read(self, rows: slice, columns: slice) -> Array:
        """The block (rows, columns, …); both slices have plain bounds and step 1."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, key: Any) -> Array:
        picks = _one_pick_an_axis(key, self.ndim)
        rows, row_pick = _outer_inner(picks[0], self.shape[0])
        columns, column_pick = _outer_inner(picks[1], self.shape[1])
        block: Array = self.read(rows, columns)
        return np.asarray(block[(row_pick, column_pick, *picks[2:])])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype, copy=False)


class KeptView(RegionView):
    """An array that can only be made whole: on the first read, once, and then kept. `chunks` is its whole shape."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.chunks, self.dtype = shape, shape, dtype
        self._lock = Lock()
        self._whole: Array | None = None

    @abstractmethod
    def whole(self) -> Array:
        """Make the array."""

    def read(self, rows: slice, columns: slice) -> Array:
        """The block, from the kept array."""
        with self._lock:
            if self._whole is None:
                self._whole = self.whole()
        return self._whole[rows, columns]


class ChannelsLast(RegionView):
    """A (channel, row, column) array seen as (row, column, channel)."""

    def __init__(self, source: LazyArray) -> None:
        channels, rows, columns = (int(n) for n in source.shape)
        self.shape, self.dtype = (rows, columns, channels), np.dtype(source.dtype)
        sides: tuple[int, ...] = getattr(source, "chunks", source.shape)
        self.chunks = (sides[1], sides[2], channels)
        self._source = source

    def read(self, rows: slice, columns: slice) -> Array:
        """The block with its channels behind."""
        return np.moveaxis(np.asarray(self._source[:, rows, columns]), 0, -1)


def _one_pick_an_axis(key: Any, ndim: int) -> tuple[Any, ...]:
    """The key with `...` and missing axes spelled out."""
    picks = key if isinstance(key, tuple) else (key,)
    here = next((i for i, pick in enumerate(picks) if pick is Ellipsis), len(picks))
    head, tail = picks[:here], picks[here + 1 :]
    if len(head) + len(tail) > ndim:
        raise IndexError(f"{len(head) + len(tail)} indices for an array of {ndim} axes")
    return (*head, *(slice(None),) * (ndim - len(head) - len(tail)), *tail)


def _outer_inner(pick: Any, size: int) -> tuple[slice, slice | int]:
    """The slice of step 1 to read, and what to take from it."""
    if not isinstance(pick, slice):
        at = operator.index(pick)
        if not -size <= at < size:
            raise IndexError(f"index {at} is out of range for an axis of {size}")
        at %= size
        return slice(at, at + 1), 0
    chosen = range(*pick.indices(size))
    if not chosen:
        return slice(0, 0), slice(None)
    low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
    return slice(low, high + 1), slice(None, None, chosen.step)
