"""How long a 1000 × 1500 viewport of a lazily warped pyramid takes, beside a whole-image warp of OpenCV.

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

from napari_pixelgene.arithmetic.resampling import halve
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.readers.tiff import read_channels
from napari_pixelgene.stages.warping import warped_pyramid

VIEW = (1000, 1500)


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


def homography(side: int) -> np.ndarray:
    """Turned by 12°, shrunk to 0.8, with a visible perspective."""
    angle = np.deg2rad(12)
    turn = 0.8 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.array([[*turn[0], 0.15 * side], [*turn[1], 0.02 * side], [0.05 / side, 0.03 / side, 1.0]])


def main(side: int) -> None:
    """Print medians and ratios."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        image = write_source(Path(folder) / "source.ome.tif", side)
        matrix, shape = homography(side), (side, side)
        transform = Transform(matrix, "morphology_px", "he_px")
        start = time.perf_counter()
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        whole = cv2.warpPerspective(image, np.linalg.inv(half) @ matrix @ half, shape[::-1])
        whole_s = time.perf_counter() - start
        (source,) = read_channels(Path(folder) / "source.ome.tif")
        times, pans, differences = [], [], []
        for _ in range(15):
            warped = warped_pyramid(source, transform, shape, 0.25)
            top, left = (int(rng.integers(0, side - v - 100)) for v in VIEW)
            start = time.perf_counter()
            view = warped.levels[0][top : top + VIEW[0], left : left + VIEW[1]]
            times.append(time.perf_counter() - start)
            start = time.perf_counter()
            warped.levels[0][top + 100 : top + 100 + VIEW[0], left + 100 : left + 100 + VIEW[1]]
            pans.append(time.perf_counter() - start)
            truth = whole[top : top + VIEW[0], left : left + VIEW[1]].astype(int)
            differences.append(int(np.abs(view.astype(int) - truth).max()))
    print(f"source {side} × {side} uint16, viewport {VIEW[0]} × {VIEW[1]}")
    print(f"whole-image warp       {1000 * whole_s:8.1f} ms")
    print(f"first view, median     {1000 * median(times):8.1f} ms   ({whole_s / median(times):.1f} × faster)")
    print(f"pan by 100 px, median  {1000 * median(pans):8.1f} ms")
    print(f"largest difference     {max(differences):8d} of 65535")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12_000)
