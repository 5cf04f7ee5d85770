"""A stored run is scored as it is, on what it has not seen; what is wrong with a request is told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_pixelgene.cli.main import main
from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.pipeline.judging import evaluate
from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.simulate.run import SimulatedRun, simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.stages.evaluation import EvaluationSettings
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.store.section import SectionStore

SMALL = ("--model", "ridge", "--genes", "top:6", "--block-um", "150", "--folds", "2", "--partitions", "1")
QUICK = ("--permutations", "3", "--halves", "2")


def section(folder: Path, name: str) -> str:
    return str(folder / f"{name}.section.zarr")


def imported(folder: Path, name: str, run: SimulatedRun, *more: str, registered: bool = True) -> str:
    place = section(folder, name)
    assert main(["import", "xenium", place, "--bundle", str(run.bundle), "--he", str(run.he), *more]) == 0
    if registered:
        assert main(["register", place, "--keypoints", str(run.keypoints)]) == 0
    return place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> Path:
    """A with the run 'first'; C another slide with counts; two that only look like others: A again, D finer."""
    path = tmp_path_factory.mktemp("stored")
    other = SimulationSettings(width_um=500, height_um=400, genes=24, hidden_genes=8, seed=6)
    slide = simulate_run(path / "other", other)
    imported(path, "A", small_run)
    imported(path, "renamed", small_run, "--min-qv", "10")
    imported(path, "C", slide)
    imported(path, "unplaced", slide, registered=False)
    assert main(["import", "image", section(path, "fine"), "--he", str(slide.he), "--work-mpp", "0.25"]) == 0
    assert main(["fit", "--train", section(path, "A"), "--run", "first", *SMALL]) == 0
    return path


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a request that a person must mend; nothing may have been done before."""
    capsys.readouterr()
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1, said
    return said


def test_a_stored_run_is_scored_beside_the_controls_of_a_fresh_one(folder: Path) -> None:
    stored, fresh = folder / "stored.json", folder / "fresh.json"
    a, c = section(folder, "A"), section(folder, "C")
    before = SectionStore.open(Path(a)).runs()
    scored = ["evaluate", "--run", "first", "--from", a, "--test", c, "--json", str(stored), *QUICK]
    assert main(scored) == 0
    assert SectionStore.open(Path(a)).runs() == before
    assert main(["evaluate", "--train", a, "--test", c, "--json", str(fresh), *SMALL, *QUICK]) == 0
    one, two = (json.loads(path.read_text())["sections"] for path in (stored, fresh))
    assert one == two and one["C"]["log"]["nuclear_pearson_mean"] is not None


def test_counts_that_the_run_has_seen_are_refused_under_any_name(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("A", "renamed"):
        arguments = ["evaluate", "--run", "first", "--from", section(folder, "A"), "--test", section(folder, name)]
        assert f"was trained on {name}.section.zarr" in told(arguments, capsys)


def test_a_run_that_learned_from_several_sections_has_no_controls_that_need_them(
    folder: Path, small_settings: SimulationSettings
) -> None:
    third = imported(folder, "B", simulate_run(folder / "third", small_settings.replace(seed=9)))
    assert main(["fit", "--train", section(folder, "A"), third, "--run", "both", *SMALL]) == 0
    path = folder / "both.json"
    scored = ["evaluate", "--run", "both", "--from", section(folder, "A"), "--test", section(folder, "C"), *QUICK]
    assert main([*scored, "--json", str(path)]) == 0
    log = json.loads(path.read_text())["sections"]["C"]["log"]
    assert log["nuclear_pearson_mean"] is None and "no units" in log["nuclear_pearson_mean_reason"]
    assert log["pearson_mean"] is not None and log["ceiling_pearson_mean"] is not None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evaluate",), ("--train", "--from")),
        (("evaluate", "--run", "first", "--test", "C"), ("first", "--from")),
        (("evaluate", "--run", "first", "--from", "A", "--test", "C", "--genes", "all"), ("as it was trained",)),
        (("evaluate", "--run", "first", "--from", "A", "--test", "C", "--permuted-training"), ("--permuted-training",)),
        (("evaluate", "--run", "first", "--from", "A", "--train", "A", "--test", "C"), ("--from", "--train")),
        (("evaluate", "--train", "A", "--test", "fine"), ("fine.section.zarr", "nothing was measured")),
        (("evaluate", "--train", "A", "--test", "unplaced"), ("unplaced.section.zarr", "register")),
        (("evaluate", "--train", "A", "--run", "a/b"), ("a/b",)),
        (("fit", "--run", "x", "--train", "unplaced"), ("unplaced.section.zarr", "register")),
        (("fit", "--run", "a/b", "--train", "A"), ("a/b",)),
        (("fit", "--run", "x", "--train", "A", "--genes", "topp"), ("topp", "top:N")),
        (("fit", "--run", "x", "--train", "A", "--genes", "top:"), ("top:", "variable:N")),
        (("fit", "--run", "x", "--train", "A", "--genes", "file:no.txt"), ("no.txt",)),
        (("fit", "--train", "A"), ("'pixelgene fit' needs --run",)),
        (("predict", "fine", "--run", "first", "--from", "A"), ("4 µm", "8 µm", "--work-mpp 0.5")),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_done(
    folder: Path, arguments: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("A", "C", "fine", "unplaced")
    said = told([section(folder, a) if a in names else a for a in arguments], capsys)
    assert all(word in said for word in words), said
    assert SectionStore.open(Path(section(folder, "unplaced"))).find("tissue", "mask") is None
    assert SectionStore.open(Path(section(folder, "fine"))).runs() == []


def test_maps_say_how_large_their_squares_are(
    folder: Path, small_run: SimulatedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = imported(folder, "A4", small_run, "--work-mpp", "0.25")
    assert main(["fit", "--train", fine, "--run", "fine", *SMALL]) == 0
    assert main(["predict", fine, "--run", "fine", "--genes", "TYP004"]) == 0
    assert "maps of 1 gene (expected counts per 4 µm square)" in capsys.readouterr().out
    assert main(["info", fine]) == 0
    assert "superpixels of 4 µm" in capsys.readouterr().out
    a = section(folder, "A")
    assert "8 µm" in told(["fit", "--train", a, fine, "--run", "both"], capsys)


def test_a_name_that_no_section_can_have_is_told_before_the_run_is_read(
    tmp_path: Path, small_run: SimulatedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["import", "xenium", str(tmp_path / "A"), "--bundle", str(small_run.bundle), "--he", str(small_run.he)]
    assert "A.section.zarr" in told(arguments, capsys)


def test_training_on_shuffled_counts_scores_nothing(folder: Path) -> None:
    a = SectionStore.open(Path(section(folder, "A")))
    settings = FitSettings(model="ridge", genes="all", folds=FoldSettings(folds=3, block_um=150, partitions=1))
    quick = EvaluationSettings(permutations=3, halves=2, permuted_training=True)
    scored = evaluate([a], settings=settings, evaluation=quick).metrics["sections"]["A"]
    assert scored["log"]["pearson_mean"] > 0.2
    assert abs(scored["permuted_training_pearson_mean"]) < 0.1
    plain = evaluate([a], settings=settings, evaluation=quick.replace(permuted_training=False)).metrics["sections"]["A"]
    assert plain["permuted_training_pearson_mean"] is None and plain["log"] == scored["log"]


def test_a_misspelt_key_is_named_before_the_one_that_it_leaves_out() -> None:
    with pytest.raises(PixelGeneError, match=r"'fit\.blok_um'"):
        FoldSettings.make({"blok_um": 3, "folds": "many"}, where="fit")
