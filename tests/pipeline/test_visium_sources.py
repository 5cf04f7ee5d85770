"""Visium and Visium HD folders as sources: from outs alone, with another H&E, by a file, after a move."""

from __future__ import annotations

import shutil
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from commands import assert_told, pixelgene
from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.config import read_config, to_toml
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.learning import FitSettings, fit, predict
from napari_pixelgene.pipeline.relinking import relink_files
from napari_pixelgene.pipeline.slide import is_placed, reopen, require_capture
from napari_pixelgene.pipeline.sources.registry import recognise, source_from
from napari_pixelgene.pipeline.sources.visium import VisiumSource
from napari_pixelgene.pipeline.sources.visium_hd import VisiumHdSource
from napari_pixelgene.pipeline.training_data import measured_units
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.folds import FoldSettings

RIDGE = FitSettings(genes="panel", model="ridge", folds=FoldSettings(block_um=200, folds=2, partitions=1))


def visium(run: SimulatedRun) -> VisiumSource:
    assert run.visium is not None
    return VisiumSource(bundle=run.visium)


def hd(run: SimulatedRun, bin_um: int | None = None) -> VisiumHdSource:
    assert run.visium_hd is not None
    return VisiumHdSource(bundle=run.visium_hd, bin_um=bin_um)


def test_the_outs_folder_alone_makes_a_section(tmp_path: Path, arrays_run: SimulatedRun) -> None:
    for source, name in ((visium(arrays_run), "visium"), (hd(arrays_run, 16), "visium_hd")):
        store = import_section(tmp_path / f"{name}.section.zarr", source=source)
        capture = require_capture(store)
        assert store.meta()["mpp"] == pytest.approx(1.0, rel=2e-3)  # hires is half the slide of 0.5 µm
        assert (capture.name, capture.technology, is_placed(capture)) == (name, name, True)
        units, again = capture.units(), reopen(store, capture).units
        assert units is not None and again is not None
        assert np.array_equal(units.xy, again.xy) and (units.counts != again.counts).nnz == 0
        assert source_from(capture.source) == source


def test_spots_train_and_predict(tmp_path: Path, arrays_run: SimulatedRun) -> None:
    store = import_section(tmp_path / "a.section.zarr", arrays_run.he, visium(arrays_run))
    measured = measured_units(store)
    held = measured.pooling.getnnz(axis=1)
    assert np.median(held) == pytest.approx(np.pi * 27.5**2 / 64, abs=1.5)
    fit([store], "r", RIDGE)
    maps = predict(store, "r", genes=[measured.genes.symbols[0]])
    plane = np.nan_to_num(np.asarray(maps.levels[0][0], dtype=np.float64))
    pooled, counts = measured.pooling @ plane.ravel(), measured.counts[:, 0].toarray().ravel()
    assert np.corrcoef(pooled, counts)[0, 1] > 0.4


def test_bins_train_as_squares_of_their_side(tmp_path: Path, arrays_run: SimulatedRun) -> None:
    for bin_um, held in ((8, 1), (16, 4)):
        store = import_section(tmp_path / f"{bin_um}.section.zarr", arrays_run.he, hd(arrays_run, bin_um))
        measured = measured_units(store)
        assert np.median(measured.pooling.getnnz(axis=1)) == held
    fit([store], "r", RIDGE)


def test_an_image_without_a_pixel_size_is_measured_by_the_array(tmp_path: Path, arrays_run: SimulatedRun) -> None:
    pixels = np.asarray(read_image(arrays_run.he).levels[0][:])
    (tmp_path / "full.png").write_bytes(imagecodecs.png_encode(pixels))
    told: list[Event] = []
    for source in (visium(arrays_run), hd(arrays_run)):
        place = tmp_path / f"{source.kind}.section.zarr"
        store = import_section(place, tmp_path / "full.png", source, on_event=told.append)
        assert store.meta()["mpp"] == pytest.approx(0.5, rel=2e-3)
    assert any("By the Visium HD run the H&E has 0.5 µm" in e.text for e in told if isinstance(e, Note))
    wrong = ImportSettings(mpp=0.7)
    with pytest.raises(InputError, match="140 µm apart; they must be 100"):
        import_section(tmp_path / "w.section.zarr", tmp_path / "full.png", visium(arrays_run), wrong)
    assert not (tmp_path / "w.section.zarr").exists()


