"""Another project's readers open our Visium and Visium HD folders: the same counts at the same places as ours."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_pixelgene.elements.capture import Capture
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.readers.visium import read_visium
from napari_pixelgene.readers.visium_hd import read_visium_hd
from napari_pixelgene.simulate.run import SimulatedRun

PEER = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"

SCRIPT = """
import json, sys
import spatialdata_io

def told(table, shapes):
    return {
        "genes": dict(zip(table.var_names, (int(v) for v in table.X.sum(axis=0).A1))),
        "units": dict(zip(table.obs_names, (int(v) for v in table.X.sum(axis=1).A1))),
        "xy": dict(zip(table.obs_names, ([p.centroid.x, p.centroid.y] for p in shapes.geometry))),
        "area": float(shapes.geometry.area.mean()),
    }

spots = spatialdata_io.visium(sys.argv[1], dataset_id="v")
bins = spatialdata_io.visium_hd(sys.argv[2], dataset_id="h", load_segmentations_only=False)
found = {"visium": told(spots["table"], spots["v"])}
for side in (8, 16):
    found[str(side)] = told(bins[f"square_{side:03d}um"], bins[f"h_square_{side:03d}um"])
found["hires"] = [list(run.shape) for run in (spots["v_hires_image"], bins["h_hires_image"])]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def peer(arrays_run: SimulatedRun) -> dict[str, Any]:
    if not PEER.exists():
        pytest.skip("no .venv-peers here; scripts/peer_env.sh makes it")
    arguments = [PEER, "-c", SCRIPT, arrays_run.visium, arrays_run.visium_hd]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def assert_the_same(capture: Capture, found: dict[str, Any]) -> None:
    units = capture.units
    assert units is not None and len(units) > 30
    per_gene = dict(zip(units.genes.symbols, np.asarray(units.counts.sum(axis=0)).ravel().tolist(), strict=True))
    assert found["genes"] == per_gene
    assert found["units"] == dict(zip(units.ids.tolist(), units.library.astype(int).tolist(), strict=True))
    theirs = np.array([found["xy"][each] for each in units.ids])
    np.testing.assert_allclose(theirs, units.xy, atol=1e-6)


def test_spatialdata_io_reads_the_spots(arrays_run: SimulatedRun, peer: dict[str, Any]) -> None:
    assert arrays_run.visium is not None
    assert_the_same(read_visium(arrays_run.visium, read_image(arrays_run.he)), peer["visium"])


@pytest.mark.parametrize("side_um", [8, 16])
def test_spatialdata_io_reads_the_bins(arrays_run: SimulatedRun, peer: dict[str, Any], side_um: int) -> None:
    assert arrays_run.visium_hd is not None
    assert_the_same(read_visium_hd(arrays_run.visium_hd, read_image(arrays_run.he), side_um), peer[str(side_um)])
    assert peer[str(side_um)]["area"] == pytest.approx((side_um / 0.5) ** 2)  # our footprint, in their pixels
    assert peer["hires"][0] == peer["hires"][1] == [3, 800, 1050]
