"""One more capture in a section: with its own image, with µm only, as molecules, and on the mother slide itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tifffile

import every_kind as made
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.errors import InputError, PixelGeneError, SettingsError, StoreError
from napari_pixelgene.pipeline.adding import CaptureSettings, add_capture, require_no_others
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.checking import checks
from napari_pixelgene.pipeline.describing import describe, stale
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.learning import FitSettings, fit, predict
from napari_pixelgene.pipeline.morphology import take_morphology
from napari_pixelgene.pipeline.moving import movable, open_moving
from napari_pixelgene.pipeline.preparing import ensure_bins
from napari_pixelgene.pipeline.relinking import relink_files
from napari_pixelgene.pipeline.slide import open_morphology, open_slide, reopen, to_he_um, units_in_um
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.pipeline.sources.visium import VisiumSource
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.pipeline.training_data import measured_units
from napari_pixelgene.progress import Note
from napari_pixelgene.readers import images
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.store import provenance
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

MOTHER_MPP = 0.5
# Where a capture's picture lies on the mother: turned, halved in pixels, and far off its corner.
TO_MOTHER = np.array([[0.0, -2.0, 1900.0], [2.0, 0.0, 300.0], [0, 0, 1]])
PAIRS = np.array([[60.0, 50], [840, 70], [800, 600], [100, 560], [400, 330]])


@pytest.fixture
def mother(tmp_path: Path) -> SectionStore:
    """A slide with tissue all over, and nothing measured on it."""
    pixels = np.random.default_rng(5).integers([150, 70, 130], [215, 140, 190], (2400, 2100, 3)).astype(np.uint8)
    pixels[:60] = 244
    tifffile.imwrite(tmp_path / "mother.tif", pixels, photometric="rgb", tile=(256, 256), resolution=(20000, 20000),
                     resolutionunit="CENTIMETER")  # fmt: skip
    return import_section(tmp_path / "m.section.zarr", tmp_path / "mother.tif")


def spots_table(folder: Path, **options: object) -> TableSource:
    values = {"coordinates": "he_px", "shape": "disk", "size_um": 55.0, "identity": "id"} | options
    return TableSource(table=made.table_wide(folder), **values)


def register(store: SectionStore, name: str, between: float = 1.0) -> None:
    """Pairs under `TO_MOTHER`; `between` is the capture's unit in its picture's pixels."""
    frame = open_moving(store, name).frame
    fixed = Transform(TO_MOTHER, "morphology_px", "he_px").apply(PAIRS)
    pairs = Keypoints(PAIRS * between, fixed, frame, "he_px")
    register_keypoints(store, pairs, RegistrationSettings(kind="rigid"), name)


def assert_spots_on_mother(store: SectionStore, name: str) -> None:
    _, xy = made.spots()
    wanted = Transform(TO_MOTHER, "morphology_px", "he_px").apply(xy) * MOTHER_MPP
    units = units_in_um(store, read_capture(store, name))
    np.testing.assert_allclose(units.xy, wanted, atol=1e-6)
    np.testing.assert_array_equal(units.counts.toarray(), made.counts(30))


def test_pixels_of_its_own_image_are_registered_by_that_image(mother: SectionStore, tmp_path: Path) -> None:
    notes: list[object] = []
    settings = CaptureSettings(name="D1", mpp=1.0)
    added = add_capture(mother, spots_table(tmp_path), made.png(tmp_path), settings, notes.append)
    assert (added.name, added.frame, added.own_mpp) == ("D1", "morphology_px", 1.0)
    assert movable(mother) == ["D1"] == mother.captures()
    moving = open_moving(mother, "D1")
    assert (moving.frame, moving.um_per_unit) == ("morphology_px", 1.0)
    (image,) = moving.channels
    assert image.is_rgb and image.require_mpp() == 1.0
    np.testing.assert_array_equal(np.asarray(image.levels[0][100:130, 200:260]), made.picture()[100:130, 200:260])
    register(mother, "D1")
    assert_spots_on_mother(mother, "D1")
    again = reopen(mother, read_capture(mother, "D1"))
    assert again.name == "D1" and again.units is not None and again.units.frame == "morphology_px"
    np.testing.assert_allclose(again.units.xy, made.spots()[1])


def test_without_an_image_pixels_become_um(mother: SectionStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pixels of an image that is not given"):
        add_capture(mother, spots_table(tmp_path), settings=CaptureSettings(name="D2"))
    with pytest.raises(InputError, match="Pixel size and spot pitch disagree"):
        add_capture(mother, spots_table(tmp_path), settings=CaptureSettings(name="D2", mpp=0.1))
    assert mother.captures() == []
    added = add_capture(mother, spots_table(tmp_path), settings=CaptureSettings(name="D2", mpp=0.8))
    assert (added.frame, added.stage_to_morphology) == ("stage_um", None)
    np.testing.assert_allclose(added.unit_places()[0], made.spots()[1] * 0.8)
    again = reopen(mother, added)
    assert again.units is not None and again.units.frame == "stage_um"
    np.testing.assert_allclose(again.units.xy, made.spots()[1] * 0.8)
    moving = open_moving(mother, "D2")
    assert moving.frame == "stage_um" and moving.um_per_unit == 1.0


def test_molecules_of_an_own_image_are_counted_where_they_come_to_lie(mother: SectionStore, tmp_path: Path) -> None:
    source = TableSource(table=made.table_long(tmp_path), coordinates="he_px", x="east", y="south", gene="symbol")
    add_capture(mother, source, made.ome_tiff(tmp_path), CaptureSettings(name="mol"))
    assert [read_capture(mother, "mol").frame, open_moving(mother, "mol").frame] == ["morphology_px"] * 2
    register(mother, "mol")
    bins = ensure_bins(mother, read_capture(mother, "mol"))
    found = made.molecules()
    xy = Transform(TO_MOTHER, "morphology_px", "he_px").apply(found.select("east", "south").to_numpy()) * MOTHER_MPP
    columns = mother.meta()["grid"]["yx_shape"][1]
    wanted = np.unique((xy[:, 1] // 8).astype(int) * columns + (xy[:, 0] // 8).astype(int))
    assert bins.counts.sum() == len(found) and np.array_equal(np.sort(bins.superpixel), wanted)

    # Without the image they are µm, and the stream says so too.
    add_capture(mother, _other(tmp_path), settings=CaptureSettings(mpp=0.25))
    plain = read_capture(mother, "other")
    batch = next(reopen(mother, plain).transcripts.batches())  # type: ignore[union-attr]
    np.testing.assert_allclose(batch.xy, found.select("east", "south").to_numpy()[::2] * 0.25, rtol=1e-6)


def _other(folder: Path) -> TableSource:
    made.molecules().gather_every(2).write_csv(folder / "other.csv")
    return TableSource(table=folder / "other.csv", coordinates="he_px", x="east", y="south", gene="symbol")


def test_a_run_tells_the_size_of_its_own_image(mother: SectionStore, tmp_path: Path) -> None:
    outs = made.visium(tmp_path)
    added = add_capture(mother, VisiumSource(bundle=outs), made.png(tmp_path))
    assert added.frame == "morphology_px" and added.own_mpp == pytest.approx(1, rel=0.01)
    np.testing.assert_allclose(added.unit_places()[0], made.spots()[1])


def test_what_lies_on_the_mother_by_itself(mother: SectionStore, tmp_path: Path) -> None:
    wide = pl.read_csv(made.table_wide(tmp_path)).with_columns(pl.col("x") * 2, pl.col("y") * 2)
    wide.write_csv(tmp_path / "aligned.csv")
    source = TableSource(table=tmp_path / "aligned.csv", coordinates="he_px", shape="disk", size_um=55, identity="id")
    found = add_capture(mother, source, tmp_path / "mother.tif")
    assert found.frame == "he_px" and found.own_mpp is None and movable(mother) == []
    np.testing.assert_allclose(units_in_um(mother, found).xy, made.spots()[1])


def test_names_files_and_options_are_told(mother: SectionStore, tmp_path: Path) -> None:
    source, own = spots_table(tmp_path), made.ome_tiff(tmp_path)
    first = add_capture(mother, source, own, CaptureSettings(name="D1"))
    notes: list[object] = []
    assert add_capture(mother, source, own, CaptureSettings(name="D1"), notes.append).fingerprint == first.fingerprint
    assert add_capture(mother, source, own, on_event=notes.append).name == "D1"
    assert sum("added from these files before" in n.text for n in notes if isinstance(n, Note)) == 2
    with pytest.raises(StoreError, match=r"are the capture 'D1' of m.section.zarr already"):
        add_capture(mother, source, own, CaptureSettings(name="D5"))
    other = _other(tmp_path)
    with pytest.raises(StoreError, match="has a capture 'D1' already; there is: D1"):
        add_capture(mother, other, own, CaptureSettings(name="D1"))
    with pytest.raises(SettingsError, match="replaces nothing"):
        require_no_others(0.5, True, mother)
    with pytest.raises(SettingsError, match="work pixels"):
        require_no_others(0.25, False, mother)
    with pytest.raises(StoreError, match="its own image"):
        take_morphology(mother, "D1", own, 1.0)
    with pytest.raises(InputError, match="outside the H&E"):
        far = pl.read_csv(source.table).with_columns(pl.col("x") + 5000)
        far.write_csv(tmp_path / "far.csv")
        add_capture(mother, source.replace(table=tmp_path / "far.csv"), own, CaptureSettings(name="far"))
    assert mother.captures() == ["D1"] and mother.names("images") == []


def test_provenance_and_staleness_of_each(mother: SectionStore, tmp_path: Path) -> None:
    add_capture(mother, spots_table(tmp_path), made.png(tmp_path), CaptureSettings(name="D1", mpp=1.0))
    add_capture(mother, _other(tmp_path), made.ome_tiff(tmp_path), CaptureSettings(name="D2"))
    register(mother, "D1")
    register(mother, "D2")
    ensure_bins(mother, read_capture(mother, "D2"))
    keys = list(provenance.records(mother))
    assert {"import", "import/D1", "import/D2", "registration/D1", "registration/D2", "binning/D2"} <= set(keys)
    assert stale(mother) == {}
    pairs = Keypoints(PAIRS, TO_MOTHER[:2, :2] @ [1, 0] + 2.1 * PAIRS, "morphology_px", "he_px")
    register_keypoints(mother, pairs, RegistrationSettings(kind="similarity"), "D2")
    assert list(stale(mother)) == ["binning/D2"]
    described = describe(mother)
    assert [(c["name"], c["registered"]) for c in described["captures"]] == [("D1", True), ("D2", True)]
    assert any("D1 is registered" in check.text for check in checks(mother))


def test_files_that_moved_are_found_again(mother: SectionStore, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    source, own = spots_table(tmp_path / "here"), made.ome_tiff(tmp_path / "here")
    add_capture(mother, source, own, CaptureSettings(name="D1"))
    shutil.move(tmp_path / "here", tmp_path / "there")
    with pytest.raises(PixelGeneError, match="not there"):
        open_morphology(mother, read_capture(mother, "D1"))
    assert set(relink_files(mother, tmp_path / "there")) == {"captures/D1/counts", "captures/D1/morphology"}
    assert open_morphology(mother, read_capture(mother, "D1"))[0].is_rgb
    # The same pixels in another file are the same image.
    copy = tmp_path / "again.tif"
    tifffile.imwrite(copy, made.picture(), photometric="rgb", tile=(128, 128))
    relink_files(mother, copy, "captures/D1/morphology")
    with pytest.raises(StoreError, match="other content"):
        relink_files(mother, tmp_path / "mother.tif", "captures/D1/morphology")


def test_an_image_without_tiles_is_converted_once(
    mother: SectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "WHOLE_PX", 300)
    own = made.png(tmp_path)
    add_capture(mother, spots_table(tmp_path), own, CaptureSettings(name="D1", mpp=1.0))
    assert mother.names("images") == ["D1-own"]
    own.unlink()  # the pyramid is in the store
    image = open_moving(mother, "D1").channels[0]
    assert len(image.levels) == 2 and image.require_mpp() == 1.0
    np.testing.assert_array_equal(np.asarray(image.levels[0][:]), made.picture())


def test_what_needs_one_capture_says_so(mother: SectionStore, tmp_path: Path) -> None:
    add_capture(mother, spots_table(tmp_path), made.png(tmp_path), CaptureSettings(name="D1", mpp=1.0))
    add_capture(mother, _other(tmp_path), settings=CaptureSettings(mpp=1.0))
    with pytest.raises(StoreError, match=r"--capture D1 --keypoints"):
        to_he_um(mother, read_capture(mother, "D1"), "morphology_px")
    with pytest.raises(StoreError, match=r"D1.*not registered"):
        fit([mother], "r", FitSettings())
    with pytest.raises(StoreError, match=r"several captures: D1, other.*--capture"):
        measured_units(mother)


@pytest.mark.slow
def test_a_slide_with_several_captures_is_predicted(tmp_path: Path, small_run: SimulatedRun) -> None:
    store = import_section(tmp_path / "a.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))
    register_keypoints(store, small_run.keypoints)
    folds = FoldSettings(block_um=150, folds=3, partitions=1)
    fit([store], "r", FitSettings(genes="top:3", model="ridge", folds=folds))
    before = np.asarray(predict(store, "r").measured[:])
    width, height = open_slide(store).size_um
    places = [(width * a, height * b) for a in (0.3, 0.6) for b in (0.4, 0.5)]
    rows = [f"s{i},{x},{y},{i + 1}" for i, (x, y) in enumerate(places)]
    (tmp_path / "s.csv").write_text("\n".join(["id,x,y,A", *rows]) + "\n")
    source = TableSource(table=tmp_path / "s.csv", coordinates="he_um", shape="square", size_um=30, identity="id")
    add_capture(store, source, small_run.he, CaptureSettings(name="squares"))
    assert stale(store) == {}
    maps = predict(store, "r")
    each = [measured_units(store, name).layer for name in store.captures()]
    both = np.maximum(*each)
    assert (both != before).any() or (each[0] != each[1]).any()
    np.testing.assert_array_equal(np.asarray(maps.measured[:]), both)
    with pytest.raises(InputError, match=r"a/squares shares no gene.*--without-captures squares"):
        fit([store], "again", FitSettings())
