"""Scores stand beside the run they are of: written once, told with it, copied with it, gone with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.cli.main import main
from napari_pixelgene.elements.scores import GeneScores
from napari_pixelgene.errors import PixelGeneError, TooFewUnits
from napari_pixelgene.pipeline.config import read_config
from napari_pixelgene.pipeline.describing import describe
from napari_pixelgene.pipeline.running import run_config
from napari_pixelgene.progress import Event, Note, Progress
from napari_pixelgene.simulate.run import SimulatedRun, simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.store.models import copy_run
from napari_pixelgene.store.scores import read_scores, write_scores
from napari_pixelgene.store.section import SectionStore

QUICK = "permutations = 3\nhalves = 2"
FLOW = """
[[import]]
section = "A.section.zarr"
kind = "xenium"
he = "{a.he}"
bundle = "{a.bundle}"

[[import]]
section = "C.section.zarr"
kind = "xenium"
he = "{c.he}"
bundle = "{c.bundle}"

[[register]]
section = "A.section.zarr"
keypoints = "{a.keypoints}"

[[register]]
section = "C.section.zarr"
keypoints = "{c.keypoints}"

[fit]
run = "first"
train = ["A.section.zarr"]
model = "ridge"
genes = "top:6"
folds = {{ block_um = 150, folds = 3, partitions = 1 }}

[evaluate]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> Path:
    """A with the run 'first' and its cross-validated scores; C another slide."""
    path = tmp_path_factory.mktemp("kept")
    c = simulate_run(path / "c", SimulationSettings(width_um=500, height_um=400, genes=24, hidden_genes=8, seed=6))
    (path / "flow.toml").write_text(FLOW.format(a=small_run, c=c) + QUICK, encoding="utf-8")
    flow(path)
    return path


def flow(path: Path, change: str = "", overwrite: bool = False) -> list[Event]:
    """Run the file, `change` added to [evaluate]; what it told."""
    text = (path / "flow.toml").read_text(encoding="utf-8")
    (path / "changed.toml").write_text(f"{text}\n{change}", encoding="utf-8")
    told: list[Event] = []
    run_config(read_config(path / "changed.toml"), told.append, overwrite)
    return told


def store(folder: Path, name: str) -> SectionStore:
    return SectionStore.open(folder / f"{name}.section.zarr")


def test_a_flow_leaves_scores_beside_its_run(folder: Path) -> None:
    found = read_scores(store(folder, "A"), "first")
    assert found is not None and found.held_out == "blocks"
    log = found.metrics["sections"]["A"]["log"]
    genes = found.genes()
    assert len(genes.genes) == 6 and np.all(genes.total > 0) and genes.total.dtype == float
    controls = {"permuted": genes.chance, "total_only": genes.total_only, "nuclear": genes.nuclear}
    for key, mine in {**{f"{k}_pearson": v for k, v in controls.items()}, "pearson": genes.held_out_r}.items():
        assert mine.mean() == pytest.approx(log[f"{key}_mean"], abs=1e-5)
    assert found.headline["held_out_r"] == log["pearson_mean"] > 0.08 > abs(found.headline["chance"])


def test_what_is_scored_is_not_scored_again(folder: Path) -> None:
    again = flow(folder)
    assert not [e for e in again if isinstance(e, Progress)]
    assert any(isinstance(e, Note) and "scores of 'first' are finished" in e.text for e in again)
    other = flow(folder, "seed = 4")
    assert [e for e in other if isinstance(e, Progress) and e.stage == "evaluate"]
    flow(folder)


