"""The H&E is one picture however it is cut, and shows what the tissue says."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.simulate.cells import LYMPHOCYTE, Population
from napari_pixelgene.simulate.histology import Histology
from napari_pixelgene.simulate.settings import SimulationSettings


def histology(settings: SimulationSettings) -> Histology:
    return Histology(settings, Population(settings))


@pytest.mark.parametrize("mpp", [0.5, 0.37])
def test_tiles_agree_with_the_whole(small_settings: SimulationSettings, mpp: float) -> None:
    settings = small_settings.replace(he_mpp=mpp)
    whole = histology(settings).render(Tile(Span(300, 700), Span(400, 1000)))
    fresh = histology(settings)
    pieces = [
        [fresh.render(Tile(rows, columns)) for columns in (Span(400, 537), Span(537, 1000))]
        for rows in (Span(300, 433), Span(433, 700))
    ]
    joined = np.concatenate([np.concatenate(row, axis=1) for row in pieces])
    apart = np.abs(joined.astype(int) - whole)
    assert apart.max() <= 1 and (apart > 0).mean() < 1e-3
    assert whole.std() > 20


def test_nuclei_are_dark_and_glass_is_bright(small_settings: SimulationSettings) -> None:
    drawer = histology(small_settings)
    image = drawer.render(Tile(Span(0, 1120), Span(0, 1400))).astype(float)
    cells = drawer.population.within(np.array([20.0, 20.0]), np.array([680.0, 540.0]))
    x, y = np.floor(cells.xy_um[cells.kind == LYMPHOCYTE] / small_settings.he_mpp).astype(int).T
    assert np.median(image[y, x, 0]) < 110
    outside = drawer.population.architecture.inside_um(np.array([[5.0, 5.0], [350.0, 280.0]]))
    assert outside[0] < -5 and image[8:12, 8:12].mean() > 235
    tissue = image[400:700, 400:900].reshape(-1, 3).mean(axis=0)
    assert tissue[0] > tissue[2] > tissue[1] + 10, "pink: red over blue over green"


def test_another_seed_is_another_picture(small_settings: SimulationSettings) -> None:
    tile = Tile(Span(500, 600), Span(500, 600))
    here, other = (histology(small_settings.replace(seed=s)).render(tile) for s in (5, 8))
    assert np.abs(here.astype(int) - other).mean() > 10
