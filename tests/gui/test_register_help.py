"""Help and verdict in the Register dock, by real clicks and keys. Nothing changes before a person takes it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QScrollArea

from mouse import click
from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.gui.register import judging, transfer
from napari_pixelgene.pipeline.rough import is_rough
from napari_pixelgene.pipeline.verdict import kept_verdict
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.store.section import SectionStore
from register_person import MORPHOLOGY_MPP, MPP, PLACES, bring, holder_of, registered, write_json

CONTROL = Qt.KeyboardModifier.ControlModifier
FIELD = np.stack(np.meshgrid(np.linspace(200, 2700, 9), np.linspace(200, 2700, 9)), axis=-1).reshape(-1, 2)


def photograph(person, name, *widgets):
    """Pictures of the window, at the widths a dock has, where a person asked for them with PIXELGENE_PICTURES."""
    folder = os.environ.get("PIXELGENE_PICTURES", "")
    if not folder or Path(folder).parts[-2:] == ("docs", "pictures"):
        return
    Path(folder).mkdir(exist_ok=True, parents=True)
    window = person.viewer.window._qt_window
    for width in (320, 420):
        window.resize(1300, 1150)
        window.resizeDocks([holder_of(person.dock)], [width], Qt.Orientation.Horizontal)
        for theme in ("dark", "light"):
            person.viewer.theme = theme
            QTest.qWait(150)
            for widget in widgets:
                scroll(person, widget)
            QTest.qWait(100)
            window.grab().save(f"{folder}/{name}-{width}-{theme}.png")
    person.viewer.theme = "dark"
    QTest.qWait(100)


def document(person, name, widget):
    """The picture of the docs: PIXELGENE_PICTURES=docs/pictures takes it, and these only."""
    folder = os.environ.get("PIXELGENE_PICTURES", "")
    if Path(folder).parts[-2:] != ("docs", "pictures"):
        return
    person.viewer.window.resize(1500, 1000)
    person.viewer.window._qt_window.resizeDocks([holder_of(person.dock)], [420], Qt.Orientation.Horizontal)
    QTest.qWait(150)
    person.viewer.reset_view()
    scroll(person, widget)
    QTest.qWait(200)
    path = Path(folder) / f"{name}.png"
    person.viewer.screenshot(str(path), canvas_only=False, flash=False)
    slim(path)


def slim(path):
    """The same picture with 256 colours: a third of the size, and no eye sees it."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def scroll(person, widget):
    for area in person.dock.findChildren(QScrollArea):
        if area.isAncestorOf(widget):
            area.ensureWidgetVisible(widget)


def press(person, button):
    """A click on a button that is seen and not greyed out."""
    assert button.isVisible() and button.isEnabled(), f"{button.text()}: {button.toolTip()}"
    scroll(person, button)
    QTest.qWait(5)
    person.press(button)


def wait(person, seconds=60):
    busy = person.dock.helping.busy
    person.qtbot.waitUntil(lambda: not busy.running, timeout=1000 * seconds)
    QTest.qWait(20)


def off_um(person, truth):
    """The median error over the field of what is drawn, in µm."""
    away = person.dock.work.drawn.apply(FIELD) - truth.apply(FIELD)
    return float(np.median(np.hypot(*away.T))) * MPP


def noisy(truth, sd_um, seed=5, wrong=()):
    """Six pairs whose moving points are clicked with so much noise, some of them far off."""
    rng = np.random.default_rng(seed)
    moving = PLACES + rng.normal(0, sd_um / np.sqrt(2), PLACES.shape) / MORPHOLOGY_MPP
    for i in wrong:
        moving[i] += np.array([260.0, -190.0])
    return Keypoints(moving, truth.apply(PLACES))


def with_pairs(person, section, monkeypatch, tmp_path, pairs):
    person.open(section)
    person.dock.editor.mirror(True)
    bring(person, monkeypatch, write_json(tmp_path, pairs))


def test_from_nothing_to_a_verdict_a_page_and_a_matrix(person, section, truth, monkeypatch, tmp_path):
    """Rough alignment, suggested pairs, a fit, the check, the report, the export: by its buttons only."""
    person.open(section)
    rough_and_suggested(person, section, truth)
    kept = checked(person, section, truth)
    reported_and_exported(person, truth, kept, monkeypatch, tmp_path)

    # Another pair, another fit: the verdict is of yesterday, until that is undone.
    verdict = person.dock.controls.verdict
    person.dock.editor.switch(3, False)
    assert verdict.says.text().startswith("◌ Before the last change") and "Check again" in verdict.says.text()
    assert not verdict.map.isEnabled() and person.session.layer("quality") is None
    assert not verdict.gos[0].isVisible()
    photograph(person, "stale", verdict.report)
    person.key("fixed", Qt.Key.Key_Z, CONTROL)
    assert verdict.says.text().startswith("● Good") and verdict.map.isEnabled()
    assert not person.dock.fault.text


