"""Spots as a coarser technology would have measured them, made from counts on the superpixel lattice.

A hexagonal lattice of disks over the measured tissue (Visium: 55 µm every 100 µm); a spot's counts are the sum over
the superpixels whose centre lies in its disk (specs/histex.md section 3, specs/pixel2gene.md section 2.3). Between
and inside the spots the truth is known, superpixel by superpixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from scipy import sparse

from napari_pixelgene.arithmetic.pooling import disk_weights
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray


class SpotSettings(Section):
    """The spots of the technology that is imitated."""

    diameter_um: float = Field(55.0, gt=0, description="Diameter of a spot in µm.")
    pitch_um: float = Field(100.0, gt=0, description="Distance between neighbouring spots in µm.")
    least_covered: float = Field(
        0.5, gt=0, le=1, description="Spots with less than this share of their squares measured are left out."
    )


@dataclass(frozen=True, slots=True)
class PseudoSpots:
    """`xy_um` (n, 2) centres in H&E µm, `counts` (n, genes) CSR, `library` (n,), `pooling` (n, superpixels of the
    grid) with rows that sum to 1 over the measured squares of the disk."""

    xy_um: FloatArray
    counts: sparse.csr_matrix
    library: FloatArray
    pooling: sparse.csr_matrix


def hexagonal_lattice(low_um: FloatArray, high_um: FloatArray, pitch_um: float) -> FloatArray:
    """(n, 2) points of a hexagonal lattice between two corners (x, y); every other row is shifted by half a pitch."""
    step = pitch_um * np.sqrt(3) / 2
    rows = np.arange(low_um[1], high_um[1] + 1e-9, step)
    points = [
        np.column_stack([x := np.arange(low_um[0] + (i % 2) * pitch_um / 2, high_um[0] + 1e-9, pitch_um), x * 0 + y])
        for i, y in enumerate(rows)
    ]
    return np.concatenate(points) if points else np.zeros((0, 2))


def pseudo_spots(
    superpixel: IntArray,
    counts: sparse.csr_matrix,
    library: FloatArray,
    grid: tuple[tuple[int, int], float],
    settings: SpotSettings,
    measured: BoolArray,
) -> PseudoSpots:
    """Spots over bins (n,) at flat indices of a grid (its yx_shape and the side of a superpixel in µm).

    `measured` (rows, columns) tells where something was measured, also where nothing was found. Raises SettingsError
    when no spot is covered well enough.
    """
    yx_shape, side = grid
    rows, columns = np.nonzero(measured)
    inside = np.stack([columns, rows], axis=1) if len(rows) else np.zeros((1, 2))
    radius = settings.diameter_um / 2
    low, high = inside.min(0) * side + radius, (inside.max(0) + 1) * side - radius
    xy = hexagonal_lattice(low, high, settings.pitch_um)
    whole = disk_weights(xy, radius, side, yx_shape).getnnz(axis=1)
    pooling = disk_weights(xy, radius, side, yx_shape, measured)
    kept = pooling.getnnz(axis=1) >= settings.least_covered * whole
    if not kept.any():
        raise SettingsError(
            f"No spot of {settings.diameter_um:g} µm lies on measured tissue.",
            "Use smaller spots, or a larger section.",
        )
    xy, pooling = xy[kept], pooling[kept]
    ones = pooling[:, superpixel].copy()
    ones.data[:] = 1
    return PseudoSpots(xy, sparse.csr_matrix(ones @ counts), np.asarray(ones @ library, dtype=np.float64), pooling)
