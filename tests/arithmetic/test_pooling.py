"""Footprint matrices against a plain loop over every superpixel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.arithmetic import pooling

SHARED = Path(__file__).parents[2].parent / "shared"


def vector(path: str) -> dict[str, Any]:
    file = SHARED / "vectors" / path
    if not file.exists():
        pytest.skip(f"the reference vector {path} is not here")
    return dict(json.loads(file.read_text()))


def brute(xy: Any, side: float, yx_shape: tuple[int, int], holds: Any, tissue: Any = None) -> np.ndarray:
    """One dense row a unit, by looking at every superpixel."""
    out = np.zeros((len(xy), yx_shape[0] * yx_shape[1]))
    for n, (x, y) in enumerate(xy):
        row, column = int(np.floor(y / side + 1e-9)), int(np.floor(x / side + 1e-9))
        if not (0 <= row < yx_shape[0] and 0 <= column < yx_shape[1]):
            continue
        lattice = [(i, j) for i in range(-8, yx_shape[0] + 8) for j in range(-8, yx_shape[1] + 8)]
        held = [(i, j) for i, j in lattice if holds((j + 0.5) * side - x, (i + 0.5) * side - y)] or [(row, column)]
        held = [(i, j) for i, j in held if 0 <= i < yx_shape[0] and 0 <= j < yx_shape[1]]
        held = [at for at in held if tissue is None or tissue[at]]
        for i, j in held:
            out[n, i * yx_shape[1] + j] = 1 / len(held)
    return out


points = st.lists(
    st.tuples(st.floats(-30, 90, allow_nan=False), st.floats(-30, 70, allow_nan=False)), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(points, st.floats(0, 30), st.booleans())
def test_disks_equal_a_loop_over_all_superpixels(xy: Any, radius: float, masked: bool) -> None:
    tissue = np.random.default_rng(3).random((5, 7)) < 0.6 if masked else None
    got = pooling.disk_weights(np.array(xy), radius, 8.0, (5, 7), tissue)
    want = brute(xy, 8.0, (5, 7), lambda dx, dy: dx * dx + dy * dy <= radius * radius, tissue)
    np.testing.assert_allclose(got.toarray(), want, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(points, st.floats(0, 40))
def test_squares_equal_a_loop_over_all_superpixels(xy: Any, side: float) -> None:
    half = side / 2
    got = pooling.square_weights(np.array(xy), side, 8.0, (5, 7))
    want = brute(xy, 8.0, (5, 7), lambda dx, dy: -half <= dx < half and -half <= dy < half)
    np.testing.assert_allclose(got.toarray(), want, atol=1e-7)


def test_squares_side_by_side_share_out_the_lattice() -> None:
    xy = np.array([[16.0 * i + 4, 16.0 * j + 4] for j in range(3) for i in range(4)])  # edges on superpixel centres
    shares = pooling.square_weights(xy, 16.0, 8.0, (6, 8)) > 0
    assert np.asarray(shares.sum(axis=0)).ravel()[: 5 * 8].reshape(5, 8)[:, :7].tolist() == [[1] * 7] * 5


def test_a_point_takes_the_superpixel_it_lies_in_and_corners_belong_below_right() -> None:
    xy = np.array([[0.0, 0.0], [7.999, 8.0], [16.0, 7.999], [24.0, 1.0], [1.0, 16.0], [-0.001, 3.0], [np.nan, 1.0]])
    got = pooling.point_weights(xy, 8.0, (2, 3))
    assert np.diff(got.indptr).tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert got.indices.tolist() == [0, 3, 2]


def test_an_edge_does_not_move_with_the_last_bit_of_a_product() -> None:
    edges_px = np.round(np.arange(3000) * 29.22, 2)
    xy_um = np.stack([edges_px * (8 / 29.22), np.full(3000, 3.0)], axis=1)
    assert (np.floor(xy_um[:, 0] / 8) != np.arange(3000)).any()  # else this shows nothing
    assert pooling.lattice_places(xy_um, 8.0)[:, 1].tolist() == list(range(3000))
    assert pooling.lattice_places(np.array([[7.9999, -0.0001]]), 8.0).tolist() == [[-1.0, 0.0]]


def test_a_tiny_disk_between_centres_takes_its_own_superpixel() -> None:
    got = pooling.disk_weights(np.array([[8.5, 1.0]]), 0.4, 8.0, (2, 3))
    assert got.indices.tolist() == [1]
    assert got.data.tolist() == [1.0]


def test_a_disk_without_tissue_is_an_empty_row() -> None:
    tissue = np.zeros((4, 4), dtype=bool)
    tissue[3, 3] = True
    got = pooling.disk_weights(np.array([[4.0, 4.0], [26.0, 20.0]]), 9.0, 8.0, (4, 4), tissue)
    assert got.toarray().sum(axis=1).tolist() == [0.0, 1.0]
    assert got.indices.tolist() == [15]


def test_a_unit_at_the_border_is_the_mean_of_what_exists() -> None:
    got = pooling.disk_weights(np.array([[0.5, 20.0]]), 12.0, 8.0, (5, 6)).toarray().reshape(5, 6)
    assert got.sum() == pytest.approx(1.0)
    assert np.argwhere(got).tolist() == [[1, 0], [2, 0], [2, 1], [3, 0]]


@pytest.mark.parametrize("chunk", [1, 100, 10_000])
def test_the_answer_does_not_depend_on_the_chunk(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    xy = np.random.default_rng(0).uniform(-10, 170, (57, 2))
    whole = pooling.disk_weights(xy, 27.5, 8.0, (20, 21))
    monkeypatch.setattr(pooling, "_PAIRS", chunk)
    parts = pooling.disk_weights(xy, 27.5, 8.0, (20, 21))
    assert (whole != parts).nnz == 0
    assert parts.has_sorted_indices


def test_no_units_give_no_rows() -> None:
    assert pooling.disk_weights(np.zeros((0, 2)), 5.0, 8.0, (3, 4)).shape == (0, 12)
    assert pooling.footprint_weights("point", 0, np.zeros((0, 2)), 8.0, (3, 4)).shape == (0, 12)


def test_footprints_are_named_by_diameter_and_side() -> None:
    xy = np.array([[40.0, 44.0]])
    assert pooling.footprint_weights("disk", 55.0, xy, 8.0, (11, 11)).nnz == 2 * (7 + 7 + 5)
    assert pooling.footprint_weights("square", 16.0, xy, 8.0, (11, 11)).nnz == 4
    assert pooling.footprint_weights("point", 55.0, xy, 8.0, (11, 11)).nnz == 1


def test_disk_masks_equal_the_originals() -> None:
    for radius, want in vector("pixel2gene/geometry.json")["disk_mask"].items():
        mask = pooling.disk_mask(float(radius))
        assert list(mask.shape) == want["shape"]
        assert int(mask.sum()) == want["n_true"]
    for radius, want in vector("iscale/v03_disk_patches/disk_patches.json")["disks"].items():
        rows = ["".join("01"[int(v)] for v in row) for row in pooling.disk_mask(float(radius))]
        assert rows == want["rows"]


def test_integer_disks_gather_the_originals_patches() -> None:
    want = vector("iscale/v03_disk_patches/disk_patches.json")
    got = pooling.integer_disk_weights(np.array(want["locs_ij"]), want["radius"], tuple(want["image_shape"]))
    assert [part.tolist() for part in np.split(got.indices, got.indptr[1:-1])] == want["patches"]
    one = vector("pixel2gene/model_predict_combine.json")["dataset"]["radius1_on_8x8x2"]
    got = pooling.integer_disk_weights(np.array([one["loc"]]), 1.0, (8, 8))
    features = np.arange(128).reshape(64, 2)
    assert features[got.indices].tolist() == one["x"][0]
    np.testing.assert_allclose((got @ features)[0], np.mean(one["x"][0], axis=0))


def test_an_integer_disk_at_the_border_does_not_raise_as_the_originals_do() -> None:
    got = pooling.integer_disk_weights(np.array([[0, 0], [9, 12], [12, 3]]), 2, (12, 14))
    assert np.diff(got.indptr).tolist() == [6, 12, 0]
    np.testing.assert_allclose(got.toarray().sum(axis=1), [1, 1, 0], atol=1e-6)
