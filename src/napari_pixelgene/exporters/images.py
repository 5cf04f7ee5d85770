"""A slide out of an array: a tiled OME-TIFF of one level, written tile by tile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_pixelgene.elements.arrays import Array
from napari_pixelgene.errors import InputError

_TILE = 512


def write_slide(path: Path, pixels: Any, mpp: float) -> Path:
    """Write (rows, columns, 3 or 4) uint8 without loss; `pixels` may be lazy. An existing file is refused."""
    if path.exists():
        raise InputError(f"{path} is there already.", "Move it away, or choose another name.")
    shape = (int(pixels.shape[0]), int(pixels.shape[1]), 3)
    part = path.with_name(f".{path.name}.part")
    try:
        with tifffile.TiffWriter(part, bigtiff=True, ome=True) as writer:
            writer.write(
                _tiles(pixels),
                shape=shape,
                dtype=np.uint8,
                tile=(_TILE, _TILE),
                photometric="rgb",
                compression="zlib",
                metadata={
                    "axes": "YXS",
                    "PhysicalSizeX": mpp,
                    "PhysicalSizeY": mpp,
                    "PhysicalSizeXUnit": "µm",
                    "PhysicalSizeYUnit": "µm",
                },
            )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _tiles(pixels: Any) -> Iterator[Array]:
    """Tiles in reading order, those at the edges filled up with white."""
    rows, columns = pixels.shape[:2]
    for top in range(0, rows, _TILE):
        for left in range(0, columns, _TILE):
            block = np.asarray(pixels[top : top + _TILE, left : left + _TILE])[..., :3]
            tile = np.full((_TILE, _TILE, 3), 255, dtype=np.uint8)
            tile[: block.shape[0], : block.shape[1]] = block
            yield tile