def test_another_image_is_refused(tmp_path: Path, arrays_run: SimulatedRun) -> None:
    """Positions that do not fit on the image are told with both extents."""
    corner = np.asarray(read_image(arrays_run.he).levels[0][:600, :700])
    (tmp_path / "corner.png").write_bytes(imagecodecs.png_encode(corner))
    with pytest.raises(InputError, match="units lie outside the H&E"):
        import_section(tmp_path / "c.section.zarr", tmp_path / "corner.png", visium(arrays_run))


def test_a_run_without_an_image_says_what_to_give(tmp_path: Path, arrays_run: SimulatedRun) -> None:
    assert arrays_run.visium is not None
    bare = tmp_path / "outs"
    shutil.copytree(arrays_run.visium, bare)
    (bare / "spatial" / "tissue_hires_image.png").unlink()
    with pytest.raises(InputError, match="This Visium run brings no H&E") as caught:
        import_section(tmp_path / "n.section.zarr", source=VisiumSource(bundle=bare))
    assert "--he" in str(caught.value.mend)


def test_folders_are_recognised_by_what_they_hold(arrays_run: SimulatedRun) -> None:
    assert arrays_run.visium is not None and arrays_run.visium_hd is not None
    assert recognise(arrays_run.visium) == VisiumSource(bundle=arrays_run.visium)
    square = arrays_run.visium_hd / "binned_outputs" / "square_016um"
    for folder in (arrays_run.visium_hd, square.parent, square):
        assert recognise(folder) == VisiumHdSource(bundle=folder)
    for folder in (arrays_run.visium / "spatial", arrays_run.visium.parent, arrays_run.truth, arrays_run.he):
        assert recognise(folder) is None
    assert recognise(arrays_run.bundle) is not None


def test_a_moved_run_is_found_again_among_its_sisters(tmp_path: Path, arrays_run: SimulatedRun) -> None:
    """All bin sizes have files of the same names."""
    assert arrays_run.visium_hd is not None
    old, new = tmp_path / "old", tmp_path / "elsewhere" / "new"
    shutil.copytree(arrays_run.visium_hd, old)
    store = import_section(tmp_path / "m.section.zarr", arrays_run.he, VisiumHdSource(bundle=old, bin_um=16))
    new.parent.mkdir()
    old.rename(new)
    found = relink_files(store, new)
    square = new / "binned_outputs" / "square_016um"
    one = VisiumHdSource(bundle=square)
    assert VisiumHdSource(bundle=old).moved(one.files()) == one
    assert {path.parent for path in found.values()} == {square, square / "spatial"}
    capture = require_capture(store)
    again = reopen(store, capture).units
    assert again is not None and len(again) == capture.units_count


def test_a_file_of_settings_and_the_command_do_the_same(tmp_path: Path, arrays_run: SimulatedRun) -> None:
    assert arrays_run.visium is not None and arrays_run.visium_hd is not None
    shutil.copytree(arrays_run.visium, tmp_path / "outs")
    text = """
[[import]]
section = "A.section.zarr"
kind = "visium"
bundle = "outs"

[[import]]
section = "B.section.zarr"
kind = "visium-hd"
bundle = "hd"
bin_um = 16
he = "he.tif"

[fit]
run = "first"
"""
    (tmp_path / "flow.toml").write_text(text)
    config = read_config(tmp_path / "flow.toml")
    assert [step.source for step in config.imports] == [
        VisiumSource(bundle=tmp_path / "outs"),
        VisiumHdSource(bundle=tmp_path / "hd", bin_um=16),
    ]
    (tmp_path / "again.toml").write_text(to_toml(config.tables()))
    assert read_config(tmp_path / "again.toml") == config
    done = pixelgene("import", "visium", "A.section.zarr", "--bundle", "outs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Next: pixelgene fit" in done.stdout and "positions are multiplied by 0.5" in done.stderr
    bins = arrays_run.visium_hd
    wrong = pixelgene("import", "visium-hd", "B.section.zarr", "--bundle", bins, "--bin-um", 4, cwd=tmp_path)
    assert_told(wrong, "no bins of 4 µm; it has 2, 8, 16")
