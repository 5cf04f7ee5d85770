"""Two captures brought onto one slide by the Section dock, and registered in the Register dock, by mouse and keys.

`PIXELGENE_LOOK=FOLDER` keeps pictures of the dialog and of both docks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

import every_kind as made
from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.gui.docks import show_dock
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.gui.register.work import Work
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore
from section_person import Person

PLACES = np.array([[150.0, 120], [800, 90], [760, 560], [130, 540], [420, 300]])


def turned(xy: np.ndarray) -> np.ndarray:
    """Where a capture's pixels lie on the mother: turned by half a circle."""
    return [made.WIDTH, made.HEIGHT] - xy


@pytest.fixture
def person(make_napari_viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 860)
    tifffile.imwrite(tmp_path / "mother.ome.tif", np.rot90(made.picture(9), 2).copy(), photometric="rgb",
                     tile=(256, 256), metadata={"axes": "YXS", "PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0})  # fmt: skip
    import_section(tmp_path / "m.section.zarr", tmp_path / "mother.ome.tif")
    dock = show_dock(viewer, "Section")
    one = Person(dock, tmp_path)
    dock.open_path(tmp_path / "m.section.zarr")
    yield one
    if dock.new_dialog is not None:
        dock.new_dialog.reject()
    dock.session.close()


def add(person: Person, own: Path | None, name: str, mpp: str, table: Path) -> None:
    """Add capture…, filled in by hand."""
    person.press(person.dock.add_button)
    person.wait(lambda: person.dialog is not None and person.dialog.isVisible())
    dialog = person.dialog
    assert not dialog.folder.isVisible() and "Add a capture to m" in dialog.windowTitle()
    person.press(dialog.import_button)
    assert "The run is not given" in dialog.fault.text
    if own is not None:
        person.write(dialog.he, own)
    person.write(dialog.run, table)
    person.choose(dialog.kind, "Table")
    person.choose(person.field("coordinates"), "pixels of the H&E")
    person.choose(person.field("shape"), "disks")
    person.write(person.field("size_um"), 55)
    person.write(dialog.mpp, mpp)
    person.write(dialog.name, name)
    person.picture(f"add-{name}", dialog)
    person.press(dialog.import_button)
    assert not dialog.fault.text, dialog.fault.text
    store = SectionStore.open(person.folder / "m.section.zarr")
    person.wait(lambda: bool(person.dock.fault.text) or f"{name}:" in person.dock.captures.text(), 60)
    assert not person.dock.fault.text and name in store.captures()


def pairs(register) -> None:
    """Five pairs in one step; both captures count 1 µm."""
    work = register.work
    work.set_pairs("pairs", work.pairs.of(Keypoints(PLACES, turned(PLACES), work.moving.frame, "he_px")))
    register.redraw()


def both_added(person: Person, tmp_path: Path) -> SectionStore:
    """D1 with its own H&E, D2 of other spots without."""
    table = made.table_wide(tmp_path)
    add(person, made.png(tmp_path), "D1", "1", table)
    lines = table.read_text().splitlines()
    (tmp_path / "second.csv").write_text("\n".join(lines[:1] + lines[6:]) + "\n")
    add(person, None, "D2", "1", tmp_path / "second.csv")
    assert person.dock.captures.text().count("spots of 55 µm") == 2 and person.dock.next.text() == "Register →"
    person.picture("section", person.dock)
    store = SectionStore.open(tmp_path / "m.section.zarr")
    assert [read_capture(store, name).frame for name in store.captures()] == ["morphology_px", "stage_um"]
    return store


def work_at_second(person: Person, register) -> Work:
    """Its own pairs, its own history, its spots as clusters and as a gene, its scale held until it is let go."""
    controls, box = register.controls, register.controls.captures
    first = register.work
    person.choose(controls.channel, "D2")
    person.wait(lambda: register.work is not first, 30)
    work = register.work
    assert len(work.pairs) == 0 and not controls.undo.isEnabled() and controls.table.rowCount() == 0
    assert controls.channel.itemText(0) == "D1 ✓" and controls.models.radio("rigid").isChecked()
    assert controls.models.scale.text() == "The size stays: it is known from the spots' pitch"
    person.choose(controls.channel, "D2 · clusters")
    person.picture("register-clusters", register)
    person.write(box.gene, "erbb2")
    QTest.keyClick(box.gene, Qt.Key.Key_Return)
    assert controls.channel.currentText() == "D2 · gene: ERBB2" and register.overlay.channel == 2
    person.picture("register-gene", register)
    person.write(box.gene, "nothing")
    QTest.keyClick(box.gene, Qt.Key.Key_Return)
    assert "no gene named 'nothing'" in register.fault.text
    pairs(register)
    person.press(controls.models.radio("similarity"))
    assert controls.models.scale.text() == "This model may change the size, though it is known from the spots' pitch"
    person.press(controls.undo)
    assert work.draft.choice == "rigid" and len(work.pairs) == 5
    return work


def test_two_captures_onto_one_slide(person: Person, tmp_path: Path) -> None:
    both_added(person, tmp_path)
    session = person.dock.session
    register = show_dock(session.viewer, "Register")
    controls, box = register.controls, register.controls.captures
    person.wait(lambda: register.state == "full" and register.work is not None, 30)
    first = register.work
    assert first.moving.capture == "D1" and first.moving.channels[0].is_rgb
    assert box.told.text() == "0 of 2 registered" and not box.all.isEnabled()
    assert not box.gene.isVisible() and not controls.models.scale.isVisible()
    pairs(register)
    register.save()
    assert box.told.text() == "1 of 2 registered"
    work_at_second(person, register)
    register.save()
    assert box.told.text() == "2 of 2 registered"

    # Back to the first, as it was left; then both at once on the slide.
    person.choose(controls.channel, "D1")
    assert register.work is first and len(first.pairs) == 5 and controls.table.rowCount() == 5
    for layer in session.layers("morphology", capture="D2"):
        session.viewer.layers.remove(layer)
    person.press(box.all)
    person.wait(lambda: bool(session.layers("morphology", capture="D2")), 30)
    seen = {layer.metadata[KEY]["capture"] for layer in session.layers("morphology") if layer.visible}
    assert seen == {"D1", "D2"}
    x, y = turned(made.spots()[1])[10]
    assert np.asarray(session.layer("morphology", capture="D2").data[0][int(y), int(x)])[:3].any()
    person.picture("register-all", register)
    if person.look is not None:
        session.viewer.screenshot(str(person.look / "window.png"), canvas_only=False)
    person.press(box.all)
    assert not any(layer.visible for layer in session.layers("morphology", capture="D2"))
