"""Looking at two images in the Register dock, with real clicks and drags: turned, compared, drawn upon."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QScrollArea

from mouse import ready
from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.elements.image import Image
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.gui.register.work import Work
from register_person import LEFT, MORPHOLOGY_MPP, MPP, PLACES, bring, holder_of, registered, write_json, xy

SHIFT, NONE = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.NoModifier
# The H&E under each way to look at it: µm (x, y) to the screen's right and down, written out by hand.
SCREEN = {
    "right": [[0, -1], [1, 0]],
    "upside down": [[-1, 0], [0, -1]],
    "mirror": [[-1, 0], [0, 1]],
    "mirror right": [[0, -1], [-1, 0]],
}


def photograph(person, name):
    """A picture of the window, where a person asked for one with PIXELGENE_PICTURES."""
    QTest.qWait(250)
    if folder := os.environ.get("PIXELGENE_PICTURES"):
        Path(folder).mkdir(exist_ok=True, parents=True)
        person.viewer.window._qt_window.grab().save(f"{folder}/{name}.png")


def scrolled_to(person, widget):
    area = next(a for a in person.dock.findChildren(QScrollArea) if a.isAncestorOf(widget))
    area.ensureWidgetVisible(widget)


def turned(degrees, mirrored):
    """µm (x, y) to a canvas turned clockwise on the screen after it was mirrored, written out by hand."""
    a = np.deg2rad(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag([-1 if mirrored else 1, 1])


def click_under(person, side, um, view):
    """Click a place in µm of a canvas that is looked at under `view` (2, 2); returns the place that was really hit."""
    camera, native = person.model(side).scene.camera, person.native(side)
    ready(native)
    if side == "fixed":  # napari's own camera looks from another side
        middle = np.array(camera.center)[1:] if person.viewer.dims.order == (1, 0) else np.array(camera.center)[:0:-1]
        away = view @ (um - middle)
    else:
        middle = np.array(camera.center)[:0:-1]
        away = view @ um - middle
    half = np.array([native.width(), native.height()]) / 2
    at = QPoint(*(int(v) for v in np.round(half + away * camera.zoom)))
    away = (np.array(xy(at)) - half) / camera.zoom
    QTest.mouseClick(native, LEFT, pos=at)
    QTest.qWait(5)
    return middle + np.linalg.inv(view) @ away if side == "fixed" else np.linalg.inv(view) @ (middle + away)


def look_under(person, side, um, view, zoom):
    camera = person.model(side).scene.camera
    x, y = um if side == "fixed" else view @ um
    camera.center = (0, x, y) if side == "fixed" and person.viewer.dims.order == (1, 0) else (0, y, x)
    camera.zoom = zoom
    QTest.qWait(5)


@pytest.mark.parametrize("degrees, mirrored", [(-37.5, True), (131.2, False)])
def test_clicks_are_exact_in_a_view_that_is_turned_and_mirrored(person, section, truth, degrees, mirrored):
    """Turned by the box and the buttons: a click is the same morphology pixel to 0.05 px, rings lie under it."""
    person.open(section)
    turns = person.dock.controls.turns
    person.press(person.dock.controls.pick)
    if mirrored:
        person.press(turns.mirror)
    turns.angle.setValue(degrees)
    view = turned(degrees, mirrored)
    model = person.model("moving")
    for spot, here in zip(PLACES[:3], truth.apply(PLACES[:3]), strict=True):
        look_under(person, "moving", spot * MORPHOLOGY_MPP, view, 40.0)
        hit = click_under(person, "moving", (spot + np.array([1.3, -0.7])) * MORPHOLOGY_MPP, view)
        np.testing.assert_allclose(person.pairs.half.point, hit / MORPHOLOGY_MPP, atol=0.05)
        np.testing.assert_allclose(
            person.pairs.half.point, spot + np.array([1.3, -0.7]), atol=0.1
        )  # half a screen pixel more
        ring = np.array(model.layers["pairs"].data[len(person.pairs)])[::-1]
        np.testing.assert_allclose(ring, view @ hit, atol=0.05 * MORPHOLOGY_MPP)
        person.click("fixed", here * MPP)
    assert len(person.pairs) == 3

    # The drawn pixels lie there too: what napari reads under the ring is the pixel that was clicked.
    picture = model.layers[0]
    for pair in person.pairs.pairs:
        world = (view @ (np.array(pair.moving) * MORPHOLOGY_MPP))[::-1]
        np.testing.assert_allclose(np.array(picture.world_to_data(world))[::-1] + 0.5, pair.moving, atol=1e-6)

    # A ring is dragged in the turned view, and goes back.
    before = person.pairs
    look_under(person, "moving", np.array(before.pairs[1].moving) * MORPHOLOGY_MPP, view, 20.0)
    native = person.native("moving")
    middle = QPoint(native.width() // 2, native.height() // 2)
    person.drag("moving", middle, middle + QPoint(31, -22))
    pull = np.linalg.inv(view) @ (np.array([31, -22]) / 20.0 + (np.array(xy(middle)) - np.array(
        [native.width(), native.height()]) / 2) / 20.0)  # fmt: skip
    np.testing.assert_allclose(person.pairs.pairs[1].moving, before.pairs[1].moving + pull / MORPHOLOGY_MPP, atol=0.05)
    person.key("moving", Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert person.pairs.same_points(before)
    if (degrees, mirrored) == (-37.5, True):
        photograph(person, "turned")

    # The place in the middle stays there under any turn.
    spot = np.linalg.inv(view) @ np.array(model.scene.camera.center)[:0:-1]
    person.press(turns.right)
    after = np.linalg.inv(turned(degrees + 90, mirrored)) @ np.array(model.scene.camera.center)[:0:-1]
    np.testing.assert_allclose(after, spot, atol=1e-6)


@pytest.mark.parametrize("look", list(SCREEN))
def test_clicks_are_exact_on_a_slide_that_is_looked_at_from_another_side(person, section, truth, look):
    """The H&E by its menu; another layer of the person's is not touched, and the other docks see it upright."""
    person.open(section)
    foreign = person.viewer.add_image(np.zeros((40, 60)), name="mine", scale=(2, 2), units=("µm", "µm"), visible=False)
    before = np.array(foreign.affine), tuple(foreign.translate)
    QTest.qWait(100)  # its controls change the canvas' size
    actions = {action.text(): action for action in person.dock.controls.slide.menu().actions()}
    for word, text in (("mirror", "Flip the H&&E"), ("right", "Turn the H&&E right"), ("left", "Turn the H&&E left")):
        if word in look.split():
            actions[text].trigger()
    if look == "upside down":
        actions["Turn the H&&E left"].trigger()
        actions["Turn the H&&E left"].trigger()
    view = np.array(SCREEN[look])
    person.press(person.dock.controls.pick)
    for i, spot in enumerate(truth.apply(PLACES[:3])):
        look_under(person, "fixed", spot * MPP, view, 40.0)
        hit = click_under(person, "fixed", (spot + np.array([1.7, -0.4])) * MPP, view)
        np.testing.assert_allclose(person.pairs.half.point, hit / MPP, atol=0.05)
        np.testing.assert_allclose(person.pairs.half.point, spot + np.array([1.7, -0.4]), atol=0.06)
        person.click("moving", PLACES[i] * MORPHOLOGY_MPP)
    assert len(person.pairs) == 3
    data = np.array(person.viewer.layers["pairs on the H&E"].data)[:, ::-1]
    plate = view @ (data[3] - data[0])  # its number stands to the lower right of a ring, on the screen
    assert plate[0] > 0 and plate[1] > 0
    np.testing.assert_array_equal(foreign.affine, before[0])
    assert tuple(foreign.translate) == before[1]
    person.key("fixed", Qt.Key.Key_1)
    where = np.array(person.viewer.scene.camera.center)[1:]
    where = where if person.viewer.dims.order == (1, 0) else where[::-1]
    np.testing.assert_allclose(where / MPP, person.pairs.pairs[0].fixed, atol=0.05)
    if look == "right":
        photograph(person, "slide-right")

    holder_of(person.dock).hide()
    camera = person.viewer.scene.camera
    assert person.viewer.dims.order == (0, 1) and tuple(map(str, camera.orientation2d)) == ("down", "right")
    np.testing.assert_allclose(np.array(camera.center)[:0:-1] / MPP, person.pairs.pairs[0].fixed, atol=0.05)
    holder_of(person.dock).show()
    QTest.qWait(30)
    assert (person.viewer.dims.order == (1, 0)) == (view[0, 0] == 0)


