"""Browsing genes: opening a section of 18,000, switching between hundreds at 3,000², panning over a slide of 40,000 px.

    xvfb-run -a python benchmarks/genes.py [--folder FOLDER] [open | switch | pan]

Needs a display. Each part runs in a process of its own, in a real napari window with the Genes dock, after another
section was opened once (so that no import is counted). Goals: switch 100 ms median; open 1 s and 300 MB; pan 200 MB.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import tifffile

from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.expression import Expression
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.slide import grid_of
from napari_pixelgene.store.captures import write_capture
from napari_pixelgene.store.maps import begin_maps
from napari_pixelgene.store.section import SectionStore

if TYPE_CHECKING:
    from napari_pixelgene.gui.genes.dock import GenesDock

MPP, SIDE_PX, BLOCK = 0.25, 40_000, 2000
MANY, SOME = 18_000, 256
SQUARES_PX = 3000 * 32  # a slide of 3,000² squares of 8 µm


def main() -> None:
    """Make what is needed once, then each part in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", nargs="?", choices=["open", "switch", "pan"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pixelgene-genes")
    options = parser.parse_args()
    if options.part is not None:
        {"open": measure_open, "switch": measure_switch, "pan": measure_pan}[options.part](options.folder)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    make(options.folder)
    for part in ("open", "switch", "pan"):
        subprocess.run([sys.executable, __file__, part, "--folder", str(options.folder)], check=True)


# What is looked at


def make(folder: Path) -> None:
    """A warm-up section; 18,000 genes of which two were drawn; 256 genes of 3,000²; a slide of 40,000 px."""
    small = slide(folder / "small.tif", 512)
    section(folder / "warm.section.zarr", small, 24, 4)
    section(folder / "many.section.zarr", slide(folder / "middle.tif", 8192), MANY, 2)
    section(folder / "switch.section.zarr", slide(folder / "wide.tif", 6000, SQUARES_PX / 6000), SOME, SOME)
    section(folder / "pan.section.zarr", slide(folder / "large.tif", SIDE_PX), 24, 24)


