"""Cells: where they are, of which kind, and their outlines, block by block.

A block's cells depend on the seed and the place alone. Nuclei line glands, crowd aggregates and scatter in stroma;
outlines are star-shaped polygons that never cross the middle line to a neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree

from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.simulate.noise import uniform
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.simulate.tissue import Architecture, Fields, Glands

BLOCK_UM = 256.0
VERTICES = 20
EXPANSION_UM = 5.0  # how far a cell reaches beyond its nucleus, as Xenium's segmentation expands
KINDS = ("epithelial", "myoepithelial", "fibroblast", "endothelial", "lymphocyte", "macrophage", "adipocyte")
EPITHELIAL, MYOEPITHELIAL, FIBROBLAST, ENDOTHELIAL, LYMPHOCYTE, MACROPHAGE, ADIPOCYTE = range(7)
# Half axes of an average nucleus in µm, a row a kind.
_HALF_AXES_UM = np.array([[4.9, 3.3], [4.6, 1.5], [6.2, 1.7], [5.2, 1.8], [2.9, 2.7], [4.3, 3.4], [4.0, 1.5]])
_PITCH_UM = 7.5
_NEIGHBOURS = 14
_HALO_UM = 32.0  # twice the farthest a cell reaches
_STROMA, _LINING, _SHAPE = 21, 22, 23


@dataclass(frozen=True, slots=True)
class Seeds:
    """Centres (n, 2) in H&E µm, kinds (n,), and the angle (n,) of the long axis."""

    xy_um: FloatArray
    kind: IntArray
    angle: FloatArray

    def where(self, keep: BoolArray) -> Seeds:
        """Some of them."""
        return Seeds(self.xy_um[keep], self.kind[keep], self.angle[keep])


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells as arrays of one length; outlines (n, VERTICES, 2) run counter-clockwise in (x, y), in H&E µm."""

    xy_um: FloatArray
    kind: IntArray
    angle: FloatArray
    nucleus_um: FloatArray
    cell_um: FloatArray
    tone: FloatArray  # (n,) how dark the nucleus is, about 1
    block: IntArray  # (n, 2) column and row of its block
    index: IntArray  # (n,) place within its block

    def where(self, keep: BoolArray | IntArray) -> Cells:
        """Some of them."""
        return Cells(*(getattr(self, f.name)[keep] for f in fields(self)))

    @classmethod
    def joined(cls, parts: list[Cells]) -> Cells:
        """Several as one."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def parts(self, size: int) -> Iterator[Cells]:
        """Runs of at most `size` cells; one empty run when there are none."""
        for start in range(0, max(len(self), 1), size):
            yield self.where(np.arange(start, min(start + size, len(self))))

    def __len__(self) -> int:
        return len(self.xy_um)


class Population:
    """All cells of a slide, made on demand and remembered a few blocks long."""

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self.architecture = Architecture(settings)
        self.seeds = lru_cache(maxsize=512)(self._seeds)
        self.block = lru_cache(maxsize=512)(self._block)

    @property
    def blocks(self) -> tuple[int, int]:
        """How many columns and rows of blocks the slide has."""
        return int(-(-self.settings.width_um // BLOCK_UM)), int(-(-self.settings.height_um // BLOCK_UM))

    def within(self, low_um: FloatArray, high_um: FloatArray) -> Cells:
        """Cells whose centre lies in the box [low, high) of H&E µm (x, y)."""
        first = np.maximum(np.floor(np.asarray(low_um) / BLOCK_UM), 0).astype(int)
        last = np.minimum(np.ceil(np.asarray(high_um) / BLOCK_UM), self.blocks).astype(int)
        places = [(i, j) for j in range(first[1], last[1]) for i in range(first[0], last[0])]
        found = Cells.joined([self.block(*place) for place in places] or [self.block(0, 0)])
        return found.where(_in_box(found.xy_um, low_um, high_um))

    def _seeds(self, column: int, row: int) -> Seeds:
        """Centres in one block, outlines still to come."""
        low = np.array([column, row]) * BLOCK_UM
        parts = [self._stroma(low), self._lining(low)]
        seeds = Seeds(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Seeds)))
        return seeds.where(_in_box(seeds.xy_um, low, low + BLOCK_UM))

    def _stroma(self, low_um: FloatArray) -> Seeds:
        """Jittered lattice points, thinned to what each place holds."""
        first, last = np.floor(low_um / _PITCH_UM).astype(int), np.ceil((low_um + BLOCK_UM) / _PITCH_UM).astype(int)
        columns, rows = (a.ravel() for a in np.meshgrid(np.arange(first[0], last[0]), np.arange(first[1], last[1])))
        draw = uniform(self.settings.seed, _STROMA, columns[:, None], rows[:, None], np.arange(4))
        xy = (np.stack([columns, rows], axis=1) + 0.06 + 0.88 * draw[:, :2]) * _PITCH_UM
        here = self.architecture.at(xy)
        keep = draw[:, 2] * 1e6 < _density_mm2(here) * _PITCH_UM**2
        here_kind = _stroma_kind(here, draw[:, 3])
        return Seeds(xy[keep], here_kind[keep], self._along_fibres(xy[keep]))

    def _along_fibres(self, xy_um: FloatArray) -> FloatArray:
        """The angle of the fibres at points (n, 2)."""
        ahead = [xy_um + np.array(step) for step in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))]
        depth = self.architecture.depth_um(np.concatenate(ahead))
        phase = self.architecture.fibre_um(np.concatenate(ahead), depth).reshape(4, -1)
        return np.asarray(np.arctan2(phase[2] - phase[3], phase[0] - phase[1]) + np.pi / 2)

    def _lining(self, low_um: FloatArray) -> Seeds:
        """Epithelium in one or two rows along each gland's wall, and flat cells around it."""
        glands = self.architecture.glands_near(low_um, low_um + BLOCK_UM)
        rows = (
            _Row(0, 4.4, 6.4, 1.0, EPITHELIAL),
            _Row(1, 12.0, 7.4, 0.75, EPITHELIAL),
            _Row(2, 0.2, 17.0, 0.7, MYOEPITHELIAL),
            _Row(3, 19.5, 9.0, 0.4, EPITHELIAL),
        )
        parts = [self._lining_row(glands, row) for row in rows]
        return Seeds(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Seeds)))

    def _lining_row(self, glands: Glands, row: _Row) -> Seeds:
        """One row of cells of every gland; those that another gland swallows are left out."""
        count = np.maximum(2 * np.pi * (glands.radius_um - row.depth_um) / row.step_um, 0).astype(int)
        which = np.repeat(np.arange(len(count)), count)
        slot = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        place = glands.place[which]
        draw = uniform(self.settings.seed, _LINING, place[:, :1], place[:, 1:], row.number, slot[:, None], np.arange(3))
        turn = (slot + 0.5 * row.number + 0.5 * (draw[:, 0] - 0.5)) / np.maximum(count[which], 1) * 2 * np.pi
        depth = row.depth_um + (2.6 * (draw[:, 1] - 0.5) if row.kind == EPITHELIAL else 0)
        ray = np.exp(1j * turn)
        away = ray * (glands.outline_um(ray, which) - depth)
        xy = glands.xy_um[which] + np.stack([away.real, away.imag], axis=1)
        kind = np.where((draw[:, 1] < 0.04) & (row.kind == EPITHELIAL), LYMPHOCYTE, row.kind)
        angle = turn + (np.pi / 2 if row.kind == MYOEPITHELIAL else 0)
        seeds = Seeds(xy, kind, angle + 0.5 * (draw[:, 0] - 0.5))
        own = (draw[:, 2] < row.share) & (self.architecture.depth_um(xy) < depth + 0.3)
        return seeds.where(own & (self.architecture.inside_um(xy) > 4) & (depth < glands.wall_um[which] - 3))

    def _block(self, column: int, row: int) -> Cells:
        """The cells of one block with their outlines."""
        seeds = self.seeds(column, row)
        n = len(seeds.xy_um)
        draw = uniform(self.settings.seed, _SHAPE, column, row, np.arange(n)[:, None], np.arange(8))
        block = np.tile(np.array([column, row]), (n, 1))
        if not n:
            empty = np.zeros((0, VERTICES, 2))
            return Cells(seeds.xy_um, seeds.kind, seeds.angle, empty, empty, np.zeros(0), block, np.zeros(0, int))
        grade, gradient = self.architecture.grade(seeds.xy_um), self.architecture.gradient(seeds.xy_um)
        turn = np.arange(VERTICES) * (2 * np.pi / VERTICES)
        nucleus = _nucleus_radius_um(seeds, draw, grade, gradient, turn)
        border = self._border_um(seeds.xy_um, column, row, turn)
        ray = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        inner, outer = np.minimum(nucleus, 0.93 * border), np.minimum(nucleus + EXPANSION_UM, border)
        tone = 1 + 0.12 * (draw[:, 5] - 0.5) + 0.05 * np.where(seeds.kind == EPITHELIAL, grade, 0)
        nuclei, whole = (seeds.xy_um[:, None] + radius[:, :, None] * ray for radius in (inner, outer))
        return Cells(seeds.xy_um, seeds.kind, seeds.angle, nuclei, whole, tone, block, np.arange(n))

    def _border_um(self, xy_um: FloatArray, column: int, row: int, turn: FloatArray) -> FloatArray:
        """Distance from each centre along each ray to the nearest middle line to a neighbour, (n, rays)."""
        around = np.concatenate([self.seeds(column + i, row + j).xy_um for j in (-1, 0, 1) for i in (-1, 0, 1)])
        low = np.array([column, row]) * BLOCK_UM - _HALO_UM
        around = around[_in_box(around, low, low + BLOCK_UM + 2 * _HALO_UM)]
        count = min(_NEIGHBOURS, len(around) - 1)
        if count < 1:
            return np.full((len(xy_um), len(turn)), _HALO_UM)
        _, near = cKDTree(around).query(xy_um, k=count + 1)
        gap = around[near[:, 1:]] - xy_um[:, None]
        cosine = np.einsum("nkd,rd->nkr", gap, np.stack([np.cos(turn), np.sin(turn)], axis=1))
        middle = (gap**2).sum(axis=2)[:, :, None] / 2 / np.where(cosine > 1e-6, cosine, 1e-6)
        return np.asarray(np.minimum(middle.min(axis=1), _HALO_UM))


