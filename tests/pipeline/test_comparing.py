"""Models side by side: what each split holds out, resume, one failure among others, the leaderboard."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mother import Panel, mother
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.models import registry
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.comparing import running
from napari_pixelgene.pipeline.comparing.cell import as_spots, run_cell, shallower
from napari_pixelgene.pipeline.comparing.leaderboard import leaderboard, said
from napari_pixelgene.pipeline.comparing.running import Outcome
from napari_pixelgene.pipeline.comparing.settings import CompareSettings, ModelChoice, SplitSettings, read_comparison
from napari_pixelgene.pipeline.comparing.tasks import Cell, Task, cells_of, tasks_of
from napari_pixelgene.pipeline.comparing.writing import compare, table_lines
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.pipeline.training_data import measured_units
from napari_pixelgene.progress import Event, Note, silent
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.depth import DepthSettings
from napari_pixelgene.store.section import SectionStore

QUICK = {"permutations": 5, "halves": 2, "draws": 50, "folds": {"folds": 3, "partitions": 1, "block_um": 130}}


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> SectionStore:
    """A mother slide whose stain decides the counts; captures A and B overlap, C lies apart."""
    return mother(tmp_path_factory.mktemp("compare"), dict.fromkeys(("A", "B", "C"), Panel()))


@pytest.fixture(scope="module")
def xenium(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> SectionStore:
    path = tmp_path_factory.mktemp("compare") / "X.section.zarr"
    store = import_section(path, small_run.he, XeniumSource(bundle=small_run.bundle))
    register_keypoints(store, small_run.keypoints)
    return store


def settings(store: SectionStore, kind: str, model: str = "ridge", **more: Any) -> CompareSettings:
    split = {"kind": kind, **more}
    values = {"sections": [store.path], "models": [{"name": model}], "genes": "panel", "split": split, **QUICK}
    return CompareSettings.make(values)


def only(chosen: CompareSettings, at: int = 0) -> dict[str, Any]:
    return run_cell(chosen, cells_of(chosen)[at]).values


def test_a_capture_is_scored_by_models_of_the_others(slide: SectionStore) -> None:
    chosen = settings(slide, "captures")
    assert [task.captures for task in tasks_of(chosen)] == [("A",), ("B",), ("C",)]
    values = only(chosen, 2)
    assert list(values["captures"]) == ["mother/C"]
    scores = values["captures"]["mother/C"]
    assert scores["log"]["pearson_mean"] > 0.5 > abs(scores["log"]["permuted_pearson_mean"]) + 0.3
    assert values["units"] == len(measured_units(slide, "A")) + len(measured_units(slide, "B"))
    assert scores["measures"]["log"]["pearson"] == pytest.approx(scores["log"]["pearson_mean"], abs=1e-5)
    assert values["context"] == "none needed"


@pytest.mark.parametrize(("kind", "share"), [("random", 0.3), ("nearest", 0.4)])
def test_a_share_of_the_units_is_held_out_and_scored(slide: SectionStore, kind: str, share: float) -> None:
    values = only(settings(slide, kind, shares=[share]))
    whole = {name: len(measured_units(slide, name)) for name in ("A", "B", "C")}
    for name, count in whole.items():
        held = round(share * count) if kind == "random" else int(share * count)
        assert values["captures"][f"mother/{name}"]["units"] == held
    assert values["units"] == sum(
        c - (round(share * c) if kind == "random" else int(share * c)) for c in whole.values()
    )


def test_what_leans_on_measured_units_is_told_so(slide: SectionStore) -> None:
    assert only(settings(slide, "random", "spatial"))["context"] == "training units of the slide"
    at = settings(slide, "captures", "spatial")
    assert only(at, 2)["context"] == "training units of the slide"


def test_spots_are_made_of_squares_and_the_squares_scored(xenium: SectionStore) -> None:
    chosen = settings(xenium, "pseudo-visium", spots={"diameter_um": 40, "pitch_um": 60})
    measured = measured_units(xenium)
    spots = as_spots(measured, chosen.split)
    assert 20 < len(spots) < len(measured) / 20 and spots.footprint.size_um == 40
    assert spots.library.mean() > 10 * measured.library.mean()
    values = only(chosen)
    (scores,) = values["captures"].values()
    assert values["units"] == len(spots) and list(scores["scales"]) == ["8", "16", "32", "64"]
    assert scores["scales"]["8"]["squares"] == len(measured)
    r = [scores["scales"][um]["log"]["pearson"] for um in ("8", "32")]
    assert r[1] > r[0] > 0.02  # coarser squares have more counts


def test_shallower_counts_teach_and_whole_ones_score(xenium: SectionStore) -> None:
    measured = measured_units(xenium)
    whole, thin = shallower(measured, DepthSettings(mean=0.3, sd=0), 1)
    assert len(whole) == len(thin) < len(measured)
    assert thin.library.sum() / measured.library.sum() == pytest.approx(0.3, abs=0.01)
    few, full = (only(settings(xenium, "depth", shares=[share])) for share in (0.05, 1.0))
    a, b = (next(iter(v["captures"].values()))["log"] for v in (few, full))
    assert b["pearson_mean"] > a["pearson_mean"]
    blocks = next(iter(only(settings(xenium, "blocks"))["captures"].values()))["log"]
    assert b["ceiling_pearson_mean"] == pytest.approx(blocks["ceiling_pearson_mean"], abs=0.02)


def test_spots_cannot_be_made_of_spots(slide: SectionStore) -> None:
    with pytest.raises(SettingsError, match="are no squares of the lattice"):
        only(settings(slide, "pseudo-visium"))


def write(folder: Path, store: SectionStore, models: str) -> Path:
    path = folder / "three.toml"
    path.write_text(
        f'sections = ["{store.path}"]\ngenes = "panel"\npermutations = 5\nhalves = 2\ndraws = 50\n'
        f'[split]\nkind = "captures"\ntest_captures = ["C"]\n'
        f"[folds]\nfolds = 3\npartitions = 1\nblock_um = 130\n{models}"
    )
    return path


def test_one_failure_loses_nothing_and_what_is_done_is_kept(
    slide: SectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that this process knows and its children do not stands for one that breaks."""
    monkeypatch.setattr(registry, "_MODELS", {**registry._MODELS, "stranger": registry._MODELS["ridge"]})
    path = write(tmp_path, slide, '[[models]]\nname = "stranger"\n[[models]]\nname = "ridge"\n')
    events: list[Event] = []
    rows = compare(read_comparison(path), tmp_path / "out", events.append)
    assert [row.label for row in rows] == ["ridge", "stranger"]
    assert rows[0].log is not None and rows[0].log > 0.5 and rows[0].peak_mb and rows[0].seconds
    assert "no model named 'stranger'" in rows[1].errors[0]
    assert any(isinstance(e, Note) and "stranger" in e.text and e.level == "warning" for e in events)
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert written["said"].startswith("ridge leads") and len(written["cells"]) == 2
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "What failed" in page and "no model named" in page and "http" not in page.replace("http-equiv", "")
    assert (tmp_path / "out" / "leaderboard.csv").read_text().splitlines()[1].startswith("ridge,ridge,stain_texture,")
    assert any("stranger · stain_texture failed" in line for line in table_lines(rows))
    cell = next((tmp_path / "out" / "cells").glob("*ridge*.json"))
    before = cell.stat().st_mtime_ns
    again = compare(read_comparison(path), tmp_path / "out")
    assert cell.stat().st_mtime_ns == before and again[0] == rows[0]


