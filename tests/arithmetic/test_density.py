"""Where points lie in the picture of their density, and how much of them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.arithmetic import density as module
from napari_pixelgene.arithmetic.density import density


def test_a_point_lies_in_the_pixel_that_holds_it():
    raster, corner = density([(np.array([[-7.5, 21.0], [-7.6, 21.9]]), None)], pixel=2.0)
    row, column = np.argwhere(raster)[0]
    assert raster.sum() == 2 and raster[row, column] == 2
    assert corner[0] + 2 * column == -8.0 and corner[1] + 2 * row == 20.0


def test_weights_are_summed_over_batches_and_kept_by_the_blur(monkeypatch):
    monkeypatch.setattr(module, "_GATHERED", 50)
    rng = np.random.default_rng(3)
    xy, weights = rng.uniform([-40, 900], [160, 960], (500, 2)), rng.uniform(0, 4, 500)
    raster, corner = density([(xy[i : i + 70], weights[i : i + 70]) for i in range(0, 500, 70)], pixel=3.0, blur=6.0)
    assert raster.sum() == pytest.approx(weights.sum(), rel=2e-3)
    rows, columns = np.mgrid[: raster.shape[0], : raster.shape[1]] + 0.5
    centre = [(axis * raster).sum() / raster.sum() * 3.0 + at for axis, at in zip((columns, rows), corner, strict=True)]
    np.testing.assert_allclose(centre, (xy * weights[:, None]).sum(axis=0) / weights.sum(), atol=0.3)
    once = density([(xy, weights)], pixel=3.0, blur=6.0)[0]
    np.testing.assert_allclose(raster, once, rtol=1e-5, atol=1e-6)


def test_no_points_are_one_dark_pixel():
    raster, corner = density([(np.zeros((0, 2)), None)], pixel=2.0)
    assert raster.shape == (1, 1) and raster[0, 0] == 0 and corner == (0.0, 0.0)
    assert density([], pixel=2.0)[0].shape == (1, 1)
