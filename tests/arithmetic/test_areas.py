"""Counts of blocks and outlines out of counts a square: the originals' numbers, nothing lost, nothing counted twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.areas import block_sums, covered_shares, pixels_inside

FOLDER = Path(__file__).parents[2].parent / "shared" / "vectors"
needs_vectors = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/vectors is not beside the repository")


@needs_vectors
def test_maps_summed_over_blocks_are_the_originals() -> None:
    pool = json.loads((FOLDER / "pixel2gene/evaluation_plots.json").read_text())["pool"]
    assert block_sums(np.array(pool["in_"]), 2).tolist() == pool["sum2"]
    v = json.loads((FOLDER / "iscale/v11_merge/merge.json").read_text())
    maps = np.stack([np.array(v["GA"]), 10 * np.array(v["GA"])])  # genes on the first axis here, on the last there
    assert np.moveaxis(block_sums(maps, 2), 0, -1).tolist() == v["factor2"]
    assert np.moveaxis(block_sums(maps, 1), 0, -1).shape == tuple(v["factor1_shape"])
    np.testing.assert_array_equal(block_sums(maps, 1), maps)


@needs_vectors
def test_cells_out_of_maps_are_the_originals() -> None:
    v = json.loads((FOLDER / "iscale/v21_cells/cells.json").read_text())
    pixels = [np.array(cell, dtype=int) for cell in v["pixel_indices"]]
    squares = np.array(v["matrix"], dtype=float)
    shares = covered_shares(pixels, v["factor"], squares.shape)
    for row, known in enumerate(v["weights"]):
        own = shares[row].tocoo()
        assert [list(divmod(int(flat), 4)) for flat in own.col] == known["cells"]
        np.testing.assert_allclose(own.data, known["weight"], atol=1e-7)
    np.testing.assert_allclose(shares @ np.nan_to_num(squares).ravel(), v["aggregated"], atol=1e-6)


def test_background_adds_nothing_and_the_rim_is_what_is_there() -> None:
    values = np.array([[1.0, np.nan, np.nan], [3.0, 4.0, np.nan], [5.0, 6.0, 7.0]])
    np.testing.assert_array_equal(block_sums(values, 2), [[8.0, np.nan], [11.0, 7.0]])


@given(rows=st.integers(1, 20), columns=st.integers(1, 20), factor=st.integers(1, 8), seed=st.integers(0, 99))
def test_blocks_lose_nothing(rows: int, columns: int, factor: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((2, rows, columns))
    sums = block_sums(values, factor)
    assert sums.shape == (2, -(-rows // factor), -(-columns // factor))
    np.testing.assert_allclose(sums.sum((1, 2)), values.sum((1, 2)))


@given(
    left=st.floats(0, 40), top=st.floats(0, 40), width=st.floats(2, 50), height=st.floats(2, 50),
    factor=st.sampled_from([4, 16]),
)  # fmt: skip
def test_an_outline_covers_its_area(left: float, top: float, width: float, height: float, factor: int) -> None:
    """Two rectangles that share an edge cover together what both cover, to a row of pixels."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [width, height] + [left, top]
    pixels = pixels_inside(corners, (3200, 3200))
    assert abs(len(pixels) - width * height) <= 2 * (width + height) + 4
    shares = covered_shares([pixels], factor, (200, 200))
    assert shares.sum() * factor**2 == pytest.approx(len(pixels), rel=1e-5)
    middle = pixels.mean(0) + 0.5
    assert abs(middle[1] - (left + width / 2)) <= 0.51 and abs(middle[0] - (top + height / 2)) <= 0.51


def test_pixels_are_those_whose_centre_lies_inside() -> None:
    assert pixels_inside(np.array([[1.2, 0.4], [3.6, 0.4], [3.6, 2.6], [1.2, 2.6]]), (9, 9)).tolist() == [
        [r, c] for r in (0, 1, 2) for c in (1, 2, 3)
    ]
    left_of = np.array([[-3.0, 0.0], [1.4, 0.0], [1.4, 1.4], [-3.0, 1.4]])
    assert pixels_inside(left_of, (9, 9)).tolist() == [[0, 0]]
    assert covered_shares([np.array([[5, 5]])], 2, (2, 2)).nnz == 0
