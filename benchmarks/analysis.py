"""Analysing the maps of 2.4 million squares: clusters, names by markers and tables, beside reading the maps once.

    python benchmarks/analysis.py [--folder FOLDER] [make | read | clusters | names | tables]

Each part runs in a process of its own, so that its peak of memory is its own. Goal: a minute, 2 GB.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from genes import section, slide

from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.pipeline.analysing import analyse
from napari_pixelgene.stages.analysis import AnalysisSettings
from napari_pixelgene.store.labels import LABELS
from napari_pixelgene.store.maps import read_maps
from napari_pixelgene.store.section import SectionStore

GENES, SIDE_PX, SQUARES = 128, 6000, 1550
PARTS = ("make", "read", "clusters", "names", "tables")


def main() -> None:
    """Each part in a process of its own, in order."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", nargs="?", choices=PARTS)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pixelgene-analysis")
    options = parser.parse_args()
    if options.part is not None:
        measure(options.part, options.folder / "maps.section.zarr")
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        subprocess.run([sys.executable, __file__, part, "--folder", str(options.folder)], check=True)


def measure(part: str, path: Path) -> None:
    """One part, its seconds and its peak; what parts before it left in the section is opened."""
    if part == "make":
        section(path, slide(path.with_name("slide.tif"), SIDE_PX, SQUARES * 32 / SIDE_PX), GENES, GENES)
        return
    store, settings = SectionStore.open(path), AnalysisSettings()
    markers = path.with_name("markers.csv")
    markers.write_text("gene,label\n" + "".join(f"GENE{i},kind {i % 8}\n" for i in range(40)))
    more = {
        "read": {},
        "clusters": {},
        "names": {"markers": markers},
        "tables": {"markers": markers, "out": path.with_name("tables"), "overwrite": True},
    }[part]
    if part == "clusters":
        shutil.rmtree(path / "maps" / "run" / LABELS, ignore_errors=True)
    start = time.perf_counter()
    if part == "read":
        said = f"{read(store) / 1e6:.1f} million squares × {GENES} genes"
    else:
        found = analyse(store, "run", settings, **more)
        said = f"{len(found.clusters.names)} clusters" + (f", {len(found.tables)} tables" if found.tables else "")
    seconds, most = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{part}: {seconds:.1f} s, {most / 1e9:.2f} GB at most; {said}", flush=True)


def read(store: SectionStore) -> int:
    """Every tile of every gene; how many squares there are."""
    maps = read_maps(store, "run")
    shape = maps.levels[0].shape
    for tile in tiles(shape[1:], 512):
        for start in range(0, shape[0], 64):
            np.asarray(maps.levels[0][(slice(start, start + 64), *tile.region)])
    return int(np.prod(shape[1:]))


if __name__ == "__main__":
    main()