def slide(path: Path, side: int, coarser: float = 1.0) -> tuple[Path, float]:
    """A tiled JPEG pyramid of noisy pink, and its µm per pixel."""
    mpp = MPP * coarser
    if not path.exists():
        rng = np.random.default_rng(0)
        block = (rng.integers(-20, 20, (512, 512, 3)) + np.array([225, 160, 200])).clip(0, 255).astype(np.uint8)
        sides = [side]
        while sides[-1] > 1024:
            sides.append(sides[-1] // 2)
        with tifffile.TiffWriter(path, bigtiff=True) as tiff:
            for i, each in enumerate(sides):
                tiff.write(
                    _tiles(block, each), shape=(each, each, 3), dtype=np.uint8, tile=(512, 512), compression="jpeg",
                    photometric="rgb", subifds=0 if i else len(sides) - 1, subfiletype=int(i > 0),
                    resolution=(1e4 / mpp, 1e4 / mpp), resolutionunit="CENTIMETER",
                )  # fmt: skip
    return path, mpp


def _tiles(block: np.ndarray, side: int) -> Any:
    across = -(-side // 512)
    return (block for _ in range(across * across))


def section(path: Path, of: tuple[Path, float], genes: int, drawn: int) -> None:
    """A section with maps of `genes`, the first `drawn` of them written; with a capture of 20,000 bins of them."""
    if path.exists():
        return
    from napari_pixelgene.pipeline.importing import ImportSettings

    store = import_section(path, of[0], settings=ImportSettings(mpp=of[1]))
    table = GeneTable(tuple(f"GENE{i}" for i in range(genes)), tuple(f"ENSG{i:011d}" for i in range(genes)))
    write_units(store, table)
    grid = grid_of(store)
    if drawn == genes:
        write_all(store, table)
    else:
        lay_out(store, table, drawn)
    print(f"{path.name}: {genes} genes over {grid.yx_shape[0]} × {grid.yx_shape[1]} squares", flush=True)


def write_units(store: SectionStore, genes: GeneTable) -> None:
    """Squares of 8 µm in a block in the middle, 300 genes seen in each."""
    from scipy import sparse

    rng = np.random.default_rng(1)
    rows, columns = grid_of(store).yx_shape
    side = min(140, rows, columns)
    down, right = (a.ravel() for a in np.mgrid[:side, :side])
    xy_um = (np.stack([right + (columns - side) // 2, down + (rows - side) // 2], axis=1) + 0.5) * 8.0
    seen = min(300, len(genes))
    indices = np.concatenate([rng.choice(len(genes), seen, replace=False) for _ in range(len(xy_um))])
    starts = np.arange(len(xy_um) + 1) * seen
    data = rng.integers(1, 9, len(indices)).astype(np.int32)
    counts = sparse.csr_matrix((data, indices, starts), shape=(len(xy_um), len(genes)))
    ids = np.arange(len(xy_um)).astype(str)
    units = Units(ids, xy_um, counts, genes, Footprint("square", 8.0), "he_um")
    write_capture(store, Capture("bins", "simulated", genes, units), {}, "made")


def write_all(store: SectionStore, genes: GeneTable) -> None:
    """Every gene: waves of its own, in float16, background at the rim."""
    grid = grid_of(store)
    writer = begin_maps(store, "run", genes, grid, "made")
    for tile in tiles(grid.yx_shape, writer.tile_side):
        for share in writer.shares():
            writer.write(tile, waves(tile, np.arange(share.start, share.stop), grid.yx_shape), share)
    writer.finish(np.zeros(grid.yx_shape, dtype=np.uint8))


def waves(tile: Any, genes: np.ndarray, yx_shape: tuple[int, int]) -> np.ndarray:
    """(genes, rows, columns) of a tile."""
    rows, columns = np.arange(tile.rows.start, tile.rows.stop), np.arange(tile.columns.start, tile.columns.stop)
    pace = 0.01 + genes[:, None, None] / 5000
    values = 1 + np.sin(rows[None, :, None] * pace) * np.cos(columns[None, None, :] * pace / 2)
    noise = np.random.default_rng(tile.index).random((1, len(rows), len(columns)), dtype=np.float32)
    values = (values + 0.2 * noise).astype(np.float32)
    values[:, rows < yx_shape[0] // 20] = np.nan
    return values


def lay_out(store: SectionStore, genes: GeneTable, drawn: int) -> None:
    """Maps whose chunks are missing but for the first genes: as finished maps of 18,000 genes look when opened."""
    import zarr

    from napari_pixelgene.store import levels
    from napari_pixelgene.store.arrays import put

    grid = grid_of(store)
    writer = begin_maps(store, "run", genes, grid, "made")
    partial = writer._partial
    shapes = levels.level_shapes(grid.yx_shape)
    for number, shape in enumerate(shapes):
        array = zarr.open_array(partial.path / str(number), mode="r+")
        for gene in range(drawn):
            array[gene] = np.linspace(gene, gene + 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    group = zarr.open_group(partial.path, mode="r+")
    put(group, "contrast", np.tile(np.array([0, 2], np.float32), (len(genes), 1)))
    put(group.require_group("measured"), "0", np.zeros(grid.yx_shape, np.uint8), ("y", "x"))
    partial.publish()


# What a person does


def window(folder: Path) -> GenesDock:
    """napari with the Genes dock, and a small section opened and browsed once."""
    import napari

    from napari_pixelgene.gui.genes.dock import GenesDock

    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(1600, 1100)
    dock = GenesDock(viewer)
    viewer.window.add_dock_widget(dock, area="right")
    open_in(dock, folder / "warm.section.zarr")
    dock.browser.show_measured(True)
    drawn(dock)
    return dock


def open_in(dock: GenesDock, path: Path) -> float:
    """Seconds until a section is drawn and its table filled; not counting what is read behind it."""
    dock.session.close()
    (path / "view.json").unlink(missing_ok=True)
    start = time.perf_counter()
    dock.session.open(path)
    drawn(dock)
    seconds = time.perf_counter() - start
    while dock.beside.reading:
        settle(20)
    settle(300)
    return seconds


def drawn(dock: GenesDock) -> None:
    """Until the canvas was painted anew."""
    from qtpy.QtWidgets import QApplication

    painted: list[Any] = []
    canvas = dock.session.viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(painted.append)
    for _ in range(20):
        QApplication.processEvents()
        if painted:
            break
    canvas.events.draw.disconnect(painted.append)


def settle(milliseconds: int) -> None:
    """Let the window live."""
    from qtpy.QtTest import QTest

    QTest.qWait(milliseconds)


def memory() -> float:
    """MB of this process."""
    gc.collect()
    return float(psutil.Process().memory_info().rss / 1e6)


def measure_open(folder: Path) -> None:
    """18,000 genes and 24, in turn."""
    dock = window(folder)
    before = memory()
    first = open_in(dock, folder / "many.section.zarr")
    more = memory() - before
    many, few = [first], []
    for _ in range(4):
        few.append(open_in(dock, folder / "warm.section.zarr"))
        many.append(open_in(dock, folder / "many.section.zarr"))
    times = []
    for end in range(1, 9):
        start = time.perf_counter()
        dock.search.setText("gene1799"[:end])
        times.append(1000 * (time.perf_counter() - start))
    print(f"open: {MANY:,} genes median {median(many):.2f} s, +{more:.0f} MB; 24 genes {median(few):.2f} s")
    print(f"search among {MANY:,}: median {median(times):.0f} ms a key")
    dock.session.viewer.close()


def measure_switch(folder: Path) -> None:
    """Every gene once by the arrow key: at the whole map, then close up, then with the measured counts."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    dock = window(folder)
    open_in(dock, folder / "switch.section.zarr")
    camera = dock.session.viewer.scene.camera
    maps: Expression | None = dock.browser.maps
    assert maps is not None
    rows, columns = maps.levels[0].shape[1:]
    zoom = camera.zoom
    for name, factor, measured in (("whole map", 1, False), ("close up", 8, False), ("with measured", 1, True)):
        camera.center, camera.zoom = (0, rows * 4.0, columns * 4.0), zoom * factor
        dock.browser.show_measured(measured)
        dock.table.selectRow(0)
        settle(300)
        times = []
        for _ in range(SOME - 1):
            start = time.perf_counter()
            QTest.keyClick(dock.table, Qt.Key.Key_Down)
            drawn(dock)
            times.append(1000 * (time.perf_counter() - start))
        layer: Any = dock.session.layer("map")
        worst = np.percentile(times, 95)
        print(
            f"switch, {name}: median {median(times):.0f} ms, 95 % under {worst:.0f} ms, {len(times)} genes over "
            f"{rows} × {columns}, level {layer.data_level}"
        )
    dock.session.viewer.close()


def measure_pan(folder: Path) -> None:
    """Across the slide at full resolution, line by line."""
    dock = window(folder)
    open_in(dock, folder / "pan.section.zarr")
    camera = dock.session.viewer.scene.camera
    camera.zoom = 1 / MPP
    span = SIDE_PX * MPP
    camera.center = (0, span / 2, span / 2)
    settle(500)
    before, peak, times = memory(), 0.0, []
    for y in np.linspace(0.03, 0.97, 12):
        for x in np.linspace(0.03, 0.97, 25):
            start = time.perf_counter()
            camera.center = (0, y * span, x * span)
            drawn(dock)
            times.append(1000 * (time.perf_counter() - start))
            peak = max(peak, psutil.Process().memory_info().rss / 1e6)
        settle(150)
    print(f"pan: {len(times)} views, median {median(times):.0f} ms, +{peak - before:.0f} MB at most")
    dock.session.viewer.close()


if __name__ == "__main__":
    main()
