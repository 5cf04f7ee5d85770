"""Features: a killed run continues and ends in the same bytes; tiles without tissue read as NaN."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_pixelgene.arithmetic.tiles import Span, Tile, tiles
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.features import FeatureWriter, begin_features, features_fingerprint, read_features
from napari_pixelgene.store.section import SectionStore

GRID = Grid((50, 75), (800, 1200))
CHANNELS = ("hue", "texture", "nuclei", "Ä")
SIDE = 16


@pytest.fixture
def store(tmp_path: Path) -> SectionStore:
    return SectionStore.create(tmp_path / "a.section.zarr")


def begin(store: SectionStore, dtype: str = "float32", fingerprint: str = "f") -> FeatureWriter:
    return begin_features(store, "stain", GRID, CHANNELS, dtype, SIDE, fingerprint)


def truth() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(50, 75, 4)).astype(np.float32)


def write_all(writer: FeatureWriter, values: np.ndarray, skip: tuple[int, int] | None = None) -> int:
    wrote = 0
    for tile in tiles(GRID.yx_shape, SIDE):
        if tile.index != skip and not writer.done(tile.index):
            writer.write(tile, values[tile.region])
            wrote += 1
    return wrote


def files(folder: Path) -> dict[str, str]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def test_features_come_back_to_the_last_bit_and_are_read_by_region(store: SectionStore) -> None:
    values, state = truth(), {"threshold": np.float32(0.75), "stains": np.eye(3)[:2]}
    writer = begin(store)
    assert write_all(writer, values, skip=(1, 2)) == 19
    assert store.encoders() == []
    writer.finish(np.arange(4.0), np.ones(4, np.float32), state)
    back = read_features(store, "stain")
    hole = (slice(16, 32), slice(32, 48))
    assert np.isnan(back.array[hole]).all()
    values[hole] = np.nan
    assert np.array_equal(back.array[...], values, equal_nan=True) and back.array.dtype == np.float32
    assert isinstance(back.array, zarr.Array) and back.array.chunks == (16, 16, 4)
    assert (back.channels, back.encoder, features_fingerprint(store, "stain")) == (CHANNELS, "stain", "f")
    assert np.array_equal(back.mean, np.arange(4.0)) and back.sd.dtype == np.float32
    assert {k: v.tolist() for k, v in back.state.items()} == {"threshold": 0.75, "stains": [[1, 0, 0], [0, 1, 0]]}


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_features as t
from napari_pixelgene.store.section import SectionStore
store = SectionStore.open(Path(sys.argv[1]))
fatal, seen = int(sys.argv[2]), 0
def hook(event, args):
    global seen
    if event == "open" and isinstance(args[1], str) and any(c in args[1] for c in "wax+") or event == "os.rename":
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
writer = t.begin(store)
sys.addaudithook(hook)
t.write_all(writer, t.truth())
t.finish(writer)
"""


def finish(writer: FeatureWriter) -> None:
    writer.finish(np.zeros(4), np.ones(4), {"threshold": np.array(0.5)})


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX signal")
@pytest.mark.parametrize("fatal", [2, 23, 63])
def test_a_killed_run_continues_and_ends_in_the_same_bytes(tmp_path: Path, fatal: int) -> None:
    whole = SectionStore.create(tmp_path / "whole.section.zarr")
    write_all(writer := begin(whole), truth())
    finish(writer)
    killed = SectionStore.create(tmp_path / "killed.section.zarr")
    command = [sys.executable, "-c", KILLED, str(killed.path), str(fatal), str(Path(__file__).parent)]
    assert subprocess.run(command, capture_output=True).returncode == -9
    assert killed.encoders() == []
    again = begin(killed)
    before = sum(again.done(tile.index) for tile in tiles(GRID.yx_shape, SIDE))
    assert write_all(again, truth()) == 20 - before and before == {2: 0, 23: 7, 63: 20}[fatal]
    finish(again)
    assert files(killed.path / "features") == files(whole.path / "features")


def test_other_settings_start_afresh_and_the_old_stay_until_then(store: SectionStore) -> None:
    write_all(writer := begin(store), truth())
    finish(writer)
    second = begin(store, fingerprint="g")
    second.write(next(tiles(GRID.yx_shape, SIDE)), np.zeros((16, 16, 4), np.float32))
    assert np.array_equal(read_features(store, "stain").array[...], truth())
    assert not begin(store, dtype="float16", fingerprint="g").done((0, 0))


def test_a_tile_that_is_no_chunk_is_refused(store: SectionStore) -> None:
    writer = begin(store)
    with pytest.raises(StoreError, match=r"rows 8-24 .* not chunk \(0, 0\) of side 16"):
        writer.write(Tile(Span(8, 24), Span(0, 16), (0, 0)), np.zeros((16, 16, 4)))
    with pytest.raises(StoreError, match="does not fill a tile"):
        writer.write(Tile(Span(48, 50), Span(64, 75), (3, 4)), np.zeros((16, 16, 4)))
    writer.write(Tile(Span(48, 50), Span(64, 75), (3, 4)), np.zeros((2, 11, 4)))
    assert writer.done((3, 4)) and not writer.done((0, 0))


def test_a_value_that_would_become_infinite_is_refused(store: SectionStore) -> None:
    writer, tile = begin(store, "float16"), next(tiles(GRID.yx_shape, SIDE))
    block = np.full((16, 16, 4), np.nan, np.float32)
    block[3, 4, 1] = -70000
    with pytest.raises(StoreError, match=r"reach 70000, more than float16 holds \(65504\)\. Store them as float32"):
        writer.write(tile, block)
    block[3, 4, 1] = np.inf
    with pytest.raises(StoreError, match="infinite"):
        writer.write(tile, block)
    assert not writer.done((0, 0))
    block[3, 4, 1] = 65504
    writer.write(tile, block)
    assert writer.array[3, 4, 1] == 65504 and np.isnan(writer.array[3, 5, 1])
