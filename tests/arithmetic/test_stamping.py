"""Disks and squares on a raster, against every pixel asked by itself."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.arithmetic import stamping
from napari_pixelgene.arithmetic.stamping import NOBODY, stamp


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("size", [0.3, 7.0, 11.4])
def test_each_pixel_has_the_nearest_that_covers_it(square: bool, size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamping, "_AT_ONCE", 700)  # several batches
    xy = np.random.default_rng(4).uniform([-3, -2], [64, 43], (40, 2))
    found = stamp(xy, size, (41, 60), square)
    rows, columns = np.mgrid[:41, :60] + 0.5
    off = np.abs(np.stack([columns.ravel(), rows.ravel()], axis=1)[:, None] - xy[None])
    far = off.max(axis=2) if square else np.hypot(off[..., 0], off[..., 1])
    covered = (far <= size / 2).any(axis=1).reshape(41, 60)
    wanted = np.where(far <= size / 2, far, np.inf).argmin(axis=1).reshape(41, 60)
    np.testing.assert_array_equal(found[covered], wanted[covered])
    homes = {(int(y), int(x)) for x, y in np.floor(xy) if 0 <= y < 41 and 0 <= x < 60}
    assert set(zip(*np.nonzero((found != NOBODY) & ~covered), strict=True)) <= homes
    assert all(found[home] != NOBODY for home in homes)
