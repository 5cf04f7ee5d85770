"""What may be wrong with a Xenium run, its keypoints, its genes and the disk: told, and nothing computed is lost."""

from __future__ import annotations

import csv
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import assert_told, content, pixelgene
from napari_pixelgene.cli.main import main
from napari_pixelgene.simulate.run import SimulatedRun

SECTION = "A.section.zarr"
Rows = list[list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> Path:
    """A registered section of the simulated run, with a run of its own."""
    path = tmp_path_factory.mktemp("runs")
    section = str(path / SECTION)
    assert main(["import", "xenium", section, "--bundle", str(small_run.bundle), "--he", str(small_run.he)]) == 0
    assert main(["register", section, "--keypoints", str(small_run.keypoints)]) == 0
    small = ["--model", "ridge", "--genes", "top:4", "--block-um", "150", "--folds", "2", "--partitions", "1"]
    assert main(["fit", "--train", section, "--run", "first", *small]) == 0
    return path


@pytest.fixture
def rows(small_run: SimulatedRun) -> Rows:
    """The keypoints as clicked: header and pairs."""
    with small_run.keypoints.open() as file:
        return list(csv.reader(file))


def fewer(rows: Rows) -> None:
    del rows[4:]


def on_a_line(rows: Rows) -> None:
    for i, row in enumerate(rows[1:]):
        row[:] = [str(100 + 37 * i), str(50 + 74 * i), str(900 - 30 * i), str(400 - 11 * i)]


def twice(rows: Rows) -> None:
    rows[3] = list(rows[2])


def mirrored(rows: Rows) -> None:
    for row in rows[1:]:
        row[2] = str(1400 - float(row[2]))


def not_a_number(rows: Rows) -> None:
    rows[3][1] = "nan"


@pytest.mark.parametrize(
    ("spoil", "kind", "words"),
    [
        (fewer, "homography", ("pairs.csv", "homography", "4 pairs", "3")),
        (
            on_a_line,
            "auto",
            (
                "pairs.csv",
                "line",
            ),
        ),
        (twice, "auto", ("pairs.csv", "2 and 3")),
        (mirrored, "auto", ("pairs.csv", "mirror")),
        (not_a_number, "auto", ("pairs.csv", "line 4", "fixedY")),
    ],
)
def test_keypoints_that_cannot_be_trusted(
    folder: Path, rows: Rows, spoil: Callable[[Rows], None], kind: str, words: tuple[str, ...]
) -> None:
    spoil(rows)
    (folder / "pairs.csv").write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
    before = content(folder / SECTION)
    assert_told(pixelgene("register", SECTION, "--keypoints", "pairs.csv", "--kind", kind, cwd=folder), *words)
    assert content(folder / SECTION) == before


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def test_a_slide_that_broke_off(tmp_path: Path, small_run: SimulatedRun) -> None:
    shutil.copy(small_run.he, tmp_path / "he.ome.tif")
    cut(tmp_path / "he.ome.tif", 0.6)
    assert_told(pixelgene("import", "image", SECTION, "--he", "he.ome.tif", cwd=tmp_path), "he.ome.tif")
    assert not (tmp_path / SECTION).exists()


def test_transcripts_that_broke_off(tmp_path: Path, small_run: SimulatedRun) -> None:
    shutil.copytree(small_run.bundle, tmp_path / "outs")
    cut(tmp_path / "outs" / "transcripts.parquet", 0.6)
    done = pixelgene("import", "xenium", SECTION, "--bundle", "outs", "--he", small_run.he, cwd=tmp_path)
    assert_told(done, "transcripts.parquet")
    assert not (tmp_path / SECTION).exists()


def test_an_empty_folder(tmp_path: Path, small_run: SimulatedRun) -> None:
    (tmp_path / "outs").mkdir()
    done = pixelgene("import", "xenium", SECTION, "--bundle", "outs", "--he", small_run.he, cwd=tmp_path)
    assert_told(done, "outs is empty")


def test_genes_that_nobody_measured(folder: Path) -> None:
    (folder / "genes.txt").write_text("NOSUCHGENE\n", encoding="utf-8")
    before = content(folder / SECTION / "models")
    done = pixelgene("fit", "--train", SECTION, "--run", "second", "--genes", "file:genes.txt", cwd=folder)
    assert_told(done, "genes.txt", "NOSUCHGENE")
    assert content(folder / SECTION / "models") == before


def test_genes_that_the_run_does_not_know(folder: Path) -> None:
    assert_told(pixelgene("predict", SECTION, "--run", "first", "--genes", "NOSUCHGENE", cwd=folder), "NOSUCHGENE")


def test_a_run_that_does_not_exist(folder: Path) -> None:
    assert_told(pixelgene("predict", SECTION, "--run", "frist", cwd=folder), "frist", "--from")


def test_a_disk_that_is_full(folder: Path) -> None:
    """A file may not grow beyond 20 kB in that process: the system refuses the write, as a full disk does."""
    before = content(folder / SECTION / "models")
    limit = 20_000
    done = pixelgene(
        *("predict", SECTION, "--run", "first"),
        cwd=folder,
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert_told(done, "room")
    assert content(folder / SECTION / "models") == before
    assert not (folder / SECTION / "maps" / "first").exists()
    again = pixelgene("predict", SECTION, "--run", "first", cwd=folder)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "--trian", SECTION), ("--trian",)),
        (("fit", "--train", "B.section.zarr", "--run", "x"), ("B.section.zarr",)),
        (("fit", "--train", SECTION, "--run", "x", "--set", "hiden=3"), ("pixel2gene.hiden", "pixel2gene.hidden")),
        (("fit", "--train", SECTION, "--run", "x", "--model", "pixel2gen"), ("pixel2gen", "'pixel2gene'")),
        (("register", SECTION), ("--keypoints", "--matrix")),
        (("simulate", "made", "--width-um", "10"), ("--width-um", "300")),
        (("nosuch",), ("nosuch",)),
    ],
)
def test_options_that_are_wrong(
    folder: Path,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    assert main(list(arguments)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert all(word in said for word in words), said
