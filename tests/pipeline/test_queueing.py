"""A queue: every slide alone, a bad one noted, one table of all; nothing is done twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile

from commands import content
from napari_pixelgene.cli.main import main
from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.pipeline.config import read_config
from napari_pixelgene.pipeline.queueing import PartlyDone, plan_queue
from napari_pixelgene.pipeline.running import run_config
from napari_pixelgene.progress import Event, Note, Progress
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.store.maps import read_maps
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_tissue

MPP = 0.5
SMALL = ("--model", "ridge", "--genes", "top:4", "--block-um", "150", "--folds", "3", "--partitions", "1")


def slide(path: Path, run: SimulatedRun, share: float = 1.0) -> None:
    """The upper part of the run's slide, without a word about its pixel size."""
    rgb = tifffile.imread(run.he, series=0, level=0)
    tifffile.imwrite(path, rgb[: int(share * len(rgb))], tile=(256, 256), photometric="rgb")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> Path:
    """The section that holds the run 'first'."""
    section = tmp_path_factory.mktemp("home") / "A.section.zarr"
    place = str(section)
    assert main(["import", "xenium", place, "--bundle", str(small_run.bundle), "--he", str(small_run.he)]) == 0
    assert main(["register", place, "--keypoints", str(small_run.keypoints)]) == 0
    assert main(["fit", "--train", place, "--run", "first", *SMALL]) == 0
    return section


@pytest.fixture
def slides(tmp_path: Path, small_run: SimulatedRun) -> Path:
    """Two slides, between them a file that only looks like one, and a letter."""
    folder = tmp_path / "slides"
    folder.mkdir()
    slide(folder / "a.tif", small_run)
    (folder / "b.svs").write_text("this is no slide")
    slide(folder / "c.ome.tif", small_run, 0.5)
    (folder / "letter.txt").write_text("Dear colleague,")
    return folder


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_bad_slide_is_noted_and_the_rest_is_done(
    home: Path, slides: Path, tmp_path: Path, small_run: SimulatedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["queue", str(slides), "--run", "first", "--from", str(home), "--out", str(out), "--mpp", str(MPP)]
    assert main([*command, "--progress", "json"]) == 2
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert said[-1]["event"] == "error" and "1 of 3 slides failed: b.svs" in said[-1]["problem"]
    assert [f["what"] for f in said[-1]["failed"]] == ["b.svs"] and "b.svs" in said[-1]["failed"][0]["problem"]
    assert [e["done"] for e in said if e["event"] == "progress" and e["stage"] == "queue"] == [0, 1, 2, 3]
    assert any("letter.txt" in e["text"] for e in said if e["event"] == "note")

    a, b, c = rows(out / "results.csv")
    assert [r["status"] for r in (a, b, c)] == ["done", "failed", "done"]
    for name, row in (("a", a), ("c", c)):
        mask = read_tissue(SectionStore.open(out / f"{name}.section.zarr")).mask
        assert float(row["tissue_mm2"]) == pytest.approx(mask.sum() * 64e-6)
    assert 0.1 < float(c["tissue_mm2"]) < 0.7 * float(a["tissue_mm2"])
    assert "is not an image" in b["error"] and b["tissue_mm2"] == "" and a["error"] == ""
    maps = read_maps(SectionStore.open(out / "c.section.zarr"), "first")
    for i, gene in enumerate(maps.genes.symbols):
        assert float(c[f"mean_{gene}"]) == pytest.approx(
            np.nanmean(np.asarray(maps.levels[0][i], np.float64)), rel=1e-6
        )
        assert b[f"mean_{gene}"] == "" and a[f"mean_{gene}"] != c[f"mean_{gene}"]

    slide(slides / "b.svs", small_run, 0.7)  # mended, and the same again
    before = content(out / "a.section.zarr")
    assert main(["run", str(out / "queue.toml")]) == 0
    assert [r["status"] for r in rows(out / "results.csv")] == ["done"] * 3
    assert content(out / "a.section.zarr") == before


def test_the_table_is_there_after_every_slide(home: Path, slides: Path, tmp_path: Path) -> None:
    table = tmp_path / "out" / "all.parquet"
    plan = plan_queue(slides, "first", home, tmp_path / "out", MPP, {"table": str(table), "genes": ["TYP004"]})
    file = tmp_path / "queue.toml"
    file.write_text(plan.toml(), encoding="utf-8")
    seen: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "queue" and event.done:
            seen.append(pq.read_table(table).num_rows)

    with pytest.raises(PartlyDone) as failed:
        run_config(read_config(file), listen)
    assert seen == [1, 2, 3] and len(failed.value.failures) == 1
    assert [c for c in pq.read_table(table).column_names if c.startswith("mean_")] == ["mean_TYP004"]


def test_what_is_wrong_with_the_run_is_no_fault_of_the_slides(home: Path, slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(PixelGeneError, match="second"):
        plan_queue(slides, "second", home, out)
    plan = plan_queue(slides, "first", home, out, MPP, {"genes": ["NOGENE"]})
    (tmp_path / "queue.toml").write_text(plan.toml(), encoding="utf-8")
    with pytest.raises(PixelGeneError, match="NOGENE"):
        run_config(read_config(tmp_path / "queue.toml"))
    with pytest.raises(PixelGeneError, match=r"all\.xlsx"):
        plan_queue(slides, "first", home, out, MPP, {"table": str(out / "all.xlsx")})
    (tmp_path / "empty").mkdir()
    with pytest.raises(PixelGeneError, match="no slide in"):
        plan_queue(tmp_path / "empty", "first", home, out)
    assert not out.exists()


def test_every_slide_has_a_section_of_its_own_name(home: Path, tmp_path: Path) -> None:
    named = [tmp_path / "x" / "A.tif", tmp_path / "y" / "a.svs", tmp_path / "b.ome.tif", tmp_path / "d.section.zarr"]
    notes: list[Event] = []
    plan = plan_queue(named, "first", home, tmp_path / "out", on_event=notes.append)
    assert [s.name for s in plan.sections] == ["A.section.zarr", "a-2.section.zarr", "b.section.zarr", "d.section.zarr"]
    assert plan.sections[3] == tmp_path / "d.section.zarr" and plan.sections[0].parent == tmp_path / "out"
    (tmp_path / "queue.toml").write_text(plan.toml(), encoding="utf-8")
    config = read_config(tmp_path / "queue.toml")
    assert config.predict is not None and config.predict.sections == plan.sections
    assert [i.he for i in config.imports] == named[:3] and {i.work_mpp for i in config.imports} == {0.5}
    assert config.predict.source == home and config.predict.table == tmp_path / "out" / "results.csv"
    assert not [n for n in notes if isinstance(n, Note)]
