"""What the stages of a run cost beside what was foretold, on simulated sections; one thread, processor seconds.

    python benchmarks/estimates.py

The constants in `pipeline/estimating.py` are from these numbers.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.estimating import estimate
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.judging import judge_run
from napari_pixelgene.pipeline.learning import FitSettings, fit, predict
from napari_pixelgene.pipeline.preparing import ensure_bins, ensure_features, ensure_tissue
from napari_pixelgene.pipeline.slide import require_capture
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.simulate.run import simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.stages.evaluation import EvaluationSettings
from napari_pixelgene.store.section import SectionStore

# Width and height in µm, genes.
SIZES = ((700, 560, 24), (1000, 800, 150))
SETTINGS = FitSettings(genes="all", model_settings={"epochs": 3, "patience": 99})
OTHERS = "histosge", "histex"


def prepared(folder: Path, width: float, height: float, genes: int) -> SectionStore:
    """A registered section whose tissue is found."""
    tissue = SimulationSettings(width_um=width, height_um=height, genes=genes, hidden_genes=8, seed=5)
    made = simulate_run(folder / "run", tissue)
    store = import_section(folder / "A.section.zarr", made.he, XeniumSource(bundle=made.bundle))
    register_keypoints(store, made.keypoints)
    ensure_tissue(store)
    return store


def measured(store: SectionStore) -> dict[str, float]:
    """Processor seconds of every stage."""
    work: dict[str, Callable[[], Any]] = {
        "features": lambda: ensure_features(store),
        "binning": lambda: ensure_bins(store, require_capture(store)),
        "fit": lambda: fit([store], "r", SETTINGS),
        "predict": lambda: predict(store, "r"),
        "evaluate": lambda: judge_run("r", [store], (), SETTINGS, EvaluationSettings()),
    }
    out = {}
    for name, run in work.items():
        start = time.process_time()
        run()
        out[name] = time.process_time() - start
    return out


def written(store: SectionStore) -> int:
    """Bytes of features, maps and models."""
    files = (p for room in ("features", "maps", "models") for p in (store.path / room).rglob("*"))
    return sum(p.stat().st_size for p in files if p.is_file())


def main() -> None:
    """A table a section."""
    for width, height, genes in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            store = prepared(Path(folder), width, height, genes)
            told = estimate([store], SETTINGS, [store], evaluate=True)
            print(f"\n{width} × {height} µm, {genes} genes: {told}")
            for name, seconds in measured(store).items():
                print(f"  {name:<10} {seconds:6.2f} s   foretold {told.parts[name]:6.2f} s")
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"  disk {written(store) / 1e6:.1f} MB   foretold {told.disk_bytes / 1e6:.1f} MB")
            print(f"  memory {peak:.2f} GB with the simulation   foretold {told.memory_bytes / 1e9:.2f} GB")
            for model in OTHERS:
                settings = SETTINGS.replace(model=model)
                start = time.process_time()
                fit([store], model, settings)
                took = time.process_time() - start
                print(f"  fit, {model} {took:.2f} s   foretold {estimate([store], settings).parts['fit']:.2f} s")


if __name__ == "__main__":
    main()
