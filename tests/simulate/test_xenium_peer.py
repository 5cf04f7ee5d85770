"""Another project's reader opens our folder and counts the same molecules."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import h5py
import polars as pl
import pytest
import tifffile

from napari_pixelgene.simulate.run import SimulatedRun

PEER = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"

SCRIPT = """
import json, sys
import spatialdata_io
run = spatialdata_io.xenium(sys.argv[1], gex_only=True)
table, points = run["table"], run["transcripts"].compute()
genes = list(table.var_names)
print(json.dumps({
    "matrix": dict(zip(genes, (int(v) for v in table.X.sum(axis=0).A1))),
    "points": {g: int(n) for g, n in points["feature_name"].value_counts().items()},
    "rows": len(points),
    "cells": table.n_obs,
    "outlines": [len(run["cell_boundaries"]), len(run["nucleus_boundaries"])],
    "labels": int(run["cell_labels"]["scale0"]["image"].max().compute()),
    "morphology": list(run["morphology_focus"]["scale0"]["image"].shape),
    "valid": bool(run["cell_boundaries"].is_valid.all()),
}))
"""


@pytest.fixture(scope="module")
def peer(small_run: SimulatedRun) -> dict[str, object]:
    if not PEER.exists():
        pytest.skip("no .venv-peers here; scripts/peer_env.sh makes it")
    done = subprocess.run([PEER, "-c", SCRIPT, small_run.bundle], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_spatialdata_io_counts_what_we_wrote(small_run: SimulatedRun, peer: dict[str, object]) -> None:
    molecules = pl.read_parquet(small_run.bundle / "transcripts.parquet")
    assert peer["rows"] == len(molecules)
    assert peer["points"] == dict(molecules.group_by("feature_name").len().iter_rows())
    kept = molecules.filter((pl.col("qv") >= 20) & pl.col("is_gene") & (pl.col("cell_id") != "UNASSIGNED"))
    assert peer["matrix"] == dict(kept.group_by("feature_name").len().iter_rows())


def test_spatialdata_io_sees_every_cell(small_run: SimulatedRun, peer: dict[str, object]) -> None:
    with h5py.File(small_run.bundle / "cell_feature_matrix.h5") as file:
        cells = len(file["matrix/barcodes"])
    assert peer["cells"] == cells == peer["labels"]
    assert peer["outlines"] == [cells, cells]
    assert peer["valid"]
    (path,) = (small_run.bundle / "morphology_focus").iterdir()
    assert peer["morphology"] == [1, *_shape(path)]


def _shape(path: Path) -> tuple[int, ...]:
    with tifffile.TiffFile(path) as tiff:
        return tuple(int(side) for side in tiff.series[0].shape)
