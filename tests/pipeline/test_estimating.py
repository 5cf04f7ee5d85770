"""What a run will cost: right to a factor of three where it can be measured, and growing as it should."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
import torch

from napari_pixelgene.models.histex.model import Histex
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.estimating import Estimate, duration_in_words, estimate, rounded_size
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.learning import FitSettings, fit, predict
from napari_pixelgene.pipeline.preparing import ensure_bins, ensure_features, ensure_tissue
from napari_pixelgene.pipeline.slide import require_capture
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.store.section import SectionStore

SETTINGS = FitSettings(
    genes="all", folds=FoldSettings(folds=4, partitions=1), model_settings={"epochs": 4, "patience": 99}
)


@pytest.fixture
def measured(tmp_path: Path, small_run: SimulatedRun) -> SectionStore:
    """A registered section with its tissue."""
    store = import_section(tmp_path / "A.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))
    register_keypoints(store, small_run.keypoints)
    ensure_tissue(store)
    return store


@pytest.fixture
def blank(tmp_path: Path) -> SectionStore:
    """A slide alone whose tissue nobody has looked for; its grid is set to 1,000 × 1,500."""
    rgb = np.full((320, 480, 3), 200, np.uint8)
    tifffile.imwrite(tmp_path / "he.tif", rgb, tile=(256, 256), photometric="rgb")
    store = import_section(tmp_path / "B.section.zarr", tmp_path / "he.tif", None, ImportSettings(mpp=0.5))
    return resized(store, 1000, 1500)


def resized(store: SectionStore, rows: int, columns: int) -> SectionStore:
    store.update_meta("grid", {"yx_shape": [rows, columns], "superpixel_um": 8.0})
    return store


def of_maps(store: SectionStore, genes: int, settings: FitSettings = SETTINGS) -> Estimate:
    """The cost of maps alone."""
    return estimate([], settings, [store], genes=genes)


def processor(run: Callable[[], Any]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def test_a_small_section_costs_what_was_foretold(measured: SectionStore) -> None:
    """Processor seconds of one thread, so that neighbours on the machine do not count."""
    told = estimate([measured], SETTINGS, [measured])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        took = {
            "features": processor(lambda: ensure_features(measured)),
            "binning": processor(lambda: ensure_bins(measured, require_capture(measured))),
            "fit": processor(lambda: fit([measured], "r", SETTINGS)),
            "predict": processor(lambda: predict(measured, "r")),
        }
    finally:
        torch.set_num_threads(threads)
    assert 1 / 3 < sum(told.parts[name] for name in took) / sum(took.values()) < 3, (told.parts, took)
    files = [p for room in ("features", "maps", "models") for p in (measured.path / room).rglob("*") if p.is_file()]
    assert 1 / 3 < told.disk_bytes / sum(p.stat().st_size for p in files) < 3
    assert told.enough and told.seconds == pytest.approx(sum(told.parts.values()))


def test_what_is_there_costs_nothing(measured: SectionStore) -> None:
    before = estimate([measured], SETTINGS)
    ensure_features(measured)
    ensure_bins(measured, require_capture(measured))
    after = estimate([measured], SETTINGS)
    assert before.parts["features"] > 0.5 > after.parts["features"] == 0 < before.parts["binning"]
    assert after.parts["binning"] == 0 and after.disk_bytes < before.disk_bytes
    assert after.parts["fit"] == pytest.approx(before.parts["fit"], rel=0.3)


def test_more_epochs_members_genes_and_scores_cost_more(measured: SectionStore) -> None:
    def seconds(evaluate: bool = False, **changes: Any) -> float:
        return sum(estimate([measured], SETTINGS.replace(**changes), evaluate=evaluate).parts.values()) - still

    still = 0.0
    still = seconds(model_settings={"epochs": 1, "hidden": 1, "units_per_epoch": 1})
    plain = seconds()
    assert seconds(model_settings={"epochs": 40}) == pytest.approx(10 * plain, rel=0.1)
    assert seconds(folds={"folds": 4, "partitions": 3}) > 2 * plain
    assert seconds(genes="top:2") < plain < seconds(evaluate=True)
    assert seconds(max_units=100) < 0.3 * plain


@pytest.mark.parametrize("model", ["histex", "histosge"])
def test_a_model_of_sets_or_windows_costs_what_was_foretold(measured: SectionStore, model: str) -> None:
    """Its bins are joined first, and it takes longer for each than a plain network."""
    ensure_features(measured)
    ensure_bins(measured, require_capture(measured))
    settings = SETTINGS.replace(model=model, model_settings={"epochs": 2, "patience": 99})
    told = estimate([measured], settings, [measured])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        took = processor(lambda: fit([measured], "r", settings))
    finally:
        torch.set_num_threads(threads)
    assert 1 / 3 < told.parts["fit"] / took < 3, (told.parts, took)
    assert not told.is_least and told.parts["predict"] > estimate([measured], SETTINGS, [measured]).parts["predict"]


def test_what_was_not_measured_is_said_to_take_longer(measured: SectionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published recipe, and somebody's own network that looks around every square."""
    published = estimate([measured], SETTINGS.replace(model_settings={"recipe": "original"}), [measured])
    assert published.is_least and str(published).startswith("At least ")
    assert any("hundreds of passes" in note.text for note in published.notes)
    monkeypatch.setattr(Histex, "effort", 1.0)
    around = estimate([measured], FitSettings(model="histex", genes="all"), [measured])
    assert around.is_least and any("'histex' looks around every square" in note.text for note in around.notes)


