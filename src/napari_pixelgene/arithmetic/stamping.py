"""Points drawn as disks or squares of their size: which point a pixel of a raster belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.floating[Any]]
Owners = npt.NDArray[np.int32]

NOBODY = -1
# Pixels that are written at once.
_AT_ONCE = 1 << 22


def stamp(xy_px: Points, size_px: float, yx_shape: tuple[int, int], square: bool = False) -> Owners:
    """(rows, columns): the index of the point whose disk (or square) of `size_px` across covers a pixel's centre.

    `xy_px` (n, 2) are pixels with 0 at the outer corner of the first. Where several cover a pixel the nearest has it;
    `NOBODY` where none does. A point smaller than a pixel still has the pixel it lies in.
    """
    owners = np.full(yx_shape, NOBODY, dtype=np.int32)
    nearest = np.full(yx_shape, np.inf, dtype=np.float32)
    reach = int(np.ceil(size_px / 2))
    steps = np.arange(-reach, reach + 1)
    rows, columns = (each.ravel() for each in np.meshgrid(steps, steps, indexing="ij"))
    batch = max(1, _AT_ONCE // len(rows))
    for first in range(0, len(xy_px), batch):
        _stamp_some(owners, nearest, first, xy_px[first : first + batch], (rows, columns), size_px / 2, square)
    return owners


def _stamp_some(owners: Owners, nearest: Any, first: int, xy_px: Points, steps: Any, half: float, square: bool) -> None:
    home = np.floor(xy_px).astype(np.int64)
    row, column = home[:, 1, None] + steps[0], home[:, 0, None] + steps[1]
    off = np.abs(np.stack([column + 0.5 - xy_px[:, :1], row + 0.5 - xy_px[:, 1:]]))
    far = off.max(axis=0) if square else np.hypot(off[0], off[1])
    own = (far <= half) | ((steps[0] == 0) & (steps[1] == 0))
    own &= (row >= 0) & (row < owners.shape[0]) & (column >= 0) & (column < owners.shape[1])
    point, at = np.nonzero(own)
    row, column, far = row[point, at], column[point, at], far[point, at].astype(np.float32)
    # Written from far to near, so that the nearest stays.
    order = np.argsort(-far, kind="stable")
    row, column, far, point = row[order], column[order], far[order], point[order]
    closer = far < nearest[row, column]
    owners[row[closer], column[closer]] = first + point[closer]
    nearest[row[closer], column[closer]] = far[closer]
