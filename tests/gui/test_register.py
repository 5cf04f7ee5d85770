"""The Register dock with real clicks, drags and keys on both canvases of a real napari."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.exporters.alignments import write_alignment_json
from napari_pixelgene.gui.docks import show_dock
from napari_pixelgene.gui.register import transfer
from napari_pixelgene.gui.session import session_of
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

MPP, MORPHOLOGY_MPP = 0.5, 0.2125
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(scope="session")
def unregistered(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> Path:
    """The small run on its slide seen in a mirror: turned by 93.5°, mirrored, with a perspective; not registered."""
    folder = tmp_path_factory.mktemp("mirror")
    pixels = np.asarray(read_image(small_run.he).levels[0][...])[:, ::-1]
    tifffile.imwrite(folder / "he.tif", np.ascontiguousarray(pixels), tile=(256, 256), photometric="rgb")
    settings = ImportSettings(mpp=MPP, name="run")
    return import_section(
        folder / "mirror.section.zarr", folder / "he.tif", XeniumSource(bundle=small_run.bundle), settings
    ).path


@pytest.fixture(scope="session")
def truth(small_run: SimulatedRun, unregistered: Path) -> Transform:
    """From morphology pixels to the mirrored slide's."""
    width = read_image(unregistered.parent / "he.tif", MPP).yx_shape[1]
    flip = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]])
    return Transform(flip @ small_run.morphology_to_he, "morphology_px", "he_px")


@pytest.fixture
def section(unregistered: Path, tmp_path: Path) -> Path:
    """A copy to write into; the files it refers to stay where they are."""
    copy = unregistered.with_name(f"{tmp_path.name}.section.zarr")
    shutil.copytree(unregistered, copy)
    return copy