def test_match_turns_the_run_as_the_slide_lies_and_the_cameras_go_on_together(
    person, section, truth, monkeypatch, tmp_path
):
    person.open(section)
    turns = person.dock.controls.turns
    assert not turns.match.isEnabled() and "two pairs" in turns.match.toolTip()
    registered(person, section, truth, monkeypatch, tmp_path)
    assert turns.match.isEnabled()
    for key in (Qt.Key.Key_R, Qt.Key.Key_M):  # whichever way it lay before
        person.key("moving", key)
    person.key("fixed", Qt.Key.Key_T)
    spot = np.array([1333.3, 1777.7])
    view = turned(turns.angle.value(), True)
    person.look("fixed", truth.apply(spot[None])[0] * MPP, 40.0)
    middle = np.array(person.model("moving").scene.camera.center)[:0:-1]
    np.testing.assert_allclose(np.linalg.inv(view) @ middle / MORPHOLOGY_MPP, spot, atol=0.05 + 0.2)
    exact = person.dock.views.turns["moving"]
    np.testing.assert_allclose(np.linalg.inv(exact.matrix[:2, :2]) @ middle / MORPHOLOGY_MPP, spot, atol=0.05)
    photograph(person, "matched")
    # A step to the right on one screen is a step to the right on the other, of the same length.
    step = np.array([50.0, 20.0]) / 40.0
    here = person.viewer.scene.camera.center
    person.look("fixed", np.array(here)[:0:-1] + step)
    other = np.array(person.model("moving").scene.camera.center)[:0:-1]
    went = (other - middle) * person.model("moving").scene.camera.zoom / 40.0
    np.testing.assert_allclose(went, step, atol=0.05)

    # The moving canvas leads as well, through its turned view.
    look_under(person, "moving", PLACES[3] * MORPHOLOGY_MPP, exact.matrix[:2, :2], 30.0)
    np.testing.assert_allclose(
        np.array(person.viewer.scene.camera.center)[:0:-1] / MPP, truth.apply(PLACES[3:4])[0], atol=0.05
    )


