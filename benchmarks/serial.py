"""How outlines judge neighbouring sections that are laid truly, aside, turned or mirrored.

    python benchmarks/serial.py [--shared ../shared/data]

The sections C2, C3 and C4 of her2st, each laid on the next by the authors' own rigid alignment and wrongly on purpose.
They share no nuclei, so that outlines are all there is beside pairs. What is told is how far outlines would have the
tissue moved, and the level that comes to without any pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rough import Case, sections

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.verdict import UNLIKE, QualityMap
from napari_pixelgene.stages.rough_alignment import compare_outlines
from napari_pixelgene.stages.verdict import PairEvidence, judge

ASIDE_UM = (0, 100, 200, 400, 800)


def wrongly(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """What is done to the authors' alignment, as matrices of pixels of the fixed section about the tissue's middle."""
    landed = geometry.apply_matrix(case.matrix, case.points)
    middle = np.eye(3)
    middle[:2, 2] = landed.mean(axis=0)
    rng = np.random.default_rng(len(case.name))
    for um in ASIDE_UM:
        change, angle = np.eye(3), rng.uniform(0, 2 * np.pi)
        change[:2, 2] = um / case.fixed.require_mpp() * np.array([np.cos(angle), np.sin(angle)])
        yield f"{um} µm aside" if um else "as the authors", change
    for degrees in (5, 90, 180):
        angle, change = np.deg2rad(degrees), np.eye(3)
        change[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        yield f"turned by {degrees}°", middle @ change @ np.linalg.inv(middle)
    yield "mirrored", middle @ np.diag([-1.0, 1.0, 1.0]) @ np.linalg.inv(middle)


def judged(case: Case, change: np.ndarray) -> str:
    """Three columns of the table."""
    moving, mpp = Image((case.moving,), case.moving_mpp), case.fixed.require_mpp()
    matrix = change @ case.matrix
    places = geometry.apply_matrix(matrix, case.points) * mpp
    found = compare_outlines(case.fixed, moving, matrix, places)
    n = len(places)
    blank = np.full(n, np.nan)
    nuclei = QualityMap(places, np.full((n, 2), np.nan), np.full(n, UNLIKE), blank, blank, blank, 300.0, 160.0)
    verdict = judge(nuclei, PairEvidence(), outlines=found)
    off = f"{found.shift_um:.0f} µm" + (f"; better {found.elsewhere}" if found.elsewhere else "")
    return f"{found.agreement:.2f} (best {found.best:.2f}) | {off} | {verdict.level}"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    folder = options.parse_args().shared / "her2st"
    if not folder.is_dir():
        print(f"{folder} is not there: nothing to measure.")
        return
    print("| sections | laid | agreement | outlines off | level |\n|---|---|---|---|---|")
    for case in sections(folder):
        for how, change in wrongly(case):
            print(f"| {case.name} | {how} | {judged(case, change)} |", flush=True)


if __name__ == "__main__":
    main()
