"""A 40,000 × 40,000 px slide at 0.25 µm/px, all tissue, through mask, features and prediction of 300 genes.

    python benchmarks/large_slide.py [--side 40000] [--genes 300] [--folder FOLDER]

Prints seconds of every stage and the peak memory of the process tree, beside a reference of the same run:
the seconds it takes only to read the slide's finest level once, tile by tile. Goal: 4 GB, 40 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import tifffile

from napari_pixelgene.readers.images import read_image
from napari_pixelgene.simulate.run import simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings

TILE, MPP = 512, 0.25


def main() -> None:
    """Make what is needed once, then time the stages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--genes", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pixelgene-large")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    source = small_section(folder, options.genes)
    slide = folder / f"slide-{options.side}.ome.tif"
    if not slide.exists():
        write_slide(slide, folder / "small" / "he.ome.tif", options.side)
    reading = read_once(slide)
    section = folder / "large.section.zarr"
    steps = [
        ["import", "image", str(section), "--he", str(slide), "--overwrite"],
        ["tissue", str(section)],
        ["features", str(section)],
        ["predict", str(section), "--run", "large", "--from", str(source)],
    ]
    print(f"reference: reading level 0 once, {reading:.1f} s")
    total, peak = 0.0, 0.0
    for step in steps:
        seconds, gigabytes = run(step)
        total, peak = total + seconds, max(peak, gigabytes)
        print(
            f"{step[0]:<10} {seconds:8.1f} s   {seconds / reading:6.1f} × reading   peak {gigabytes:.2f} GB", flush=True
        )
    print(f"{'all':<10} {total:8.1f} s   {total / reading:6.1f} × reading   peak {peak:.2f} GB (process tree)")


def tell(name: str, seconds: float, reading: float, gigabytes: float) -> None:
    """One row of the table."""
    ratio = seconds / reading
    print(f"{name:<10} {seconds:8.1f} s   {ratio:6.1f} × reading   peak {gigabytes:.2f} GB (process tree)", flush=True)


def small_section(folder: Path, genes: int) -> Path:
    """A small trained section with that many genes."""
    section = folder / "small.section.zarr"
    if not (folder / "small").exists():
        settings = SimulationSettings(width_um=1600, height_um=1300, genes=genes, he_mpp=MPP, seed=3)
        simulate_run(folder / "small", settings)
    bundle, he = str(folder / "small" / "outs"), str(folder / "small" / "he.ome.tif")
    run(["import", "xenium", str(section), "--bundle", bundle, "--he", he])
    run(["register", str(section), "--keypoints", str(folder / "small" / "keypoints.csv")])
    run(["fit", "--train", str(section), "--genes", "panel", "--run", "large", "--epochs", "2", "--max-units", "8000"])
    return section


def write_slide(path: Path, tissue: Path, side: int) -> None:
    """A JPEG-tiled OME-TIFF pyramid, every tile a different crop of simulated tissue."""
    level = np.asarray(read_image(tissue).levels[0][:])
    inner = level[level.shape[0] // 4 : -level.shape[0] // 4, level.shape[1] // 4 : -level.shape[1] // 4]
    metadata = {"axes": "YXS", "PhysicalSizeX": MPP, "PhysicalSizeY": MPP}
    shapes = [side // 2**k for k in range(8) if side // 2**k >= 256]
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as writer:
        for k, size in enumerate(shapes):
            writer.write(
                crops(inner, size, k),
                shape=(size, size, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="jpeg",
                subifds=len(shapes) - 1 if k == 0 else None,
                subfiletype=1 if k else 0,
                metadata=metadata if k == 0 else None,
            )


def crops(inner: np.ndarray, size: int, level: int) -> Iterator[np.ndarray]:
    """Tiles of a level: crops at seeded places, coarser with the level."""
    rng = np.random.default_rng(level)
    step = min(2**level, 2)
    wide = TILE * step
    for _ in range((-(-size // TILE)) ** 2):
        top, left = (int(rng.integers(0, max(1, n - wide))) for n in inner.shape[:2])
        yield np.ascontiguousarray(inner[top : top + wide : step, left : left + wide : step])


def read_once(slide: Path) -> float:
    """Seconds to read the finest level, tile by tile."""
    level = read_image(slide).levels[0]
    start = time.monotonic()
    for top in range(0, level.shape[0], 2048):
        for left in range(0, level.shape[1], 2048):
            np.asarray(level[top : top + 2048, left : left + 2048])
    return time.monotonic() - start


def run(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak memory (GB, process tree) of a subcommand."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "napari_pixelgene.cli.main", *arguments])
    peak = [0.0]
    watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
    watcher.start()
    if process.wait() != 0:
        sys.exit(f"pixelgene {' '.join(arguments)} failed")
    return time.monotonic() - start, peak[0]


def _watch(pid: int, peak: list[float]) -> None:
    try:
        parent = psutil.Process(pid)
        while True:
            tree = [parent, *parent.children(recursive=True)]
            peak[0] = max(peak[0], sum(p.memory_info().rss for p in tree) / 2**30)
            time.sleep(0.2)
    except psutil.Error:
        return


if __name__ == "__main__":
    main()