class Person:
    """Somebody with a mouse and a keyboard before the Register dock."""

    def __init__(self, viewer, qtbot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        viewer.window.resize(1300, 900)
        self.session = session_of(viewer)
        self.dock = show_dock(viewer, "Register")
        self.asked = []
        self.session.asked.disconnect()  # the other docks have tests of their own
        self.session.asked.connect(self.asked.append)

    def open(self, section: Path) -> None:
        self.session.open(section)
        self.qtbot.waitUntil(lambda: self.dock.state == "full", timeout=10000)
        self.qtbot.waitUntil(lambda: self.dock.controls.canvas.native is not None, timeout=5000)
        QTest.qWait(60)

    def native(self, side):
        return self.viewer.window._qt_viewer.canvas.native if side == "fixed" else self.dock.controls.canvas.native

    def model(self, side):
        return self.viewer if side == "fixed" else self.dock.controls.canvas.model

    def look(self, side, xy_um, zoom=None) -> None:
        camera = self.model(side).scene.camera
        camera.center = (0, xy_um[1], xy_um[0])
        if zoom is not None:
            camera.zoom = zoom
        QTest.qWait(5)

    def place(self, side, xy_um) -> QPoint:
        """The canvas pixel of a place in µm, by the camera."""
        camera, native = self.model(side).scene.camera, self.native(side)
        away = (np.array(xy_um) - np.array(camera.center)[:0:-1]) * camera.zoom
        return QPoint(round(native.width() / 2 + away[0]), round(native.height() / 2 + away[1]))

    def um(self, side, at: QPoint):
        """The place in µm under a canvas pixel, by the camera."""
        camera, native = self.model(side).scene.camera, self.native(side)
        middle = np.array(camera.center)[:0:-1]
        return middle + (np.array([at.x(), at.y()]) - np.array([native.width(), native.height()]) / 2) / camera.zoom

    def click(self, side, xy_um):
        """Click there; returns the place that was really hit."""
        at = self.place(side, xy_um)
        hit = self.um(side, at)
        QTest.mouseClick(self.native(side), LEFT, pos=at)
        QTest.qWait(5)
        return hit

    def drag(self, side, start: QPoint, stop: QPoint) -> None:
        native = self.native(side)
        QTest.mousePress(native, LEFT, pos=start)
        for t in (0.3, 0.7, 1.0):
            QTest.mouseMove(native, QPoint(*(round(a + t * (b - a)) for a, b in zip(xy(start), xy(stop), strict=True))))
            QTest.qWait(20)
        QTest.mouseRelease(native, LEFT, pos=stop)
        QTest.qWait(20)

    def key(self, side, key, modifier=Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.native(side), key, modifier)
        QTest.qWait(5)

    def pair(self, morphology_px, he_px) -> None:
        """A pair clicked in both images, the whole of each in view."""
        self.click("fixed", np.array(he_px) * MPP)
        self.click("moving", np.array(morphology_px) * MORPHOLOGY_MPP)

    def press(self, button) -> None:
        QTest.mouseClick(button, LEFT)
        QTest.qWait(5)

    @property
    def pairs(self):
        return self.dock.work.pairs

    def stored(self):
        return read_capture(SectionStore.open(self.dock.session.store.path), "run")


def xy(point: QPoint):
    return point.x(), point.y()


@pytest.fixture
def person(make_napari_viewer, qtbot):
    one = Person(make_napari_viewer(show=True), qtbot)
    yield one
    vars(one).clear()  # pytest holds it until after napari has looked for leaked canvases


PLACES = np.array(
    [[420.3, 500.1], [2300.2, 610.7], [640.9, 2600.4], [2190.6, 2470.2], [1400.5, 900.3], [1210.8, 2110.9]]
)


def test_click_fit_correct_and_save(person, section, truth):
    """Two canvases, any order; a click is the same µm in both, in the store and in the fit."""
    assert person.dock.state == "empty"
    person.open(section)
    dock = person.dock
    person.click("fixed", truth.apply(PLACES[:1])[0] * MPP)
    assert len(person.pairs) == 0 and person.pairs.half is None  # not while Pick is off
    person.press(dock.controls.pick)

    hits = []
    for i, (there, here) in enumerate(zip(PLACES, truth.apply(PLACES), strict=True)):
        sides = [("fixed", here * MPP), ("moving", there * MORPHOLOGY_MPP)]
        clicks = {side: person.click(side, um) for side, um in (sides if i % 2 else sides[::-1])}
        hits.append((clicks["moving"] / MORPHOLOGY_MPP, clicks["fixed"] / MPP))
        assert len(person.pairs) == i + 1 and person.pairs.half is None
        if i == 2:
            # Three pairs may show a mirror; it says so and offers the switch.
            assert "mirrored" in dock.controls.fit_fault.text and dock.controls.models.mirror.isVisible()
            person.press(dock.controls.models.mirror)
            assert dock.work.fit.error is None and dock.work.draft.mirrored
    for pair, (moving, fixed) in zip(person.pairs.pairs, hits, strict=True):
        np.testing.assert_allclose(pair.moving, moving, atol=0.05)
        np.testing.assert_allclose(pair.fixed, fixed, atol=0.05)
    assert dock.controls.table.rowCount() == 6 and dock.work.fit.transform is not None
    assert person.session.layer("morphology", capture="run") is not None
    assert len(person.viewer.layers["pairs on the H&E"].data) == 2 * 6  # a ring and a number each

    # A pair clicked wrong is dragged where it belongs, and it can be taken back.
    before = person.pairs
    start = person.place("fixed", np.array(before.pairs[4].fixed) * MPP)
    camera = np.array(person.viewer.scene.camera.center)
    person.drag("fixed", start, start + QPoint(40, -25))
    moved = np.array(person.pairs.pairs[4].fixed) * MPP
    np.testing.assert_allclose(moved, person.um("fixed", start + QPoint(40, -25)), atol=0.05 * MPP)
    np.testing.assert_array_equal(person.viewer.scene.camera.center, camera)  # the ring moved, not the view
    person.key("fixed", Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert person.pairs.same_points(before)

    # Any other drag pans and sets nothing.
    person.drag("fixed", QPoint(60, 60), QPoint(120, 100))
    assert person.pairs.same_points(before) and not np.array_equal(person.viewer.scene.camera.center, camera)

    person.press(dock.controls.run)
    assert person.asked == ["Run"]
    stored = person.stored()
    np.testing.assert_allclose(stored.keypoints.moving_xy, [m for m, _ in hits], atol=0.05)
    np.testing.assert_allclose(stored.keypoints.fixed_xy, [f for _, f in hits], atol=0.05)
    np.testing.assert_allclose(stored.to_he.matrix, dock.work.fit.transform.matrix, atol=1e-9)
    assert dock.controls.saved.text() == "Saved in the section."
    assert len(person.session.shown.morphology) > 0  # reloaded: it is drawn everywhere from now on


def test_one_spot_is_the_same_in_both_images_the_drawing_and_the_export(person, section, truth, tmp_path, monkeypatch):
    person.open(section)
    write_alignment_json(tmp_path / "true.json", Keypoints(PLACES, truth.apply(PLACES)))
    monkeypatch.setattr(transfer, "ask_open", lambda *_: tmp_path / "true.json")
    dock = person.dock
    dock.transfer.bring("any", None)
    assert "mirrored" in dock.controls.fit_fault.text
    person.press(dock.controls.models.mirror)
    person.press(dock.controls.models.radio("homography"))
    assert dock.work.fit.rows[0].residual_um < 1e-6

    # The views follow one another to 0.05 px; magnified, so that a screen pixel is a fraction of an image's.
    spot = np.array([1333.3, 1777.7])
    here = truth.apply(spot[None])[0]
    person.look("fixed", here * MPP, 60.0)
    there_um = np.array(dock.controls.canvas.model.scene.camera.center)[:0:-1]
    np.testing.assert_allclose(there_um / MORPHOLOGY_MPP, spot, atol=0.05)
    assert dock.controls.canvas.model.scene.camera.zoom == pytest.approx(60, rel=0.05)
    person.press(dock.controls.pick)
    person.pair(spot, here)
    clicked = person.pairs.pairs[-1]
    np.testing.assert_allclose(clicked.moving, spot, atol=0.05)
    np.testing.assert_allclose(clicked.fixed, here, atol=0.05)
    np.testing.assert_allclose(truth.apply(np.array([clicked.moving]))[0], clicked.fixed, atol=0.05)
    person.key("moving", Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    person.key("moving", Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert len(person.pairs) == 6

    # The drawn pixels: a nucleus' centre of light in the morphology image lies where the transform says.
    from_px, drawn_px = nucleus_in_both(
        dock.work.moving.channels[0].levels[0], person.session.layer("morphology"), truth
    )
    np.testing.assert_allclose(drawn_px, truth.apply(from_px[None])[0], atol=0.05)

    exports = {way.name: way for way, _ in dock.controls.exports}
    for name in ("matrix.csv", "morphology_to_he.txt", "alignment.zip", "keypoints.csv"):
        monkeypatch.setattr(transfer, "ask_save", lambda *_, name=name: tmp_path / name)
        dock.transfer.write(exports[name])
    matrix = read_alignment(tmp_path / "matrix.csv")
    assert matrix.name == "he_to_morphology"
    np.testing.assert_allclose(matrix.apply(here[None])[0], spot, atol=0.05)
    back = read_alignment(tmp_path / "morphology_to_he.txt", direction="morphology_to_he")
    np.testing.assert_allclose(back.apply(spot[None])[0], here, atol=0.05)
    np.testing.assert_allclose(read_alignment(tmp_path / "alignment.zip").moving_xy, PLACES, atol=1e-9)
    assert not dock.fault.text


def nucleus_in_both(source, layer, truth):
    """The centre of light of one lonely nucleus, in morphology pixels and in pixels of the drawn layer."""
    whole = np.asarray(source[...]).astype(float)
    floor = np.percentile(whole, 50)
    for y, x in zip(*np.unravel_index(np.argsort(whole, axis=None)[::-400][:400], whole.shape), strict=True):
        patch = whole[max(0, y - 60) : y + 61, max(0, x - 60) : x + 61]
        if patch.shape != (121, 121):
            continue
        least = floor + 0.1 * (patch.max() - floor)
        signal = np.clip(patch - least, 0, None)
        if signal[~within(signal, 40)].max() == 0:
            break
    else:
        pytest.fail("no lonely nucleus")
    centre = centre_of(signal) + np.array([x - 60, y - 60])
    at = truth.apply(centre[None])[0]
    rows, columns = (slice(int(v) - 24, int(v) + 25) for v in at[::-1])
    drawn = np.clip(np.asarray(layer.data[0][rows, columns]).astype(float) - least, 0, None)
    drawn *= within(drawn, 50 * MORPHOLOGY_MPP / MPP)
    return centre, centre_of(drawn) + np.array([columns.start, rows.start])


def within(array, radius):
    rows, columns = np.indices(array.shape)
    return np.hypot(rows - array.shape[0] // 2, columns - array.shape[1] // 2) <= radius


def centre_of(weights):
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
