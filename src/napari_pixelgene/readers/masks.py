"""A tissue mask a person drew elsewhere: an image file of any size, bright on dark, over the whole slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from napari_pixelgene.arithmetic.resampling import area_average
from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.elements.arrays import Array, BoolArray
from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.images import check_file
from napari_pixelgene.readers.plain_image import decode, is_plain, read_header
from napari_pixelgene.readers.tiff import is_tiff

_ASPECT = 0.02
_MAX_PIXELS = 500_000_000


def read_mask(path: Path, yx_shape: tuple[int, int], covered: tuple[float, float] | None = None) -> BoolArray:
    """The mask of a file over a grid of `yx_shape` (rows, columns): true where over half of a cell's area is.

    The file spans `covered` (rows, columns) cells, for a slide may end within its last ones; without it, the
    whole grid. Of two values the higher is tissue; of many, in 8 bits, those above 127. Raises `InputError`
    where the aspect differs by more than 2 %, or the file is no mask.
    """
    path = Path(path)
    check_file(path)
    drawn = _drawn(path, _pixels(path))
    cells = covered or (float(yx_shape[0]), float(yx_shape[1]))
    _require_aspect(path, (drawn.shape[0], drawn.shape[1]), cells)
    return reduce_mask(drawn, yx_shape, (drawn.shape[0] / cells[0], drawn.shape[1] / cells[1]))


def reduce_mask(mask: BoolArray, yx_shape: tuple[int, int], cell: tuple[float, float]) -> BoolArray:
    """Cells, each `cell` (row, column) mask pixels a side, of which more than half the covered area is true."""
    finer = int(np.ceil(1 / min(1.0, *cell)))
    if finer > 1:
        # The area mean needs cells of at least a pixel.
        mask, cell = mask.repeat(finer, axis=0).repeat(finer, axis=1), (cell[0] * finer, cell[1] * finer)
    whole = Tile(Span(0, yx_shape[0]), Span(0, yx_shape[1]))
    share, _ = area_average(mask, (0, 0), cell, whole, (mask.shape[0], mask.shape[1]))
    return np.asarray(share > 0.5)


def _pixels(path: Path) -> Array:
    """The picture as stored, (rows, columns[, channels])."""
    if is_plain(path):
        _require_size(path, read_header(path).pixels)
        return decode(path)
    if not is_tiff(path):
        raise InputError(f"{path} is not an image: neither TIFF, JPEG nor PNG.", "Give the mask as PNG or TIFF.")
    try:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            page = tiff.pages[0]
            _require_size(path, page.imagelength * page.imagewidth)
            pixels: Array = page.asarray()
    except (tifffile.TiffFileError, ValueError, IndexError, OSError) as why:
        if isinstance(why, InputError):
            raise
        raise InputError(f"{path} cannot be read as TIFF ({why}).", "Export the mask again, as PNG or TIFF.") from why
    return pixels


def _require_size(path: Path, pixels: int) -> None:
    if pixels > _MAX_PIXELS:
        raise InputError(
            f"The mask {path} has {pixels:,} pixels; {_MAX_PIXELS:,} are read at most.",
            "Export it smaller: 8 µm a pixel is all that is used.",
        )


def _drawn(path: Path, pixels: Array) -> BoolArray:
    if pixels.ndim == 3:
        colours = pixels.shape[2] - (pixels.shape[2] in (2, 4))
        pixels = pixels[..., :colours].max(axis=2)
    low, high = pixels.min(), pixels.max()
    if low == high:
        return np.asarray(pixels > 0)
    if ((pixels == low) | (pixels == high)).all():
        return np.asarray(pixels == high)
    if pixels.dtype != np.uint8:
        raise InputError(
            f"The mask {path} holds many values of type {pixels.dtype}; a mask has two.",
            "Export it as black and white.",
        )
    return np.asarray(pixels > 127)


def _require_aspect(path: Path, yx_shape: tuple[int, int], cells: tuple[float, float]) -> None:
    aspect = (yx_shape[1] / yx_shape[0]) / (cells[1] / cells[0])
    # A side of few pixels cannot be nearer than half of one.
    slack = _ASPECT + 0.5 / min(yx_shape) + 0.5 / min(cells)
    if abs(aspect - 1) > slack:
        raise InputError(
            f"The mask {path} has {yx_shape[0]} rows × {yx_shape[1]} columns and the slide {cells[0]:.6g} × "
            f"{cells[1]:.6g} superpixels: their shapes differ by {100 * abs(aspect - 1):.0f} %.",
            "Draw the mask over the whole slide, not over a part of it.",
        )
