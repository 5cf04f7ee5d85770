"""Killed with SIGKILL half way, a fit and a prediction continue and end bitwise equal to undisturbed ones."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from safetensors.numpy import load_file

from commands import COMMAND, content, environment, pixelgene
from napari_pixelgene.cli.main import main
from napari_pixelgene.simulate.run import SimulatedRun

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")]

EPOCHS = 12
SMALL = ("--recipe", "components", "--genes", "top:6", "--block-um", "150", "--folds", "2", "--partitions", "1")
FIT = ("fit", "--train", "A.section.zarr", "--run", "first", "--epochs", str(EPOCHS), *SMALL)
QUICK = ("--set", "hidden=16", "superpixels_per_unit=1", "units_per_epoch=1000", "patience=99", "batch_units=16")
RIDGE = ("fit", "--run", "first", "--model", "ridge", *SMALL[2:])
PREDICT = ("predict", "A.section.zarr", "--run", "first")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> Path:
    """A folder with a registered section that has its features."""
    folder = tmp_path_factory.mktemp("resume")
    section = str(folder / "A.section.zarr")
    assert main(["import", "xenium", section, "--bundle", str(small_run.bundle), "--he", str(small_run.he)]) == 0
    assert main(["register", section, "--keypoints", str(small_run.keypoints)]) == 0
    assert main(["features", section]) == 0
    return folder


def kill_after(
    arguments: tuple[str, ...], stage: str, done: int, cwd: Path, command: tuple[str, ...] = COMMAND
) -> None:
    """Run the command and kill it when the stage has reported so much done."""
    command = (*command, *arguments, "--progress", "json")
    with subprocess.Popen(
        command, cwd=cwd, env=environment(cwd), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            event = json.loads(line)
            if event["event"] == "progress" and event["stage"] == stage and event["done"] >= done:
                child.send_signal(signal.SIGKILL)
                break
        child.wait(60)
    assert child.returncode == -signal.SIGKILL, "it ended before it was killed"


def copy(prepared: Path, name: str) -> Path:
    """The folder again; references to the simulated run are absolute or relative to it."""
    folder = prepared.with_name(f"{prepared.name}-{name}")
    shutil.copytree(prepared, folder)
    return folder


def run(arguments: tuple[str, ...], cwd: Path) -> list[dict[str, Any]]:
    """Run it to its end; the events."""
    done = pixelgene(*arguments, "--progress", "json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def progress(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that tell of work."""
    return [e for e in events if e["event"] == "progress"]


def test_a_killed_fit_ends_where_an_undisturbed_one_ends(prepared: Path) -> None:
    calm, killed = copy(prepared, "calm"), copy(prepared, "killed")
    run((*FIT, *QUICK), calm)
    kill_after((*FIT, *QUICK), "fit", 3, killed)
    assert not (killed / "A.section.zarr/models/first").exists()
    assert (killed / "A.section.zarr/models/first.partial").exists()
    epochs = [e["done"] for e in progress(run((*FIT, *QUICK), killed)) if e["stage"] == "fit"]
    assert 3 <= epochs[0] < EPOCHS and epochs[-1] == EPOCHS
    ours, theirs = (load_file(f / "A.section.zarr/models/first/model.safetensors") for f in (killed, calm))
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_a_killed_prediction_ends_where_an_undisturbed_one_ends(prepared: Path) -> None:
    """The grid of the small slide is one tile, so the kill comes when it is written and coarse levels are not."""
    folder = copy(prepared, "maps")
    assert main([*RIDGE, "--train", str(folder / "A.section.zarr")]) == 0
    calm, killed = copy(folder, "calm"), copy(folder, "killed")
    assert main(["predict", str(calm / "A.section.zarr"), *PREDICT[2:]]) == 0
    kill_after(PREDICT, "predict", 1, killed)
    assert not (killed / "A.section.zarr/maps/first").exists()
    run(PREDICT, killed)
    ours, theirs = (zarr.open_group(f / "A.section.zarr/maps/first", mode="r") for f in (killed, calm))
    names = sorted(name for name, _ in theirs.arrays())
    assert names and names == sorted(name for name, _ in ours.arrays())
    for name in names:
        np.testing.assert_array_equal(np.asarray(ours[name][:]), np.asarray(theirs[name][:]), err_msg=name)


def test_a_prediction_killed_between_tiles_does_not_write_the_finished_ones_again(prepared: Path) -> None:
    """Tiles of 32 superpixels instead of 512, so that the small slide has nine."""
    small = "import napari_pixelgene.store.maps as maps; maps.TILE = 32"
    command = (sys.executable, "-c", f"{small}; from napari_pixelgene.cli.main import entry; entry()")
    folder = copy(prepared, "tiles")
    assert main([*RIDGE, "--train", str(folder / "A.section.zarr")]) == 0
    calm, killed = copy(folder, "calm"), copy(folder, "killed")
    whole = [*command, *PREDICT, "--progress", "json"]
    subprocess.run(whole, cwd=calm, env=environment(calm), check=True, capture_output=True, timeout=120)
    kill_after(PREDICT, "predict", 4, killed, command)
    assert not (killed / "A.section.zarr/maps/first").exists()
    left = subprocess.run(whole, cwd=killed, env=environment(killed), check=True, capture_output=True, timeout=120)
    steps = [e for e in map(json.loads, left.stdout.splitlines()) if e["event"] == "progress"]
    tiles = [e for e in steps if e["stage"] == "predict"]
    assert tiles[0]["total"] == 9 and 4 <= tiles[0]["done"] < 9 and tiles[-1]["done"] == 9
    ours, theirs = (zarr.open_group(f / "A.section.zarr/maps/first", mode="r") for f in (killed, calm))
    assert ours["0"].chunks[1:] == (32, 32)
    for name in sorted(name for name, _ in theirs.arrays()):
        np.testing.assert_array_equal(np.asarray(ours[name][:]), np.asarray(theirs[name][:]), err_msg=name)


def test_what_is_finished_is_not_done_again(prepared: Path) -> None:
    """Under a small model, in this process: nothing works, nothing is written."""
    section = copy(prepared, "again") / "A.section.zarr"
    first = [*RIDGE, "--train", str(section)]
    assert main(first) == main(["predict", str(section), "--run", "first"]) == 0
    before = content(section)
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        assert main([*first, "--progress", "json"]) == 0
        assert main(["predict", str(section), "--run", "first", "--progress", "json"]) == 0
    events = [json.loads(line) for line in shown.getvalue().splitlines()]
    assert progress(events) == []
    assert [("finished" in e["text"]) for e in events if e["event"] == "note"].count(True) == 2
    assert content(section) == before
