"""The H&E under any angle: clicks stay exact, layers of others are not touched, and all is as it was for the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_pixelgene.gui.register.turned_slide import parted
from napari_pixelgene.gui.register.turning import Turn
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.view import read_view
from register_person import LEFT, MORPHOLOGY_MPP, MPP, PLACES, holder_of, registered, xy

SHIFT = Qt.KeyboardModifier.ShiftModifier


def rotated(degrees):
    a = np.deg2rad(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


@given(st.floats(-180, 180, exclude_min=True), st.booleans())
@example(83.95, False)
def test_a_turn_is_a_right_angle_of_the_camera_after_a_rest_of_the_layers(degrees, mirrored):
    quarter, rest = parted(Turn(degrees, mirrored))
    assert quarter.angle_deg % 90 == 0 and quarter.mirrored == mirrored
    np.testing.assert_allclose(quarter.matrix @ rest, Turn(degrees, mirrored).matrix, atol=1e-12)
    assert np.trace(rest[:2, :2]) >= 2**0.5 - 1e-9  # at most 45°


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_right_angles_leave_the_layers_alone(degrees):
    np.testing.assert_array_equal(parted(Turn(degrees, True))[1], np.eye(3))


class Slanted:
    """What a person sees of the H&E under an angle, reckoned by hand from the camera."""

    def __init__(self, person, degrees, mirrored):
        self.person = person
        rest = degrees - 90 * round(degrees / 90)
        self.rest = rotated(-rest if mirrored else rest)  # what layers do
        self.view = rotated(degrees) @ np.diag([-1 if mirrored else 1, 1])  # µm to the screen's right and down

    def middle_um(self):
        centre = np.array(self.person.viewer.scene.camera.center)[1:]
        centre = centre if self.person.viewer.dims.order == (1, 0) else centre[::-1]
        return np.linalg.inv(self.rest) @ centre

    def look(self, um, zoom):
        x, y = self.rest @ um
        camera = self.person.viewer.scene.camera
        camera.center = (0, x, y) if self.person.viewer.dims.order == (1, 0) else (0, y, x)
        camera.zoom = zoom
        QTest.qWait(5)

    def click(self, um):
        """Click there; returns the place that was really hit."""
        native, zoom = self.person.native("fixed"), self.person.viewer.scene.camera.zoom
        half = np.array([native.width(), native.height()]) / 2
        at = QPoint(*(int(v) for v in np.round(half + self.view @ (um - self.middle_um()) * zoom)))
        QTest.mouseClick(native, LEFT, pos=at)
        QTest.qWait(5)
        return self.middle_um() + np.linalg.inv(self.view) @ (np.array(xy(at)) - half) / zoom


@pytest.mark.parametrize("degrees, mirrored", [(30.0, False), (-112.5, True)])
def test_clicks_are_exact_on_a_slide_under_a_free_angle(person, section, truth, degrees, mirrored):
    person.open(section)
    dock, viewer = person.dock, person.viewer
    foreign = viewer.add_image(np.zeros((40, 60)), name="mine", scale=(2, 2), units=("µm", "µm"))
    before = np.array(foreign.affine)
    QTest.qWait(100)  # its controls change the canvas' size
    if mirrored:
        next(a for a in dock.controls.slide.menu().actions() if a.text() == "Flip the H&&E").trigger()
    dock.controls.slide.angle.setValue(degrees)
    seen = Slanted(person, degrees, mirrored)
    he = person.session.layer("he")
    np.testing.assert_allclose(np.array(he.affine)[:2, :2], seen.rest[::-1, ::-1], atol=1e-12)
    assert not foreign.visible and "'mine' is hidden" in dock.notes.text()
    person.press(dock.controls.pick)
    for i, spot in enumerate(truth.apply(PLACES[:3])):
        seen.look(spot * MPP, 40.0)
        hit = seen.click((spot + np.array([1.7, -0.4])) * MPP)
        np.testing.assert_allclose(person.pairs.half.point, hit / MPP, atol=0.05)
        np.testing.assert_allclose(person.pairs.half.point, spot + np.array([1.7, -0.4]), atol=0.06)
        person.click("moving", PLACES[i] * MORPHOLOGY_MPP)
    rings = viewer.layers["pairs on the H&E"]
    for pair, world in zip(person.pairs.pairs, np.array(rings.data)[:3], strict=True):
        # What is drawn under a ring is the pixel that was clicked; the number stands to the ring's lower right.
        np.testing.assert_allclose(np.array(he.world_to_data(world))[::-1] + 0.5, pair.fixed, atol=1e-6)
    plate = seen.view @ np.linalg.inv(seen.rest) @ (np.array(rings.data)[3] - np.array(rings.data)[0])[::-1]
    assert plate[0] > 0 and plate[1] > 0
    person.key("fixed", Qt.Key.Key_1)
    np.testing.assert_allclose(seen.middle_um() / MPP, person.pairs.pairs[0].fixed, atol=0.05)
    seen.look(np.array([200.0, 150.0]), 5.0)

    # Others see it upright, at the same place; the section keeps µm, and nobody's layer is another.
    person.session.memory.write()
    kept = read_view(SectionStore.open(section))["camera"]
    np.testing.assert_allclose(kept["centre_um"], (150.0, 200.0), atol=1e-6)
    holder_of(dock).hide()
    assert viewer.dims.order == (0, 1) and foreign.visible
    np.testing.assert_array_equal(foreign.affine, before)
    for layer in person.session.layers():
        np.testing.assert_array_equal(layer.affine, np.eye(3))
    np.testing.assert_allclose(np.array(viewer.scene.camera.center)[:0:-1], (200.0, 150.0), atol=1e-6)
    holder_of(dock).show()
    QTest.qWait(30)
    np.testing.assert_allclose(seen.middle_um(), (200.0, 150.0), atol=1e-6)
    assert not np.array_equal(he.affine, np.eye(3)) and not foreign.visible
    person.session.close()
    assert foreign.visible and person.session.turned is None


def test_keys_turn_by_fifteen_degrees_and_what_is_drawn_turns_with_it(person, section, truth, monkeypatch, tmp_path):
    """Overlay, arrows and swipe line; the moving view is matched to it, and both go on together."""
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, look = person.dock, person.dock.controls.look
    for _ in range(2):
        person.key("fixed", Qt.Key.Key_E)
    assert dock.controls.slide.angle.value() == 30 and dock.controls.slide.text() == "onto H&&E 30°"
    person.key("moving", Qt.Key.Key_T)
    seen = Slanted(person, 30, False)
    spot = np.array([1333.3, 1777.7])
    seen.look(truth.apply(spot[None])[0] * MPP, 4.0)
    exact = dock.views.turns["moving"]
    centre = np.array(person.model("moving").scene.camera.center)[:0:-1]
    np.testing.assert_allclose(np.linalg.inv(exact.matrix[:2, :2]) @ centre / MORPHOLOGY_MPP, spot, atol=0.05)
    between = truth.matrix[:2, :2] * MPP / MORPHOLOGY_MPP  # but for its perspective
    np.testing.assert_allclose(
        exact.matrix[:2, :2], seen.view @ between / np.sqrt(abs(np.linalg.det(between))), atol=0.05
    )

    person.key("fixed", Qt.Key.Key_S)
    line = dock.looking.swipe.line
    assert line.at_um == pytest.approx(seen.middle_um()[0], abs=1e-6)
    native = person.native("fixed")
    middle = QPoint(native.width() // 2, native.height() // 2)
    person.drag("fixed", middle, middle + QPoint(40, 0))
    assert dock.looking.swipe.line.at_um - line.at_um == pytest.approx(np.cos(np.deg2rad(30)) * 40 / 4.0, abs=0.3)
    person.press(look.arrows)
    for role in ("morphology", "swipe", "residuals", "he"):
        np.testing.assert_allclose(np.array(person.session.layer(role).affine)[:2, :2], seen.rest[::-1, ::-1])
    person.key("fixed", Qt.Key.Key_E, SHIFT)
    assert dock.controls.slide.angle.value() == 15
    dock.controls.slide.angle.setValue(0)
    assert dock.controls.slide.text() == "onto H&&E"
    for layer in person.session.layers():
        np.testing.assert_array_equal(layer.affine, np.eye(3))
