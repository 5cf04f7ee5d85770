"""How long a 1000 × 1500 viewport of a lazily warped pyramid takes: through a homography and through a spline.

Run: python benchmarks/warp.py [side of the source in pixels]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import tifffile

from napari_pixelgene.arithmetic import splines
from napari_pixelgene.arithmetic.resampling import halve
from napari_pixelgene.elements.alignment import Bend, Transform
from napari_pixelgene.elements.image import Image
from napari_pixelgene.readers.tiff import read_channels
from napari_pixelgene.stages.warping import warped_pyramid

VIEW = (1000, 1500)
MPP = 0.25
PAIRS = 30


def write_source(path: Path, side: int) -> np.ndarray:
    """A smooth uint16 pyramid OME-TIFF, tiled and compressed as 10x writes it."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 4000, (side // 16, side // 16)).astype(np.float32)
    image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 65535).astype(np.uint16)
    levels = [image]
    while max(levels[-1].shape) > 512:
        levels.append(halve(levels[-1]))
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(image, subifds=len(levels) - 1, tile=(1024, 1024), compression="zlib", metadata={"axes": "YX"})
        for level in levels[1:]:
            tiff.write(level, subfiletype=1, tile=(1024, 1024), compression="zlib", metadata=None)
    return image


def homography(side: int) -> Transform:
    """Turned by 12°, shrunk to 0.8, with a visible perspective."""
    angle = np.deg2rad(12)
    turn = 0.8 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.array([[*turn[0], 0.15 * side], [*turn[1], 0.02 * side], [0.05 / side, 0.03 / side, 1.0]])
    return Transform(matrix, "morphology_px", "he_px", "homography")


def spline(side: int) -> Transform:
    """The same without perspective, bent by up to 25 µm, from as many pairs as a person may click."""
    matrix = homography(side).matrix.copy()
    matrix[2, :2] = 0
    places_um = np.random.default_rng(2).uniform(0, side * MPP, (PAIRS, 2))
    x, y = (places_um / (side * MPP)).T
    shift = 25 * np.stack([np.sin(5 * y + 1), np.cos(4 * x) * y], axis=1)
    bend = Bend(splines.fit(places_um, shift), np.diag([1 / MPP, 1 / MPP, 1.0]))
    return Transform(matrix, "morphology_px", "he_px", "spline", bend=bend)


def panned(source: Image, transform: Transform, side: int) -> tuple[float, float, float]:
    """Medians in ms: a first view, a move by 100 pixels, a move by 1000 with hardly a block kept."""
    rng = np.random.default_rng(1)
    times: list[list[float]] = [[], [], []]
    for _ in range(15):
        warped = warped_pyramid(source, transform, (side, side), MPP)
        top, left = (int(rng.integers(side // 5, 4 * side // 5 - v)) for v in VIEW)
        for taken, move in zip(times, (0, 100, 1000), strict=True):
            rows, columns = (slice(start + move, start + move + v) for start, v in zip((top, left), VIEW, strict=True))
            start = time.perf_counter()
            warped.levels[0][rows, columns]
            taken.append(1000 * (time.perf_counter() - start))
    first, near, far = (median(taken) for taken in times)
    return first, near, far


def whole_image(image: np.ndarray, source: Image, side: int) -> tuple[float, int]:
    """Seconds of OpenCV's warp of all of it, and how far a view of ours differs from it, in grey values."""
    matrix, half = homography(side).matrix, np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    start = time.perf_counter()
    whole = cv2.warpPerspective(image, np.linalg.inv(half) @ matrix @ half, (side, side))
    seconds = time.perf_counter() - start
    rows, columns = (slice(side // 3, side // 3 + v) for v in VIEW)
    view = warped_pyramid(source, homography(side), (side, side), MPP).levels[0][rows, columns]
    return seconds, int(np.abs(view.astype(int) - whole[rows, columns]).max())


def main(side: int) -> None:
    """Print medians."""
    with tempfile.TemporaryDirectory() as folder:
        image = write_source(Path(folder) / "source.ome.tif", side)
        (source,) = read_channels(Path(folder) / "source.ome.tif")
        print(f"source {side} × {side} uint16, viewport {VIEW[0]} × {VIEW[1]}; medians of 15, in ms")
        seconds, difference = whole_image(image, source, side)
        print(f"whole-image warp {1000 * seconds:.1f}; largest difference from it {difference} of 65535")
        print(f"{'through':<12}{'first view':>12}{'pan 100 px':>12}{'pan 1000 px':>13}")
        for transform in (homography(side), spline(side)):
            first, near, far = panned(source, transform, side)
            print(f"{transform.kind:<12}{first:12.1f}{near:12.1f}{far:13.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12_000)
