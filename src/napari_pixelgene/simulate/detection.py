"""What the instrument sees: which cells lie in the run, their numbers, and their outlines on the stage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.simulate.cells import BLOCK_UM, Cells, Population
from napari_pixelgene.simulate.placement import morphology_shape, morphology_to_um
from napari_pixelgene.simulate.settings import SimulationSettings

_CELL_REACH_UM = 26.0


@dataclass(frozen=True, slots=True)
class Detection:
    """The run over a population. `first` (rows, columns) is the number of the first detected cell of each block."""

    settings: SimulationSettings
    population: Population
    um_to_morphology: Transform
    first: IntArray
    count: int

    @classmethod
    def of(cls, settings: SimulationSettings, population: Population) -> Detection:
        """Number the detected cells, block after block, row by row."""
        um_to_morphology = morphology_to_um(settings).inverse()
        bare = cls(settings, population, um_to_morphology, np.zeros((0, 0), dtype=np.int64), 0)
        columns, rows = population.blocks
        counts = np.array([[int(bare.seen(population.block(i, j)).sum()) for i in range(columns)] for j in range(rows)])
        first = np.cumsum(counts).reshape(counts.shape) - counts
        return cls(settings, population, um_to_morphology, first, int(counts.sum()))

    def seen(self, cells: Cells) -> BoolArray:
        """Which cells lie wholly in the run, (n,)."""
        size = np.array(morphology_shape(self.settings))[::-1]
        if not len(cells):
            return np.zeros(0, dtype=bool)
        outline = self.um_to_morphology.apply(cells.cell_um.reshape(-1, 2)).reshape(cells.cell_um.shape)
        return np.asarray(((outline > 1) & (outline < size - 1)).all(axis=(1, 2)))

    def number(self, cells: Cells) -> IntArray:
        """The number (n,) of each cell in the run's tables from 0 on, -1 for a cell outside the run."""
        number = np.full(len(cells), -1, dtype=np.int64)
        seen = self.seen(cells)
        key = cells.block[:, 1] * self.population.blocks[0] + cells.block[:, 0]
        for block in np.unique(key):
            members = np.flatnonzero(key == block)
            row, column = divmod(int(block), self.population.blocks[0])
            whole = self.seen(self.population.block(column, row))
            rank = np.cumsum(whole) - 1 + self.first[row, column]
            number[members] = np.where(seen[members], rank[cells.index[members]], -1)
        return number

    def block_cells(self, column: int, row: int) -> Cells:
        """The detected cells of one block, in the order of their numbers."""
        cells = self.population.block(column, row)
        return cells.where(self.seen(cells))

    def near(self, low_px: FloatArray, high_px: FloatArray) -> tuple[Cells, IntArray]:
        """Detected cells that may touch a box of morphology pixels, and their numbers."""
        corners = np.array([[x, y] for x in (low_px[0], high_px[0]) for y in (low_px[1], high_px[1])], dtype=float)
        corners_um = self.um_to_morphology.inverse().apply(corners)
        low, high = corners_um.min(axis=0) - _CELL_REACH_UM, corners_um.max(axis=0) + _CELL_REACH_UM
        cells = self.population.within(low, high)
        number = self.number(cells)
        return cells.where(number >= 0), number[number >= 0]

    def touches(self, column: int, row: int) -> bool:
        """Whether a block may lie in the run."""
        steps = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5]])
        place = self.um_to_morphology.apply((np.array([column, row]) + steps) * BLOCK_UM)
        size = np.array(morphology_shape(self.settings))[::-1]
        return bool(((place.max(axis=0) > 0) & (place.min(axis=0) < size)).all())
