"""`pixelgene import KIND SECTION --add`, as a person runs it: from files to two captures, one of them registered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile

import every_kind as made
from commands import assert_told, pixelgene
from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.exporters.alignments import write_alignment_json
from napari_pixelgene.pipeline.drafting import chosen_settings, unregister
from napari_pixelgene.pipeline.running import run_config
from napari_pixelgene.pipeline.slide import units_in_um
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

CONFIG = """
[[import]]
section = "M.section.zarr"
kind = "image"
he = "slide.ome.tif"

[[import]]
section = "M.section.zarr"
kind = "table"
table = "spots.csv"
coordinates = "he_px"
shape = "disk"
size_um = 55
identity = "id"
he = "slide.png"
mpp = 1.0
name = "D1"
add = true
"""


def mother(folder: Path) -> Path:
    """Another slide than the captures' own."""
    tifffile.imwrite(folder / "slide.ome.tif", made.picture(9), photometric="rgb", tile=(256, 256),
                     metadata={"axes": "YXS", "PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0})  # fmt: skip
    return folder / "slide.ome.tif"


def test_added_and_registered_from_the_shell(tmp_path: Path) -> None:
    mother(tmp_path), made.png(tmp_path), made.table_wide(tmp_path), made.table_long(tmp_path)
    kinds = ("--table", "spots.csv", "--coordinates", "he_px", "--shape", "disk", "--size-um", 55, "--identity", "id")
    add = ("import", "table", "M.section.zarr", "--add", "--he", "slide.png", "--mpp", 1)
    assert_told(pixelgene(*add, *kinds, "--name", "D1", cwd=tmp_path), "There is no section")
    done = pixelgene("import", "image", "M.section.zarr", "--he", "slide.ome.tif", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = pixelgene(*add, *kinds, "--name", "D1", cwd=tmp_path)
    assert done.returncode == 0 and "register M.section.zarr --capture D1" in done.stdout, done.stderr
    long = ("--table", "molecules.csv", "--coordinates", "he_px", "--x", "east", "--y", "south", "--gene", "symbol")
    done = pixelgene("import", "table", "M.section.zarr", "--add", *long, "--mpp", 1, "--name", "D2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pairs = {"moving": [[100, 90], [800, 100], [760, 580], [130, 540]]}
    pairs["fixed"] = [[900 - x, 640 - y] for x, y in pairs["moving"]]
    np.savetxt(tmp_path / "own.txt", pairs["moving"])
    np.savetxt(tmp_path / "mother.txt", pairs["fixed"])
    keypoints = ("register", "M.section.zarr", "--keypoints", "own.txt", "mother.txt")
    assert_told(pixelgene(*keypoints, cwd=tmp_path), "several captures: D1, D2", "--capture")
    done = pixelgene(*keypoints, "--capture", "D1", cwd=tmp_path)
    assert done.returncode == 0 and "--capture D2" in done.stdout, done.stderr
    store = SectionStore.open(tmp_path / "M.section.zarr")
    np.testing.assert_allclose(units_in_um(store, read_capture(store, "D1")).xy, [900, 640] - made.spots()[1])
    told = json.loads(pixelgene("info", "M.section.zarr", "--json", cwd=tmp_path).stdout)
    assert [(c["name"], c["registered"]) for c in told["captures"]] == [("D1", True), ("D2", False)]


def test_added_by_a_settings_file_once(tmp_path: Path) -> None:
    from napari_pixelgene.pipeline.config import read_config, to_toml

    mother(tmp_path), made.png(tmp_path), made.table_wide(tmp_path)
    (tmp_path / "run.toml").write_text(CONFIG)
    config = read_config(tmp_path / "run.toml")
    (tmp_path / "again.toml").write_text(to_toml(config.tables()))
    assert read_config(tmp_path / "again.toml") == config
    for _ in range(2):
        out = run_config(config)
        assert out["sections"] == [str(tmp_path / "M.section.zarr")]
    assert SectionStore.open(tmp_path / "M.section.zarr").captures() == ["D1"]


def test_a_settings_file_holds_a_known_scale(tmp_path: Path) -> None:
    """Spots without an image, registered by a file that names no kind, read again after it was written."""
    from napari_pixelgene.pipeline.config import read_config, to_toml

    mother(tmp_path), made.table_wide(tmp_path)
    (tmp_path / "run.toml").write_text(
        CONFIG.replace('he = "slide.png"', "") + '\n[[register]]\nkeypoints = "pairs.json"\ncapture = "D1"\n'
    )
    here = np.array([[100.0, 90], [800, 100], [760, 580], [130, 540]])
    there = 0.99 * here + [4.0, 9.0]
    write_alignment_json(tmp_path / "pairs.json", Keypoints(here, there, "stage_um", "he_px"), None)
    config = read_config(tmp_path / "run.toml")
    (tmp_path / "again.toml").write_text(to_toml(config.tables()))
    for each in (config, read_config(tmp_path / "again.toml")):
        run_config(each)
        store = SectionStore.open(tmp_path / "M.section.zarr")
        assert chosen_settings(store, "D1").kind == "rigid"
        unregister(store, "D1")