def drawn_at(layer, um):
    """The value that a layer holds at a place (x, y) in µm, at its finest level."""
    x, y = (np.asarray(um) / MPP).astype(int)
    return np.asarray(layer.data[0][y, x])


def pixels_of(person):
    return person.viewer.screenshot(flash=False)[..., :3].astype(int)


def test_checkers_show_the_run_in_every_other_square(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    look = person.dock.controls.look
    overlay = person.session.layer("morphology")
    plain = np.asarray(overlay.data[0][...]).astype(float)
    person.look("fixed", np.array([300.0, 300.0]), 1.0)
    before = pixels_of(person)
    look.side.setValue(60)
    person.key("fixed", Qt.Key.Key_C)
    assert look.checkers.isChecked() and person.session.layer("morphology") is overlay
    now = np.asarray(overlay.data[0][...])
    rows, columns = np.indices(plain.shape)
    shown = ((columns + 0.5) * MPP // 60 + (rows + 0.5) * MPP // 60) % 2 == 0
    np.testing.assert_array_equal(np.isnan(now), ~shown)
    np.testing.assert_array_equal(now[shown], plain[shown])
    coarse = np.asarray(overlay.data[-1][...])
    assert 0.4 < np.isnan(coarse).mean() < 0.6 and not np.isnan(coarse[2, 2])
    photograph(person, "checkers")

    # In the squares the run alone is seen, between them the H&E alone.
    overlay.visible, person.viewer.layers["pairs on the H&E"].visible = False, False
    slide = pixels_of(person)
    overlay.visible = True
    compared = pixels_of(person)
    native = person.native("fixed")
    down, across = np.indices(slide.shape[:2])
    x_um = 300 + (across + 0.5) * native.width() / slide.shape[1] - native.width() / 2
    y_um = 300 + (down + 0.5) * native.height() / slide.shape[0] - native.height() / 2
    inside = (x_um > 5) & (y_um > 5) & (x_um < plain.shape[1] * MPP - 5) & (y_um < plain.shape[0] * MPP - 5)
    clear = np.minimum.reduce([x_um % 60, 60 - x_um % 60, y_um % 60, 60 - y_um % 60]) > 3
    odd = (x_um // 60 + y_um // 60) % 2 == 1
    differs = np.abs(compared - slide).max(axis=2)
    assert differs[inside & clear & odd].max() <= 2 < differs[inside & clear & ~odd].mean()

    look.side.setValue(200)
    assert not np.isnan(drawn_at(overlay, (150, 150))) and np.isnan(drawn_at(overlay, (250, 150)))
    person.press(look.checkers)
    np.testing.assert_array_equal(np.asarray(overlay.data[0][...]), plain)
    person.viewer.layers["pairs on the H&E"].visible = True
    assert np.abs(pixels_of(person) - before).max() <= 2  # as if nothing had been


@pytest.mark.parametrize("turn", ["", "Turn the H&&E right"])
def test_the_swipe_line_is_dragged(person, section, truth, monkeypatch, tmp_path, turn):
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, look, viewer = person.dock, person.dock.controls.look, person.viewer
    for action in dock.controls.slide.menu().actions():
        if action.text() == turn:
            action.trigger()
    across = 1 if turn else 0  # which of (x, y) runs across the screen
    overlay = person.session.layer("morphology")
    plain = np.asarray(overlay.data[0][...]).astype(float)
    native = person.native("fixed")
    middle = QPoint(native.width() // 2, native.height() // 2)
    camera = viewer.scene.camera
    camera.center, camera.zoom = (0, 290.0, 310.0), 1.5
    at = 310.0  # napari gives the camera's place as (down, across)
    person.key("fixed", Qt.Key.Key_S)
    assert look.swipe.isChecked() and dock.looking.swipe.line.at_um == at
    line = person.session.layer("swipe")
    assert line.visible and np.abs(np.array(line.data)[0, 0, 1 - across]) == pytest.approx(at)

    # A click beside it does nothing, a drag elsewhere pans, a drag of the line moves it and not the view.
    person.drag("fixed", middle + QPoint(60, 10), middle + QPoint(80, 10))
    assert dock.looking.swipe.line.at_um == at and tuple(camera.center) != (0, 290.0, 310.0)
    camera.center = (0, 290.0, 310.0)
    person.press(dock.controls.pick)
    person.drag("fixed", middle, middle + QPoint(-90, 30))
    assert person.pairs.half is None and tuple(camera.center) == (0, 290.0, 310.0)
    rightwards = -1 if turn else 1  # turned to the right, y runs to the left on the screen
    found = dock.looking.swipe.line.at_um
    assert found == pytest.approx(at - rightwards * 90 / 1.5, abs=0.7)
    now = np.asarray(overlay.data[0][...])
    rows, columns = np.indices(plain.shape)
    places = ((rows if turn else columns) + 0.5) * MPP
    np.testing.assert_array_equal(np.isnan(now), places < found)
    np.testing.assert_array_equal(now[places >= found], plain[places >= found])
    photograph(person, "swipe" + ("-turned" if turn else ""))

    # By keys; a click near the line still sets a point; a ring under the line is the ring's.
    person.key("fixed", Qt.Key.Key_Right, SHIFT)
    assert (dock.looking.swipe.line.at_um - found) * rightwards == pytest.approx(0.05 * native.width() / 1.5, rel=0.02)
    person.key("fixed", Qt.Key.Key_Left, SHIFT)
    person.key("fixed", Qt.Key.Key_C)
    assert look.checkers.isChecked() and not look.swipe.isChecked() and person.session.layer("swipe") is None
    person.key("fixed", Qt.Key.Key_S)
    assert not look.checkers.isChecked()
    spot = np.array(person.pairs.pairs[4].fixed) * MPP
    camera.center = (0, *spot) if turn else (0, *spot[::-1])
    person.press(look.swipe)
    person.press(look.swipe)
    at = dock.looking.swipe.line.at_um
    before = person.pairs
    person.drag("fixed", middle, middle + QPoint(40, 0))
    assert dock.looking.swipe.line.at_um == at and not person.pairs.same_points(before)
    holder_of(dock).hide()
    assert not look.swipe.isChecked() and person.session.layer("swipe") is None
    assert not np.isnan(np.asarray(person.session.layer("morphology").data[0][...])).any()


def test_arrows_show_what_the_fit_leaves_and_say_by_how_much_they_are_enlarged(
    person, section, truth, monkeypatch, tmp_path
):
    there = np.vstack([PLACES, [[800, 1500], [1900, 1500], [1500, 300]]])
    off = np.array([[2, 1], [-1, 2], [0, -3], [3, 0], [-2, -2], [1, 1], [0, 2], [90, -60], [-1, 0]]) / MPP
    person.open(section)
    bring(person, monkeypatch, write_json(tmp_path, Keypoints(there, truth.apply(there) + off)))
    person.press(person.dock.controls.models.mirror)
    person.press(person.dock.controls.models.radio("affine"))
    look, transform = person.dock.controls.look, person.dock.work.fit.transform
    assert person.session.layer("residuals") is None
    person.key("moving", Qt.Key.Key_A)
    layer = person.session.layer("residuals")
    pairs = person.dock.work.keypoints
    residual = (transform.apply(pairs.moving_xy) - pairs.fixed_xy) * MPP
    scale = float(layer.name.split("×")[1])
    vectors = np.array(layer.data)[:, :, ::-1]
    np.testing.assert_allclose(vectors[:, 0], pairs.fixed_xy * MPP, atol=1e-3)
    np.testing.assert_allclose(vectors[:, 1], residual * scale, rtol=1e-4, atol=1e-3)
    assert scale > 1 and f"{scale:g} times" in look._says.text()
    colours = np.array(layer.edge_color)
    assert not np.array_equal(colours[7], colours[0]) and np.array_equal(colours[6], colours[0])  # the outlier
    photograph(person, "arrows")
    width = layer.edge_width
    person.look("fixed", np.array([300.0, 300.0]), person.viewer.scene.camera.zoom * 4)
    assert layer.edge_width == pytest.approx(width / 4)

    # They follow the fit, and are gone where nothing is fitted, or with the dock.
    person.press(person.dock.controls.models.radio("similarity"))
    assert not np.allclose(np.array(layer.data)[:, 1], vectors[:, 1, ::-1])
    assert layer.metadata[KEY]["section"] == str(person.session.store.path)
    holder_of(person.dock).hide()
    assert not layer.visible
    holder_of(person.dock).show()
    QTest.qWait(30)
    assert person.session.layer("residuals").visible
    person.press(look.arrows)
    assert person.session.layer("residuals") is None and not look._says.isVisible()


def test_the_grid_bends_as_the_transform_does(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    look = person.dock.controls.look
    person.key("fixed", Qt.Key.Key_G)
    layer = person.session.layer("grid")
    side = float(layer.name.split()[2])
    assert f"{side:g} µm wide" in look._says.text()
    starts = np.array(layer.data)[:, 0, ::-1] / MPP
    back = truth.inverse().apply(starts) * MORPHOLOGY_MPP / side
    on_a_line = np.abs(back - np.rint(back)).min(axis=1) < 1e-3
    rows, columns = person.dock.work.moving.channels[0].yx_shape
    at_the_end = np.abs(back * side / MORPHOLOGY_MPP - [columns, rows]).min(axis=1) < 0.05
    assert (on_a_line | at_the_end).all() and len(starts) > 500
    ends = starts + np.array(layer.data)[:, 1, ::-1] / MPP
    assert np.hypot(*(ends - starts).T).max() * MPP < side  # several a square, so that bends are seen
    photograph(person, "grid")
    person.press(look.grid)
    assert person.session.layer("grid") is None


def test_a_spline_is_drawn_linked_and_gridded(person, section, truth, monkeypatch, tmp_path):
    """The cameras follow its nearest matrix at each place, the grid bends, the overlay is another one."""
    across, down = (v.ravel() for v in np.meshgrid(np.linspace(300, 2400, 5), np.linspace(300, 2700, 5)))
    there = np.stack([across, down], axis=1)
    bent = truth.apply(there) + 14 * np.stack([np.sin(down / 500), np.cos(across / 450)], axis=1)
    person.open(section)
    bring(person, monkeypatch, write_json(tmp_path, Keypoints(there, bent)))
    person.press(person.dock.controls.models.mirror)
    person.press(person.dock.controls.models.radio("affine"))
    flat = person.session.layer("morphology").data
    person.press(person.dock.controls.models.radio("spline"))
    transform = person.dock.work.transform
    assert transform.bend is not None and person.session.layer("morphology").data is not flat
    spot = np.array([[1111.1, 1717.7]])
    person.press(person.dock.controls.turns.match)
    person.look("fixed", transform.apply(spot)[0] * MPP, 30.0)
    view = person.dock.views.turns["moving"].matrix[:2, :2]
    middle = np.array(person.model("moving").scene.camera.center)[:0:-1]
    np.testing.assert_allclose(np.linalg.inv(view) @ middle / MORPHOLOGY_MPP, spot[0], atol=0.05)
    person.key("fixed", Qt.Key.Key_G)
    starts = np.array(person.session.layer("grid").data)[:, 0, ::-1] / MPP
    side = float(person.session.layer("grid").name.split()[2])
    back = transform.inverse().apply(starts) * MORPHOLOGY_MPP / side
    assert (np.abs(back - np.rint(back)).min(axis=1) < 1e-2).mean() > 0.9
    person.look("fixed", np.array([350.0, 350.0]), 0.9)
    photograph(person, "spline")


def test_nuclei_only_lie_beneath_the_overlay_and_go_with_the_dock(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, look, viewer = person.dock, person.dock.controls.look, person.viewer
    overlay = person.session.layer("morphology")
    was = overlay.blending, overlay.colormap.name
    person.key("fixed", Qt.Key.Key_X)
    nuclei = person.session.layer("nuclei")
    order = [viewer.layers.index(layer) for layer in (person.session.layer("he"), nuclei, overlay)]
    assert order == sorted(order) and nuclei.visible and overlay.blending == "additive"
    slide = np.asarray(person.session.layer("he").data[0][...]).astype(float)
    amount = np.asarray(nuclei.data[0][...])
    assert amount.shape == slide.shape[:2]
    dark = slide[..., 0] < np.percentile(slide[..., 0], 5)  # nuclei take red away
    glass = slide.min(axis=2) > 225
    assert np.median(amount[dark]) > 0.3 and (not glass.any() or np.median(amount[glass]) < 0.05)
    person.look("fixed", np.array([350.0, 280.0]), 2.0)
    viewer.layers["pairs on the H&E"].visible = False
    picture = pixels_of(person)
    # Where the fit is true both stains are bright: green and magenta meet in white.
    assert (picture.min(axis=2) > 120).mean() > 0.01
    photograph(person, "nuclei")
    dock.controls.blend.setValue(0)
    alone = pixels_of(person)  # the H&E's nuclei in green, and the scale bar
    assert (alone[..., [0, 2]].max(axis=2) > 60).mean() < 0.005 < 0.05 < (alone[..., 1] > 60).mean()
    dock.controls.blend.setValue(100)
    holder_of(dock).hide()
    assert not nuclei.visible and overlay.blending != "additive"
    holder_of(dock).show()
    QTest.qWait(30)
    assert nuclei.visible
    person.press(look.nuclei)
    assert not nuclei.visible and overlay.colormap.name != "magenta" and was == ("minimum", "I Blue")


def test_each_channel_keeps_its_percentiles(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, contrast = person.dock, person.dock.controls.contrast
    picture, overlay = dock.controls.canvas.model.layers[0], person.session.layer("morphology")
    coarse = np.asarray(dock.work.moving.channels[0].levels[-1])
    assert contrast.percent() == (50.0, 99.8)
    contrast.low.setValue(20.0)
    contrast.high.setValue(95.0)
    wanted = np.percentile(coarse[coarse > 0], (20, 95))
    for layer in (picture, overlay):
        np.testing.assert_allclose(layer.contrast_limits, wanted, atol=0.6)
    photograph(person, "contrast")
    channels = len(dock.work.moving.channels)
    if channels > 1:
        dock.choose(1)
        assert contrast.percent() == (50.0, 99.8)
        dock.choose(0)
    assert contrast.percent() == (20.0, 95.0)
    np.testing.assert_allclose(dock.controls.canvas.model.layers[0].contrast_limits, wanted, atol=0.6)


def test_pairs_are_walked_by_n(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    person.key("fixed", Qt.Key.Key_1)
    for side, modifier, index in (("fixed", NONE, 1), ("moving", NONE, 2), ("moving", SHIFT, 1), ("fixed", SHIFT, 0)):
        person.key(side, Qt.Key.Key_N, modifier)
        assert person.pairs.selected == index
        centre = np.array(person.viewer.scene.camera.center)[:0:-1]
        np.testing.assert_allclose(centre / MPP, person.pairs.pairs[index].fixed, atol=0.05)
    person.key("fixed", Qt.Key.Key_N, SHIFT)
    assert person.pairs.selected == 5
    person.key("fixed", Qt.Key.Key_N)
    assert person.pairs.selected == 0


def test_another_section_begins_plain(person, section, unregistered, truth, monkeypatch, tmp_path):
    """Nothing that was drawn or turned for one section is left for the next."""
    registered(person, section, truth, monkeypatch, tmp_path)
    look, viewer = person.dock.controls.look, person.viewer
    for toggle in (look.nuclei, look.arrows, look.grid, look.swipe):
        person.press(toggle)
    person.press(person.dock.controls.turns.right)
    person.dock.looking.turn("fixed", 90)
    count = len(viewer.layers)
    person.open(unregistered)
    assert not any(t.isChecked() for t in (look.nuclei, look.arrows, look.grid, look.swipe, look.checkers))
    assert viewer.dims.order == (0, 1) and person.dock.controls.turns.angle.value() == 0
    assert not [layer.name for layer in viewer.layers if layer.metadata.get(KEY, {}).get("role") in
                ("nuclei", "residuals", "grid", "swipe")] and len(viewer.layers) < count  # fmt: skip
    for widget in (look.checkers, look.swipe, look.arrows, look.grid):
        assert not widget.isEnabled() and "no fit" in widget.toolTip()
    assert look.nuclei.isEnabled()
    person.key("fixed", Qt.Key.Key_C)
    assert not look.checkers.isChecked()  # a key does no more than its button


def test_the_dock_is_narrow_and_reads_on_both_themes(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    holder = holder_of(person.dock)
    for theme in ("dark", "light"):
        person.viewer.theme = theme
        for width in (320, 420):
            person.viewer.window._qt_window.resizeDocks([holder], [width], Qt.Orientation.Horizontal)
            QTest.qWait(150)
            assert person.dock.width() <= width + 30
            controls = person.dock.controls
            for row in (controls.turns, controls.contrast, controls.look):
                assert row.width() <= person.dock.width() and row.minimumSizeHint().width() <= 308
            photograph(person, f"dock-{theme}-{width}")
            scrolled_to(person, controls.run)
            photograph(person, f"dock-{theme}-{width}-below")


def test_an_image_with_colours_of_its_own_lies_half_clear_and_is_compared(
    person, section, truth, monkeypatch, tmp_path
):
    """Another H&E as the moving image: no black frame around it, squares and line as for one channel."""
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, work = person.dock, person.dock.work
    person.viewer.layers.remove(person.session.layer("morphology"))
    grey = [np.asarray(level[...]).astype(float) for level in work.moving.channels[0].levels]
    bright = [np.clip(255 - level / grey[0].max() * 200, 1, 255).astype(np.uint8) for level in grey]
    other = Image(tuple(np.stack([b, b // 2 + 60, b], axis=-1) for b in bright), MORPHOLOGY_MPP, None, "other H&E")
    dock._take(Work(work.he, replace(work.moving, channels=(other,)), work.draft, work.standing))
    layer = person.session.layer("morphology")
    assert (
        layer.rgb
        and layer.opacity == 0.5
        and dock.controls.blend.value() == 50
        and not dock.controls.contrast.isVisible()
    )
    whole = np.asarray(layer.data[0][...])
    reach = np.asarray(work.he.levels[0].shape[:2])
    rows, columns = np.indices(reach)
    back = truth.inverse().apply(np.stack([columns + 0.5, rows + 0.5], axis=-1).reshape(-1, 2)).reshape(*reach, 2)
    size = np.array(other.yx_shape[::-1])
    within = ((back > 3) & (back < size - 3)).all(axis=-1)
    without = ((back < -3) | (back > size + 3)).any(axis=-1)
    assert (whole[within][:, 3] == 255).all() and without.any() and (whole[without][:, 3] == 0).all()
    person.key("fixed", Qt.Key.Key_C)
    squares = np.asarray(layer.data[0][...])[..., 3]
    assert person.session.layer("morphology") is layer and (squares[within] == 0).any()
    photograph(person, "colours")
    assert layer.opacity == 1 and dock.controls.blend.value() == 100  # two images side by side, not one through another
    person.key("fixed", Qt.Key.Key_C)
    assert layer.opacity == 0.5
    np.testing.assert_array_equal(np.asarray(layer.data[0][...]), whole)
    person.key("fixed", Qt.Key.Key_X)
    assert layer.rgb and layer.visible and person.session.layer("nuclei").visible