def rough_and_suggested(person, section, truth):
    dock, controls = person.dock, person.dock.controls
    box, verdict = controls.help, controls.verdict
    assert not box.suggest.isEnabled() and "Rough alignment" in box.suggest.toolTip()
    assert not verdict.check.isEnabled() and "no fit" in verdict.check.toolTip()
    press(person, box.rough)
    assert dock.helping.busy.isVisible() and dock.helping.busy.cancel.isVisible() and not box.rough.isEnabled()
    wait(person)
    photograph(person, "rough", box.ask)
    # Seen, not taken: nothing is stored, nothing is to be undone, nothing can be exported.
    assert "flipped" in box.ask.says.text() and "agreement" in box.ask.says.text()
    assert person.session.layer("morphology", capture="run") is not None and off_um(person, truth) < 100
    assert dock.work.transform is None and not controls.undo.isEnabled() and person.stored().to_he is None
    press(person, box.ask.keep)
    assert not box.ask.isVisible() and dock.work.draft.is_rough and "refine it with pairs" in controls.summary.text()
    dock.save()
    assert is_rough(SectionStore.open(section), "run")

    press(person, box.suggest)
    wait(person)
    photograph(person, "suggested", box.reject_all)
    document(person, "register-proposed", box.reject_all)
    assert "12 new pairs" in box.heading.text() and box.list.rowCount() == 12
    assert "µm" in box.list.item(0, 1).text() and "%" in box.list.item(0, 2).text()
    assert len(person.pairs) == 0
    diamonds = {side: person.model(side).layers["proposals"] for side in ("fixed", "moving")}
    assert all(len(layer.data) == 2 * 12 for layer in diamonds.values())
    press(person, box.accept_all)
    assert len(person.pairs) == 12 and dock.work.draft.choice == "auto" and dock.work.draft.mirrored
    assert "proposals" not in person.viewer.layers and not box.list.isVisible()
    assert dock.work.fit.transform is not None and off_um(person, truth) < 3


def checked(person, section, truth):
    dock, verdict = person.dock, person.dock.controls.verdict
    press(person, verdict.check)
    wait(person)
    assert verdict.says.text().startswith("● Good: median ") and "left out" in verdict.says.text()
    press(person, verdict.map)
    layer = person.session.layer("quality")
    assert layer is not None and layer.visible and verdict.legend.isVisible()
    photograph(person, "checked", verdict.report)
    press(person, verdict.gos[1])
    place = np.array(dock.judging.judged.verdict.worst[1].xy_um)
    for side, um in (("fixed", place), ("moving", truth.inverse().apply(place[None] / MPP)[0] * MORPHOLOGY_MPP)):
        np.testing.assert_allclose(np.array(person.model(side).scene.camera.center)[:0:-1], um, atol=3)
    kept, holds = kept_verdict(SectionStore.open(section), "run")
    assert holds and kept.sentence == verdict.says.toolTip()
    assert f"left out {kept.numbers['loo_rmse_um']:.1f} µm" in verdict.says.text()
    return kept


def reported_and_exported(person, truth, kept, monkeypatch, tmp_path):
    dock, controls = person.dock, person.dock.controls
    verdict, shown = controls.verdict, []
    monkeypatch.setattr(judging, "open_page", shown.append)
    monkeypatch.setattr(judging, "ask_save", lambda *asked: tmp_path / asked[-1])
    press(person, verdict.report)
    wait(person)
    assert len(shown) == 1 and shown[0].name.endswith("-run-registration.html")
    assert kept.sentence in shown[0].read_text()  # the number that the shell tells, too
    exports = {way.name: way for way, _ in controls.exports}
    monkeypatch.setattr(transfer, "ask_save", lambda *_: tmp_path / "matrix.csv")
    dock.transfer.write(exports["matrix.csv"])
    back = read_alignment(tmp_path / "matrix.csv").apply(truth.apply(FIELD))
    assert np.median(np.hypot(*(back - FIELD).T)) * MORPHOLOGY_MPP < 3


