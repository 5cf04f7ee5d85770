"""Where the run lies on the slide: the true transform, and keypoints a person might have clicked."""

from __future__ import annotations

import numpy as np

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.simulate.noise import uniform
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP, SimulationSettings

_SHRINKAGE = 1.006  # the slide was stained after the run and swelled a little
_KEYPOINTS = 41
KEYPOINT_COUNT = 12


def morphology_shape(settings: SimulationSettings) -> tuple[int, int]:
    """(rows, columns) of the morphology image's level 0; a quarter turn swaps the slide's sides."""
    sides = np.array([settings.height_um, settings.width_um]) * settings.measured / MORPHOLOGY_MPP / _SHRINKAGE
    turned = abs(np.sin(np.deg2rad(settings.rotation_deg))) > np.sqrt(0.5)
    rows, columns = (round(float(side)) for side in (sides[::-1] if turned else sides))
    return rows, columns


def morphology_to_he(settings: SimulationSettings) -> Transform:
    """The true projective transform from morphology to H&E pixels."""
    rows, columns = morphology_shape(settings)
    centre_um = np.array([0.51 * settings.width_um, 0.493 * settings.height_um])
    angle, scale = np.deg2rad(settings.rotation_deg), MORPHOLOGY_MPP * _SHRINKAGE / settings.he_mpp
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    bend = np.eye(3)
    bend[2, :2] = settings.perspective / max(settings.he_shape) * np.array([1.0, -0.6])
    to_centre, from_centre = _shift(*(centre_um / settings.he_mpp)), _shift(-columns / 2, -rows / 2)
    matrix = to_centre @ bend @ turn @ from_centre
    return Transform(matrix / matrix[2, 2], "morphology_px", "he_px")


def morphology_to_um(settings: SimulationSettings) -> Transform:
    """The same in H&E µm, the frame the tissue lives in."""
    matrix = np.diag([settings.he_mpp, settings.he_mpp, 1.0]) @ morphology_to_he(settings).matrix
    return Transform(matrix, "morphology_px", "he_um")


def _shift(x: float, y: float) -> FloatArray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def exact_keypoints(settings: SimulationSettings, candidates_um: FloatArray) -> Keypoints:
    """Twelve of the candidate spots (n, 2) in H&E µm, spread over the run without symmetry, in both images' pixels."""
    shape = np.array(morphology_shape(settings))[::-1]
    he_to_morphology = morphology_to_um(settings).inverse()
    place = he_to_morphology.apply(candidates_um) / shape
    places = place[((place > 0.03) & (place < 0.97)).all(axis=1)]
    spots = candidates_um[((place > 0.03) & (place < 0.97)).all(axis=1)]
    columns, rows = np.meshgrid(np.array([0.12, 0.37, 0.61, 0.9]), np.array([0.1, 0.55, 0.86]))
    wanted = np.stack([columns.ravel(), rows.ravel()], axis=1)
    wanted = wanted + 0.07 * (uniform(settings.seed, _KEYPOINTS, np.arange(12)[:, None], np.arange(2)) - 0.5)
    near = np.array([np.argmin(((places - w) ** 2).sum(axis=1)) for w in wanted], dtype=np.int64)
    spots = spots[np.unique(near)]
    return Keypoints(he_to_morphology.apply(spots), spots / settings.he_mpp)


def clicked(exact: Keypoints, settings: SimulationSettings) -> Keypoints:
    """The same pairs with the error of a hand in both images."""
    rng = np.random.default_rng([settings.seed, _KEYPOINTS])
    moving, fixed = rng.normal(0, settings.click_sd_um, (2, len(exact), 2))
    return Keypoints(exact.moving_xy + moving / MORPHOLOGY_MPP, exact.fixed_xy + fixed / settings.he_mpp)
