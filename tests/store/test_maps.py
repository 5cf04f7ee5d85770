"""Maps: written a tile at a time, read a gene at a time, continued after a kill, opened by other libraries."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.errors import StoreError
from napari_pixelgene.progress import Event, Progress
from napari_pixelgene.store import levels, maps
from napari_pixelgene.store.maps import MapWriter, begin_maps, maps_attributes, read_maps
from napari_pixelgene.store.section import SectionStore

# 2 × 2 tiles of 512, odd sides: 601 × 523 superpixels.
GRID = Grid((601, 523), (9616, 8368))
GENES = GeneTable(("EPCAM", "ACTA2", "Ä"), ("ENSG1", "ENSG2", "ENSG3"))


@pytest.fixture
def store(tmp_path: Path) -> SectionStore:
    return SectionStore.create(tmp_path / "a.section.zarr")


def truth() -> np.ndarray:
    """Three genes with a gradient each way and a hole of background."""
    y, x = np.mgrid[:601, :523].astype(np.float32)
    values = np.stack([y / 100, x / 50 + 1, (y - x) ** 2 / 1e4])
    values[:, 100:307, 33:190] = np.nan
    return values


def measured() -> np.ndarray:
    layer = np.zeros(GRID.yx_shape, np.uint8)
    layer[40:300, 60:200], layer[50:60, 70:90] = 2, 1
    return layer


def begin(store: SectionStore, dtype: str = "float16") -> MapWriter:
    return begin_maps(store, "panel", GENES, GRID, "f", dtype)


def write_all(writer: MapWriter) -> int:
    values, wrote = truth(), 0
    for tile in tiles(GRID.yx_shape, writer.tile_side):
        if not writer.done(tile.index):
            writer.write(tile, values[(slice(None), *tile.region)])
            wrote += 1
    return wrote


def files(folder: Path) -> dict[str, str]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def by_hand(fine: np.ndarray) -> np.ndarray:
    rows, columns = -(-fine.shape[-2] // 2), -(-fine.shape[-1] // 2)
    out = np.full((*fine.shape[:-2], rows, columns), np.nan)
    for i in range(rows):
        for j in range(columns):
            block = fine[..., 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(*fine.shape[:-2], -1)
            some = (~np.isnan(block)).any(axis=-1)
            out[some, i, j] = np.nanmean(block[some], axis=-1)
    return out


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=7),
        elements=st.one_of(st.just(float("nan")), st.integers(-50, 50).map(float)),
    )
)
def test_halving_is_the_mean_of_what_is_there(block: np.ndarray) -> None:
    assert np.allclose(levels.halved(block), by_hand(block), equal_nan=True, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_maps_come_back_with_levels_genes_and_layer(store: SectionStore, dtype: str) -> None:
    writer = begin(store, dtype)
    assert write_all(writer) == 4
    assert store.mapped_runs() == []
    writer.finish(measured())
    back = read_maps(store, "panel")
    expected = truth().astype(dtype)
    assert [level.shape for level in back.levels] == [(3, 601, 523), (3, 301, 262), (3, 151, 131)]
    assert np.array_equal(back.levels[0][...], expected, equal_nan=True)
    for fine, coarse in zip(back.levels, back.levels[1:], strict=False):
        assert coarse.dtype == dtype
        for rows, columns in ((slice(40, 60), slice(10, 30)), (slice(-20, None), slice(-20, None))):
            start = [part.indices(side)[0] * 2 for part, side in zip((rows, columns), coarse.shape[1:], strict=True)]
            crop = fine[:, start[0] :, start[1] :][:, : 40 if rows.stop else None, : 40 if rows.stop else None]
            assert np.allclose(coarse[:, rows, columns], by_hand(crop.astype(np.float64)), equal_nan=True, rtol=1e-3)
    assert (back.genes, back.superpixel_um, back.run) == (GENES, 8.0, "panel")
    assert np.array_equal(back.measured[...], measured())
    assert maps_attributes(store, "panel")["fingerprint"] == "f"
    low, high = back.contrast[1]
    values = expected[1][~np.isnan(expected[1])].astype(np.float64)
    assert abs(low - np.percentile(values, 1)) < 0.05 and abs(high - np.percentile(values, 99)) < 0.05


def test_a_gene_of_one_value_and_a_gene_of_none_have_limits_a_viewer_takes(store: SectionStore) -> None:
    writer = begin_maps(store, "x", GENES, Grid((5, 9), (80, 144)), "f")
    block = np.zeros((3, 5, 9), np.float32)
    block[1], block[2, 2, 3] = np.nan, 7.0
    writer.write(next(tiles((5, 9), writer.tile_side)), block)
    writer.finish(np.zeros((5, 9)))
    back = read_maps(store, "x")
    assert len(back.levels) == 1 and writer.tile_side == 9
    assert back.contrast[0].tolist() == [0, 1] and back.contrast[1].tolist() == [0, 1]
    assert back.contrast[2][0] == 0 < back.contrast[2][1] <= 7


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_maps as t
from napari_pixelgene.store.section import SectionStore
store = SectionStore.open(Path(sys.argv[1]))
fatal, seen = int(sys.argv[2]), 0
def hook(event, args):
    global seen
    if event == "open" and isinstance(args[1], str) and any(c in args[1] for c in "wax+") or event == "os.rename":
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
writer = t.begin(store)
t.write_all(writer)
writer.finish(t.measured())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX signal")
@pytest.mark.parametrize("fatal", [9, 38, 50, 67])
def test_a_killed_run_continues_and_ends_in_the_same_bytes(tmp_path: Path, fatal: int) -> None:
    whole = SectionStore.create(tmp_path / "whole.section.zarr")
    write_all(writer := begin(whole))
    writer.finish(measured())
    killed = SectionStore.create(tmp_path / "killed.section.zarr")
    command = [sys.executable, "-c", KILLED, str(killed.path), str(fatal), str(Path(__file__).parent)]
    assert subprocess.run(command, capture_output=True).returncode == -9
    assert killed.mapped_runs() == []
    write_all(again := begin(killed))
    again.finish(measured())
    assert files(killed.path / "maps") == files(whole.path / "maps")


def test_finished_coarse_levels_are_not_made_again(store: SectionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(writer := begin(store))
    events: list[Event] = []

    def stop_after_the_first_level(event: Event) -> None:
        events.append(event)
        if isinstance(event, Progress) and event.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.finish(measured(), stop_after_the_first_level)
    assert store.mapped_runs() == [] and events[-1] == Progress("maps", 1, 2, "coarse levels")
    made = []
    halve = levels._halve_level
    monkeypatch.setattr(levels, "_halve_level", lambda *args: made.append(halve(*args)))
    begin(store).finish(measured())
    assert len(made) == 1 and store.mapped_runs() == ["panel"]


def test_shares_of_genes_fill_the_same_maps(store: SectionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "SHARD_GENES", 2)
    writer, values = begin(store), truth()
    assert writer.shares() == [slice(0, 2), slice(2, 3)]
    for genes in writer.shares():
        share = writer.share(genes)
        for tile in tiles(GRID.yx_shape, share.tile_side):
            assert not share.done(tile.index) and not writer.done(tile.index)
            share.write(tile, values[(genes, *tile.region)])
            assert share.done(tile.index)
    assert all(writer.done(tile.index) for tile in tiles(GRID.yx_shape, writer.tile_side))
    writer.finish(measured())
    assert np.array_equal(read_maps(store, "panel").levels[0][...], values.astype(np.float16), equal_nan=True)
    assert len(list((store.path / "maps/panel/0/c").rglob("*/*/*"))) == 8


def test_all_genes_at_once_fill_every_shard(store: SectionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "SHARD_GENES", 2)
    write_all(writer := begin(store))
    writer.finish(measured())
    assert np.array_equal(read_maps(store, "panel").levels[0][...], truth().astype(np.float16), equal_nan=True)


def test_missing_tiles_and_misfits_are_refused(store: SectionStore) -> None:
    writer, first = begin(store), next(tiles(GRID.yx_shape, 512))
    with pytest.raises(StoreError, match="4 of 4 pieces of the maps 'panel' were not written"):
        writer.finish(measured())
    with pytest.raises(StoreError, match="does not fill"):
        writer.write(first, np.zeros((2, 512, 512)))
    with pytest.raises(StoreError, match=r"reach 65536, more than float16 holds"):
        writer.write(first, np.full((3, 512, 512), 65536.0))
    write_all(writer)
    for wrong in (measured()[1:], measured() + 1):
        with pytest.raises(StoreError, match="measured layer"):
            writer.finish(wrong)
    assert store.mapped_runs() == []
    write_all(wider := begin(store, "float32"))
    wider.finish(measured())
    assert read_maps(store, "panel").levels[0].dtype == np.float32


def finished(store: SectionStore) -> Path:
    write_all(writer := begin(store))
    writer.finish(measured())
    return store.path / "maps" / "panel"


def test_the_layout_is_a_gene_a_chunk_in_shards_and_ome_zarr(store: SectionStore) -> None:
    group = zarr.open_group(finished(store), mode="r")
    zero, one = group["0"], group["1"]
    assert zero.shards == (3, 512, 512) and zero.chunks == (1, 512, 512) and one.chunks == (1, 301, 301)
    assert zero.metadata.dimension_names == ("gene", "y", "x")
    image = group.attrs["ome"]["multiscales"][0]
    assert [(axis["name"], axis["type"]) for axis in image["axes"]] == [
        ("gene", "gene"),
        ("y", "space"),
        ("x", "space"),
    ]
    assert [axis.get("unit") for axis in image["axes"]] == [None, "micrometer", "micrometer"]
    for level, dataset in enumerate(image["datasets"]):
        scale, translation = dataset["coordinateTransformations"]
        assert dataset["path"] == str(level)
        assert scale["scale"] == [1, 8 * 2**level, 8 * 2**level]
        assert translation["translation"] == [0, 4 * 2**level, 4 * 2**level]
    assert [a["name"] for a in group["measured"].attrs["ome"]["multiscales"][0]["axes"]] == ["y", "x"]
    assert group["genes/symbol"][:].tolist() == list(GENES.symbols)
    assert not (store.path / "maps/panel/.ledger").exists()


def test_ome_zarr_and_dask_open_the_maps(store: SectionStore) -> None:
    da = pytest.importorskip("dask.array")
    reader, io = pytest.importorskip("ome_zarr.reader"), pytest.importorskip("ome_zarr.io")
    folder = finished(store)
    node = next(iter(reader.Reader(io.parse_url(str(folder)))()))
    assert [level.shape for level in node.data] == [(3, 601, 523), (3, 301, 262), (3, 151, 131)]
    assert np.array_equal(node.data[0][2].compute(), truth()[2].astype(np.float16), equal_nan=True)
    assert np.array_equal(
        da.from_zarr(str(folder / "0"))[1, 512:].compute(), truth()[1, 512:].astype(np.float16), equal_nan=True
    )


def test_napari_ome_zarr_gives_one_layer_in_micrometres(store: SectionStore) -> None:
    plugin = pytest.importorskip("napari_ome_zarr")
    folder = str(finished(store))
    read = plugin.napari_get_reader(folder)
    assert read is not None
    images = [layer for layer in read(folder) if len(layer[0][0].shape) == 3]
    assert len(images) == 1
    values, options = images[0][:2]
    assert tuple(np.asarray(options["scale"], float)) == (1.0, 8.0, 8.0) and len(values) == 3
    assert np.allclose(options.get("translate", (0, 4, 4)), (0, 4, 4))


def test_opening_reads_no_map(store: SectionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(store)
    seen: list[str] = []
    sys.addaudithook(lambda event, args: seen.append(str(args[0])) if event == "open" else None)
    back = read_maps(store, "panel")
    opened = list(seen)
    assert not [path for path in opened if "/c/" in path and ("/panel/0/" in path or "/panel/1/" in path)]
    _ = back.levels[0][1]
    assert [path for path in seen if "/panel/0/c/" in path]


def test_eighteen_thousand_genes_open_at_once(store: SectionStore, monkeypatch: pytest.MonkeyPatch) -> None:

    names = tuple(f"GENE{i}" for i in range(18_000))
    genes = GeneTable(names, tuple(f"ENSG{i:011d}" for i in range(18_000)))
    monkeypatch.setattr(MapWriter, "_require_complete", lambda self: None)
    monkeypatch.setattr(levels, "contrast_limits", lambda arrays: np.ones((18_000, 2), np.float32))
    begin_maps(store, "all", genes, Grid((2, 3), (32, 48)), "f").finish(np.zeros((2, 3)))
    start = time.perf_counter()
    back = read_maps(SectionStore.open(store.path), "all")
    assert time.perf_counter() - start < 1.0
    assert back.genes == genes and back.contrast.shape == (18_000, 2)
