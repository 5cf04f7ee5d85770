"""The architecture of a synthetic tissue: at any point, how deep in a gland, in fat, in a fold or outside it lies.

Everything is a function of a place in H&E µm and the seed, so any tile can be made alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.simulate.noise import LatticeNoise, uniform
from napari_pixelgene.simulate.settings import SimulationSettings

GLAND_PITCH_UM = 170.0
GLAND_REACH_UM = 95.0  # no gland's wall lies farther from its centre
_AGGREGATE_PITCH_UM = 430.0
_ADIPOCYTE_PITCH_UM = 58.0
_FAR_UM = 150.0
# One number a random field, so that no two share a seed.
_OUTLINE, _GLAND, _FAT, _AGGREGATE, _ADIPOCYTE, _COLLAGEN, _GRADE, _GRADIENT, _FIBRE, _FOLD = range(1, 11)


@dataclass(frozen=True, slots=True)
class Glands:
    """Glands in arrays of one length: centres (m, 2) µm, mean radius, wall, and the phases of their wobble (m, 3)."""

    place: IntArray  # (m, 2) column and row of the lattice cell
    xy_um: FloatArray
    radius_um: FloatArray
    wall_um: FloatArray
    phase: FloatArray

    def outline_um(self, direction: FloatArray, which: IntArray | slice = slice(None)) -> FloatArray:
        """Distance from centre to outer wall along unit directions, complex numbers (m, ...)."""
        wobble = np.zeros(direction.shape)
        power = direction
        for k, size in enumerate((0.13, 0.08, 0.05)):
            power = power * direction
            turn = np.exp(1j * self.phase[which, k]).reshape(-1, *[1] * (direction.ndim - 1))
            wobble += size * (power * turn).real
        radius: FloatArray = self.radius_um[which].reshape(-1, *[1] * (direction.ndim - 1)) * (1 + wobble)
        return radius


@dataclass(frozen=True, slots=True)
class Fields:
    """What is at each of n points; lengths in µm, the rest standardised or in 0..1."""

    inside_um: FloatArray  # distance to the tissue's edge, positive in tissue
    depth_um: FloatArray  # depth below the outer wall of the nearest gland, negative in stroma
    wall_um: FloatArray  # thickness of that gland's wall: deeper lies the lumen
    fat: FloatArray  # positive in fat
    septum_um: FloatArray  # distance to the border between two fat cells
    immune: FloatArray  # 0..1, density of a lymphoid aggregate
    collagen: FloatArray  # standardised
    grade: FloatArray  # standardised: how atypical glands are
    gradient: FloatArray  # standardised, slow
    fold: FloatArray  # 0..1

    @property
    def in_fat(self) -> BoolArray:
        """True in fat, which glands and their neighbourhood keep out of."""
        return np.asarray((self.fat > 0) & (self.depth_um < -12))


class Architecture:
    """The tissue as a function of place."""

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        seed = settings.seed
        self._outline = LatticeNoise(seed, _OUTLINE, 260.0)
        self._fat = LatticeNoise(seed, _FAT, 330.0)
        self._collagen = LatticeNoise(seed, _COLLAGEN, 70.0)
        self._grade = LatticeNoise(seed, _GRADE, 130.0)
        self._gradient = LatticeNoise(seed, _GRADIENT, 900.0)
        self._fibre = LatticeNoise(seed, _FIBRE, 95.0)
        self._fold = LatticeNoise(seed, _FOLD, 700.0, channels=2)

    def at(self, xy_um: FloatArray) -> Fields:
        """The fields at points (n, 2) in H&E µm."""
        depth, wall = self._depth(xy_um)
        return Fields(
            self.inside_um(xy_um),
            depth,
            wall,
            self._fat.at(xy_um)[:, 0] - 1.45,
            self._septum(xy_um),
            self.immune(xy_um) * (depth < 0),
            self.collagen(xy_um),
            self.grade(xy_um),
            self.gradient(xy_um),
            self._folds(xy_um),
        )

    def collagen(self, xy_um: FloatArray) -> FloatArray:
        """How dense the stroma's fibres are, standardised."""
        return self._collagen.at(xy_um)[:, 0]

    def grade(self, xy_um: FloatArray) -> FloatArray:
        """How atypical epithelium is, standardised."""
        return self._grade.at(xy_um)[:, 0]

    def gradient(self, xy_um: FloatArray) -> FloatArray:
        """A slow field that stain and nuclear size follow faintly, standardised."""
        return self._gradient.at(xy_um)[:, 0]

    def depth_um(self, xy_um: FloatArray) -> FloatArray:
        """Depth below the outer wall of the nearest gland; negative outside it."""
        return self._depth(xy_um)[0]

    def fibre_um(self, xy_um: FloatArray, depth_um: FloatArray) -> FloatArray:
        """A phase in µm whose level lines are fibres; they run around glands and wander elsewhere."""
        around = 60 * np.tanh(np.minimum(depth_um, 0) / 60)
        drift = xy_um @ np.array([0.45, 0.36])
        return np.asarray(around + drift + 42 * self._fibre.at(xy_um)[:, 0])

    def glands_near(self, low_um: FloatArray, high_um: FloatArray) -> Glands:
        """The glands whose lattice cell touches the box grown by a gland's reach."""
        low = np.floor((low_um - GLAND_REACH_UM) / GLAND_PITCH_UM).astype(np.int64)
        high = np.floor((high_um + GLAND_REACH_UM) / GLAND_PITCH_UM).astype(np.int64) + 1
        columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
        return self._glands(np.stack([columns.ravel(), rows.ravel()], axis=1))

    def _glands(self, place: IntArray) -> Glands:
        """The gland of each lattice cell (m, 2); an empty cell has a radius far below zero."""
        draw = uniform(self.settings.seed, _GLAND, place[:, :1], place[:, 1:], np.arange(8))
        xy = (place + 0.22 + 0.56 * draw[:, :2]) * GLAND_PITCH_UM
        grade = self.grade(xy)
        radius = 35 + 29 * draw[:, 2]
        wall = np.clip(23 + 4 * grade + 8 * draw[:, 3], 17, 40)
        present = (draw[:, 4] < 0.85) & (self._fat.at(xy)[:, 0] < 1.2) & (self.inside_um(xy) > 25)
        return Glands(place, xy, np.where(present, radius, -1e4), wall, draw[:, 5:8] * 2 * np.pi)

    def _depth(self, xy_um: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Depth in the deepest gland and the thickness of its wall, at points (n, 2)."""
        cell = np.floor(xy_um / GLAND_PITCH_UM).astype(np.int64)
        depth, wall = np.full(len(xy_um), -_FAR_UM), np.full(len(xy_um), 20.0)
        if not len(xy_um):
            return depth, wall
        low, span = cell.min(axis=0) - 1, np.ptp(cell, axis=0) + 3
        columns, rows = np.meshgrid(np.arange(span[0]) + low[0], np.arange(span[1]) + low[1])
        glands = self._glands(np.stack([columns.ravel(), rows.ravel()], axis=1))
        for step in np.ndindex(3, 3):
            place = cell - low + np.array(step) - 1
            which = place[:, 1] * span[0] + place[:, 0]
            away = (xy_um - glands.xy_um[which]) @ np.array([1, 1j])
            far = np.abs(away) + 1e-9
            near = np.flatnonzero(glands.radius_um[which] * 1.27 - far > depth)
            here = glands.outline_um(away[near] / far[near], which[near]) - far[near]
            better = here > depth[near]
            depth[near[better]], wall[near[better]] = here[better], glands.wall_um[which[near[better]]]
        return depth, wall

    def inside_um(self, xy_um: FloatArray) -> FloatArray:
        """Distance to the tissue's edge; the margins differ, so that no turn or mirror goes unnoticed."""
        size = np.array([self.settings.width_um, self.settings.height_um])
        unit = max(0.045 * size.min(), 32.0)
        left_top = xy_um - unit * np.array([1.3, 0.7])
        right_bottom = size - unit * np.array([0.6, 1.1]) - xy_um
        # A soft minimum rounds the corners.
        sharp = 1.5 * unit
        sides = np.concatenate([left_top, right_bottom], axis=1) / sharp
        edge = -sharp * np.log(np.exp(-np.clip(sides, -20, 20)).sum(axis=1))
        return np.asarray(edge + 0.6 * unit * self._outline.at(xy_um)[:, 0])

    def immune(self, xy_um: FloatArray, soft_um: float = 8.0) -> FloatArray:
        """Soft discs on a jittered lattice, two in three cells; 0..1."""
        out = np.zeros(len(xy_um))
        for place, draw in self._around(xy_um, _AGGREGATE, _AGGREGATE_PITCH_UM, 4):
            centre = (place + 0.2 + 0.6 * draw[:, :2]) * _AGGREGATE_PITCH_UM
            radius = np.where(draw[:, 2] < 0.62, 38 + 75 * draw[:, 3], -_FAR_UM)
            far = np.hypot(*(xy_um - centre).T)
            out = np.maximum(out, 1 / (1 + np.exp(np.clip((far - radius) / soft_um, -30, 30))))
        return out

    def _septum(self, xy_um: FloatArray) -> FloatArray:
        """Half the difference between the distances to the two nearest fat-cell centres."""
        first, second = np.full(len(xy_um), np.inf), np.full(len(xy_um), np.inf)
        for place, draw in self._around(xy_um, _ADIPOCYTE, _ADIPOCYTE_PITCH_UM, 2):
            far = np.hypot(*(xy_um - (place + 0.15 + 0.7 * draw) * _ADIPOCYTE_PITCH_UM).T)
            second = np.minimum(second, np.maximum(first, far))
            first = np.minimum(first, far)
        return np.asarray((second - first) / 2) if len(xy_um) else first

    def _around(
        self, xy_um: FloatArray, tag: int, pitch_um: float, numbers: int
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """For each of the nine lattice cells at and around every point: its place (n, 2) and its random numbers."""
        if not len(xy_um):
            return
        cell = np.floor(xy_um / pitch_um).astype(np.int64)
        low, span = cell.min(axis=0) - 1, np.ptp(cell, axis=0) + 3
        columns, rows = np.arange(span[0])[None, :, None] + low[0], np.arange(span[1])[:, None, None] + low[1]
        table = uniform(self.settings.seed, tag, columns, rows, np.arange(numbers))
        for step in np.ndindex(3, 3):
            place = cell + np.array(step) - 1
            yield place, table[place[:, 1] - low[1], place[:, 0] - low[0]]

    def _folds(self, xy_um: FloatArray) -> FloatArray:
        """Bands about 40 µm wide along the zero line of a slow field, where a second field allows it."""
        line, allowed = self._fold.at(xy_um).T
        return np.asarray(np.exp(-((line / 0.038) ** 2)) / (1 + np.exp(-(allowed - 0.6) / 0.05)))
