"""`pixelgene import` of CosMx, a prefix folder and a table, as a person runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands import assert_told, pixelgene
from napari_pixelgene.pipeline.slide import require_capture
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.store.section import SectionStore

ROWS = [(120, 80, "A"), (300, 200, "B"), (410, 333, "A")]


def imported(folder: Path, *arguments: object) -> tuple[SectionStore, str]:
    """The section made, and everything that was said."""
    done = pixelgene("import", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return SectionStore.open(folder / str(arguments[1])), " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("units", ["he_um", "stage_um"])
def test_a_table(units: str, small_run: SimulatedRun, tmp_path: Path) -> None:
    text = "px,py,what,type\n" + "".join(f"{x},{y},{gene},T\n" for x, y, gene in ROWS)
    (tmp_path / "t.csv").write_text(text)
    columns = ("--gene", "what", "--x", "px", "--y", "py")
    arguments = ("--he", small_run.he, "--table", "t.csv", "--coordinates", units, *columns)
    store, said = imported(tmp_path, "table", "t.section.zarr", *arguments)
    capture = require_capture(store)
    assert capture.transcripts is not None and capture.transcripts["rows"] == 3
    assert (capture.frame, capture.genes.symbols) == (units, ("A", "B"))
    assert ("pixelgene register" in said) == (units == "stage_um")


def test_a_prefix_folder(small_run: SimulatedRun, tmp_path: Path) -> None:
    spots = [(x, y) for y in range(150, 400, 60) for x in range(150, 500, 60)]
    mpp = 0.5
    names = [f"s{i}" for i in range(len(spots))]
    locs = "".join(f"{name}\t{x / mpp}\t{y / mpp}\n" for name, (x, y) in zip(names, spots, strict=True))
    (tmp_path / "S-locs-raw.tsv").write_text("\tx\ty\n" + locs)
    (tmp_path / "S-cnts.tsv").write_text("\tA\tB\n" + "".join(f"{name}\t{i}\t1\n" for i, name in enumerate(names)))
    (tmp_path / "S-radius-raw.txt").write_text(str(25 / mpp))
    (tmp_path / "S-he-raw.ome.tif").symlink_to(small_run.he)
    assert_told(
        pixelgene("import", "prefix", "p.section.zarr", "--prefix", "S-", cwd=tmp_path),
        "S-radius-raw.txt holds 50", "--radius-is radius-px", "--radius-is diameter-um",
    )  # fmt: skip
    assert not (tmp_path / "p.section.zarr").exists()
    store, _ = imported(tmp_path, "prefix", "p.section.zarr", "--prefix", "S-", "--radius-is", "radius-px")
    units = require_capture(store).units()
    assert units is not None and units.footprint.size_um == pytest.approx(50, rel=0.02)
    assert units.counts.toarray()[:, 0].tolist() == list(range(len(spots)))
    assert store.meta()["mpp"] == pytest.approx(mpp, rel=0.02)


def test_cosmx(small_run: SimulatedRun, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    text = "fov,x_global_px,y_global_px,target\n" + "".join(f"1,{x},{y},{gene}\n" for x, y, gene in ROWS)
    (tmp_path / "flat" / "R1_tx_file.csv").write_text(text + "1,5,5,Negative2\n")
    store, said = imported(
        tmp_path, "cosmx", "c.section.zarr", "--he", small_run.he, "--run", "flat", "--pixel-um", 0.12
    )
    capture = require_capture(store)
    assert store.captures() == ["R1"] and capture.frame == "stage_um" and capture.transcripts is not None
    assert "1 of 4 rows in R1_tx_file.csv are of 1 control targets" in said and "pixelgene register" in said
    np.savetxt(tmp_path / "run.txt", np.array([[10, 300], [400, 20], [350, 410.0], [60, 100], [222, 180]]))
    np.savetxt(tmp_path / "he.txt", np.array([[10, 300], [400, 580], [350, 190.0], [60, 500], [222, 420]]))
    told = pixelgene("register", "c.section.zarr", "--keypoints", "run.txt", "he.txt", cwd=tmp_path)
    assert_told(told, "mirrored", "--allow-mirror")


def test_a_simulated_slide_says_how_each_of_its_runs_is_imported(tmp_path: Path) -> None:
    small = ("--width-um", 700, "--height-um", 560, "--genes", 8, "--hidden-genes", 2)
    done = pixelgene("simulate", "tour", *small, "--visium", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "import xenium NAME.section.zarr --bundle tour/outs --he tour/he.ome.tif" in said
    assert "import visium NAME.section.zarr --bundle tour/visium/outs" in said and "visium-hd" not in said
    store, told = imported(tmp_path, "visium", "v.section.zarr", "--bundle", "tour/visium/outs", "--he",
                           "tour/he.ome.tif")  # fmt: skip
    assert require_capture(store).technology == "visium" and "Next: pixelgene fit" in told
