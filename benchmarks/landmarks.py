"""How well half of an expert's landmarks foretells the other half, by every kind of transform.

    python benchmarks/landmarks.py [--shared ../shared/data]

Rat kidney: each stain onto the H&E, fitted on the odd landmarks, tested on the even ones, and the other way round. The
images do not say their pixel size, so errors are pixels; one pixel stands for 1 µm, and 15 of them are the limit beyond
which a pair is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.stages.registration import RegistrationSettings, register

KINDS = ("auto", "similarity", "affine", "homography", "spline")


def landmarks(path: Path) -> np.ndarray:
    """(n, 2) in pixels, in the order of the file."""
    return np.loadtxt(path, delimiter=",", skiprows=1)[:, 1:]


def rows(folder: Path) -> Iterator[str]:
    """A line of the table a stain and direction: medians of the landmarks that were not fitted."""
    fixed = landmarks(folder / "Rat-Kidney_HE.csv")
    for path in sorted(folder.glob("Rat-Kidney_*.csv")):
        if path.stem.endswith("_HE"):
            continue
        moving = landmarks(path)
        count = min(len(moving), len(fixed))
        halves = slice(0, count, 2), slice(1, count, 2)
        for name, (fit, test) in (("odd → even", halves), ("even → odd", halves[::-1])):
            plain = geometry.residuals(geometry.fit("affine", moving[fit], fixed[fit]), moving[test], fixed[test])
            values = [f"{np.median(plain):.2f}"]
            for kind in KINDS:
                pairs, settings = Keypoints(moving[fit], fixed[fit]), RegistrationSettings.make({"kind": kind})
                found = register(pairs, settings, 1.0, None).transform
                off = np.linalg.norm(found.apply(moving[test]) - fixed[test], axis=1)
                chosen = f" ({found.kind})" if kind == "auto" else ""
                values.append(f"{np.median(off):.2f}{chosen}")
            yield f"| {path.stem.removeprefix('Rat-Kidney_')} | {name} | {count} | {' | '.join(values)} |"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    folder = options.parse_args().shared / "landmarks"
    if not folder.is_dir():
        print(f"{folder} is not there: nothing to measure.")
        return
    print(f"| stain | fitted → tested | landmarks | affine, least squares | {' | '.join(KINDS)} |")
    print(f"|{'---|' * (4 + len(KINDS))}")
    print("\n".join(rows(folder)))


if __name__ == "__main__":
    main()
