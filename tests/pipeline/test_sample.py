"""The sample's whole flow on a tissue small enough to wait for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.pipeline.sample import LEARNING, RUN, SECTION, TISSUE, main, make_sample
from napari_pixelgene.pipeline.showing import open_section
from napari_pixelgene.progress import Progress
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.store.section import SectionStore


def test_a_sample_has_everything_to_look_at_and_may_be_moved(tmp_path: Path):
    tissue = SimulationSettings(width_um=500, height_um=400, genes=12, hidden_genes=2, seed=5, transcripts_per_cell=60)
    learning = FitSettings(model="ridge", genes="all", folds=FoldSettings(folds=3, block_um=128, partitions=1))
    stages = set()
    made = make_sample(
        tmp_path / "first", lambda e: stages.add(e.stage) if isinstance(e, Progress) else None, tissue, learning
    )
    assert made == tmp_path / "first" / SECTION and len(stages) > 3
    os.replace(tmp_path / "first", tmp_path / "second")
    shown = open_section(SectionStore.open(tmp_path / "second" / SECTION, writable=False))
    assert shown.maps is not None and shown.maps.run == RUN and len(shown.maps.genes) == 12
    assert shown.best_gene in shown.maps.genes.symbols  # it is scored: the best gene is seen first
    ((_, dapi),) = shown.morphology
    assert dapi.yx_shape == shown.he.yx_shape == (800, 1000)
    middle = np.asarray(shown.maps.levels[0][:, 15:35, 18:45])
    assert np.isfinite(middle).mean() > 0.25 and np.nanmax(middle) > 0


def test_the_recipe_is_small_and_has_genes_to_see():
    assert TISSUE.width_um * TISSUE.height_um <= 1.3e6 and TISSUE.genes - TISSUE.hidden_genes >= 20
    assert LEARNING.genes == "all"


def test_a_fault_is_one_line_of_json(tmp_path: Path, capsys, monkeypatch):
    from napari_pixelgene.errors import StoreError
    from napari_pixelgene.pipeline import sample

    def refuse(*_):
        raise StoreError("The disk is full.", "Free some.")

    monkeypatch.setattr(sample, "simulate_run", refuse)
    assert main([str(tmp_path)]) == 2
    assert json.loads(capsys.readouterr().out) == {
        "event": "error",
        "problem": "The disk is full.",
        "mend": "Free some.",
    }
