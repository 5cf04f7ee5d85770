"""Box means: the original's where it is right, no drift, true borders and holes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.smoothing import box_means

SMOOTH = Path(__file__).parents[2].parent / "shared" / "vectors" / "iscale" / "v05_smooth" / "smooth.json"
needs_vectors = pytest.mark.skipif(not SMOOTH.exists(), reason="shared/vectors is not beside the repository")


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), side=st.sampled_from([1, 3, 5, 17]), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_means_by_hand(rows: int, columns: int, side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, there = rng.normal(size=(rows, columns, 2)), rng.random((rows, columns)) < 0.7
    values[~there] = np.nan
    got, reach = box_means(values, there, side), side // 2
    for r, c in np.ndindex(rows, columns):
        window = slice(max(r - reach, 0), r + reach + 1), slice(max(c - reach, 0), c + reach + 1)
        if there[r, c]:
            np.testing.assert_allclose(got[r, c], values[window][there[window]].mean(0), rtol=1e-5, atol=1e-6)
        else:
            assert np.isnan(got[r, c]).all()


@needs_vectors
def test_a_window_of_three_is_the_originals_inside() -> None:
    """At the border theirs counts the outermost cell twice, ours what lies inside."""
    known = json.loads(SMOOTH.read_text())
    x = np.array(known["x"])
    ours = box_means(x[..., None], np.ones(x.shape, bool), 3)[..., 0]
    theirs = np.array(known["uniform3"])
    np.testing.assert_allclose(ours[1:-1, 1:-1], theirs[1:-1, 1:-1], atol=1e-6)
    assert ours[0, 0] == pytest.approx(x[:2, :2].mean()) and theirs[0, 0] != pytest.approx(x[:2, :2].mean(), abs=1e-3)


@needs_vectors
def test_windows_of_16_and_4_drift_where_ours_of_17_and_5_do_not() -> None:
    """Theirs reach from 8 before to 7 after, from 2 before to 1 after: half a superpixel to the upper left."""
    known = json.loads(SMOOTH.read_text())
    for name, source, side in (("uniform4", "x", 4), ("big_uniform16", "big", 16)):
        x, theirs = np.array(known[source]), np.array(known[name])
        mirrored = np.pad(x, side, mode="symmetric")
        r, c = x.shape[0] // 2, x.shape[1] // 2
        low, high = side - side // 2, side + side // 2
        assert mirrored[r + low : r + high, c + low : c + high].mean() == pytest.approx(theirs[r, c], abs=1e-6)
        ours = box_means(x[..., None], np.ones(x.shape, bool), side + 1)[..., 0]
        assert abs(ours[r, c] - theirs[r, c]) > 1e-4
    impulse = np.zeros((11, 11, 1))
    impulse[5, 5] = 25
    seen = np.argwhere(box_means(impulse, np.ones((11, 11), bool), 5)[..., 0] == 1)
    assert seen.min(0).tolist() == [3, 3] and seen.max(0).tolist() == [7, 7]


@needs_vectors
def test_nothing_is_painted_into_a_hole_where_the_original_blurs_over_it() -> None:
    """On purpose: no Gaussian, and no inpainting before it. What is not there counts for nothing, and stays away.

    The original's blur is recorded for the first column alone, where its painted hole shows nowhere.
    """
    known = json.loads(SMOOTH.read_text())
    assert known["gauss2"] == known["gauss2_nan"] and len(known["gauss8"]) == len(known["gauss2"]) == 9
    x, holed = np.array(known["x"]), np.array(known["x_nan"], dtype=float)
    there = np.isfinite(holed)
    ours = box_means(holed[..., None], there, 3)[..., 0]
    whole = box_means(x[..., None], np.ones(x.shape, bool), 3)[..., 0]
    assert (np.isfinite(ours) == there).all() and not there.all()
    far = np.ones(x.shape, bool)
    for row, column in np.argwhere(~there):
        far[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = False
    np.testing.assert_allclose(ours[far], whole[far], atol=1e-6)
    near = there & ~far
    assert np.abs(ours - whole)[near].min() > 1e-4
    row, column = np.argwhere(near)[0]
    window = holed[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    assert ours[row, column] == pytest.approx(np.nanmean(window), abs=1e-6)


def test_an_even_window_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="has no middle"):
        box_means(np.zeros((3, 3, 1)), np.ones((3, 3), bool), 4)
