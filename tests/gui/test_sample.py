"""File ▸ Open Sample: made once by a child process, whose words are heard and whose death is told."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from moved import move_references
from napari_pixelgene.errors import PixelGeneError, StoreError
from napari_pixelgene.gui import sample
from napari_pixelgene.gui.sample import make_once, sample_path, simulated_section


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a module that a child process can run, and give its name."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    def write(code: str) -> str:
        (tmp_path / "child_of_test.py").write_text(f"import json, os, sys, time\n{code}")
        return "child_of_test"

    return write


def test_the_sample_lies_in_the_cache_by_its_recipe(cache: Path, monkeypatch: pytest.MonkeyPatch):
    path = sample_path()
    assert path.parents[2] == cache / "napari-pixelgene" and path.name.endswith(".section.zarr")
    from napari_pixelgene.pipeline import sample as recipe

    monkeypatch.setattr(recipe, "TISSUE", recipe.TISSUE.replace(seed=4))
    assert sample_path().parent != path.parent


def test_what_is_there_is_opened_and_not_made_again(
    make_napari_viewer, cache: Path, small_section: Path, monkeypatch: pytest.MonkeyPatch
):
    path = sample_path()
    shutil.copytree(small_section.parent, path.parent)
    (path.parent / small_section.name).rename(path)
    move_references(path, small_section.parent)
    monkeypatch.setattr(sample, "make_once", lambda path: pytest.fail("made again"))
    viewer = make_napari_viewer()
    viewer.open_sample("napari-pixelgene", "simulated-section")
    assert [layer.name for layer in viewer.layers][::3] == ["H&E", "HIGH (predicted)"]
    assert viewer.canvas.overlays.scale_bar.visible


def test_it_is_made_beside_and_renamed_while_the_window_lives(qtbot, tmp_path: Path, module):
    turns = []
    timer = QTimer()
    timer.timeout.connect(lambda: turns.append(time.monotonic()))
    timer.start(10)
    name = module(
        "for done in range(5):\n"
        "    print(json.dumps({'event': 'progress', 'stage': 'fit', 'done': done, 'total': 4}), flush=True)\n"
        "    time.sleep(0.1)\n"
        "open(os.path.join(sys.argv[1], 'a.section.zarr'), 'w').write('whole')\n"
    )
    path = tmp_path / "samples" / "recipe" / "a.section.zarr"
    make_once(path, name)
    timer.stop()
    assert path.read_text() == "whole"
    assert [each.name for each in path.parents[1].iterdir()] == ["recipe"]
    assert len(turns) >= 5


def test_a_fault_in_the_child_is_its_sentence(qtbot, tmp_path: Path, module):
    name = module(
        "print(json.dumps({'event': 'error', 'problem': 'The disk is full.', 'mend': 'Free some.'})); sys.exit(2)"
    )
    with pytest.raises(PixelGeneError, match=r"The disk is full\. Free some\."):
        make_once(tmp_path / "samples" / "recipe" / "a.section.zarr", name)
    assert list((tmp_path / "samples").iterdir()) == []


def test_a_crash_tells_its_last_words(qtbot, tmp_path: Path, module):
    with pytest.raises(StoreError, match=r"exit code 1.*ZeroDivisionError"):
        make_once(tmp_path / "samples" / "recipe" / "a.section.zarr", module("1 / 0"))
    assert list((tmp_path / "samples").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a process ended on Windows gives a plain exit code")
def test_closing_the_window_ends_the_child(qtbot, tmp_path: Path, module):
    QTimer.singleShot(700, QApplication.instance().lastWindowClosed.emit)
    start = time.monotonic()
    with pytest.raises(StoreError, match="not finished"):
        make_once(tmp_path / "samples" / "recipe" / "a.section.zarr", module("time.sleep(60)"))
    assert time.monotonic() - start < 20
    assert list((tmp_path / "samples").iterdir()) == []


def test_what_a_killed_attempt_left_is_thrown_away_when_it_is_old(qtbot, tmp_path: Path, module):
    samples = tmp_path / "samples"
    old, new = samples / "recipe.partial-old", samples / "recipe.partial-new"
    for each in (old, new):
        each.mkdir(parents=True)
    os.utime(old, (time.time() - 7200,) * 2)
    make_once(samples / "recipe" / "a.section.zarr", module("open(os.path.join(sys.argv[1], 'a.section.zarr'), 'w')"))
    assert not old.exists() and new.exists()


def test_the_manifest_names_what_is_there():
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-pixelgene")
    manifest.validate_imports()
    sample_data = manifest.contributions.sample_data
    assert sample_data is not None and [each.key for each in sample_data] == ["simulated-section"]
    assert manifest.contributions.readers is not None
    assert manifest.contributions.readers[0].filename_patterns == ["*.section.zarr"]
    assert callable(simulated_section)