def test_a_run_tells_its_scores(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = {run["name"]: run for run in describe(store(folder, "A"))["runs"]}
    first = runs.pop("first")
    found = read_scores(store(folder, "A"), "first")
    assert found is not None and first["scores"] == {**found.headline, "held_out": "blocks"}
    assert (first["model"], first["encoder"], first["genes"], first["purpose"]) == (
        "ridge", "stain_texture", 6, "prediction"
    )  # fmt: skip
    assert first["started"] <= first["finished"] and first["seconds"] >= 0
    assert first["settings"]["folds"]["block_um"] == 150
    assert [run["purpose"] for run in runs.values()] == ["evaluation"] * len(runs) and runs
    assert main(["info", str(folder / "A.section.zarr")]) == 0
    said = capsys.readouterr().out
    assert "first: ridge on stain_texture, 6 genes, trained on A" in said and found.headline["verdict"] in said


def test_test_sections_are_asked_of_the_run_itself(folder: Path) -> None:
    copied = copy_of(folder, "tested")
    before = set(store(copied, "A").runs())
    flow(copied, 'test = ["C.section.zarr"]')
    found = read_scores(store(copied, "A"), "first")
    assert found is not None and found.held_out == "sections" and list(found.metrics["sections"]) == ["C"]
    assert set(store(copied, "A").runs()) == before
    arguments = ["evaluate", "--run", "first", "--from", str(copied / "A.section.zarr"), "--test"]
    assert main([*arguments, str(copied / "C.section.zarr"), "--permutations", "3", "--halves", "2"]) == 0
    asked = read_scores(store(copied, "A"), "first")
    assert asked is not None and asked.metrics["sections"] == found.metrics["sections"]


def test_scores_travel_with_the_run_and_go_with_it(folder: Path) -> None:
    copied = copy_of(folder, "travel")
    a, c = store(copied, "A"), store(copied, "C")
    copy_run(a, c, "first")
    mine, theirs = read_scores(a, "first"), read_scores(c, "first")
    assert mine is not None and theirs is not None and theirs.table() == mine.table()
    changed = {**mine.metrics, "seed": 77}
    write_scores(a, "first", changed, mine.table())
    copy_run(a, c, "first")  # the run is the same, its scores are new
    theirs = read_scores(c, "first")
    assert theirs is not None and theirs.metrics["seed"] == 77
    assert "evaluation/first" not in describe(a)["stale"]
    fit = ["fit", "--train", str(a.path), "--run", "first", "--model", "ridge", "--genes", "top:4", "--block-um", "150"]
    assert main([*fit, "--folds", "3", "--partitions", "1", "--overwrite"]) == 0
    assert read_scores(a, "first") is None and describe(a)["stale"]["evaluation/first"] == "training/first changed"


def test_other_settings_are_no_scores_of_the_run(folder: Path) -> None:
    """[evaluate.fit] may ask about another model than [fit] trained."""
    copied = copy_of(folder, "other")
    before = read_scores(store(copied, "A"), "first")
    flow(
        copied,
        '[evaluate.fit]\nmodel = "ridge"\ngenes = "top:3"\nfolds = { block_um = 150, folds = 3, partitions = 1 }',
    )
    after = read_scores(store(copied, "A"), "first")
    assert before is not None and after is not None and after.table() == before.table()


def test_too_few_folds_are_told_before_hours_are_spent(folder: Path) -> None:
    text = (folder / "flow.toml").read_text(encoding="utf-8").replace("folds = 3", "folds = 2").replace("first", "new")
    (folder / "few.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PixelGeneError, match="three folds"):
        run_config(read_config(folder / "few.toml"))
    assert "new" not in store(folder, "A").runs()


def test_a_section_too_small_to_be_scored_keeps_its_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that sees far around a unit can learn from all of a small section, and not from what is left of it."""

    def left_with_none(*_: object) -> None:
        raise TooFewUnits("A member of the ensemble is left with 0 units to learn from.", "Use more folds.")

    monkeypatch.setattr("napari_pixelgene.pipeline.running.judge_run", left_with_none)
    text = (folder / "flow.toml").read_text(encoding="utf-8").replace('"first"', '"small"')
    (folder / "small.toml").write_text(text, encoding="utf-8")
    told: list[Event] = []
    out = run_config(read_config(folder / "small.toml"), told.append)
    assert out["run"] == "small" and out["not_scored"].endswith("0 units to learn from. Use more folds.")
    (warned,) = (e for e in told if isinstance(e, Note) and e.level == "warning" and e.stage == "evaluation")
    assert warned.text.startswith("'small' is not scored: too little was measured") and "more folds" in warned.text
    a = store(folder, "A")
    assert "small" in a.runs() and read_scores(a, "small") is None


def test_genes_of_several_sections_are_averaged() -> None:
    """B is constant in the second section, D is there only; totals add up."""
    nan = np.nan
    columns = {
        "gene": ["B", "A", "D", "A", "B"],
        "total": [5, 10, 7, 1, 2],
        "log_pearson": [0.5, 0.2, 0.9, 0.4, nan],
        "log_permuted": [0.0, 0.1, 0.0, -0.1, nan],
        "log_nuclear": [nan, 0.3, nan, nan, nan],
    }
    found = GeneScores.from_columns(columns)
    assert found.genes == ("B", "A", "D")
    np.testing.assert_allclose(found.held_out_r, [0.5, 0.3, 0.9])
    np.testing.assert_allclose(found.chance, [0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.nuclear, [nan, 0.3, nan])
    np.testing.assert_array_equal(found.total, [7, 11, 7])
    assert np.isnan(found.ceiling).all()


def copy_of(folder: Path, name: str) -> Path:
    copied = folder.with_name(f"{folder.name}-{name}")
    shutil.copytree(folder, copied)
    return copied


def test_metrics_are_plain_json(folder: Path) -> None:
    path = store(folder, "A").path / "models" / "first" / "scores" / "metrics.json"
    assert json.loads(path.read_text())["schema"] == 1
