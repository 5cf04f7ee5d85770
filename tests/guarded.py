"""An array that refuses to be read whole, for every stage that promises to work by tiles."""

from __future__ import annotations

from typing import Any

import numpy as np


class GuardedArray:
    """Wraps an array; a read of more than `limit` = (rows, columns) raises, and the largest read is kept."""

    def __init__(self, array: Any, limit: tuple[int, int], chunks: tuple[int, ...] | None = None) -> None:
        self._array, self.limit = array, limit
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)
        self.chunks = chunks or (*limit, *self.shape[2:])
        self.reads = 0
        self.largest = (0, 0)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __getitem__(self, key: Any) -> Any:
        block = np.asarray(self._array[key])
        picks = key if isinstance(key, tuple) else (key,)
        if any(p is Ellipsis for p in picks):
            raise AssertionError("name rows and columns, not ...")
        sides = [
            len(range(*p.indices(n))) if isinstance(p, slice) else 1 for p, n in zip(picks, self.shape, strict=False)
        ]
        rows, columns = (*sides, *self.shape[len(sides) :])[:2]
        self.reads += 1
        self.largest = max(self.largest[0], rows), max(self.largest[1], columns)
        if rows > self.limit[0] or columns > self.limit[1]:
            raise AssertionError(f"a read of {rows} × {columns} where at most {self.limit} are allowed")
        return block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise AssertionError("the whole array was asked for")
