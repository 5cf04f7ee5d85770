"""The Register dock with real clicks, drags and keys on both canvases of a real napari."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QInputDialog

from mouse import click
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.exporters.alignments import write_alignment_json, write_explorer_keypoints
from napari_pixelgene.exporters.landmarks import write_bigwarp
from napari_pixelgene.gui.register import transfer
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.store.captures import read_capture
from register_person import MORPHOLOGY_MPP, MPP, PLACES, Person, bring, holder_of, registered


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

    # A click on a ring selects its pair, and looks at it.
    person.click("moving", np.array(person.pairs.pairs[3].moving) * MORPHOLOGY_MPP)
    assert len(person.pairs) == 6 and person.pairs.half is None and person.pairs.selected == 3

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

    # What is drawn already is not drawn again: every such order costs napari a picture of the canvas.
    rings, told = person.viewer.layers["pairs on the H&E"], []
    for event in (rings.events.data, rings.events.size, rings.events.visible, rings.events.features):
        event.connect(lambda event: told.append(event.type))
    dock.redraw()
    assert told == []

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


SIX = [(Qt.Key.Key_1, 0), (Qt.Key.Key_2, 1), (Qt.Key.Key_3, 2), (Qt.Key.Key_5, 4)]


def test_keys_work_on_both_canvases_whatever_layer_is_active(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, viewer = person.dock, person.viewer
    holder_of(dock).hide()
    person.key("fixed", Qt.Key.Key_3)
    assert person.pairs.selected != 2  # keys belong to the dock that is seen
    holder_of(dock).show()
    overlay = person.session.layer("morphology")
    for side, active in (("fixed", overlay), ("fixed", viewer.layers["pairs on the H&E"]), ("moving", None)):
        if active is not None:
            viewer.layers.selection.active = active
        for key, index in SIX:
            person.key(side, key)
            assert person.pairs.selected == index
            for where, unit in (("fixed", MPP), ("moving", MORPHOLOGY_MPP)):
                centre = np.array(person.model(where).scene.camera.center)[:0:-1]
                np.testing.assert_allclose(centre / unit, person.pairs.pairs[index].at(where), atol=0.05)
            assert dock.controls.table.selectionModel().selectedRows()[0].row() == index
        person.key(side, Qt.Key.Key_P)
        assert dock.controls.pick.isChecked()
        beside = np.array(person.model(side).scene.camera.center)[:0:-1] + 30 / person.model(side).scene.camera.zoom
        person.click(side, beside)
        assert person.pairs.half is not None and person.pairs.half.side == side
        before = dock.views.marks[side].shown.colours[-1]
        person.qtbot.waitUntil(lambda side=side, c=before: dock.views.marks[side].shown.colours[-1] != c, timeout=2000)
        assert "Esc" in dock.controls.hint.text() and dock.controls.table.rowCount() == 7
        person.key(side, Qt.Key.Key_Escape)
        assert person.pairs.half is None and len(person.pairs) == 6 and dock.controls.table.rowCount() == 6
        person.key(side, Qt.Key.Key_P)
        person.key(side, Qt.Key.Key_2)
        person.key(side, Qt.Key.Key_Delete)
        assert len(person.pairs) == 5
        person.key(side, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        person.key(side, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
        assert len(person.pairs) == 5
        person.key(side, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert len(person.pairs) == 6

        native = person.native(side)
        QTest.keyPress(native, Qt.Key.Key_Space)
        assert not overlay.visible
        QTest.qWait(400)
        QTest.keyRelease(native, Qt.Key.Key_Space)
        assert overlay.visible  # held: only hidden meanwhile
        QTest.keyClick(native, Qt.Key.Key_Space)
        assert not overlay.visible and dock.controls.hide.isChecked()
        QTest.keyClick(native, Qt.Key.Key_Space)
        assert overlay.visible
        person.key(side, Qt.Key.Key_F)
        person.qtbot.waitUntil(lambda: not overlay.visible, timeout=2000)
        person.key(side, Qt.Key.Key_F)
        assert overlay.visible and not dock.controls.flicker.isChecked()


def test_the_table_switches_pairs_and_blending_keeps_the_slide(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, table = person.dock, person.dock.controls.table
    fit = dock.work.fit.transform.matrix
    overlay = person.session.layer("morphology")
    levels = overlay.data
    click(table.viewport(), lambda: table.visualItemRect(table.item(2, 1)).center())
    assert not person.pairs.pairs[2].enabled and dock.work.fit.rows[2].why == "switched off"
    assert table.item(2, 3).text() == "switched off" and person.session.layer("morphology") is overlay
    np.testing.assert_allclose(dock.work.fit.transform.matrix, fit, rtol=1e-6)
    person.press(dock.controls.models.radio("affine"))
    assert overlay.data is not levels and len(person.session.layers("morphology")) == 1
    assert dock.controls.summary.text().startswith("Stretching (affine) on 5 pairs: off by")
    person.press(dock.controls.undo)
    person.press(dock.controls.undo)
    assert person.pairs.pairs[2].enabled and dock.work.draft.choice == "homography"

    dock.controls.blend.setValue(30)
    assert overlay.opacity == pytest.approx(0.3) and overlay.blending == "translucent_no_depth"
    person.viewer.layers["pairs on the H&E"].visible = False
    person.look("fixed", np.array([350.0, 280.0]), 2.0)
    with_overlay = person.viewer.screenshot(flash=False)[..., :3].astype(int)
    overlay.visible = False
    without = person.viewer.screenshot(flash=False)[..., :3].astype(int)
    changed = np.abs(with_overlay - without).max(axis=2)
    assert 0.02 < (changed > 10).mean() < 0.5  # nuclei only; the slide between them is as it was


def test_floating_rebuilds_the_canvas_and_picking_goes_on(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    dock = person.dock
    holder = holder_of(dock)
    for floating in (True, False):
        old = person.native("moving")
        click(holder.titleBarWidget().float_button)
        person.qtbot.waitUntil(lambda old=old: person.native("moving") not in (None, old), timeout=5000)
        QTest.qWait(150)
        assert holder.isFloating() == floating
        person.look("moving", np.array([300.0, 250.0]), 1.5)
        if not dock.controls.pick.isChecked():
            person.press(dock.controls.pick)
        hit = person.click("moving", np.array([310.0, 255.0]))
        np.testing.assert_allclose(person.pairs.half.point, hit / MORPHOLOGY_MPP, atol=0.05)
        picture = np.asarray(dock.controls.canvas.model.layers[0].data[0].shape)
        assert picture.min() > 1000 and dock.controls.canvas.model.layers[1].name == "pairs"
        person.key("moving", Qt.Key.Key_Escape)
        assert person.pairs.half is None


def test_what_is_undone_and_unsaved_survives_other_docks_and_sections(person, section, unregistered, truth):
    """Hidden: saved. Another section: saved first. Opened again: as it was. Read-only: said, and nothing lost."""
    person.open(section)
    dock = person.dock
    person.press(dock.controls.pick)
    for there, here in zip(PLACES[:2], truth.apply(PLACES[:2]), strict=True):
        person.pair(there, here)
    holder = holder_of(dock)
    holder.hide()
    assert len(person.stored().keypoints) == 2 and not dock.controls.pick.isChecked()
    assert not person.viewer.layers["pairs on the H&E"].visible
    holder.show()
    QTest.qWait(50)
    assert person.viewer.layers["pairs on the H&E"].visible and dock.work.history.undoable == "set pair 2"
    person.press(dock.controls.undo)
    person.press(dock.controls.undo)
    assert len(person.pairs) == 1 and "needs 2 pairs" in dock.controls.summary.text()
    assert not dock.controls.fit_fault.text and not dock.fault.text
    person.click("fixed", np.array([10.0, 10.0]))
    assert person.pairs.half is None  # Pick was switched off with the dock

    kept = person.pairs.pairs
    person.open(unregistered)
    assert len(person.pairs) == 0 and dock.work.transform is None
    assert not any(layer.name == "pairs on the H&E" for layer in person.viewer.layers)
    person.open(section)
    assert person.pairs.pairs == kept and dock.work.standing is not None
    assert "stays until these pairs" in dock.controls.summary.text()

    person.session.why_read_only = "the disk is read-only."
    person.press(dock.controls.pick)
    person.pair(PLACES[2], truth.apply(PLACES[2:3])[0])
    person.press(dock.controls.run)
    assert "Not saved" in dock.controls.saved.text() and "read-only" in dock.controls.saved.text()
    assert len(person.stored().keypoints) == 1 and len(person.pairs) == 2
    person.session.why_read_only = ""
    dock.save()
    assert len(person.stored().keypoints) == 2


def test_layers_that_go_and_come(person, section, truth, monkeypatch, tmp_path):
    """A person deletes ours, adds a foreign one, paints: picking goes on and says what it cannot do."""
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, viewer = person.dock, person.viewer
    for name in ("pairs on the H&E", "H&E"):
        viewer.layers.remove(name)
    viewer.layers.remove(person.session.layer("morphology"))
    foreign = viewer.add_labels(np.zeros((50, 50), int), name="foreign")
    foreign.mode = "paint"
    person.press(dock.controls.pick)
    person.click("fixed", np.array([200.0, 200.0]))
    assert person.pairs.half is None and "'foreign' is being edited" in dock.controls.hint.text()
    foreign.mode = "pan_zoom"
    hit = person.click("fixed", np.array([200.0, 200.0]))
    np.testing.assert_allclose(person.pairs.half.point, hit / MPP, atol=0.05)
    assert viewer.layers["pairs on the H&E"] is viewer.layers[-1]  # made again, and on top
    assert person.session.layer("morphology") is None  # what was deleted is not forced upon anyone
    dock.controls.blend.setValue(50)
    assert person.session.layer("morphology").opacity == 0.5 and viewer.layers[-1].name == "pairs on the H&E"
    outside = person.click("fixed", np.array([-40.0, 100.0]))
    assert outside[0] < 0 and "outside" in dock.controls.hint.text()
    dock.controls.canvas.model.layers.clear()
    person.key("fixed", Qt.Key.Key_Escape)
    person.session.close()
    assert dock.state == "empty" and not person.session.viewer.layers.selection - {foreign}
    person.click("fixed", np.array([200.0, 200.0]))


def test_files_that_fit_and_files_that_do_not(person, section, truth, monkeypatch, tmp_path, small_run):
    person.open(section)
    dock = person.dock
    (tmp_path / "wrong.csv").write_text("cell,x\n1,2\n", encoding="utf-8")
    bring(person, monkeypatch, tmp_path / "wrong.csv")
    assert "wrong.csv" in dock.fault.text and len(person.pairs) == 0 and dock.state == "full"
    bring(person, monkeypatch, tmp_path / "gone.csv")
    assert "no file" in dock.fault.text

    back = truth.inverse()
    np.savetxt(tmp_path / "explorer.csv", back.matrix / back.matrix[2, 2], delimiter=",")
    bring(person, monkeypatch, tmp_path / "explorer.csv")
    assert not dock.fault.text and dock.work.draft.choice == "given"
    assert dock.controls.models.radio("given").isVisible() and dock.controls.models.radio("given").isChecked()
    np.testing.assert_allclose(dock.work.transform.matrix, truth.matrix / truth.matrix[2, 2], rtol=1e-8)
    assert person.session.layer("morphology") is not None
    person.press(dock.controls.pick)
    person.pair(PLACES[0], truth.apply(PLACES[:1])[0])
    assert dock.work.fit.rows[0].residual_um < 3 and "misses the pair" in dock.controls.summary.text()
    person.press(dock.controls.undo)
    person.press(dock.controls.undo)
    dock.save()
    assert person.stored().to_he.kind == "given" and person.stored().keypoints is None
    person.press(dock.controls.undo)
    assert dock.work.transform is not None  # the stored one stands until the section is told otherwise
    dock.save()
    assert person.stored().to_he is None and dock.work.transform is None
    assert person.session.layer("morphology") is None
    person.press(dock.controls.redo)
    assert dock.work.draft.choice == "given"

    # Two text files of Pixel2Gene, clicked on level 1 of pyramids that halve.
    np.savetxt(tmp_path / "morphology#1_keypoints.txt", PLACES / 2)
    np.savetxt(tmp_path / "he#0_keypoints.txt", truth.apply(PLACES))
    asked = transfer.TextFiles(tmp_path / "morphology#1_keypoints.txt", tmp_path / "he#0_keypoints.txt", 1, 0)
    monkeypatch.setattr(transfer.TextFiles, "ask", lambda *_: asked)
    dock.transfer.bring_texts()
    assert len(person.pairs) == 6
    np.testing.assert_allclose([p.moving for p in person.pairs.pairs], PLACES, rtol=2e-3)
    assert dock.work.history.undoable == "imported morphology#1_keypoints.txt" and dock.work.draft.choice == "auto"
    # The images are mirrored, which nobody said yet, and their nuclei agree that they are.
    assert dock.work.fit.transform is None and "fit if one image is mirrored: nuclei" in dock.fault.text
    person.press(dock.fault.way_out)
    assert not dock.fault.text and dock.controls.models.mirror.isChecked()
    corners = np.array([[0.0, 0], [2600, 0], [0, 2900], [2600, 2900]])
    assert np.abs(dock.work.transform.apply(corners) - truth.apply(corners)).max() < 1
    person.press(dock.controls.undo)
    assert not dock.work.draft.mirrored and len(person.pairs) == 6
    monkeypatch.setattr(transfer, "ask_save", lambda *_: tmp_path / "no" / "matrix.csv")
    assert not dock.controls.exports[1][1].isEnabled() and "no fit" in dock.controls.exports[1][1].toolTip()
    dock.transfer.write(dock.controls.exports[0][0])
    assert "cannot be written" in dock.fault.text


def test_imported_pairs_that_make_no_sense_are_proposed_as_they_are_meant(
    person, section, truth, tmp_path, monkeypatch
):
    """The sentence says what is probably meant; a click takes it, as a step that can be undone; good pairs say none."""
    person.open(section)
    dock = person.dock
    monkeypatch.setattr(transfer, "ask_open", lambda *_: tmp_path / "pairs.csv")
    write_explorer_keypoints(tmp_path / "pairs.csv", Keypoints(PLACES, truth.apply(PLACES)))
    dock.transfer.bring("any", None)
    person.press(dock.controls.models.mirror)
    write_explorer_keypoints(tmp_path / "pairs.csv", Keypoints(PLACES, truth.apply(PLACES)[::-1]))
    dock.transfer.bring("any", None)
    assert dock.work.fit.transform is None
    assert "fit if the points of the H&E are taken in the opposite order" in dock.fault.text
    person.qtbot.waitUntil(lambda: not dock.work.unsaved, timeout=20_000)  # by itself, after a while
    assert "in the opposite order" in dock.fault.text
    assert dock.fault.way_out.isVisible() and dock.fault.way_out.text() == "Use it so"
    person.press(dock.fault.way_out)
    assert not dock.fault.text and dock.work.fit.transform is not None
    np.testing.assert_allclose([p.fixed for p in person.pairs.pairs], truth.apply(PLACES))
    person.press(dock.controls.undo)
    np.testing.assert_allclose([p.fixed for p in person.pairs.pairs], truth.apply(PLACES)[::-1])
    write_bigwarp(tmp_path / "pairs.csv", Keypoints(PLACES, truth.apply(PLACES)))
    dock.transfer.bring("any", None)
    assert not dock.fault.text and len(person.pairs) == len(PLACES)
    exports = {way.name: way for way, _ in dock.controls.exports}
    monkeypatch.setattr(transfer, "ask_save", lambda *_: tmp_path / "landmarks.csv")
    dock.transfer.write(exports["landmarks.csv"])
    np.testing.assert_allclose(read_alignment(tmp_path / "landmarks.csv").fixed_xy, truth.apply(PLACES), atol=1e-9)


def test_cells_without_an_image_are_registered_by_their_picture(person, tmp_path, monkeypatch):
    """A capture in µm of its own: the picture of its cells is clicked, drawn and stored in that frame; then two
    viewers at once, and captures that need no registration."""
    angles = np.linspace(0.4, 2 * np.pi - 0.4, 90)
    xy_um = np.stack([-900 + 120 * np.cos(angles), 4200 + 80 * np.sin(angles)], axis=1)
    rows = ["cell,x,y,A,B", *(f"c{i},{x},{y},{i + 1},2" for i, (x, y) in enumerate(xy_um.tolist()))]
    (tmp_path / "cells.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    slide = np.full((700, 700, 3), 245, np.uint8)
    slide[30:650, 20:680] = np.random.default_rng(1).integers([160, 80, 130], [220, 140, 190], (620, 660, 3))
    tifffile.imwrite(tmp_path / "he.tif", slide, photometric="rgb")
    settings = ImportSettings(mpp=MPP, name="cells")
    table = {"table": tmp_path / "cells.csv", "identity": "cell", "shape": "point"}
    apart = import_section(
        tmp_path / "a.section.zarr", tmp_path / "he.tif", TableSource(coordinates="stage_um", **table), settings
    )
    person.open(apart.path)
    dock = person.dock
    assert dock.controls.channel.currentText() == "Table · density of cells"
    to_he = Transform(np.array([[0.0, 2, -8050], [-2, 0, -1450], [0, 0, 1]]), "stage_um", "he_px")
    person.press(dock.controls.pick)
    hits = []
    for there in xy_um[[0, 25, 45, 70]]:
        person.click("fixed", to_he.apply(there[None])[0] * MPP)
        hits.append(person.click("moving", there))
    assert len(person.pairs) == 4 and dock.work.fit.transform.source == "stage_um"
    dock.save()
    stored = read_capture(apart, "cells")
    assert stored.keypoints.moving_frame == "stage_um"
    np.testing.assert_allclose(stored.keypoints.moving_xy, hits, atol=0.05)
    np.testing.assert_allclose(stored.to_he.apply(xy_um), to_he.apply(xy_um), atol=4)
    overlay = person.session.layer("morphology", capture="cells")
    drawn = np.asarray(overlay.data[0][...])
    lit = (np.argwhere(drawn > 0.5 * drawn.max()) + 0.5)[:, ::-1]
    away = np.linalg.norm(lit[:, None] - stored.to_he.apply(xy_um)[None], axis=2).min(axis=1)
    assert away.max() < 16  # pixels of 0.5 µm, where the picture's own are 2 µm
    assert not [way for way, action in dock.controls.exports if action.isEnabled() and way.morphology]

    image = np.random.default_rng(2).integers(0, 4000, (300, 420), dtype=np.uint16)
    layer = person.viewer.add_image(image, name="my dapi")
    assert dock.controls.given.isVisible()
    monkeypatch.setattr(QInputDialog, "getDouble", lambda *a: (0.8, True))
    dock.controls.given._take_layer(layer)
    person.qtbot.waitUntil(lambda: dock.state == "full" and dock.work.moving.frame == "morphology_px", timeout=10000)
    assert not dock.fault.text and not dock.controls.given.isVisible() and len(person.pairs) == 4
    kept = dock.work.moving
    assert kept.um_per_unit == pytest.approx(0.8) and kept.channels[0].yx_shape == (300, 420)
    np.testing.assert_array_equal(np.asarray(kept.channels[0].levels[0][...]), image)
    np.testing.assert_allclose(dock.work.keypoints.moving_xy * 0.8, hits, atol=0.06)

    on_slide = import_section(
        tmp_path / "b.section.zarr", tmp_path / "he.tif",
        TableSource(coordinates="he_um", unit_um=1.0, **table_on(tmp_path)), settings,
    )  # fmt: skip
    person.session.open(on_slide.path)
    assert dock.state == "empty" and "needs no registration" in dock._say.text()
    alone = import_section(tmp_path / "c.section.zarr", tmp_path / "he.tif", None, settings)
    person.session.open(alone.path)
    assert dock.state == "empty" and "nothing to register" in dock._say.text()


def table_on(folder):
    rows = ["cell,x,y,A,B", *(f"c{i},{20 + 3 * i},{30 + 2 * i},{i + 1},2" for i in range(90))]
    (folder / "on.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return {"table": folder / "on.csv", "identity": "cell", "shape": "point"}


def test_two_viewers_do_not_meddle(person, section, make_napari_viewer, qtbot, unregistered):
    other = Person(make_napari_viewer(show=True), qtbot)
    try:
        person.open(section)
        other.open(unregistered)
        person.press(person.dock.controls.pick)
        person.click("moving", np.array([120.0, 150.0]))
        other.click("moving", np.array([120.0, 150.0]))
        assert person.pairs.half is not None and other.pairs.half is None
        other.key("fixed", Qt.Key.Key_P)
        assert other.dock.controls.pick.isChecked()
        other.click("fixed", np.array([99.0, 50.0]))
        person.key("fixed", Qt.Key.Key_Escape)
        assert person.pairs.half is None and other.pairs.half.side == "fixed"
        other.key("moving", Qt.Key.Key_Escape)
    finally:
        vars(other).clear()


def test_the_dock_by_keyboard_and_its_channels(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, table = person.dock, person.dock.controls.table
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_Down)
    QTest.keyClick(table, Qt.Key.Key_Down)
    chosen = person.pairs.selected
    assert chosen is not None and table.currentRow() == chosen
    for key, modifier, left in (
        (Qt.Key.Key_Delete, Qt.KeyboardModifier.NoModifier, 5),
        (Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier, 6),
        (Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier, 5),
    ):
        QTest.keyClick(table, key, modifier)
        assert len(person.pairs) == left
    QTest.keyClick(table, Qt.Key.Key_P)
    assert dock.controls.pick.isChecked()
    names = [dock.controls.channel.itemText(i) for i in range(dock.controls.channel.count())]
    assert names[0] == "Xenium · DAPI" and len(names) == len(dock.work.moving.channels)
    if len(names) > 1:
        dock.controls.channel.setCurrentIndex(1)
        dock.choose(1)
        seen = [layer for layer in person.session.layers("morphology") if layer.visible]
        assert len(seen) == 1 and dock.work.moving.channels[1].name in seen[0].name
        assert dock.controls.canvas.model.layers[0].name == dock.work.moving.channels[1].name
