from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.stages.pseudo_spots import SpotSettings, hexagonal_lattice, pseudo_spots

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "histex" / "pseudo_visium.npz"


def bins(yx_shape: tuple[int, int], genes: int = 3):
    rng = np.random.default_rng(4)
    table = rng.poisson(2.0, size=(yx_shape[0] * yx_shape[1], genes))
    measured = np.zeros(yx_shape, bool)
    measured[5:70, 8:95] = True
    table[~measured.ravel()] = 0
    at = np.flatnonzero(table.sum(1))
    return at, sparse.csr_matrix(table[at]), table.sum(1)[at] + 1.0, measured, table.reshape(*yx_shape, genes)


def test_a_spot_sums_the_squares_under_its_disk() -> None:
    shape = (80, 100)
    at, counts, library, measured, table = bins(shape)
    spots = pseudo_spots(at, counts, library, (shape, 8.0), SpotSettings(), measured)
    y, x = np.mgrid[: shape[0], : shape[1]] * 8.0 + 4
    for i in (0, 7, len(spots.xy_um) - 1):
        disk = (np.hypot(x - spots.xy_um[i, 0], y - spots.xy_um[i, 1]) <= 27.5) & measured
        np.testing.assert_array_equal(spots.counts[i].toarray().ravel(), table[disk].sum(0))
        assert spots.library[i] == table[disk].sum() + (table[disk].sum(-1) > 0).sum()
        assert spots.pooling[i].sum() == pytest.approx(1) and spots.pooling[i].getnnz() == disk.sum()
    inside = (spots.xy_um >= [8 * 8, 5 * 8]) & (spots.xy_um <= [95 * 8, 70 * 8])
    assert inside.all() and 25 < len(spots.xy_um) < 60


def test_neighbours_are_a_pitch_away_in_six_directions() -> None:
    xy = hexagonal_lattice(np.array([30.0, 50]), np.array([1030.0, 950]), 100)
    away = np.hypot(*(xy[:, None] - xy).transpose(2, 0, 1))
    np.fill_diagonal(away, np.inf)
    middle = np.hypot(*(xy - [530, 500]).T) < 300
    assert away.min() == pytest.approx(100) and ((away[middle] < 100.01).sum(1) == 6).all()


def test_spots_sum_up_as_the_originals_do_where_centres_meet() -> None:
    """The original rounds a spot to its superpixel and takes 37 around it; a disk centred there takes the same."""
    if not VECTORS.exists():
        pytest.skip("the reference vectors are not here")
    vector = np.load(VECTORS)
    genes = np.maximum(vector["genes"], 0).astype(int)
    shape = genes.shape[:2]
    flat = genes.reshape(-1, genes.shape[2])
    from napari_pixelgene.arithmetic.pooling import integer_disk_weights

    place = np.rint(vector["locs_xy"][:, ::-1] / 16).astype(int)
    weights = integer_disk_weights(place, float(vector["radius"]), shape)
    weights.data[:] = 1
    np.testing.assert_array_equal(weights @ flat, vector["cnts"])
    centre = (place[:, ::-1] + 0.5) * 8
    from napari_pixelgene.arithmetic.pooling import disk_weights

    np.testing.assert_array_equal((disk_weights(centre, 27.5, 8.0, shape) > 0).indices, (weights > 0).indices)


def test_a_place_too_small_for_a_spot_is_told() -> None:
    at, counts, library, measured, _ = bins((80, 100))
    measured[:] = False
    with pytest.raises(SettingsError, match="No spot of 55 µm"):
        pseudo_spots(at, counts, library, ((80, 100), 8.0), SpotSettings(), measured)
