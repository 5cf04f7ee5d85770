"""What may be wrong with tables of spots and counts: each ends with exit code 2 and a sentence that names the place.

The installed command runs in a process of its own on a small made-up slide: white glass, one dark ellipse of tissue
right of the middle, spots 200 µm apart on it.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from commands import assert_told, pixelgene

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

    def run(self, name: str = "A.section.zarr", *more: object) -> subprocess.CompletedProcess[str]:
        """`pixelgene import st` on them."""
        (self.folder / "spots.tsv").write_text(_tsv(self.spots), encoding="utf-8")
        (self.folder / "counts.tsv.gz").write_bytes(gzip.compress(_tsv(self.counts).encode()))
        size = [] if self.mpp is None else ["--mpp", self.mpp]
        files = ["--he", "he.png", "--counts", "counts.tsv.gz", "--spots", "spots.tsv"]
        arguments = ["import", "st", name, *files, *size, "--spot-diameter-um", 100, *more]
        return pixelgene(*arguments, cwd=self.folder)


def _tsv(rows: Iterable[Iterable[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def slide() -> np.ndarray:
    """White glass and a dark ellipse."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = ((x - CENTRE[0]) / RADII[0]) ** 2 + ((y - CENTRE[1]) / RADII[1]) ** 2 < 1
    noise = np.random.default_rng(0).integers(-12, 12, (HEIGHT, WIDTH, 1))
    rgb = np.where(inside[..., None], np.array([170, 90, 150]) + noise, 246)
    return rgb.astype(np.uint8)


@pytest.fixture(scope="module")
def he_png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "he.png"
    path.write_bytes(imagecodecs.png_encode(slide()))
    return path


@pytest.fixture
def inputs(tmp_path: Path, he_png: Path) -> Inputs:
    """Spots 200 µm (100 px) apart within the ellipse, counts of four genes."""
    shutil.copy(he_png, tmp_path / "he.png")
    spots = [["x", "y", "pixel_x", "pixel_y"]]
    counts = [["", *GENES]]
    rng = np.random.default_rng(1)
    for i, x in enumerate(range(500, 1101, 100)):
        for j, y in enumerate(range(90, 391, 100)):
            if ((x - CENTRE[0]) / RADII[0]) ** 2 + ((y - CENTRE[1]) / RADII[1]) ** 2 < 0.9:
                spots.append([str(i), str(j), str(x), str(y)])
                counts.append([f"{i}x{j}", *map(str, rng.integers(1, 40, len(GENES)))])
    return Inputs(tmp_path, spots, counts)


def test_the_inputs_are_good_before_they_are_broken(inputs: Inputs) -> None:
    inputs.spots.append(["6", "6", "800", "200"])  # a spot without counts, as real files have
    done = inputs.run()
    assert done.returncode == 0, done.stderr
    assert "A.section.zarr is imported" in done.stdout
    assert "1 of 21 spots in spots.tsv have no counts and are left out." in done.stderr.splitlines()
    assert not any(line.startswith("error") for line in done.stderr.splitlines())


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


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
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
    ],
)
def test_a_table_that_is_wrong_is_told(inputs: Inputs, spoil: Callable[[Inputs], None], words: tuple[str, ...]) -> None:
    spoil(inputs)
    assert_told(inputs.run(), *words)
    assert not (inputs.folder / "A.section.zarr").exists()
