"""In the real napari: one nucleus in H&E, DAPI and map at one place; NaN is clear; nothing is read whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QApplication

from guarded import GuardedArray
from mouse import click
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.expression import Expression
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.image import Image
from napari_pixelgene.gui.layers import KEY, he_layer, map_layer, measured_layer, morphology_layer, swap_gene
from napari_pixelgene.gui.reader import section_layers
from napari_pixelgene.stages.warping import warped_pyramid

MPP = 0.5


def add(viewer, layers):
    """The layers of tuples, in their order, as napari's own reader path adds them."""
    return [getattr(viewer, f"add_{kind}")(data, **says) for data, says, kind in layers]


def picture(viewer, *visible):
    """The canvas (rows, columns, 3) with only these layers drawn."""
    for layer in viewer.layers:
        layer.visible = layer in visible
    QApplication.processEvents()
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)


@pytest.fixture
def viewer(make_napari_viewer):
    made = make_napari_viewer(show=True)
    made.window.resize(1000, 800)
    QApplication.processEvents()
    return made


@pytest.fixture
def nucleus_layers(viewer, one_nucleus, nucleus_um):
    """H&E, DAPI, measured, map of the one nucleus, 8 screen pixels a µm around it."""
    layers = add(viewer, section_layers(one_nucleus))
    look_at(viewer, nucleus_um, 8.0)
    return layers


def look_at(viewer, xy_um, zoom):
    camera = viewer.scene.camera
    camera.center, camera.zoom = (0, xy_um[1], xy_um[0]), zoom
    QApplication.processEvents()


def weight_centre(weights):
    """(x, y) of the weights' centre in pixels of the picture, 0 at the outer corner."""
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


