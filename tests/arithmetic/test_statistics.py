from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.arithmetic.statistics import intraclass_correlation, morans_i

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene" / "evaluation_plots.json"


@pytest.mark.parametrize("case", ["smooth", "smooth_nan", "checker"])
def test_morans_i_is_the_textbooks_and_not_the_originals(case: str) -> None:
    if not VECTORS.exists():
        pytest.skip("the reference vectors are not here")
    vector = json.loads(VECTORS.read_text())["moran"][case]
    grid = np.array(vector["grid"], dtype=float)
    assert morans_i(grid, "row") == pytest.approx(vector["textbook_row_standardised"], abs=1e-9)
    assert morans_i(grid, "binary") == pytest.approx(vector["textbook_binary_weights"], abs=1e-9)
    assert abs(morans_i(grid, "row") - vector["original"]) > 0.05


def test_morans_i_by_hand_with_an_isolated_cell() -> None:
    """1 2 . 9: the 9 has no neighbour; z = -3, -2, 5; only the pair (1, 2) is linked."""
    grid = np.array([[1.0, 2.0, np.nan, 9.0]])
    for weights in ("row", "binary"):
        assert morans_i(grid, weights) == pytest.approx(3 / 2 * (2 * 6) / 38)


def test_what_has_no_neighbours_or_does_not_vary_is_undefined() -> None:
    assert np.isnan(morans_i(np.full((4, 5), 2.0)))
    assert np.isnan(morans_i(np.full((4, 5), np.nan)))
    assert np.isnan(morans_i(np.array([[1.0, np.nan, 2.0]])))


def test_intraclass_correlation_by_hand() -> None:
    """Means 2, 6 and 10: B = 16; inside, 1 2 3 has W = 1, 5 7 has W = 2, and one row alone has none."""
    values = np.array([[2.0], [1], [3], [99], [5], [7], [10]])
    labels = np.array([4, 4, 4, -1, 7, 7, 9])
    np.testing.assert_allclose(intraclass_correlation(values, labels).ravel(), [16 / 17, 16 / 18, 0])
    assert (intraclass_correlation(values, np.zeros(7, int)) == 0).all()


def test_intraclass_correlation_is_the_originals() -> None:
    if not VECTORS.exists():
        pytest.skip("the reference vectors are not here")
    vector = json.loads(VECTORS.read_text())["icc"]
    ours = intraclass_correlation(np.array(vector["pcs"]), np.array(vector["labels"]))
    np.testing.assert_allclose(ours.ravel(), vector["icc_cluster_major"], atol=1e-9)
