"""Run and H&E of neighbouring sections share no nuclei: the window says so, matches none and blames none for it."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_pixelgene.elements.verdict import UNKNOWN, QualityMap
from napari_pixelgene.gui.register.quality import by_nuclei, coloured, picture, scale_end
from napari_pixelgene.gui.register.sections_choice import SERIAL
from napari_pixelgene.gui.session import VERDICT
from napari_pixelgene.gui.wording import in_window
from napari_pixelgene.pipeline.neighbours import marked_sections
from napari_pixelgene.store.section import SectionStore
from register_person import registered


def choose(person, row: int) -> None:
    """Into the list, and down with the keys."""
    combo = person.dock.controls.sections.combo
    combo.setFocus()
    QTest.keyClick(combo, Qt.Key.Key_Home)
    for _ in range(row):
        QTest.keyClick(combo, Qt.Key.Key_Down)
    QTest.qWait(10)


def wait(person) -> None:
    person.qtbot.waitUntil(lambda: not person.dock.helping.busy.running, timeout=60_000)
    QTest.qWait(20)


def test_neighbouring_sections_are_judged_without_nuclei_and_not_matched(person, section, truth, monkeypatch, tmp_path):
    registered(person, section, truth, monkeypatch, tmp_path)
    dock, controls = person.dock, person.dock.controls
    verdict, heard = controls.verdict, []
    person.press(verdict.check)
    wait(person)
    assert dock.judging.judged.verdict.basis == "nuclei"
    person.session.changed.connect(heard.append)
    choose(person, 2)
    assert marked_sections(SectionStore.open(section), "run") == "serial" and VERDICT in heard
    assert controls.sections.says.text() == SERIAL and controls.sections.says.isVisible()
    for button in (controls.help.suggest, controls.help.snap):
        assert not button.isEnabled() and "share no nuclei" in button.toolTip()
    assert verdict.says.text().startswith("◌ Before the last change") and not verdict.map.isEnabled()
    assert controls.help.rough.isEnabled()

    # Reopened, it is remembered; taken back, nuclei count again.
    person.session.close()
    person.open(section)
    assert controls.sections.combo.currentData() == "serial" and not controls.help.suggest.isEnabled()
    choose(person, 0)
    assert controls.help.suggest.isEnabled() and not controls.sections.says.isVisible()
    assert marked_sections(SectionStore.open(section), "run") == "unknown"
    assert verdict.says.text().startswith("● Good")  # what was judged so holds again


def test_without_nuclei_the_map_shows_what_the_pairs_leave_open():
    nan = np.full(2, np.nan)
    place, doubt = np.array([[60.0, 60.0], [260.0, 60.0]]), np.array([4.0, 16.0])
    found = QualityMap(place, np.full((2, 2), np.nan), np.array([UNKNOWN] * 2), nan, nan, doubt, 200.0, 40.0)
    assert not by_nuclei(found) and scale_end(found) == 16.0
    np.testing.assert_array_equal(coloured(found), doubt)
    asked = []

    def colours(values):
        asked.append(values)
        return np.tile([0.0, 1.0, 0.0, 1.0], (len(values), 1))

    rgba, pixel = picture(found, (400.0, 200.0), colours)
    np.testing.assert_allclose(asked[0], [0.25, 1.0])
    edge = rgba[int(100 / pixel), int(12 / pixel)]
    inside = rgba[int(40 / pixel) : int(160 / pixel), int(40 / pixel) : int(160 / pixel)]
    assert tuple(edge) == (0, 255, 0, 255) and not inside[..., 3].any()  # framed


def test_the_engines_commands_are_the_lists_entries_here():
    said = in_window("Then mark them (pixelgene register --sections same).")
    assert said == "Then mark them (“the same section” in the list above)."