def test_a_click_on_the_nucleus_is_the_same_place_in_all_layers(viewer, nucleus_layers, nucleus_um, qtbot):
    he, dapi, _, map_ = nucleus_layers
    clicks = []
    viewer.mouse_drag_callbacks.append(lambda _, event: clicks.append(np.array(event.position[-2:])))
    native = viewer.window._qt_viewer.canvas.native
    click(native, lambda: QPoint(native.width() // 2, native.height() // 2))
    assert len(clicks) == 1
    y_um, x_um = clicks[0]
    # The middle of the canvas is half a screen pixel (0.06 µm) away at most.
    assert np.abs(np.array([x_um, y_um]) - nucleus_um).max() <= 0.5 / 8 + 1e-3
    for layer, pixel in ((he, MPP), (dapi, MPP), (map_, 8.0)):
        row, column = np.array(layer.world_to_data(clicks[0])) + 0.5  # napari's pixel centres are integers
        assert np.abs(np.array([column, row]) - np.array([x_um, y_um]) / pixel).max() < 0.05
    assert map_.get_value(nucleus_um[::-1], world=True)[1] == 5
    assert dapi.get_value(nucleus_um[::-1], world=True)[1] > 8000
    assert max(he.get_value(nucleus_um[::-1], world=True)[1][:3]) < 50


def test_the_nucleus_is_drawn_at_one_place(viewer, nucleus_layers, nucleus_um):
    he, dapi, _, map_ = nucleus_layers
    middle = np.array(viewer.canvas.size[::-1]) / 2
    dark = 255 - picture(viewer, he)[..., 1]
    dark -= np.median(dark)
    bright = 255 - picture(viewer, dapi)[..., 1]  # signal is blue on white
    assert dark.max() > 80 and bright.max() > 100
    of_he, of_dapi = weight_centre(np.where(dark > 20, dark, 0)), weight_centre(np.where(bright > 60, bright, 0))
    assert np.abs(of_he - middle).max() < 1 and np.abs(of_dapi - middle).max() < 1
    assert np.abs(of_he - of_dapi).max() < 1
    drawn = picture(viewer, map_)
    yellow = (drawn[..., 0] > drawn[..., 2] + 60).astype(float)  # viridis' upper end
    assert yellow.sum() == pytest.approx((8 * 8) ** 2, rel=0.03)
    cell_um = (np.floor(nucleus_um / 8) + 0.5) * 8
    assert np.abs(weight_centre(yellow) - (middle + (cell_um - nucleus_um) * 8)).max() < 1


def test_the_coarse_level_lies_where_the_fine_one_does(viewer, nucleus_layers, nucleus_um):
    he, dapi, _, _ = nucleus_layers
    look_at(viewer, nucleus_um, 0.9)  # more than two µm, four pixels, a screen pixel: napari takes the coarse level
    middle = np.array(viewer.canvas.size[::-1]) / 2
    dark, bright = (255 - picture(viewer, layer)[..., 1] for layer in (he, dapi))
    window = tuple(slice(int(m) - 12, int(m) + 12) for m in middle[::-1])
    assert he.data_level == 1
    dark, bright = dark[window] - np.median(dark[window]), bright[window]
    centres = [weight_centre(np.where(w > 0.3 * w.max(), w, 0)) for w in (dark, bright)]
    assert np.abs(centres[0] - centres[1]).max() < 0.5


def test_background_of_the_map_is_clear(viewer, nucleus_layers, one_nucleus):
    he, _, _, map_ = nucleus_layers
    columns = one_nucleus.maps.levels[0].shape[2] // 2
    edge_um = columns * 8.0
    look_at(viewer, (edge_um, 200.0), 4.0)
    without, over = picture(viewer, he), picture(viewer, he, map_)
    middle = without.shape[1] // 2
    np.testing.assert_array_equal(over[:, : middle - 2], without[:, : middle - 2])
    assert np.abs(over[50:-50, middle + 2 :] - without[50:-50, middle + 2 :]).max(axis=2).min() > 20


def test_swapping_the_gene_keeps_the_layer(viewer, nucleus_layers, one_nucleus, nucleus_um):
    map_ = nucleus_layers[3]
    at = nucleus_um[::-1]
    assert map_.get_value(at, world=True)[1] == 5
    swap_gene(map_, one_nucleus.maps, "EVEN")
    assert map_.get_value(at, world=True)[1] == 2
    assert map_.name == "EVEN (predicted)" and tuple(map_.contrast_limits) == (0, 3)
    assert map_.metadata[KEY]["gene"] == "EVEN" and map_.metadata[KEY]["role"] == "map"
    np.testing.assert_allclose(map_.translate, 4)
    assert len(viewer.layers) == 4


def test_the_three_states_are_named_and_cannot_be_painted(viewer, nucleus_layers):
    measured = nucleus_layers[2]
    assert not measured.visible and not measured.editable
    measured.visible = True
    said = [measured.get_status((y, 300.0), world=True)["coordinates"] for y in (100.0, 200.0, 300.0)]
    for words, line in zip(("measured", "filtered out", "never measured"), said, strict=True):
        assert words in line, line


def test_no_level_is_read_whole(viewer):
    """A slide of 40,000 × 30,000 pixels, its channel and its maps: windows are read, never levels."""
    small = np.full((625, 469, 3), 200, np.uint8)
    slide = (*guarded_levels((40_000, 30_000), (3,), np.uint8), small)
    dapi = (*guarded_levels((40_000, 30_000), (), np.uint16), np.full((625, 469), 500, np.uint16))
    he = Image(slide, 0.25)
    turned = Transform(np.array([[0.9, -0.1, 500], [0.12, 0.88, 900], [1e-7, 2e-7, 1]]), "morphology_px", "he_px")
    warped = warped_pyramid(Image(dapi, 0.2125, None, "DAPI"), turned, he.yx_shape, 0.25)
    maps = [GuardedArray(np.broadcast_to(np.float16(2), (9, *s)), (1, 1500)) for s in ((2500, 1875), (1250, 938))]
    for level in maps:
        level.limit, level.chunks = (1, 1500), (1, 512, 512)
    coarse = np.full((9, 160, 120), 2, np.float16)
    genes = GeneTable(tuple("ABCDEFGHI"))
    states = np.zeros((2500, 1875), np.uint8)
    whole = Expression((*maps, coarse), genes, 4.0, np.tile([0.0, 3.0], (9, 1)), states, "r")
    path = Path("large.section.zarr")
    tuples = [he_layer(he, path), morphology_layer(warped, path, "run"), map_layer(whole, "D", path)]
    add(viewer, [*tuples, measured_layer(whole, path)])
    assert slide[0].reads == dapi[0].reads == maps[0].reads == 0
    for zoom in (0.05, 0.4, 2.0, 8.0):
        look_at(viewer, (3000.0, 4000.0), zoom)
        viewer.screenshot(flash=False)
    assert slide[0].reads and dapi[0].reads and maps[0].reads  # the finest levels were looked at


def guarded_levels(yx_shape, rest, dtype):
    """Levels each a quarter of the one before, of one value, that cost no memory and refuse large reads."""
    return tuple(
        GuardedArray(np.broadcast_to(dtype(200), (yx_shape[0] // s, yx_shape[1] // s, *rest)), (6000, 6000), (512, 512))
        for s in (1, 4, 16)
    )
