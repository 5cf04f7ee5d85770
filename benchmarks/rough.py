"""How near a rough alignment lands: simulated slides at any turn and mirror, real sections, a large slide's time.

    python benchmarks/rough.py [--slides 20] [--turns 3] [--shared ../shared/data] [--large-px 40000]

Each simulated slide is a run over 60 to 93 % of its H&E, turned by the simulator, then turned again and mirrored here.
The real ones are the sections C2, C3 and C4 of her2st against the authors' own rigid alignment, and a rat kidney's H&E
and PanCytokeratin against an expert's landmarks. The error is the median over the run (spots, landmarks).
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.arithmetic.tiles import Tile, tiles
from napari_pixelgene.elements.image import Image
from napari_pixelgene.simulate.cells import Population
from napari_pixelgene.simulate.detection import Detection
from napari_pixelgene.simulate.histology import Histology
from napari_pixelgene.simulate.morphology import Morphology
from napari_pixelgene.simulate.placement import morphology_to_he
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP, SimulationSettings
from napari_pixelgene.stages.rough_alignment import align_roughly

HE_BY, DAPI_BY = 16, 32
LARGE_MPP = 0.25
HER2ST_UM, HER2ST_BY = 0.69, 8


@dataclass(frozen=True)
class Case:
    """Two images, the true matrix between their pixels, and where to compare (n, 2) in the moving image."""

    name: str
    fixed: Image
    moving: np.ndarray
    moving_mpp: float
    matrix: np.ndarray
    points: np.ndarray

    def turned(self, degrees: float, mirrored: bool) -> Case:
        """The same with the moving image turned on a canvas of its own."""
        rows, columns = self.moving.shape[:2]
        side, a = int(np.hypot(rows, columns)) + 9, np.deg2rad(degrees)
        turn = np.eye(3)
        linear = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag([-1 if mirrored else 1, 1])
        turn[:2, :2], turn[:2, 2] = linear, side / 2 - linear @ (columns / 2, rows / 2)
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        rgb = self.moving.ndim == 3
        empty = (float(np.percentile(self.moving, 95 if rgb else 1)),) * 3
        shifted = (np.linalg.inv(half) @ turn @ half)[:2]
        moving = cv2.warpAffine(self.moving, shifted, (side, side), borderValue=empty)
        points = geometry.apply_matrix(turn, self.points)
        name = f"{self.name}, {degrees:.0f}°{' mirrored' if mirrored else ''}"
        return Case(name, self.fixed, moving, self.moving_mpp, self.matrix @ np.linalg.inv(turn), points)


def drawn(render: Callable[[Tile], np.ndarray], yx_shape: tuple[int, int], by: int) -> np.ndarray:
    """Means over `by` × `by` pixels, tile by tile."""
    rows: list[list[np.ndarray]] = []
    for tile in tiles((yx_shape[0] // by * by, yx_shape[1] // by * by), 32 * by):
        pixels = render(tile).astype(np.float32)
        h, w = pixels.shape[0] // by, pixels.shape[1] // by
        if tile.index[1] == 0:
            rows.append([])
        rows[-1].append(pixels.reshape(h, by, w, by, -1).mean((1, 3)))
    return np.concatenate([np.concatenate(row, axis=1) for row in rows]).squeeze()


def simulated(seed: int) -> Case:
    """A small slide of any size, covered in part by a run that lies at any angle."""
    rng = np.random.default_rng([seed, 5])
    width, height = float(rng.integers(1400, 2600)), float(rng.integers(1200, 2200))
    settings = SimulationSettings(
        width_um=width, height_um=height, genes=24, hidden_genes=8, seed=seed,
        rotation_deg=float(rng.uniform(0, 360)), measured=float(rng.uniform(0.6, 0.93)),
    )  # fmt: skip
    population = Population(settings)
    morphology = Morphology(Detection.of(settings, population))
    he = drawn(Histology(settings, population).render, settings.he_shape, HE_BY)
    dapi = drawn(morphology.render, morphology.yx_shape, DAPI_BY)
    matrix = np.diag([1 / HE_BY, 1 / HE_BY, 1]) @ morphology_to_he(settings).matrix @ np.diag([DAPI_BY, DAPI_BY, 1])
    x, y = np.meshgrid(np.linspace(0, dapi.shape[1], 15), np.linspace(0, dapi.shape[0], 15))
    fixed = Image((np.rint(he).astype(np.uint8),), settings.he_mpp * HE_BY)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    return Case(f"slide {seed}", fixed, dapi.astype(np.uint16), MORPHOLOGY_MPP * DAPI_BY, matrix, points)


def sections(folder: Path) -> Iterator[Case]:
    """Each section of her2st on the next: pixels → the authors' common frame is rigid."""
    import pandas as pd

    found = {}
    for name in ("C2", "C3", "C4"):
        pixels = cv2.imread(str(folder / f"{name}-he.jpg"), cv2.IMREAD_REDUCED_COLOR_8)
        spots = pd.read_csv(folder / f"{name}-clusters.tsv.gz", sep="\t").dropna()
        pixel, warped = (spots[[f"{kind}_x", f"{kind}_y"]].to_numpy(float) for kind in ("pixel", "warped"))
        common = geometry.fit_rigid(pixel / HER2ST_BY, warped / HER2ST_BY)
        found[name] = np.ascontiguousarray(pixels[..., ::-1]), common, pixel / HER2ST_BY
    mpp = HER2ST_UM * HER2ST_BY
    for a, b in (("C2", "C3"), ("C3", "C4"), ("C4", "C2")):
        (moving, to_common, spots_px), (fixed, from_fixed, _) = found[a], found[b]
        matrix = np.linalg.inv(from_fixed) @ to_common
        yield Case(f"her2st {a} on {b}", Image((fixed,), mpp), moving, mpp, matrix, spots_px)


