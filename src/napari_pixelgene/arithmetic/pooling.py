"""Footprints to sparse matrices: which squares of a lattice each unit is the mean of.

A row of the result is a unit, a column a superpixel (row-major), a value 1/K where the unit's footprint
holds K superpixel centres, so that `weights @ features` is the mean over every footprint. Lattice square
(row, column) covers [column, column + 1) × [row, row + 1) sides from the outer corner. A unit whose
centre lies off the lattice (or is not finite) has an empty row, and so has one without any superpixel left by
`tissue`; the caller tells how many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]
# (dx, dy) from unit to superpixel centres, in µm, each (units, window) -> which lie in the footprint
Holds = Callable[[FloatArray, FloatArray], BoolArray]

# A point this close (in squares) to the next square lies in it: an edge must not move with the last bit of a transform.
_EDGE = 1e-9
# Unit-and-offset pairs weighed at once; some 150 MB.
_PAIRS = 4_000_000


def lattice_places(xy: FloatArray, side: float) -> FloatArray:
    """The (row, column) (n, 2) of the lattice square that holds each point (n, 2) (x, y), as whole floats.

    May lie off any lattice; NaN where the point is. Edges belong to the square below or to the right.
    """
    place: FloatArray = np.floor(np.asarray(xy, dtype=np.float64)[:, ::-1] / side + _EDGE)
    return place


def footprint_weights(
    shape: Literal["disk", "square", "point"],
    size_um: float,
    xy_um: FloatArray,
    superpixel_um: float,
    yx_shape: tuple[int, int],
    tissue: BoolArray | None = None,
) -> sparse.csr_matrix:
    """Weights of one kind of footprint: a disk of diameter `size_um`, a square of that side, or a point."""
    if shape == "disk":
        return disk_weights(xy_um, size_um / 2, superpixel_um, yx_shape, tissue)
    if shape == "square":
        return square_weights(xy_um, size_um, superpixel_um, yx_shape, tissue)
    return point_weights(xy_um, superpixel_um, yx_shape, tissue)


def disk_weights(
    xy_um: FloatArray,
    radius_um: float,
    superpixel_um: float,
    yx_shape: tuple[int, int],
    tissue: BoolArray | None = None,
) -> sparse.csr_matrix:
    """Superpixels whose centre lies within `radius_um` of each point (n, 2), at their true sub-pixel places.

    A disk that holds no centre takes the superpixel its own centre lies in. CSR float32
    (n, rows · columns), indices sorted.
    """
    return _window_weights(
        xy_um,
        radius_um,
        lambda dx, dy: np.asarray(dx * dx + dy * dy <= radius_um * radius_um),
        superpixel_um,
        yx_shape,
        tissue,
    )


def square_weights(
    xy_um: FloatArray,
    side_um: float,
    superpixel_um: float,
    yx_shape: tuple[int, int],
    tissue: BoolArray | None = None,
) -> sparse.csr_matrix:
    """Superpixels whose centre lies in the square [-side/2, side/2) around each point.

    Half open, so that squares side by side share out the superpixels. A square that holds no
    centre takes the superpixel its own centre lies in.
    """
    half = side_um / 2

    def holds(dx: FloatArray, dy: FloatArray) -> BoolArray:
        inside: BoolArray = (dx >= -half) & (dx < half) & (dy >= -half) & (dy < half)
        return inside

    return _window_weights(xy_um, half, holds, superpixel_um, yx_shape, tissue)


def point_weights(
    xy_um: FloatArray, superpixel_um: float, yx_shape: tuple[int, int], tissue: BoolArray | None = None
) -> sparse.csr_matrix:
    """The one superpixel each point lies in, with weight 1."""
    row_column, on_lattice = _squares(np.asarray(xy_um, dtype=np.float64), superpixel_um, yx_shape)
    return _from_chunks([_pick(row_column, on_lattice, np.zeros((1, 2), np.int64), yx_shape, tissue)], yx_shape)


def disk_mask(radius: float) -> BoolArray:
    """The originals' disk: integer offsets (i, j) with i² + j² ≤ radius², radius in superpixels.

    The mask has the side 2·ceil(radius) + 1 (so 0.5 gives 3 × 3 with its centre alone).
    """
    reach = int(np.ceil(radius))
    i = np.arange(-reach, reach + 1)
    return np.asarray(i[:, None] ** 2 + i[None, :] ** 2 <= radius**2)


def integer_disk_weights(
    row_column: IntArray, radius: float, yx_shape: tuple[int, int], tissue: BoolArray | None = None
) -> sparse.csr_matrix:
    """The originals' recipe: the offsets of `disk_mask(radius)` around each unit's superpixel (n, 2).

    Where the originals raise at a border, the offsets that leave the lattice are left out of the mean.
    """
    centres = np.asarray(row_column, dtype=np.int64)
    mask = disk_mask(radius)
    offsets = np.argwhere(mask) - mask.shape[0] // 2
    on_lattice = _on(centres, yx_shape)
    chunks = (
        _pick(centres[part], on_lattice[part], offsets, yx_shape, tissue) for part in _parts(len(centres), len(offsets))
    )
    return _from_chunks(chunks, yx_shape)


# Chunk by chunk

Chunk = tuple[IntArray, IntArray]  # superpixels per unit, and their flat indices unit by unit


def _window_weights(
    xy_um: FloatArray,
    reach_um: float,
    holds: Holds,
    superpixel_um: float,
    yx_shape: tuple[int, int],
    tissue: BoolArray | None,
) -> sparse.csr_matrix:
    points = np.asarray(xy_um, dtype=np.float64)
    if not (np.isfinite(reach_um) and reach_um >= 0):
        raise ValueError(f"a footprint reaches {reach_um} µm")
    row_column, on_lattice = _squares(points, superpixel_um, yx_shape)
    offsets = _window(int(np.floor(reach_um / superpixel_um + 0.5)))

    def chunk(part: slice) -> Chunk:
        nearby = row_column[part, None, :] + offsets
        away = (nearby[..., ::-1] + 0.5) * superpixel_um - points[part, None, :]
        held = np.asarray(holds(away[..., 0], away[..., 1]))
        held[~held.any(axis=1), len(offsets) // 2] = True
        return _pick(row_column[part], on_lattice[part], offsets, yx_shape, tissue, held)

    return _from_chunks((chunk(part) for part in _parts(len(points), len(offsets))), yx_shape)


def _window(reach: int) -> IntArray:
    """All offsets (row, column) up to `reach`, row by row; the middle one is (0, 0)."""
    i = np.arange(-reach, reach + 1)
    return np.stack(np.meshgrid(i, i, indexing="ij"), axis=-1).reshape(-1, 2)


def _parts(units: int, offsets: int) -> Iterator[slice]:
    step = max(1, _PAIRS // offsets)
    return (slice(start, start + step) for start in range(0, units, step))


def _squares(xy_um: FloatArray, side_um: float, yx_shape: tuple[int, int]) -> tuple[IntArray, BoolArray]:
    """(row, column) that holds each point, and whether it exists; a point off the lattice gets (0, 0)."""
    place = lattice_places(xy_um, side_um)
    exists = _on(place, yx_shape)
    return np.where(exists[:, None], place, 0).astype(np.int64), exists


def _on(row_column: IntArray | FloatArray, yx_shape: tuple[int, int]) -> BoolArray:
    return np.asarray(((row_column >= 0) & (row_column < np.array(yx_shape))).all(axis=-1))


def _pick(
    row_column: IntArray,
    on_lattice: BoolArray,
    offsets: IntArray,
    yx_shape: tuple[int, int],
    tissue: BoolArray | None,
    held: BoolArray | None = None,
) -> Chunk:
    """Of the squares at `offsets` from each unit, those that exist, are held and are tissue."""
    nearby = row_column[:, None, :] + offsets
    keep = _on(nearby, yx_shape) & on_lattice[:, None]
    if held is not None:
        keep &= held
    flat = nearby[..., 0] * yx_shape[1] + nearby[..., 1]
    if tissue is not None:
        keep &= tissue.ravel()[np.where(keep, flat, 0)]
    return keep.sum(axis=1), flat[keep]


def _from_chunks(chunks: Any, yx_shape: tuple[int, int]) -> sparse.csr_matrix:
    size = yx_shape[0] * yx_shape[1]
    small = np.int32 if size <= np.iinfo(np.int32).max else np.int64
    counts, indices = [np.zeros(0, np.int64)], [np.zeros(0, small)]
    for count, flat in chunks:
        counts.append(count)
        indices.append(flat.astype(small))
    per_unit, columns = np.concatenate(counts), np.concatenate(indices)
    starts = np.concatenate([[0], np.cumsum(per_unit)])
    values = np.repeat(1 / np.maximum(per_unit, 1), per_unit).astype(np.float32)
    return sparse.csr_matrix((values, columns, starts), shape=(len(per_unit), size))
