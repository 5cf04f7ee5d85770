"""An image out of an array: a tiled OME-TIFF of one level, written tile by tile."""

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
_COLOURS = 3


def write_image(path: Path, pixels: Any, mpp: float) -> Path:
    """Write (rows, columns) or, of (rows, columns, 3 or 4), the colours, without loss; `pixels` may be lazy.

    Raises InputError where something is at `path` already.
    """
    if path.exists():
        raise InputError(f"{path} is there already.", "Move it away, or choose another name.")
    in_colour = pixels.ndim > 2
    shape = (int(pixels.shape[0]), int(pixels.shape[1]), *([_COLOURS] if in_colour else []))
    size = {f"PhysicalSize{axis}": mpp for axis in "XY"} | {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    part = path.with_name(f".{path.name}.part")
    try:
        with tifffile.TiffWriter(part, bigtiff=True, ome=True) as writer:
            writer.write(
                _tiles(pixels, shape),
                shape=shape,
                dtype=np.dtype(pixels.dtype),
                tile=(_TILE, _TILE),
                photometric="rgb" if in_colour else "minisblack",
                compression="zlib",
                metadata={"axes": "YXS" if in_colour else "YX", **size},
            )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _tiles(pixels: Any, shape: tuple[int, ...]) -> Iterator[Array]:
    """Tiles in reading order, those at the edges filled up: white in colour, black without."""
    rows, columns, *colours = shape
    for top in range(0, rows, _TILE):
        for left in range(0, columns, _TILE):
            block = np.asarray(pixels[top : top + _TILE, left : left + _TILE])
            block = block[..., :_COLOURS] if colours else block
            tile = np.full((_TILE, _TILE, *colours), 255 if colours else 0, dtype=block.dtype)
            tile[: block.shape[0], : block.shape[1]] = block
            yield tile