def outcome(task: str, label: str, quality: float, seed: int, folder: Path) -> Outcome:
    """A made-up cell whose prediction is the truth and noise."""
    rng = np.random.default_rng(7)
    truth = rng.normal(size=(120, 6))
    noise = np.random.default_rng(seed).normal(size=truth.shape)
    log = quality * truth + (1 - quality) * noise
    r = float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(log.T, truth.T, strict=True)]))
    arrays = folder / f"{task}{label}.npz"
    np.savez(arrays, **{"X:log": log, "X:truth": truth, "X:block": np.arange(120) // 10})
    scores = {"log": {"pearson_mean": r, "permuted_pearson_mean": 0.0}, "counts": {"pearson_mean": r / 2}}
    capture = {**scores, "measures": {"log": {"pearson": r}, "counts": {"rmse": 2.0}}}
    values = {"captures": {"X": capture}, "seconds": {"fit": 2.0}, "peak_mb": 100, "context": "none needed"}
    choice = ModelChoice(name="ridge", label=label)
    return Outcome(Cell(Task(task, "", ()), choice, "e"), values, arrays)


def test_the_leaderboard_tells_what_is_better_from_what_is_not(tmp_path: Path) -> None:
    group = [
        outcome(task, label, quality, seed, tmp_path)
        for label, quality, seed in (("worst", 0.2, 3), ("best", 0.7, 1), ("close", 0.69, 2))
        for task in ("one", "two")
    ]
    rows = leaderboard(group, draws=200, seed=0)
    assert [row.label for row in rows] == ["best", "close", "worst"]
    best, close, worst = rows
    assert best.behind is None and best.alone is not None and best.alone[0] < best.log < best.alone[1]
    assert close.behind_interval is not None and close.behind_interval[0] < 0 < close.behind_interval[1]
    assert worst.behind_interval is not None and worst.behind_interval[0] > 0.3
    assert worst.behind == pytest.approx(best.log - worst.log)
    assert best.counts == pytest.approx(best.log / 2) and best.measures["counts.rmse"] == 2.0
    assert said(rows).startswith("best leads") and "Not told apart from it on this tissue: close" in said(rows)
    assert said([]) == "No model gave a score."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[models]]\nname = "rigde"', "Did you mean 'ridge'"),
        ('[[models]]\nname = "ridge"\n[[models]]\nname = "ridge"', "two rows called 'ridge'"),
        ('[[models]]\nname = "ridge"\nsettings = { componets = 3 }', "ridge.componets"),
        ('encoders = ["none_such"]\n[[models]]\nname = "ridge"', "no encoder named 'none_such'"),
        ('[[models]]\nname = "ridge"\n[split]\nkind = "halves"', "split.kind"),
        ("models = []", "names no section or no model"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_first(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(f'sections = ["A.section.zarr"]\n{text}\n')
    with pytest.raises(SettingsError, match=problem):
        read_comparison(path)


def test_memory_is_that_of_the_process_and_not_of_its_parent() -> None:
    held = bytes(600_000_000)
    code = "from napari_pixelgene.pipeline.comparing.running import _peak_bytes as peak; before = peak(); "
    code += "held = b'1' * 200_000_000; print(before, peak())"
    before, peak = map(
        int, subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split()
    )
    assert before < len(held) and 195_000_000 < peak - before < 260_000_000


def test_one_section_alone_has_no_others() -> None:
    chosen = CompareSettings.make({"sections": ["A.section.zarr"], "models": [{"name": "ridge"}]})
    with pytest.raises(SettingsError, match='kind = "blocks"'):
        tasks_of(chosen)
    assert SplitSettings(kind="nearest").all_shares() == (0.8, 0.9, 0.95)


def test_encoders_by_their_name_in_a_library_are_asked_for_on_the_device(
    slide: SectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "compare.toml"
    names = ["stain_texture", "timm:vit_tiny_patch16_224"]
    path.write_text(
        f'sections = ["{slide.path}"]\nencoders = {names}\n[[models]]\nname = "ridge"\n[split]\nkind = "blocks"\n'
    )
    chosen, asked = read_comparison(path), []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(
        running, "ensure_features", lambda store, settings, _, device: asked.append((settings.encoder, device))
    )
    assert running._make_features(chosen, cells_of(chosen), silent) == {}
    assert asked == [(name, "cuda") for name in names]
