"""A run registered again makes everything that stands on its counts stale, and says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.describing import stale
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.learning import FitSettings, fit, predict
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.progress import Note
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.folds import FoldSettings


@pytest.mark.slow
def test_another_transform_makes_bins_runs_and_maps_stale(tmp_path: Path, small_run: SimulatedRun) -> None:
    store = import_section(tmp_path / "a.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))
    register_keypoints(store, small_run.keypoints)
    settings = FitSettings(
        genes="panel",
        model="ridge",
        folds=FoldSettings(block_um=150, folds=3, partitions=1),
    )
    fit([store], "r", settings)
    predict(store, "r")
    assert stale(store) == {}
    notes: list[str] = []
    predict(store, "r", on_event=lambda e: notes.append(e.text) if isinstance(e, Note) else None)
    assert any("nothing to predict" in text for text in notes)

    pairs = read_alignment(small_run.keypoints)
    assert isinstance(pairs, Keypoints)
    moved = Keypoints(pairs.moving_xy, pairs.fixed_xy + np.array([40.0, 0.0]))
    register_keypoints(store, moved)
    capture = store.captures()[0]
    assert {f"binning/{capture}", "training/r", "prediction/r"} <= set(stale(store))

    notes.clear()
    predict(store, "r", on_event=lambda e: notes.append(e.text) if isinstance(e, Note) else None)
    assert not any("nothing to predict" in text for text in notes)
    assert "prediction/r" not in stale(store) or "training/r" in stale(store)["prediction/r"]
    shutil.rmtree(store.path)