def test_a_rough_alignment_can_be_refused_turned_round_undone_and_is_known_again(person, section, truth):
    person.open(section)
    dock, ask = person.dock, person.dock.controls.help.ask
    press(person, dock.controls.help.rough)
    wait(person)
    best = dock.work.drawn.matrix
    press(person, ask.other)
    assert "next best" in ask.says.text() and not np.allclose(dock.work.drawn.matrix, best)
    press(person, ask.other)
    np.testing.assert_array_equal(dock.work.drawn.matrix, best)
    press(person, ask.discard)
    assert dock.work.drawn is None and not ask.isVisible() and not dock.controls.undo.isEnabled()
    assert person.session.layer("morphology") is None and person.stored().to_he is None

    press(person, dock.controls.help.rough)
    wait(person)
    press(person, ask.keep)
    assert "rough alignment" in dock.controls.undo.toolTip() and dock.work.draft.mirrored
    assert dock.views.link.moving_to_fixed is not None  # the views follow
    person.key("fixed", Qt.Key.Key_Z, CONTROL)
    assert dock.work.transform is None and not dock.work.draft.is_rough
    person.key("fixed", Qt.Key.Key_Y, CONTROL)
    assert dock.work.draft.is_rough
    dock.save()
    person.session.close()
    person.open(section)
    assert dock.work.draft.is_rough and dock.work.draft.mirrored
    assert dock.controls.models.radio("given").text() == "rough alignment"
    assert "refine it with pairs" in dock.controls.summary.text()

    # A pair far from where it puts it is named; and pairs set by hand take its place, once there are three.
    person.press(dock.controls.pick)
    person.pair(PLACES[0], truth.apply(PLACES[1:2])[0])
    assert (
        "Pair 1 lies" in dock.controls.summary.text() and "the rough alignment puts it" in dock.controls.summary.text()
    )
    person.press(dock.controls.undo)
    person.press(dock.controls.undo)
    assert "Pair 1 lies" not in dock.controls.summary.text()
    for count, (there, here) in enumerate(zip(PLACES[:3], truth.apply(PLACES[:3]), strict=True), start=1):
        person.pair(there, here)
        assert len(person.pairs) == count and dock.work.draft.is_rough == (count < 3)
    assert dock.work.fit.transform.kind != "given"
    dock.save()
    assert not is_rough(SectionStore.open(section), "run")


def test_snaps_are_taken_or_refused_one_by_one(person, section, truth, monkeypatch, tmp_path):
    """12 µm of click noise shrink; a pair that is far off is not moved, which is said, and it can be switched off."""
    with_pairs(person, section, monkeypatch, tmp_path, noisy(truth, 12.0, wrong=[3]))
    dock, box, snap = person.dock, person.dock.controls.help, person.dock.controls.help.snap
    before = person.pairs
    error = off_um(person, truth)
    press(person, snap)
    wait(person)
    offer = dock.helping.offer
    assert box.list.rowCount() == 6 and offer.open(person.pairs) == [0, 1, 2, 4, 5]
    assert "5 pairs can be moved" in box.heading.text() and "no clear match within 40 µm" in box.heading.text()
    assert "no clear match within 40 µm" in box.list.item(3, 3).text() or "40 µm" in box.list.item(3, 3).text()
    arrows = person.model("moving").layers["proposed moves"].data
    first = offer.proposals[0]
    np.testing.assert_allclose(arrows[0, 0, ::-1], np.array(first.old_moving) * MORPHOLOGY_MPP, atol=1e-3)
    np.testing.assert_allclose(arrows[0].sum(axis=0)[::-1], np.array(first.new_moving) * MORPHOLOGY_MPP, atol=1e-3)
    assert not box.accept.isEnabled() and "list" in box.accept.toolTip()

    click(box.list.viewport(), lambda: box.list.visualItemRect(box.list.item(0, 0)).center())
    centre = np.array(person.model("moving").scene.camera.center)[:0:-1]
    np.testing.assert_allclose(centre, np.array(first.new_moving) * MORPHOLOGY_MPP, atol=0.05)
    photograph(person, "snapped", box.off)
    press(person, box.accept)
    np.testing.assert_allclose(person.pairs.pairs[0].moving, first.new_moving)
    assert person.pairs.pairs[1:] == before.pairs[1:] and box.list.rowCount() == 5
    person.key("fixed", Qt.Key.Key_D)  # the second, which came next, is put away
    assert person.pairs.pairs[1:] == before.pairs[1:] and box.list.rowCount() == 4
    person.key("moving", Qt.Key.Key_Z, CONTROL)
    assert dock.work.said == "Undone: rejected proposal 2." and box.list.rowCount() == 5  # it can be decided anew
    person.key("moving", Qt.Key.Key_Z, CONTROL)
    assert person.pairs.pairs == before.pairs and box.list.rowCount() == 6
    person.key("moving", Qt.Key.Key_Y, CONTROL)
    person.key("moving", Qt.Key.Key_Y, CONTROL)
    assert dock.work.said == "Done again: rejected proposal 2." and box.list.rowCount() == 4
    person.key("fixed", Qt.Key.Key_Y, Qt.KeyboardModifier.ShiftModifier)
    assert dock.controls.undo.toolTip() == "Undo: snapped pairs 3, 5 and 6 (Ctrl+Z)"
    stayed = [a == b for a, b in zip(person.pairs.pairs, before.pairs, strict=True)]
    assert stayed == [False, True, False, True, False, False]
    assert box.off.text() == "Switch off 4"
    press(person, box.off)
    assert not person.pairs.pairs[3].enabled and not box.off.isVisible()
    assert off_um(person, truth) < 0.7 * error  # the one that was put away stays as noisy as it was
    for _ in range(4):  # switched off, all snapped at once, one put away, one snapped
        person.key("fixed", Qt.Key.Key_Z, CONTROL)
    assert person.pairs.pairs == before.pairs and dock.work.said == "Undone: snapped pair 1."


