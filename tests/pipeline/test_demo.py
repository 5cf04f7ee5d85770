"""The demo from end to end on a small slide, and that a second call repeats nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from napari_pixelgene.errors import Cancelled
from napari_pixelgene.pipeline import window
from napari_pixelgene.pipeline.demo import DemoSettings, run_demo_with
from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.progress import Event, Note, Progress
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.stages.evaluation import EvaluationSettings
from napari_pixelgene.stages.folds import FoldSettings

TINY = DemoSettings(
    SimulationSettings(width_um=700, height_um=560, genes=24, hidden_genes=8, seed=5),
    FitSettings(
        genes="all",
        folds=FoldSettings(partitions=1, folds=3, block_um=120),
        model_settings={"epochs": 2, "batch_units": 256, "hidden": 32},
    ),
    EvaluationSettings(permutations=3, halves=3),
)


@pytest.mark.slow
def test_the_demo_ends_in_a_report_and_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for screen in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(screen, raising=False)
    monkeypatch.setattr(window.sys, "platform", "linux")
    said: list[str] = []

    def stop_at_training(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "fit":
            raise Cancelled

    def listen(event: Event) -> None:
        if isinstance(event, Note):
            said.append(event.text)

    with pytest.raises(Cancelled):
        run_demo_with(tmp_path, TINY, stop_at_training, window=False)
    written = (tmp_path / "simulation" / "he.ome.tif").stat().st_mtime_ns
    made = run_demo_with(tmp_path, TINY, listen, window=False)
    assert (tmp_path / "simulation" / "he.ome.tif").stat().st_mtime_ns == written
    assert any("imported from these files before" in text for text in said)
    assert made.screenshot is None and any("no picture of the window" in text for text in said)
    _check_metrics(tmp_path, made.shown, made.hidden)
    page = made.report.read_text(encoding="utf-8")
    assert not re.search(r'src="(?!data:image/)', page)
    assert f"mean held-out r is {made.shown['pearson_mean']:.2f}" in page
    assert page.count("<img") == 9  # scores, reached, three genes, alignment, tissue, training, times
    assert "controls and are left out" in page  # said while importing, in the call that was cut off
    assert str(made.report) in str(made)


def _check_metrics(folder: Path, shown: dict[str, float], hidden: dict[str, float]) -> None:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert {"schema", "model", "recipe", "encoder", "seed", "train", "versions", "seconds", "sections"} <= set(metrics)
    assert {"simulate", "features", "train", "predict", "evaluate"} <= set(metrics["seconds"])
    section = metrics["sections"]["demo"]
    assert section["simulated"] == {"shown": shown, "hidden": hidden}
    assert (shown["genes"], hidden["genes"]) == (16, 8)
    table = pq.read_table(folder / "metrics.demo.genes.parquet").to_pydict()
    is_hidden = np.array([gene.startswith("HID") for gene in table["gene"]])
    for part, mask in ((shown, ~is_hidden), (hidden, is_hidden)):
        assert part["pearson_mean"] == pytest.approx(np.mean(np.array(table["log_pearson"])[mask]), abs=1e-6)
        # The truth itself scores what the halves of the counts promise.
        assert part["true_rates_pearson_mean"] == pytest.approx(part["ceiling_pearson_mean"], abs=0.1)


def test_other_settings_make_the_demo_anew_but_touch_nothing_else(tmp_path: Path) -> None:
    from napari_pixelgene.pipeline.demo import _Diary

    for name in ("simulation", "mine"):
        (tmp_path / name).mkdir()
    _Diary.begin(tmp_path, TINY, print)
    assert (tmp_path / "simulation").exists()  # not known to be ours
    diary = _Diary.begin(tmp_path, TINY, print)
    with diary.stage("simulate"):
        diary.hear(Note("Kept."))
    again = _Diary.begin(tmp_path, TINY, print)
    assert list(again.seconds) == ["simulate"] and again.notes == ["Kept."]
    assert (tmp_path / "simulation").exists()
    other = DemoSettings(TINY.simulation.replace(seed=6), TINY.fit, TINY.evaluation)
    assert _Diary.begin(tmp_path, other, print).seconds == {}
    assert not (tmp_path / "simulation").exists() and (tmp_path / "mine").exists()
