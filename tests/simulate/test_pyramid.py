"""Pyramids are right at every level and are never held whole."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pixelgene.arithmetic.tiles import Tile
from napari_pixelgene.errors import Cancelled
from napari_pixelgene.progress import Event, silent
from napari_pixelgene.simulate.pyramid import PyramidPlan, halved, write_pyramid

LOSSLESS = {"compression": "zlib", "photometric": "minisblack"}


def plan(yx_shape: tuple[int, int]) -> PyramidPlan:
    return PyramidPlan(yx_shape, 1, "uint16", 0.25, 64, LOSSLESS, {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25})


def ramp(tile: Tile) -> np.ndarray:
    rows, columns = (np.arange(s.start, s.stop) for s in (tile.rows, tile.columns))
    return (rows[:, None] * 7 + columns * 3).astype(np.uint16)


def test_levels_are_the_picture_and_its_halves(tmp_path: Path) -> None:
    path = tmp_path / "ramp.ome.tif"
    write_pyramid(path, plan((203, 331)), ramp, "image", silent)
    whole = np.arange(203)[:, None] * 7 + np.arange(331) * 3
    with tifffile.TiffFile(path) as tiff:
        levels = [level.asarray() for level in tiff.series[0].levels]
        assert tiff.is_ome and 'PhysicalSizeX="0.25"' in (tiff.ome_metadata or "")
    assert [level.shape for level in levels] == [(203, 331), (102, 166), (51, 83), (26, 42)]
    np.testing.assert_array_equal(levels[0], whole)
    assert levels[1][10, 20] == pytest.approx(whole[20:22, 40:42].mean(), abs=0.6)
    assert levels[2][5, 9] == pytest.approx(whole[20:24, 36:40].mean(), abs=1.1)
    assert not list(tmp_path.glob(".levels-*"))


def test_a_picture_of_one_tile_has_one_level(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "one.ome.tif", plan((31, 64)), ramp, "image", silent)
    with tifffile.TiffFile(tmp_path / "one.ome.tif") as tiff:
        assert [level.shape for level in tiff.series[0].levels] == [(31, 64)]


def test_an_odd_last_row_counts_twice() -> None:
    np.testing.assert_array_equal(
        halved(np.array([[0, 4, 8], [4, 8, 8], [6, 6, 2]], dtype=np.uint16)), [[4, 8], [6, 2]]
    )


def test_a_wide_picture_is_never_held(tmp_path: Path) -> None:
    wide = PyramidPlan((1000, 20_000), 1, "uint16", 0.25, 256, LOSSLESS, {})
    tracemalloc.start()
    write_pyramid(tmp_path / "wide.ome.tif", wide, ramp, "image", silent)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 1000 * 2 / 4


def test_cancel_passes_and_leaves_no_scratch(tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if event.as_dict()["done"] == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_pyramid(tmp_path / "stopped.ome.tif", plan((200, 900)), ramp, "image", stop)
    assert not list(tmp_path.glob(".levels-*"))
