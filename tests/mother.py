"""A small mother slide with captures of its own on it: what the stain shows decides the counts, and each is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import tifffile

from napari_pixelgene.pipeline.adding import CaptureSettings, add_capture
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.store.section import SectionStore

WIDTH, HEIGHT, MPP = 1100, 720, 1.0
SPOT_UM = 40.0
# (left, top, right, bottom) in µm: A and B overlap, C lies apart.
AREAS = {"A": (60, 60, 440, 660), "B": (400, 60, 700, 660), "C": (860, 100, 1050, 640)}


@dataclass(frozen=True)
class Panel:
    """The genes of a capture, and how many counts a spot of it has."""

    genes: tuple[str, ...] = tuple(f"G{i}" for i in range(8))
    depth: float = 400.0
    tilt: float = 0.0  # a shift of the even genes against the odd ones, as another batch has


def darkness() -> np.ndarray:
    """(rows, columns) between 0 and 1, waves of 240 and 310 µm."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray(0.5 + 0.25 * np.sin(2 * np.pi * x / 240) + 0.25 * np.cos(2 * np.pi * y / 310))


def picture(seed: int = 4) -> np.ndarray:
    """Stain as dark as `darkness` says, with noise; a rim of glass."""
    rng = np.random.default_rng(seed)
    stain = np.array([90.0, 130.0, 60.0]) * (0.35 + 0.65 * darkness())[..., None]
    pixels = 245 - stain + rng.normal(0, 12, (HEIGHT, WIDTH, 3))
    pixels[:30], pixels[:, :30] = 246, 246
    return np.clip(pixels, 0, 255).astype(np.uint8)


def spots(area: tuple[int, int, int, int], pitch: float = 50.0) -> np.ndarray:
    """(n, 2) centres inside an area."""
    left, top, right, bottom = area
    x, y = np.meshgrid(np.arange(left + 20, right, pitch), np.arange(top + 20, bottom, pitch))
    return np.column_stack([x.ravel(), y.ravel()])


def rates(xy: np.ndarray, panel: Panel) -> np.ndarray:
    """(n, genes) expected counts: half of the genes rise with darkness, half fall."""
    dark = darkness()[xy[:, 1].astype(int), xy[:, 0].astype(int)][:, None]
    number = np.array([int(gene[1:]) for gene in panel.genes])
    sign = np.where(number % 2 == 0, 1.0, -1.0)
    weight = np.exp(sign * (1.6 * (dark - 0.5) + panel.tilt)) * (1 + number % 3)
    return panel.depth * weight / weight.sum(1, keepdims=True)


def table(folder: Path, name: str, xy: np.ndarray, panel: Panel, seed: int) -> TableSource:
    """A wide table of spots drawn from the rates."""
    counts = np.random.default_rng(seed).poisson(rates(xy, panel))
    columns = {"id": [f"{name}-{i}" for i in range(len(xy))], "x": xy[:, 0], "y": xy[:, 1]}
    pl.DataFrame(columns | {g: counts[:, i] for i, g in enumerate(panel.genes)}).write_csv(folder / f"{name}.csv")
    return TableSource(table=folder / f"{name}.csv", coordinates="he_um", shape="disk", size_um=SPOT_UM, identity="id")


def mother(folder: Path, panels: dict[str, Panel] | None = None) -> SectionStore:
    """`mother.section.zarr` with the captures of `panels` (all three alike when left out), each in its area."""
    panels = panels or dict.fromkeys(AREAS, Panel())
    slide = folder / "mother.tif"
    tifffile.imwrite(slide, picture(), photometric="rgb", tile=(256, 256), resolution=(1e4, 1e4),
                     resolutionunit="CENTIMETER")  # fmt: skip
    sources = {n: table(folder, n, spots(AREAS[n]), p, seed) for seed, (n, p) in enumerate(panels.items())}
    first = next(iter(sources))
    store = import_section(folder / "mother.section.zarr", slide, sources[first], ImportSettings(name=first))
    for name in list(sources)[1:]:
        add_capture(store, sources[name], slide, CaptureSettings(name=name))
    return store
