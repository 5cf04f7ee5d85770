"""Both images show the same nuclei where the truth says they are, also mirrored, bent and thinned."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.simulate.pair import SimulatedPair, Wear, simulate_pair
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP, SimulationSettings
from napari_pixelgene.stages.matching import match_places

SETTINGS = SimulationSettings(
    width_um=620, height_um=480, genes=8, hidden_genes=2, seed=21, rotation_deg=-37, perspective=0.03
)


@pytest.fixture(scope="module")
def worn() -> SimulatedPair:
    return simulate_pair(SETTINGS, Wear(lost=0.3, blur_um=0.8, bend_um=5.0, mirrored=True))


def test_what_matching_sees_is_what_was_bent(worn: SimulatedPair) -> None:
    """Through the true matrix, which knows nothing of the bend, the nuclei lie off by the bend, place by place."""
    straight, mpp = worn.straight(), SETTINGS.he_mpp
    places = np.stack(np.meshgrid([160.0, 310, 460], [150.0, 240, 330]), -1).reshape(-1, 2)
    found = match_places(worn.he, worn.morphology, straight, places)
    assert found.clear.sum() >= 6
    # What the fixed image shows at a place, the moving one shows where the straight transform draws its true origin.
    drawn = straight.apply(found.moving_px[found.clear]) * mpp
    truly = worn.true_xy(found.moving_px[found.clear]) * mpp
    assert np.linalg.norm(truly - places[found.clear], axis=1).max() < 1.5
    assert np.linalg.norm(truly - drawn, axis=1).max() > 3


def test_the_mirror_changes_handedness(worn: SimulatedPair) -> None:
    plain = SimulatedPair(SETTINGS, Wear(), worn.he, worn.morphology).straight()
    assert np.sign(np.linalg.det(worn.straight().matrix)) == -np.sign(np.linalg.det(plain.matrix))


def test_wear_takes_nuclei_away(worn: SimulatedPair) -> None:
    """Unworn it is the same tissue with more of it to see; the H&E does not change."""
    fresh = simulate_pair(SETTINGS)
    assert (fresh.he.levels[0] == worn.he.levels[0]).all()
    bright = [float((image.morphology.levels[0][:] > 800).mean()) for image in (fresh, worn)]
    assert 0.4 * bright[0] < bright[1] < 0.85 * bright[0]
    xy = np.array([[300.0, 500.0], [1500.0, 900.0]])
    assert fresh.true_xy(xy) == pytest.approx(fresh.straight().apply(xy))
    assert fresh.morphology.mpp == MORPHOLOGY_MPP
