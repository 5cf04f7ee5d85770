"""Merging spots as iSCALE published it: against its numbers, its percolation included, and against brute force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.sites import connected, merged, off_border, site_superpixels
from napari_pixelgene.arithmetic.targets import min_max

FILE = Path(__file__).parents[2].parent / "shared" / "vectors" / "iscale" / "v02_integrate" / "integrate.json"
needs_vectors = pytest.mark.skipif(not FILE.exists(), reason="shared/vectors is not beside the repository")
CASES = ("overlap_small_shift", "half_pitch_shift_chains_rows", "dist_equal_pitch_merges_everything", "no_overlap")


def case(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())[name]
    return found


@needs_vectors
@pytest.mark.parametrize("name", CASES)
def test_sites_are_those_of_the_original(name: str) -> None:
    known = case(name)
    xy = np.array(known["locs_xy"])
    label = connected(xy, known["dist"])
    np.testing.assert_array_equal(label, known["cluster_id"])
    sites = site_superpixels(merged(label, xy), 16)
    shape = (known["image_hw"][0] // 16, known["image_hw"][1] // 16)
    kept = off_border(sites, known["radius_px"] / 16, shape)
    np.testing.assert_array_equal(sites[kept], known["locs_ij_superpixel"])
    counts = merged(label, min_max(np.array(known["cnts"], dtype=float))[0])
    np.testing.assert_allclose(counts[kept], known["cnts_integrated"], atol=1e-6)


@needs_vectors
def test_the_originals_border_filter_keeps_a_site_whose_disk_does_not_fit() -> None:
    known = case("border")
    xy = np.array(known["locs_xy"])
    sites = site_superpixels(merged(connected(xy, known["dist"]), xy), 16)
    kept = off_border(sites, known["radius_px"] / 16, (16, 16))
    np.testing.assert_array_equal(sites[kept], known["locs_ij_superpixel"])
    assert [12, 12] in sites[kept].tolist()  # rows 8 to 16 of 16: where the original then raises


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=24),
    st.sampled_from([0, 1, 1.5, 3]),
)
def test_components_are_those_of_brute_force(points: list[tuple[int, int]], reach: float) -> None:
    xy = np.array(points, dtype=float)
    near = np.linalg.norm(xy[:, None] - xy[None], axis=2) <= reach
    label = connected(xy, reach)
    for _ in range(len(xy)):
        near = near @ near
    np.testing.assert_array_equal(label[:, None] == label[None], near)
    first = [label.tolist().index(i) for i in range(label.max() + 1)]
    assert first == sorted(first)  # numbered as they appear
    means = merged(label, xy)
    for i in range(label.max() + 1):
        np.testing.assert_allclose(means[i], xy[label == i].mean(0))


def test_no_points_are_no_sites() -> None:
    assert connected(np.zeros((0, 2)), 3.0).shape == (0,)


def test_half_a_superpixel_is_rounded_to_even() -> None:
    np.testing.assert_array_equal(site_superpixels(np.array([[8.0, 24.0], [23.9, 40.0]]), 16), [[2, 0], [2, 1]])