def test_maps_grow_with_the_slide_and_the_genes(blank: SectionStore) -> None:
    small, more = of_maps(blank, 100), of_maps(blank, 300)
    assert more.disk_bytes - small.disk_bytes == pytest.approx(0.6 * 1.5e6 * 200 * 2, rel=0.02)
    assert more.parts["features"] == small.parts["features"] and more.parts["predict"] > small.parts["predict"]
    large = of_maps(resized(blank, 2000, 3000), 300)
    assert large.parts["predict"] == pytest.approx(4 * more.parts["predict"], rel=0.05)
    assert large.parts["features"] == pytest.approx(4 * more.parts["features"], rel=0.1)
    assert any("tissue of B.section.zarr is not found yet" in note.text for note in large.notes)


def test_the_large_slide_of_the_benchmark(blank: SectionStore) -> None:
    """benchmarks/RESULTS.md: 10 × 10 mm all tissue, 300 genes, ten members: 219 s and 190 s, on two busy cores."""
    told = of_maps(resized(blank, 1250, 2083), 300, SETTINGS.replace(folds=FoldSettings(folds=5, partitions=2)))
    assert told.parts["features"] == pytest.approx(219, rel=0.5)
    assert told.parts["predict"] == pytest.approx(190, rel=0.5)
    assert 0.8e9 < told.memory_bytes < 1.6e9


def test_what_will_not_do_is_told(blank: SectionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    large = resized(blank, 12_000, 12_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 5e9})())
    told = of_maps(large, 18_000)
    (warning,) = [note for note in told.notes if note.level == "warning"]
    assert not told.enough and "the disk has 5 GB free" in warning.text and "3.1 TB" in warning.text
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 6e8})())
    assert next(n.text for n in of_maps(large, 3).notes if n.level == "warning").endswith("close other programs.")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "a few seconds"), (43, "about 40 s"), (58, "about 1 min"), (230, "about 4 min"), (1700, "about 30 min"),
     (3500, "about 1 h"), (8800, "about 2.5 h"), (30_000, "about 8 h")],
)  # fmt: skip
def test_a_time_is_said_as_roughly_as_it_is_known(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words


def test_all_in_one_line() -> None:
    assert str(Estimate(230, 1.234e9, 3.1e8)) == "About 4 min · 1.2 GB memory · 310 MB on disk"
    assert rounded_size(987_654) == "990 kB" and rounded_size(7) == "7 bytes"
