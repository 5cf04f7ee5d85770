"""A small made-up slide with spots and counts of legacy ST, which a test may break in every way a person's may be.

White glass, one dark ellipse of tissue right of the middle, spots 200 µm apart on it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np

MPP = 2.0
HEIGHT, WIDTH = 600, 1200  # pixels: 1.2 × 2.4 mm
CENTRE, RADII = (800, 240), (330, 190)  # x, y of the tissue in pixels
GENES = ("ACTB", "GAPDH", "KRT8", "VIM")


@dataclass
class Inputs:
    """The files of one legacy ST section, as text that a test may break."""

    folder: Path
    spots: list[list[str]]
    counts: list[list[str]]
    mpp: float | None = MPP

    def write(self) -> None:
        """The two tables, as they stand now."""
        (self.folder / "spots.tsv").write_text(_tsv(self.spots), encoding="utf-8")
        (self.folder / "counts.tsv.gz").write_bytes(gzip.compress(_tsv(self.counts).encode()))


def _tsv(rows: Iterable[Iterable[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def slide() -> np.ndarray:
    """White glass and a dark ellipse."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = ((x - CENTRE[0]) / RADII[0]) ** 2 + ((y - CENTRE[1]) / RADII[1]) ** 2 < 1
    noise = np.random.default_rng(0).integers(-12, 12, (HEIGHT, WIDTH, 1))
    rgb = np.where(inside[..., None], np.array([170, 90, 150]) + noise, 246)
    return rgb.astype(np.uint8)


@cache
def slide_png() -> bytes:
    """The slide as a PNG."""
    return bytes(imagecodecs.png_encode(slide()))


def legacy_st(folder: Path) -> Inputs:
    """Spots 200 µm (100 px) apart within the ellipse, counts of four genes."""
    (folder / "he.png").write_bytes(slide_png())
    spots = [["x", "y", "pixel_x", "pixel_y"]]
    counts = [["", *GENES]]
    rng = np.random.default_rng(1)
    for i, x in enumerate(range(500, 1101, 100)):
        for j, y in enumerate(range(90, 391, 100)):
            if ((x - CENTRE[0]) / RADII[0]) ** 2 + ((y - CENTRE[1]) / RADII[1]) ** 2 < 0.9:
                spots.append([str(i), str(j), str(x), str(y)])
                counts.append([f"{i}x{j}", *map(str, rng.integers(1, 40, len(GENES)))])
    made = Inputs(folder, spots, counts)
    made.write()
    return made


def break_nan(inputs: Inputs) -> None:
    inputs.counts[3][2] = "nan"


def break_negative(inputs: Inputs) -> None:
    inputs.counts[4][1] = "-3"


def break_duplicate_row(inputs: Inputs) -> None:
    inputs.counts.append(list(inputs.counts[2]))


def break_duplicate_gene(inputs: Inputs) -> None:
    inputs.counts[0][2] = "ACTB"


def break_unplaced(inputs: Inputs) -> None:
    inputs.counts.append(["77x88", "1", "2", "3", "4"])


def break_pixel_size_missing(inputs: Inputs) -> None:
    inputs.mpp = None


def break_pixel_size_absurd(inputs: Inputs) -> None:
    inputs.mpp = 300.0


def break_pitch(inputs: Inputs) -> None:
    inputs.mpp = 15.0


def break_swapped(inputs: Inputs) -> None:
    for row in inputs.spots[1:]:
        row[2], row[3] = row[3], row[2]


def break_shifted(inputs: Inputs) -> None:
    for row in inputs.spots[1:]:
        row[2] = str(int(row[2]) - 400)


def break_far(inputs: Inputs) -> None:
    for row in inputs.spots[1:]:
        row[2] = str(int(row[2]) + 5000)


def break_spot_column(inputs: Inputs) -> None:
    inputs.spots[0][3] = "pixely"


# What is broken, and the words by which it is told.
SPOILT: tuple[tuple[Callable[[Inputs], None], tuple[str, ...]], ...] = (
    (break_nan, ("counts.tsv.gz", "row '1x1'", "GAPDH")),
    (break_negative, ("counts.tsv.gz", "ACTB", "-3")),
    (break_duplicate_row, ("counts.tsv.gz", "twice")),
    (break_duplicate_gene, ("counts.tsv.gz", "'ACTB'", "twice")),
    (break_unplaced, ("counts.tsv.gz", "77x88", "spots.tsv")),
    (break_pixel_size_missing, ("he.png", "--mpp")),
    (break_pixel_size_absurd, ("300", "--mpp")),
    (break_pitch, ("pitch", "pixel size")),
    (break_swapped, ("x and y",)),
    (break_shifted, ("tissue",)),
    (break_far, ("outside the H&E",)),
    (break_spot_column, ("spots.tsv", "pixel_y")),
)
