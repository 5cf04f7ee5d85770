"""A deleted run leaves nothing behind, and everything else as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_pixelgene.pipeline.removing import remove_run
from napari_pixelgene.store import provenance
from napari_pixelgene.store.models import begin_run, save_run
from napari_pixelgene.store.section import SectionStore


def test_the_run_goes_with_its_records_and_the_others_stay(tmp_path: Path) -> None:
    store = SectionStore.create(tmp_path / "a.section.zarr")
    for run in ("one", "two"):
        save_run(store, run, {"weights": np.arange(3)}, {"fingerprint": run})
        provenance.record(store, f"training/{run}", run, {}, {}, 1.0, {})
    provenance.record(store, "evaluation/one", "e", {}, {"training/one": "one"}, 1.0, {})
    begin_run(store, "one", "another attempt")
    remove_run(store, "one")
    assert store.runs() == ["two"] and list(provenance.records(store)) == ["training/two"]
    assert sorted(p.name for p in (store.path / "models").iterdir() if p.is_dir()) == ["two"]
    remove_run(store, "never there")
    assert store.runs() == ["two"]
