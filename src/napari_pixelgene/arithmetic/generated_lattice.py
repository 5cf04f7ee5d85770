"""Four times as many positions as were measured: copies of a lattice at half its steps (specs/histosge.md section 2.5).

Of a staggered array (Visium) the copies lie half a pitch along the row and at the middles towards the row below; of a
square one at the middles of its sides and of its squares. The pitch and the turn of the array on the slide are found
from the units themselves, so that nothing is in pixels of one image. The published further offsets for eight times as
many fall onto these positions again and are not offered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_pixelgene.errors import InputError

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]
# Columns count half pitches on a staggered array, as its files do.
STAGGERED = np.array([(0, 0), (1, 0), (0.5, 0.5), (-0.5, 0.5)], dtype=np.float64)
SQUARE = np.array([(0, 0), (0, 0.5), (0.5, 0), (0.5, 0.5)], dtype=np.float64)
# Neighbours are at most so many pitches away; a lattice has most of them in its own directions.
_NEIGHBOUR, _ORDERED = 1.25, 0.6


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How units lie: `pitch` between neighbours, `turn` of their rows in radians, `staggered` or square."""

    pitch: float
    turn: float
    staggered: bool

    def steps(self) -> FloatArray:
        """(4, 2) offsets (x, y) of the copies; the first is 0."""
        wide, high = (0.5, np.sqrt(3) / 2) if self.staggered else (1.0, 1.0)
        plain = (STAGGERED if self.staggered else SQUARE) * np.array([wide, high]) * self.pitch
        c, s = np.cos(self.turn), np.sin(self.turn)
        out: FloatArray = plain @ np.array([[c, s], [-s, c]])
        return out


def arrangement(xy: FloatArray) -> Arrangement:
    """Find it from positions (n, 2). Raises InputError for units that lie on no lattice, as cells do."""
    xy = np.asarray(xy, dtype=np.float64)
    if len(xy) < 4:
        raise InputError(f"{len(xy)} units tell no lattice.", "A denser lattice needs at least four spots.")
    tree = cKDTree(xy)
    pitch = float(np.median(tree.query(xy, k=2)[0][:, 1]))
    pairs = tree.query_pairs(_NEIGHBOUR * pitch, output_type="ndarray")
    away = xy[pairs[:, 1]] - xy[pairs[:, 0]]
    angle = np.arctan2(away[:, 1], away[:, 0])
    six, four = (np.exp(1j * fold * angle).mean() for fold in (6, 4))
    staggered = bool(abs(six) >= abs(four))
    found, fold = (six, 6) if staggered else (four, 4)
    if abs(found) < _ORDERED:
        raise InputError(
            "The units lie on no lattice, so there is none that could be made denser.",
            "Ask for maps: they have an answer every 8 µm.",
        )
    pitch = float(np.linalg.norm(away, axis=1).mean())
    return Arrangement(pitch, float(np.angle(found)) / fold, staggered)


def copies(places: FloatArray, steps: FloatArray) -> FloatArray:
    """(steps · n, 2): all places (n, 2) at the first step, then at the next, as published."""
    out: FloatArray = (np.asarray(steps)[:, None] + np.asarray(places, dtype=np.float64)[None]).reshape(-1, 2)
    return out


def generated(xy: FloatArray) -> tuple[FloatArray, IntArray]:
    """(4n, 2) positions of a lattice twice as dense either way, and (4n,) which unit each is a copy of."""
    steps = arrangement(xy).steps()
    return copies(xy, steps), np.tile(np.arange(len(xy)), len(steps))
