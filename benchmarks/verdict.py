"""Whether a verdict keeps its word: simulated slides whose true transform is known, registered well and badly.

Run: python benchmarks/verdict.py [first seed] [tissues]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.elements.verdict import LEVELS, Verdict
from napari_pixelgene.errors import RegistrationError
from napari_pixelgene.pipeline.verdict import Laid, judge_laid
from napari_pixelgene.simulate.pair import SimulatedPair, Wear, simulate_pair
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP, SimulationSettings
from napari_pixelgene.stages.registration import RegistrationSettings, register
from napari_pixelgene.stages.tissue import find_tissue
from napari_pixelgene.stages.verdict import VerdictSettings

SUPERPIXEL_UM = 8.0
A_TISSUE = 3
BINS = (0, 3, 8, 15, 40, np.inf)


@dataclass(frozen=True, slots=True)
class Case:
    """A registration with its error over the tissue in µm, and the verdicts with and without an image to compare."""

    how: str
    wear: Wear
    error_um: np.ndarray
    with_image: Verdict
    alone: Verdict

    @property
    def median_um(self) -> float:
        """Median error over the tissue that was measured."""
        return float(np.median(self.error_um))


def tissue_of(seed: int) -> SimulatedPair:
    """1.4 × 1.2 mm, turned anyhow, every third mirrored; one in three pristine, the others more or less unlike."""
    rng = np.random.default_rng([seed, 11])
    settings = SimulationSettings(
        width_um=1400,
        height_um=1200,
        genes=8,
        hidden_genes=0,
        rotation_deg=float(rng.uniform(-180, 180)),
        perspective=float(rng.uniform(0, 0.03)),
        seed=seed,
    )
    mirrored = bool(seed % 3 == 0)
    if rng.uniform() < 1 / 3:
        return simulate_pair(settings, Wear(mirrored=mirrored))
    bend = float(rng.choice([0, 0, 1.5, 4, 10, 20]))
    return simulate_pair(settings, Wear(float(rng.uniform(0, 0.8)), float(rng.uniform(0, 2.5)), bend, mirrored))


def registrations(pair: SimulatedPair, tissue: Tissue, seed: int) -> Iterator[tuple[str, Transform, Keypoints | None]]:
    """`A_TISSUE` of them, each a matrix that is off or a fit of pairs that are."""
    rng = np.random.default_rng([seed, 13])
    made = 0
    while made < A_TISSUE:
        if rng.uniform() < 0.35:
            yield off_matrix(pair, rng)
        else:
            try:
                yield fitted(pair, tissue, rng)
            except RegistrationError:
                continue
        made += 1


def off_matrix(pair: SimulatedPair, rng: np.random.Generator) -> tuple[str, Transform, None]:
    """The true matrix with a shift, a turn, a scale or a perspective of its own."""
    rows, columns = pair.he.yx_shape
    size_um = columns * pair.settings.he_mpp
    off_um = float(np.exp(rng.uniform(np.log(0.5), np.log(120))))
    what = str(rng.choice(["shift", "turn", "scale", "perspective"]))
    change = np.eye(3)
    angle, share = rng.uniform(0, 2 * np.pi), off_um / (0.3 * size_um)
    if what == "shift":
        change[:2, 2] = off_um / pair.settings.he_mpp * np.array([np.cos(angle), np.sin(angle)])
    elif what == "turn":
        change[:2, :2] = [[np.cos(share), -np.sin(share)], [np.sin(share), np.cos(share)]]
    elif what == "scale":
        change[:2, :2] *= 1 + share
    else:
        change[2, :2] = share / (columns / 2) * np.array([np.cos(angle), np.sin(angle)])
    centre = np.array([[1, 0, columns / 2], [0, 1, rows / 2], [0, 0, 1.0]])
    straight = pair.straight()
    matrix = centre @ change @ np.linalg.inv(centre) @ straight.matrix
    return what, replace(straight, matrix=matrix), None


def fitted(pair: SimulatedPair, tissue: Tissue, rng: np.random.Generator) -> tuple[str, Transform, Keypoints]:
    """A fit of 4 to 20 pairs: clicked well or badly, all over the tissue or in one part of it, some of them wrong."""
    count, corner = int(rng.integers(4, 21)), rng.uniform() < 0.25
    moving = measured_points(pair, tissue, rng, 4000)
    if corner:
        away = np.linalg.norm(moving - moving[rng.integers(len(moving))], axis=1)
        moving = moving[away < np.quantile(away, 0.2)]
    moving = moving[rng.permutation(len(moving))[:count]]
    fixed = pair.true_xy(moving)
    click_um = float(np.exp(rng.uniform(np.log(0.3), np.log(12))))
    wrong = int(rng.choice([0, 0, 0, 1, 2])) if count > 5 else 0
    noisy = fixed + rng.normal(0, click_um, fixed.shape) / pair.settings.he_mpp
    noisy[:wrong] += rng.normal(0, 60, (wrong, 2)) / pair.settings.he_mpp
    shared = rng.uniform() < 0.1
    if shared:  # every nucleus taken for its neighbour: no pair contradicts another
        noisy += rng.normal(0, 12, 2) / pair.settings.he_mpp
    kind = str(rng.choice(["auto", "auto", "similarity", "affine", "homography", "spline"]))
    settings = RegistrationSettings.make({"kind": kind, "allow_mirror": True, "threshold_um": max(15.0, 4 * click_um)})
    keypoints = Keypoints(moving, noisy)
    found = register(keypoints, settings, pair.settings.he_mpp, MORPHOLOGY_MPP)
    words = f"{count} pairs{' in a corner' if corner else ''}, {wrong} wrong, clicked to {click_um:.1f} µm, {kind}"
    words += ", all shifted alike" if shared else ""
    return words, found.transform, keypoints


def measured_points(pair: SimulatedPair, tissue: Tissue, rng: np.random.Generator, count: int) -> np.ndarray:
    """Points (n, 2) of the morphology image that truly lie on tissue."""
    rows, columns = pair.morphology.yx_shape
    points = rng.uniform(0.02, 0.98, (count, 2)) * [columns, rows]
    place = (pair.true_xy(points) * pair.settings.he_mpp / SUPERPIXEL_UM).astype(int)
    inside = ((place >= 0) & (place < np.array(tissue.mask.shape)[::-1])).all(axis=1)
    points, place = points[inside], place[inside]
    return points[tissue.mask[place[:, 1], place[:, 0]]]


def judged(pair: SimulatedPair, tissue: Tissue, how: tuple[str, Transform, Keypoints | None]) -> Case:
    """Both verdicts and the truth."""
    words, transform, keypoints = how
    points = measured_points(pair, tissue, np.random.default_rng(0), 4000)
    error = np.linalg.norm(transform.apply(points) - pair.true_xy(points), axis=1) * pair.settings.he_mpp
    size = np.array(pair.morphology.yx_shape[::-1], dtype=np.float64)
    laid = Laid(pair.he, pair.morphology, transform, transform, keypoints, MORPHOLOGY_MPP, (np.zeros(2), size))
    settings = VerdictSettings()
    blind = judge_laid(replace(laid, moving=None), tissue, SUPERPIXEL_UM, settings)
    return Case(words, pair.wear, error, judge_laid(laid, tissue, SUPERPIXEL_UM, settings), blind)


def cases(first: int, tissues: int) -> Iterator[Case]:
    """Tissues with seeds from `first` on, `A_TISSUE` registrations each."""
    for seed in range(first, first + tissues):
        pair = tissue_of(seed)
        tissue = find_tissue(pair.he, Grid.of_image(pair.he))
        for how in registrations(pair, tissue, seed):
            yield judged(pair, tissue, how)


def table(found: list[Case], which: str) -> str:
    """Bins of true error by verdict."""
    lines = [f"| true median error (µm) | {' | '.join(LEVELS)} |", "|---|---|---|---|"]
    for low, high in pairwise(BINS):
        inside = [getattr(c, which).level for c in found if low <= c.median_um < high]
        name = f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}"
        lines.append(f"| {name} | {' | '.join(str(inside.count(level)) for level in LEVELS)} |")
    return "\n".join(lines)


def main(first: int, tissues: int) -> None:
    """Print every case and both tables."""
    start, found = time.perf_counter(), []
    for case in cases(first, tissues):
        found.append(case)
        for verdict in (case.with_image, case.alone):
            print(f"{case.median_um:7.2f} {verdict.level:10} {case.how} {case.wear}: {verdict.sentence}", flush=True)
    found = found[:100]
    print(f"{len(found)} registrations of {tissues} tissues, {time.perf_counter() - start:.0f} s")
    for which, words in (("with_image", "nuclei and pairs"), ("alone", "pairs alone, no image to compare")):
        print(f"\nJudged by {words}:\n\n{table(found, which)}")


if __name__ == "__main__":
    main(*(int(value) for value in (sys.argv[1:] or ("1000", "34"))))