def _in_box(xy: FloatArray, low: FloatArray, high: FloatArray) -> BoolArray:
    """Which points (n, 2) lie in [low, high)."""
    return np.asarray(((xy >= low) & (xy < high)).all(axis=1))


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of cells along a gland's wall: how deep, how far apart, how complete."""

    number: int
    depth_um: float
    step_um: float
    share: float
    kind: int


def _density_mm2(here: Fields) -> FloatArray:
    """Cells per mm² that are not epithelium."""
    stroma = np.clip(3300 - 550 * here.collagen, 1800, 4800) + 900 * np.exp(-np.abs(here.depth_um + 14) / 8)
    density = stroma * (1 - here.immune) + 10_000 * here.immune
    density = np.where(here.in_fat, np.where(here.septum_um < 2.2, 7000.0, 0.0), density)
    return np.where((here.depth_um > -2.5) | (here.inside_um < 3), 0.0, density)


def _stroma_kind(here: Fields, draw: FloatArray) -> IntArray:
    """Which kind a stromal cell is: `draw` in (0, 1) against the local mixture."""
    immune = np.clip(here.immune, 0, 1)[:, None]
    calm, busy = np.array([0.66, 0.14, 0.09, 0.11]), np.array([0.05, 0.04, 0.82, 0.09])
    limits = np.cumsum(calm * (1 - immune) + busy * immune, axis=1)[:, :-1]
    kind = np.array([FIBROBLAST, ENDOTHELIAL, LYMPHOCYTE, MACROPHAGE])[(draw[:, None] > limits).sum(axis=1)]
    return np.where(here.in_fat, np.where(draw < 0.7, ADIPOCYTE, ENDOTHELIAL), kind)


def _nucleus_radius_um(
    seeds: Seeds, draw: FloatArray, grade: FloatArray, gradient: FloatArray, turn: FloatArray
) -> FloatArray:
    """Radius of each nucleus along each ray: an ellipse with a wobble, larger where the grade is high."""
    spread = 1 + 0.22 * (draw[:, :2] - 0.5)
    atypia = np.where(seeds.kind == EPITHELIAL, 1 + 0.13 * np.clip(grade, -2, 2.5), 1) * (1 + 0.02 * gradient)
    long, short = (_HALF_AXES_UM[seeds.kind] * spread * atypia[:, None]).T[:, :, None]
    phi = turn[None] - seeds.angle[:, None]
    ellipse = long * short / np.hypot(short * np.cos(phi), long * np.sin(phi))
    wobble = 0.05 * np.cos(2 * phi + 6.3 * draw[:, 2:3]) + 0.05 * np.cos(3 * phi + 6.3 * draw[:, 3:4])
    return np.asarray(ellipse * (1 + wobble))
