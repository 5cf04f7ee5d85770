"""A simulated mother slide with five captures: how well the whole slide is predicted, inside the captures and outside.

    python benchmarks/mother_slide.py [--side-um 20000] [--he-mpp 0.5] [--folder FOLDER] [--models iscale ridge]

Every capture is a Visium run of its own depth and yields. Maps are compared with the true rates in windows of 320 µm,
half of them inside captures, half farther from any than the features see; at 8 µm, and on squares of 32 µm. Prints the
rows of RESULTS.md, seconds and the peak memory of each step. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.pipeline.adding import CaptureSettings, add_capture
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.learning import FitSettings, fit, load_fitted, predict
from napari_pixelgene.pipeline.preparing import ensure_features, ensure_tissue
from napari_pixelgene.pipeline.sources.visium import VisiumSource
from napari_pixelgene.simulate.mother import MotherPlan, SimulatedMother, simulate_mother
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.store.models import run_meta
from napari_pixelgene.store.section import SectionStore

WINDOW, REACH_UM = 40, 80.0
PER = 1e4


def main() -> None:
    """Make what is needed once, then fit, predict and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side-um", type=float, default=20_000)
    parser.add_argument("--capture-um", type=float, default=None)
    parser.add_argument("--he-mpp", type=float, default=0.5)
    parser.add_argument("--windows", type=int, default=12)
    parser.add_argument("--models", nargs="+", default=["iscale", "ridge"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pixelgene-mother")
    options = parser.parse_args()
    side = options.side_um
    settings = SimulationSettings(
        width_um=side, height_um=side, he_mpp=options.he_mpp, genes=60, hidden_genes=12, seed=3
    )
    with told("simulate"):
        made = simulate_mother(options.folder, settings, MotherPlan(side_um=options.capture_um))
    with told("import"):
        store = imported(made)
    with told("features"):
        ensure_features(store)
    mask = ensure_tissue(store).mask
    inside, outside = chosen_windows(made, mask, options.windows)
    print(f"{len(inside)} windows inside captures, {len(outside)} farther than {REACH_UM:g} µm from any")
    for model in options.models:
        with told(f"{model}: fit"):
            fit([store], model, FitSettings(model=model, genes="all"))
        for remark in run_meta(store, model).get("remarks", ()):
            print(f"  {remark}")
        with told(f"{model}: maps"):
            maps = predict(store, model)
        genes = load_fitted(store, model)[0].genes.symbols
        for name, windows in (("inside", inside), ("outside", outside)):
            print(f"{model:<8} {name:<8} {row(made, maps.levels[0], genes, windows, mask)}", flush=True)


@contextmanager
def told(step: str) -> Iterator[None]:
    """Print the seconds of a step, and the most memory this process has had."""
    start = time.monotonic()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{step:<14} {time.monotonic() - start:8.1f} s   peak {peak:.2f} GB", flush=True)


def imported(made: SimulatedMother) -> SectionStore:
    """The mother's section with every capture on it."""
    path = made.folder / "mother.section.zarr"
    sources = {name: VisiumSource(bundle=outs) for name, outs in made.captures.items()}
    first = next(iter(sources))
    store = import_section(path, made.he, sources[first], ImportSettings(name=first))
    for name, source in sources.items():
        if name not in store.captures():
            add_capture(store, source, made.he, CaptureSettings(name=name))
    return store


def chosen_windows(made: SimulatedMother, mask: np.ndarray, count: int) -> tuple[list[Tile], list[Tile]]:
    """So many windows that lie wholly in a capture, and as many that none of the captures is seen from."""
    rng = np.random.default_rng(0)
    found: tuple[list[Tile], list[Tile]] = ([], [])
    for _ in range(200_000):
        row, column = (int(rng.integers(0, side - WINDOW)) for side in mask.shape)
        tile = Tile(Span(row, row + WINDOW), Span(column, column + WINDOW))
        if mask[tile.region].mean() < 0.6:
            continue
        points = np.stack(
            np.meshgrid([column, column + WINDOW / 2, column + WINDOW], [row, row + WINDOW / 2, row + WINDOW])
        )
        xy = points.reshape(2, -1).T * 8.0
        within = any(area.holds(xy).all() for area in made.areas)
        if within or not any(area.holds(xy, REACH_UM).any() for area in made.areas):
            part = found[0 if within else 1]
            if len(part) < count:
                part.append(tile)
        if min(map(len, found)) == count:
            break
    return found


def row(made: SimulatedMother, level: object, genes: tuple[str, ...], windows: list[Tile], mask: np.ndarray) -> str:
    """Mean r over genes at 8 and at 32 µm, of genes that the histology shows and of the others."""
    order = [made.genes.index(gene) for gene in genes]
    said, true, said_wide, true_wide = [], [], [], []
    for tile in windows:
        tissue = mask[tile.region]
        predicted = np.asarray(level[(slice(None), *tile.region)], dtype=np.float64)  # type: ignore[index]
        rates = made.rates(tile)[order].astype(np.float64)
        said.append(predicted[:, tissue].T)
        true.append(rates[:, tissue].T)
        wide = [blocks(np.where(tissue, values, 0.0)) for values in (predicted, rates)]
        whole = blocks(tissue[None].astype(float))[0].ravel() > 8
        said_wide.append(wide[0].reshape(len(order), -1).T[whole])
        true_wide.append(wide[1].reshape(len(order), -1).T[whole])
    shown = np.array([made.group[gene] != "hidden" for gene in genes])
    parts = []
    for name, p, t in (("8 µm", said, true), ("32 µm", said_wide, true_wide)):
        p_all, t_all = np.concatenate(p), np.concatenate(t)
        log, counts = pearson(share(p_all), share(t_all)), pearson(p_all, t_all)
        parts.append(f"{name}: shown log {log[shown].mean():.3f} counts {counts[shown].mean():.3f}, "
                     f"hidden log {log[~shown].mean():.3f}")  # fmt: skip
    return "; ".join(parts)


def share(counts: np.ndarray) -> np.ndarray:
    """log1p of counts per 10,000 of the panel."""
    out: np.ndarray = np.log1p(PER * counts / np.maximum(counts.sum(1, keepdims=True), 1e-12))
    return out


def blocks(values: np.ndarray) -> np.ndarray:
    """(genes, rows / 4, columns / 4) sums over squares of 4 × 4."""
    genes, rows, columns = values.shape
    out: np.ndarray = values.reshape(genes, rows // 4, 4, columns // 4, 4).sum(axis=(2, 4))
    return out


if __name__ == "__main__":
    main()
