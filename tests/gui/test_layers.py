"""Layer tuples without a window: numbers, laziness, contrast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from guarded import GuardedArray
from napari_pixelgene.elements.expression import Expression
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.gui.layers import (
    KEY,
    Plane,
    Strided,
    first_gene,
    gene_levels,
    he_layer,
    map_layer,
    measured_layer,
    morphology_layer,
    percentile_limits,
)

HERE = Path("a.section.zarr")


def expression() -> Expression:
    fine = (np.arange(3 * 300 * 210).reshape(3, 300, 210) % 997).astype(np.float16)
    levels = (fine, fine[:, ::2, ::2])
    contrast = np.array([[0, 3], [2, 9], [8, 12]], dtype=np.float32)
    return Expression(levels, GeneTable(("A", "B", "C")), 8.0, contrast, np.zeros((300, 210), np.uint8), "first")


def test_a_layer_lies_in_micrometres_with_its_outer_corner_at_zero():
    he = Image((np.zeros((40, 60, 3), np.uint8),), 0.274)
    for (_, says, _), pixel in (
        (he_layer(he, HERE), 0.274),
        (morphology_layer(Image((np.ones((40, 60), np.uint16),), 0.3, None, "DAPI"), HERE, "run"), 0.3),
        (map_layer(expression(), "B", HERE), 8.0),
        (measured_layer(expression(), HERE), 8.0),
    ):
        assert says["scale"] == (pixel, pixel) and says["units"] == ("µm", "µm")
        assert np.array(says["translate"]) - np.array(says["scale"]) / 2 == pytest.approx(0)
        assert says["multiscale"] and says["metadata"][KEY]["section"] == "a.section.zarr"


def test_a_map_layer_says_what_it_shows():
    levels, says, kind = map_layer(expression(), "B", HERE)
    assert kind == "image" and says["name"] == "B (predicted)" and says["contrast_limits"] == (2.0, 9.0)
    assert says["metadata"][KEY] == {
        "role": "map",
        "section": "a.section.zarr",
        "run": "first",
        "gene": "B",
        "unit": "expected counts per 8 µm square",
    }
    assert [level.shape for level in levels] == [(300, 210), (150, 105)]
    with pytest.raises(SettingsError, match="no gene named 'D'"):
        map_layer(expression(), "D", HERE)


def test_a_plane_reads_its_gene_and_only_what_is_asked_for():
    source = np.random.default_rng(0).random((3, 500, 400)).astype(np.float16)
    asked = []

    class Watched:
        shape, dtype, chunks = source.shape, source.dtype, (1, 64, 32)

        def __getitem__(self, key):
            asked.append(key)
            return source[key]

    plane = Plane(Watched(), 2)
    assert plane.dtype == np.float32 and plane.chunks == (64, 32) and plane.ndim == 2 and plane.size == 200_000
    assert not asked
    block = plane[100:180, 7:70]
    assert asked == [(2, slice(100, 180, 1), slice(7, 70, 1))] or asked == [(2, slice(100, 180), slice(7, 70))]
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, source[2, 100:180, 7:70].astype(np.float32))
    np.testing.assert_array_equal(np.asarray(plane), source[2].astype(np.float32))


def test_tuples_of_a_whole_slide_read_nothing():
    cloth = np.broadcast_to(np.uint8(0), (60_000, 50_000, 3))
    guarded = GuardedArray(cloth, (0, 0))
    he_layer(Image((guarded,), 0.25), HERE)
    maps = GuardedArray(np.broadcast_to(np.float16(1), (9, 3000, 2000)), (0, 0))
    states = GuardedArray(np.broadcast_to(np.uint8(1), (3000, 2000)), (0, 0))
    whole = Expression((maps,), GeneTable(tuple("ABCDEFGHI")), 8.0, np.tile([0.0, 1], (9, 1)), states, "r")
    map_layer(whole, first_gene(whole), HERE)
    measured_layer(whole, HERE)
    assert guarded.reads == maps.reads == states.reads == 0


def test_states_are_picked_not_averaged():
    states = np.random.default_rng(1).integers(0, 3, (101, 64)).astype(np.uint8)
    coarse = Strided(states, 4)
    assert coarse.shape == (26, 16)
    np.testing.assert_array_equal(np.asarray(coarse), states[::4, ::4])
    np.testing.assert_array_equal(coarse[5:26, 3:9], states[::4, ::4][5:26, 3:9])


def test_the_first_gene_spans_most():
    assert first_gene(expression()) == "B"


def test_contrast_leaves_out_what_the_run_does_not_reach():
    pixels = np.zeros((200, 200), np.uint16)
    pixels[:100] = 400
    pixels[:40] = np.linspace(400, 5400, 8000, dtype=np.uint16).reshape(40, 200)
    low, high = percentile_limits(pixels)
    assert low == 400 and 5300 < high < 5400
    assert percentile_limits(np.zeros((4, 4))) == (0.0, 1.0)
    assert percentile_limits(np.full((4, 4), 7)) == (7.0, 8.0)


def test_another_gene_is_other_values_of_the_same_place():
    low, high = gene_levels(expression(), "A")[1], gene_levels(expression(), "C")[1]
    assert low.shape == high.shape and not np.array_equal(low[3:9, 3:9], high[3:9, 3:9])