def test_cancel_and_reject_leave_everything_as_it_was(person, section, truth, monkeypatch, tmp_path):
    with_pairs(person, section, monkeypatch, tmp_path, noisy(truth, 4.0))
    dock, box, verdict = person.dock, person.dock.controls.help, person.dock.controls.verdict
    dock.save()
    before, stored = person.pairs, person.stored()
    for begin in (box.rough, box.suggest, box.snap, verdict.check):
        press(person, begin)
        assert dock.helping.busy.running
        press(person, dock.helping.busy.cancel)
        assert not dock.helping.busy.isVisible() and begin.isEnabled()
        QTest.qWait(150)
        assert person.pairs == before and dock.work.preview is None and dock.helping.offer is None
        assert not box.ask.isVisible() and not box.list.isVisible() and verdict.says.text().startswith("No verdict")
    box.near.setValue(60)
    press(person, box.snap)
    wait(person)
    assert dock.helping.offer.radius_um == 60
    press(person, box.reject_all)
    assert person.pairs == before and not box.list.isVisible() and "proposals" not in person.viewer.layers
    again = person.stored()
    np.testing.assert_array_equal(again.to_he.matrix, stored.to_he.matrix)
    assert kept_verdict(SectionStore.open(section), "run") is None

    # A pair is moved while it is checked: the check is of no use any more, and stops.
    press(person, verdict.check)
    dock.editor.move("fixed", 2, (before.pairs[2].fixed[0] + 9, before.pairs[2].fixed[1]))
    assert not dock.helping.busy.running and "check was stopped" in dock.notes.text()
    assert verdict.says.text().startswith("No verdict") and not dock.fault.text


def test_a_wrong_registration_is_said_in_word_and_sign_and_its_worst_place_is_shown(
    person, section, truth, monkeypatch, tmp_path
):
    """The verdict of a section is there again when it is opened; proposals and map go with the dock."""
    wrong = np.array([[1, 0, 90.0], [0, 1, -60.0], [0, 0, 1.0]]) @ truth.matrix
    person.open(section)
    bring(person, monkeypatch, write_json(tmp_path, transform=replace(truth, matrix=wrong)))
    verdict = person.dock.controls.verdict
    press(person, verdict.check)
    wait(person)
    says = verdict.says.text()
    assert says.startswith("✗ Do not use: median ") and "left out" not in says and verdict.reasons.isVisible()
    press(person, verdict.map)
    photograph(person, "wrong", verdict.report)
    layer = person.session.layer("quality")
    holder_of(person.dock).hide()
    assert not layer.visible
    holder_of(person.dock).show()
    QTest.qWait(30)
    assert layer.visible
    person.session.close()
    person.open(section)
    assert verdict.says.text() == says and verdict.map.isEnabled() and not verdict.map.isChecked()
    assert "quality" not in {la.metadata.get("napari_pixelgene", {}).get("role") for la in person.viewer.layers}


def test_what_cannot_be_matched_says_why(person, section, truth, monkeypatch, tmp_path):
    """A run that is shown by its spots has no nuclei: no button that would fail, and the reason where it is asked."""
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, box = person.dock, person.dock.controls.help
    assert box.suggest.isEnabled() and box.snap.isEnabled()
    dots = replace(dock.work.moving.channels[0], name="density of spots")
    dock.work.moving = replace(dock.work.moving, channels=(dots, *dock.work.moving.channels))
    dock.redraw()
    for button in (box.suggest, box.snap):
        assert not button.isEnabled() and "no image of nuclei" in button.toolTip()
    assert box.rough.isEnabled()
