"""Cells agree between blocks, and their outlines never overlap."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.simulate.cells import BLOCK_UM, EPITHELIAL, FIBROBLAST, KINDS, Population
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.simulate.transcripts import within_outline


@pytest.fixture(scope="module")
def population(small_settings: SimulationSettings) -> Population:
    return Population(small_settings)


def test_a_box_holds_the_cells_of_its_halves(population: Population) -> None:
    whole = population.within(np.array([40.0, 90.0]), np.array([620.0, 500.0]))
    left = population.within(np.array([40.0, 90.0]), np.array([333.3, 500.0]))
    right = population.within(np.array([333.3, 90.0]), np.array([620.0, 500.0]))
    assert len(whole) == len(left) + len(right) > 800
    both = np.concatenate([left.xy_um, right.xy_um])
    np.testing.assert_array_equal(whole.xy_um[np.lexsort(whole.xy_um.T)], both[np.lexsort(both.T)])


def test_blocks_do_not_depend_on_the_order_they_are_asked_in(small_settings: SimulationSettings) -> None:
    forward, backward = Population(small_settings), Population(small_settings)
    for place in ((0, 0), (1, 0), (1, 1)):
        forward.block(*place)
    for place in ((1, 1), (1, 0), (0, 0)):
        np.testing.assert_array_equal(backward.block(*place).cell_um, forward.block(*place).cell_um)
    assert (forward.block(1, 1).xy_um >= BLOCK_UM).all()


def test_outlines_hold_their_centre_and_no_point_of_a_neighbour(population: Population) -> None:
    cells = population.within(np.array([100.0, 100.0]), np.array([500.0, 400.0]))
    for i in range(0, len(cells), 17):
        far = np.hypot(*(cells.xy_um - cells.xy_um[i]).T)
        near = np.flatnonzero((far < 30) & (far > 0))
        corners = cells.cell_um[near].reshape(-1, 2) - cells.xy_um[i]
        own = (cells.cell_um - cells.xy_um[:, None])[[i]]
        assert within_outline(own, np.zeros(len(corners), dtype=int), corners).max(initial=-1) < 0.3
    nucleus = cells.nucleus_um - cells.xy_um[:, None]
    cell = cells.cell_um - cells.xy_um[:, None]
    assert (np.hypot(*np.moveaxis(nucleus, -1, 0)) < np.hypot(*np.moveaxis(cell, -1, 0))).all()


def test_all_kinds_occur_and_look_different(population: Population) -> None:
    cells = population.within(np.zeros(2), np.array([700.0, 560.0]))
    assert (np.bincount(cells.kind, minlength=len(KINDS)) > 10).all()
    radius = np.hypot(*np.moveaxis(cells.nucleus_um - cells.xy_um[:, None], -1, 0))
    slender = radius.max(axis=1) / radius.min(axis=1)
    assert np.median(slender[cells.kind == FIBROBLAST]) > 2 > np.median(slender[cells.kind == EPITHELIAL])


def test_another_seed_is_another_tissue(small_settings: SimulationSettings) -> None:
    other = Population(small_settings.replace(seed=6)).block(1, 1).xy_um
    here = Population(small_settings).block(1, 1).xy_um
    assert other.shape != here.shape or not np.allclose(other, here)
