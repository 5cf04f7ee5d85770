"""Pairs between two H&E of equal pixels, spoilt so that they still fit one another: is the mistake named, and undone?

    python benchmarks/mispairings.py [--shared ../shared/data] [--draws 3]

her2st: every section on every other by the authors' own alignment, eight clicks 2 µm off. Prints how many of each
mistake are named as what they are, how many right ones are left in peace, and the agreement of tissue as they stand.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.pipeline.pairing import Around, proposal_for
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.stages.rough_alignment import agreements

MPP, PAIRS, NOISE_UM = 0.69, 8, 2.0
SECTIONS = ("C2", "C3", "C4")


def scaled(by: float) -> Callable[[Keypoints], Keypoints]:
    """Both sides times `by`."""
    return lambda k: Keypoints(k.moving_xy * by, k.fixed_xy * by)


SPOILT: dict[str, Callable[[Keypoints], Keypoints]] = {
    "as they are": lambda k: k,
    "sides swapped": lambda k: Keypoints(k.fixed_xy, k.moving_xy),
    "level 1 in both": scaled(1 / 2),
    "level 2 in both": scaled(1 / 4),
    "scaled twice": scaled(2),
    "level 2 in the moving one": lambda k: Keypoints(k.moving_xy / 4, k.fixed_xy),
    "level 2 in the fixed one": lambda k: Keypoints(k.moving_xy, k.fixed_xy / 4),
    "µm in both": scaled(MPP),
    "x and y swapped in both": lambda k: Keypoints(k.moving_xy[:, ::-1], k.fixed_xy[:, ::-1]),
}
# Nothing to take instead: being told is all.
ASTRAY = "one side 0.5 mm off", "the third section's pairs"


def main() -> None:
    """Print a row a mistake."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--draws", type=int, default=3)
    options = parser.parse_args()
    folder = options.shared / "her2st"
    if not folder.is_dir():
        print(f"{folder} is not there: nothing to measure.")
        return
    images = {name: replace(read_image(folder / f"{name}-he.jpg"), mpp=MPP) for name in SECTIONS}
    spots = {name: pl.read_csv(folder / f"{name}-clusters.tsv.gz", separator="\t") for name in SECTIONS}
    found: dict[str, list[tuple[bool, float, float]]] = {name: [] for name in (*SPOILT, *ASTRAY)}
    for there, here in permutations(SECTIONS, 2):
        around = Around.of(MPP, MPP, images[there], images[here], there)
        matrix = np.linalg.inv(to_common(spots[here])) @ to_common(spots[there])
        for seed in range(options.draws):
            good = pairs(xy(spots[there], "pixel"), matrix, seed)
            for name, spoil in SPOILT.items():
                found[name].append(asked(spoil(good), good, around))
            off = Keypoints(good.moving_xy + np.array([0, 500 / MPP]), good.fixed_xy)
            (third,) = set(SECTIONS) - {there, here}
            known = np.linalg.inv(to_common(spots[here])) @ to_common(spots[third])
            for name, given in zip(ASTRAY, (off, pairs(xy(spots[third], "pixel"), known, seed)), strict=True):
                found[name].append(asked(given, None, around))
    print("| pairs | cases | as they should be | tissue agrees as they stand | seconds |\n|---|---|---|---|---|")
    for name, rows in found.items():
        right, agreed, seconds = (np.array(column) for column in zip(*rows, strict=True))
        tissue, took = f"{agreed.min():.2f} to {agreed.max():.2f}", f"{np.median(seconds):.1f}"
        print(f"| {name} | {len(rows)} | {right.sum()} | {tissue} | {took} |")


def xy(table: pl.DataFrame, kind: str) -> FloatArray:
    """(n, 2) of one of the table's frames."""
    return table.select(f"{kind}_x", f"{kind}_y").to_numpy().astype(np.float64)


def to_common(table: pl.DataFrame) -> FloatArray:
    """The authors' alignment from pixels to the frame that the sections share."""
    return geometry.fit("rigid", xy(table, "pixel"), xy(table, "warped"))


def pairs(places: FloatArray, matrix: FloatArray, seed: int) -> Keypoints:
    """Some places clicked in both images."""
    rng = np.random.default_rng(seed)
    chosen = places[rng.choice(len(places), PAIRS, replace=False)]
    return Keypoints(chosen + rng.normal(0, NOISE_UM / MPP, chosen.shape), geometry.apply_matrix(matrix, chosen))


def asked(given: Keypoints, good: Keypoints | None, around: Around) -> tuple[bool, float, float]:
    """Whether what is proposed is what was meant, or, without good ones, whether the pairs are doubted with nothing to
    take instead; the agreement as they stand, and the seconds it took."""
    start = time.monotonic()
    proposal = proposal_for(given, around, RegistrationSettings())
    seconds = time.monotonic() - start
    meant = given if proposal is None else proposal.keypoints
    right = meant is None if good is None else meant is not None and np.allclose(meant.moving_xy, good.moving_xy)
    assert around.moving_image is not None and around.fixed_image is not None
    laid = geometry.fit("affine", given.moving_xy, given.fixed_xy)
    (agreed,) = agreements(around.fixed_image, around.moving_image, [laid]).values
    return right, max(0.0, agreed), seconds


if __name__ == "__main__":
    main()
