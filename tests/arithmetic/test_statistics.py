from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.arithmetic.statistics import morans_i

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
