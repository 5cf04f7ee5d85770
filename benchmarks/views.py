"""What looking costs: a 1000 × 1500 viewport in squares, beyond a line, and as haematoxylin, beside the plain overlay.

Run: python benchmarks/views.py [side of the source in pixels]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import tifffile
from warp import VIEW, homography, write_source

from napari_pixelgene.arithmetic.resampling import halve
from napari_pixelgene.elements.image import Image
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.readers.tiff import read_channels
from napari_pixelgene.stages.comparing import Beyond, Checkers, masked
from napari_pixelgene.stages.staining import haematoxylin_pyramid
from napari_pixelgene.stages.warping import warped_pyramid

MPP, TIMES, PAN_PX = 0.25, 15, 100


def write_slide(path: Path, side: int) -> None:
    """A pink and purple pyramid, tiled and JPEG-compressed as scanners write it."""
    rng = np.random.default_rng(2)
    coarse = rng.uniform(0, 1, (side // 24, side // 24)).astype(np.float32)
    purple = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)[..., None]
    level = (np.array([235, 190, 215]) * (1 - purple) + np.array([90, 60, 150]) * purple).astype(np.uint8)
    levels = [level]
    while max(levels[-1].shape) > 512:
        levels.append(halve(levels[-1]))
    options = {"photometric": "rgb", "tile": (512, 512), "compression": "jpeg", "compressionargs": {"level": 85}}
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        tiff.write(levels[0], subifds=len(levels) - 1, **options)
        for each in levels[1:]:
            tiff.write(each, subfiletype=1, **options)


def timed(make: Callable[[], Image], side: int) -> tuple[float, float]:
    """Medians in ms: the first viewport of a fresh pyramid, and one PAN_PX further in both directions."""
    rng = np.random.default_rng(1)
    first, pan = [], []
    for _ in range(TIMES):
        level = make().levels[0]
        top, left = (int(rng.integers(0, side - v - PAN_PX)) for v in VIEW)
        for times, by in ((first, 0), (pan, PAN_PX)):
            start = time.perf_counter()
            np.asarray(level[top + by : top + by + VIEW[0], left + by : left + by + VIEW[1]])
            times.append(1000 * (time.perf_counter() - start))
    return median(first), median(pan)


def main(side: int) -> None:
    """Print a table: medians, and ratios to the plain overlay."""
    with tempfile.TemporaryDirectory() as folder:
        write_source(Path(folder) / "source.ome.tif", side)
        write_slide(Path(folder) / "he.tif", side)
        (source,) = read_channels(Path(folder) / "source.ome.tif")
        slide = read_image(Path(folder) / "he.tif", MPP)
        transform = homography(side)

        def overlay() -> Image:
            return warped_pyramid(source, transform, (side, side), MPP)

        line_um = 0.5 * side * MPP
        ways: dict[str, Callable[[], Image]] = {
            "overlay": overlay,
            "in squares of 200 µm": lambda: masked(overlay(), Checkers(200.0)),
            "beyond a line": lambda: masked(overlay(), Beyond(line_um)),
            "H&E as it is": lambda: slide,
            "its haematoxylin": lambda: haematoxylin_pyramid(slide),
        }
        found = {name: timed(make, side) for name, make in ways.items()}
    plain = found["overlay"]
    print(
        f"{side} × {side}, viewport {VIEW[0]} × {VIEW[1]}\n| what | first view, ms | pan by {PAN_PX} px, ms | ratios |"
    )
    for name, (first, pan) in found.items():
        print(f"| {name} | {first:.1f} | {pan:.1f} | {first / plain[0]:.2f}, {pan / plain[1]:.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12_000)
