"""Every kind of run through the New dialog by mouse and keys, to a section that is open with the right numbers.

`PIXELGENE_LOOK=FOLDER` keeps a picture of every filled dialog and of the dock afterwards.
"""

from __future__ import annotations

import sys
from pathlib import Path

import napari
import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QLineEdit, QPushButton

import every_kind as made
from napari_pixelgene.gui.docks import show_dock
from napari_pixelgene.gui.session import session_of
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore
from section_person import Person


@pytest.fixture(scope="module")
def window(qapp, tmp_path_factory: pytest.TempPathFactory):
    """One napari for all kinds, with its own recent sections and jobs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1200, 860)
        yield viewer
        session_of(viewer).close()
        viewer.close()


@pytest.fixture
def person(window, tmp_path: Path):
    dock = show_dock(window, "Section")
    one = Person(dock, tmp_path)
    one.new()
    yield one
    if dock.new_dialog is not None:
        dock.new_dialog.reject()


def capture_of(store: SectionStore):
    (name,) = store.captures()
    return read_capture(store, name)


def assert_spots(person: Person, store: SectionStore, size_um: float, shape: str = "disk") -> None:
    """The thirty spots of `every_kind`, where they were put, with all they count."""
    _, xy = made.spots()
    units = capture_of(store).units()
    places = units.xy if units.frame == "he_px" else units.xy / made.MPP
    order = np.lexsort(places.T)
    np.testing.assert_allclose(places[order], xy[np.lexsort(xy.T)])
    assert units.counts.sum() == made.counts(30).sum()
    assert (units.footprint.shape, units.footprint.size_um) == (shape, pytest.approx(size_um))
    assert "30 " in person.dock.captures.text() and "3 genes" in person.dock.captures.text()


def test_visium_by_the_folder_of_the_sample(person: Person, tmp_path: Path):
    outs = made.visium(tmp_path)
    person.fill(made.png(tmp_path), outs.parent, "visium")
    assert "Recognised: Visium" in person.dialog.recognised.text()
    assert Path(person.dialog.run.text()) == outs
    assert "by the run" in person.dialog.mpp.placeholderText() and "1 µm" in person.dialog.mpp.placeholderText()
    store = person.bring("visium")
    _, xy = made.spots()
    table = made.counts(30, 4)[:, [0, 1, 3]]  # the third is an antibody
    units = capture_of(store).units()
    np.testing.assert_allclose(units.xy, xy)
    np.testing.assert_array_equal(units.counts.toarray(), table)
    assert store.meta()["mpp"] == pytest.approx(1, rel=0.01)
    assert "30 spots of 55 µm" in person.dock.captures.text() and "900 × 640 px" in person.dock.slide.text()
    assert "✓ pixel size 1.001 µm, told by the run" in person.dock.checks.texts
    assert person.dock.next.text() == "Run →"


def test_visium_hd_with_other_bins(person: Person, tmp_path: Path):
    person.fill(made.png(tmp_path), made.visium_hd(tmp_path), "hd")
    assert "Recognised: Visium HD" in person.dialog.recognised.text()
    person.write(person.field("bin_um"), 16)
    store = person.bring("hd")
    units = capture_of(store).units()
    assert len(units) == 300 and units.footprint.size_um == 16 and units.footprint.shape == "square"
    assert units.counts.sum() == made.counts(300, 4)[:, [0, 1, 3]].sum()
    assert "300 bins of 16 µm" in person.dock.captures.text() and person.dock.next.text() == "Run →"


def test_legacy_st_by_two_tables(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    counts, spots = made.legacy_st(tmp_path)
    slide = made.png(tmp_path)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(slide), ""))
    browse = [b for b in person.dialog.findChildren(QPushButton) if b.text() == "File…" and b.isVisible()]
    person.press(browse[0])
    assert person.dialog.he.text() == str(slide) and "900 × 640" in person.dialog.found.text()
    person.fill(None, None, "legacy")
    person.choose(person.dialog.kind, "Legacy")
    person.write(person.field("counts").findChild(QLineEdit), counts)
    person.write(person.field("spots").findChild(QLineEdit), spots)
    person.press(person.dialog.import_button)
    assert "Spot diameter" in person.dialog.fault.text
    person.write(person.field("spot_diameter_um"), 100)
    person.press(person.dialog.import_button)
    assert "does not say its pixel size" in person.dialog.fault.text
    person.write(person.dialog.mpp, "1")
    store = person.bring("legacy")
    units = capture_of(store).units()
    assert len(units) == 12 and units.counts.sum() == made.counts(12).sum() and units.footprint.size_um == 100
    assert "12 spots" in person.dock.captures.text() and person.dock.next.text() == "Run →"


def test_cosmx_is_to_be_registered(person: Person, tmp_path: Path):
    person.fill(made.ome_tiff(tmp_path), made.cosmx(tmp_path), "cosmx")
    assert "Recognised: CosMx" in person.dialog.recognised.text()
    person.write(person.field("pixel_um"), "0.12")
    store = person.bring("cosmx")
    found = capture_of(store)
    assert found.transcripts["rows"] == 425 and sorted(found.genes.symbols) == sorted(made.GENES)
    assert "400 transcripts" in person.dock.captures.text() and "not registered" in "".join(person.dock.checks.texts)
    assert person.dock.next.text() == "Register →"


def test_a_prefix_folder_asks_what_its_radius_is(person: Person, tmp_path: Path):
    home = made.prefix(tmp_path)
    person.fill(None, home, "prefix")
    assert "Recognised: Pixel2Gene" in person.dialog.recognised.text()
    assert person.dialog.he.text() == str(home / "he-raw.tiff")
    person.press(person.dialog.import_button)
    person.wait(lambda: bool(person.dialog.fault.text) and person.dialog.isVisible(), 30)
    assert "radius-raw.txt holds 50" in person.dialog.fault.text and "“Radius is”" in person.dialog.fault.text
    person.picture("prefix-asked", person.dialog)
    person.choose(person.field("radius_is"), "the radius in pixels")
    store = person.bring("prefix")
    assert "✓ pixel size 0.5 µm, told by the run" in person.dock.checks.texts
    units = capture_of(store).units()
    assert len(units) == 96 and units.counts.sum() == made.counts(96).sum()
    assert units.footprint.size_um == pytest.approx(50) and store.meta()["mpp"] == pytest.approx(0.5)
    assert "96 spots" in person.dock.captures.text() and person.dock.next.text() == "Run →"


def test_a_table_of_molecules(person: Person, tmp_path: Path):
    person.fill(made.ome_tiff(tmp_path), made.table_long(tmp_path), "molecules")
    assert "Not recognised" in person.dialog.recognised.text()
    person.choose(person.dialog.kind, "Table")
    for name, column in (("x", "east"), ("y", "south"), ("gene", "symbol")):
        person.write(person.field(name), column)
    person.press(person.dialog.import_button)
    assert "Coordinates" in person.dialog.fault.text
    person.choose(person.field("coordinates"), "µm of the H&E")
    store = person.bring("molecules")
    assert capture_of(store).transcripts["rows"] == 400 and capture_of(store).frame == "he_um"
    assert "400 transcripts" in person.dock.captures.text() and person.dock.next.text() == "Run →"


def test_a_table_of_spots(person: Person, tmp_path: Path):
    person.fill(made.ome_tiff(tmp_path), made.table_wide(tmp_path), "spots")
    person.choose(person.dialog.kind, "Table")
    person.choose(person.field("coordinates"), "pixels of the H&E")
    person.choose(person.field("shape"), "disks")
    person.write(person.field("size_um"), 55)
    store = person.bring("spots")
    assert_spots(person, store, 55)
    assert "30 spots" in person.dock.captures.text() and person.dock.next.text() == "Run →"


def test_an_anndata(person: Person, tmp_path: Path):
    person.fill(made.ome_tiff(tmp_path), made.anndata_file(tmp_path), "anndata")
    assert "AnnData" in person.dialog.recognised.text()
    person.choose(person.field("coordinates"), "pixels of the H&E")
    store = person.bring("anndata")
    assert_spots(person, store, 0, "point")
    assert person.dock.next.text() == "Run →"


def test_a_spatialdata_store_with_its_slide(person: Person, tmp_path: Path):
    pytest.importorskip("spatialdata", reason="the extra `spatialdata` is not installed")
    person.fill(None, made.spatialdata_store(tmp_path), "spatial", "1")
    assert "SpatialData" in person.dialog.recognised.text()
    person.write(person.field("image"), "stained")
    store = person.bring("spatial")
    assert_spots(person, store, 55)
    assert person.dock.next.text() == "Run →" and "stained" in person.dock.slide.text()


@pytest.mark.parametrize("name", ["scan.ndpi", "scan.scn", "scan.mrxs"])
def test_a_scanners_file_says_what_to_install(person: Person, tmp_path: Path, monkeypatch, name: str):
    """Where OpenSlide is there, such files open: tests/readers/test_openslide.py."""
    monkeypatch.setitem(sys.modules, "openslide", None)
    person.fill(made.scan(tmp_path / name), None, "scan")
    assert "pip install" in person.dialog.fault.text and "slides" in person.dialog.fault.text
    assert person.dialog.found.text() == ""
    person.press(person.dialog.import_button)
    assert "pip install" in person.dialog.fault.text and not (tmp_path / "scan.section.zarr").exists()
    person.picture(name, person.dialog)


def test_a_scanners_file_that_opens(person: Person, tmp_path: Path):
    pytest.importorskip("openslide", reason="the extra `slides` is not installed")
    person.fill(made.scan(tmp_path / "scan.ndpi"), None, "ndpi")
    assert "900 × 640 px · 1 µm/px" in person.dialog.found.text()
    store = person.bring("ndpi")
    assert store.meta()["mpp"] == pytest.approx(1, rel=0.01) and "900 × 640 px" in person.dock.slide.text()


def test_an_ome_zarr_alone(person: Person, tmp_path: Path):
    person.fill(made.ome_zarr(tmp_path), None, "alone")
    assert "900 × 640 px · 1 µm/px" in person.dialog.found.text()
    store = person.bring("alone")
    assert store.captures() == [] and store.meta()["mpp"] == 1
    assert "Nothing was measured" in person.dock.captures.text() and "900 × 640 px" in person.dock.slide.text()
    shown = np.asarray(person.dock.session.shown.he.levels[0][100:140, 200:260])
    np.testing.assert_array_equal(shown, made.picture()[100:140, 200:260])
