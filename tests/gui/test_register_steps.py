"""Undo and Redo say what they take back and bring back: in their tips, in the dock and in napari's own line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_pixelgene.elements.matching import Proposal
from napari_pixelgene.gui.register import steps
from napari_pixelgene.gui.register.editing import Editor
from napari_pixelgene.gui.register.history import Draft, History
from napari_pixelgene.gui.register.pairs import Half, Pair, Pairs
from napari_pixelgene.gui.register.proposals import Offer
from register_person import MPP, PLACES

A, B, C = (1.0, 2.0), (30.0, 41.0), (5.5, 6.5)
TWO = Pairs((Pair(A, B), Pair(B, C)))
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.mark.parametrize(
    "said, expected",
    [
        (steps.clicked(TWO, "fixed"), "set point 3 in the H&E"),
        (steps.clicked(replace(TWO, half=Half("moving", A)), "moving"), "moved point 3 in the run's image"),
        (steps.clicked(replace(TWO, half=Half("moving", A)), "fixed"), "set pair 3"),
        (steps.moved(TWO, "moving", 1), "moved pair 2 in the run's image"),
        (steps.moved(replace(TWO, half=Half("fixed", A)), "fixed", 2), "moved point 3 in the H&E"),
        (steps.deleted(TWO, 1), "deleted pair 2"),
        (steps.deleted(replace(TWO, half=Half("fixed", A)), 2), "dropped point 3"),
        (steps.switched(0, False), "switched pair 1 off"),
        (steps.switched_off([3]), "switched off pair 4"),
        (steps.switched_off([3, 6]), "switched off pairs 4 and 7"),
        (steps.accepted(["c"], False), "accepted proposed pair c"),
        (steps.accepted(["1", "2", "5"], True), "snapped pairs 1, 2 and 5"),
        (steps.accepted(list("abcdefghijkl"), False), "accepted 12 proposed pairs"),
        (steps.chosen("affine", False), "chose the model stretching (affine)"),
        (steps.chosen("given", True), "went back to the rough alignment"),
        (steps.imported(Path("a/keypoints.csv"), False), "imported keypoints.csv"),
        (steps.limited(12.5), "set the outlier limit to 12.5 µm"),
        (steps.mirrored(False), "said that the images are not mirrored"),
    ],
)
def test_a_step_names_its_pair_and_its_image(said, expected):
    assert said == expected


def test_what_was_put_away_is_a_step_and_nothing_the_section_keeps():
    one = Proposal(None, A, None, B, 1.0, 0.9, 0.8, True)
    offer = Offer((one, replace(one, fixed_xy=C)), Pairs(), 40.0, search=7)
    draft = Draft(TWO)
    away = replace(draft, put_away=frozenset({(7, 0), (6, 1)}))
    history = History(draft)
    history.do(steps.put_away(["a"]), away)
    assert history.undoable == "rejected proposal a"
    assert offer.without(away.put_away).standing(Pairs()) == [1]  # that of another search is another's
    assert offer.without(history.undo().put_away).standing(Pairs()) == [0, 1]
    assert away.settled().same(draft.settled())  # nothing to save


def test_an_editor_without_work_does_and_says_nothing():
    said = []
    editor = Editor(lambda: said.append("edited"), lambda _: None, said.append)
    editor.undo()
    editor.choose("affine")
    assert said == []


def test_undo_and_redo_say_it_on_both_canvases(person, section, truth):
    """Clicked, dragged, switched; walked back and forth by keys and buttons."""
    person.open(section)
    dock, undo, redo = person.dock, person.dock.controls.undo, person.dock.controls.redo
    assert undo.toolTip() == "There is nothing to undo"
    person.press(dock.controls.pick)
    person.pair(PLACES[0], truth.apply(PLACES[:1])[0])
    assert undo.toolTip() == "Undo: set pair 1 (Ctrl+Z)"
    start = person.place("fixed", np.array(person.pairs.pairs[0].fixed) * MPP)
    person.drag("fixed", start, start + QPoint(30, 20))
    dock.editor.switch(0, False)
    assert undo.toolTip() == "Undo: switched pair 1 off (Ctrl+Z)" and not dock.work.said
    person.key("fixed", Qt.Key.Key_Z, CONTROL)
    person.press(undo)
    assert dock.controls.hint.text().startswith("Undone: moved pair 1 in the H&E.\nClick a spot")
    assert person.viewer.status == "Undone: moved pair 1 in the H&E."
    assert redo.toolTip() == "Redo: moved pair 1 in the H&E (Ctrl+Y)"
    person.key("moving", Qt.Key.Key_Y, CONTROL)
    assert dock.controls.hint.text().startswith("Done again: moved pair 1 in the H&E.")
    dock.editor.select(0)
    assert dock.work.said  # looking at a pair is no step
    person.press(dock.controls.models.radio("affine"))
    assert not dock.work.said and undo.toolTip() == "Undo: chose the model stretching (affine) (Ctrl+Z)"