def kidney(folder: Path) -> Case:
    """PanCytokeratin on H&E; the pixel size is not stated, 8 µm is about right for 9 mm of kidney."""
    names = "HE", "PanCytokeratin"
    he, stained = (cv2.imread(str(folder / f"Rat-Kidney_{name}.jpg"))[..., ::-1] for name in names)
    marks = [np.loadtxt(folder / f"Rat-Kidney_{n}.csv", delimiter=",", skiprows=1)[:69, 1:] for n in names]
    matrix = geometry.fit_similarity(marks[1], marks[0])
    return Case(
        "rat kidney", Image((np.ascontiguousarray(he),), 8.0), np.ascontiguousarray(stained), 8.0, matrix, marks[1]
    )


def tried(case: Case) -> tuple[float, str]:
    """The median error in µm and a line of the table."""
    mpp = case.fixed.require_mpp()
    began = time.process_time()
    fit = align_roughly(case.fixed, Image((case.moving,), case.moving_mpp))
    seconds = time.process_time() - began
    error = mpp * float(
        np.median(geometry.residuals(fit.matrix, case.points, geometry.apply_matrix(case.matrix, case.points)))
    )
    clear = "clear" if fit.is_clear else "in doubt"
    return (
        error,
        f"{case.name:36s} {error:7.1f} µm  {fit.score:.2f}  {fit.runner_up:.2f}  {clear:8s}  {seconds:4.1f} CPU s",
    )


def report(cases: list[Case]) -> None:
    """Every case, then the worst of them."""
    errors = []
    for case in cases:
        error, line = tried(case)
        errors.append(error)
        print(line, flush=True)
    print(f"--- {len(errors)} tries: median {np.median(errors):.1f} µm, worst {max(errors):.1f} µm", flush=True)


class Enlarged:
    """A level of a large slide without the memory: each pixel of a small picture many times over."""

    def __init__(self, small: np.ndarray, by: int) -> None:
        self.small, self.by = small, by
        self.shape, self.dtype = (small.shape[0] * by, small.shape[1] * by, *small.shape[2:]), small.dtype
        self.read = 0

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (np.arange(k.start, k.stop) // self.by for k in key)
        self.read += len(rows) * len(columns)
        return self.small[rows][:, columns]


def large(case: Case, side_px: int) -> None:
    """A pyramid of `side_px`: processor seconds, memory, and how much of it was read."""
    by = [b for b in (128, 64, 32, 16, 8, 4, 2, 1) if b <= side_px // max(case.fixed.yx_shape)]
    levels = tuple(Enlarged(np.asarray(case.fixed.levels[0]), b) for b in by)
    fixed = Image(levels, LARGE_MPP)
    matrix = np.diag([by[0], by[0], 1.0]) @ case.matrix
    scale = fixed.require_mpp() * by[0] / case.fixed.require_mpp()
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    fit = align_roughly(fixed, Image((case.moving,), case.moving_mpp * scale))
    seconds = time.process_time() - began
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    off = np.median(geometry.residuals(fit.matrix, case.points, geometry.apply_matrix(matrix, case.points)))
    size = "{} × {} px".format(*fixed.yx_shape)
    read = sum(level.read for level in levels) / 1e6
    print(f"large: {size}, {seconds:.1f} CPU s, {more:.0f} MB more, {read:.1f} Mpx read, {off * LARGE_MPP:.1f} µm off")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--large-px", type=int, default=40_000)
    asked = parser.parse_args()
    rng = np.random.default_rng(4)
    slides = [simulated(seed) for seed in range(1, asked.slides + 1)]
    ways = [(float(rng.uniform(0, 360)), bool(k % 2)) for k in range(asked.turns * len(slides))]
    report([slides[k % len(slides)].turned(*way) for k, way in enumerate(ways)])
    if asked.shared.is_dir():
        real = [*sections(asked.shared / "her2st"), kidney(asked.shared / "landmarks")]
        report([case.turned(*way) for case in real for way in ((0.0, False), (130.0, True), (-77.0, False))])
    large(slides[0], asked.large_px)


if __name__ == "__main__":
    main()
