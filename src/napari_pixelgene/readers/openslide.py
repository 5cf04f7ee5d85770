"""Scanner formats through OpenSlide: Hamamatsu NDPI, Leica SCN, MIRAX, Ventana BIF, Philips TIFF and others.

It comes with the extra `slides`. Pixels are counted from the upper left of the scanned area, where a slide states one
(MIRAX, SCN), else of the whole canvas; what was not scanned has the slide's background colour.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from napari_pixelgene.elements.arrays import Array
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.views import RegionView
from napari_pixelgene.errors import InputError, MissingDependency
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers import pixel_size

COMMAND = 'pip install "napari-pixelgene[slides]"'
MIRAX_INDEX = "Slidedat.ini"
_BACKGROUND = "FFFFFF"
_CHUNK_PX = (256, 2048)  # tiles smaller or larger than this are asked for in chunks of 512
_USUAL_CHUNK_PX = 512
# How far back a block may begin, and how far from a pixel's place counts as on it (both in pixels of the level).
_SEARCH_PX, _ON_PIXEL = 512, 1 / 512
_STAGE = "image"


class SlideLevel(RegionView):
    """One level of a slide within its bounds, (rows, columns, 3) uint8."""

    def __init__(self, slide: Any, level: int, bounds: tuple[int, int, int, int], path: Path) -> None:
        self._slide, self._level, self._path = slide, level, path
        self._left, self._top, width, height = bounds
        self._down = float(slide.level_downsamples[level])
        self.shape = (math.ceil(height / self._down), math.ceil(width / self._down), 3)
        if bounds == (0, 0, *slide.dimensions):
            self.shape = (int(slide.level_dimensions[level][1]), int(slide.level_dimensions[level][0]), 3)
        self.dtype = np.dtype(np.uint8)
        self.chunks = (_tile_side(slide, level, "height"), _tile_side(slide, level, "width"), 3)
        self._background = _colour(slide.properties)

    def read(self, rows: slice, columns: slice) -> Array:
        """The block, what is transparent filled with the background."""
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return np.empty((rows.stop - rows.start, columns.stop - columns.start, 3), dtype=np.uint8)
        top, left = (_exact_start(span.start, self._down) for span in (rows, columns))
        size = (columns.stop - left, rows.stop - top)
        at = (self._left + round(left * self._down), self._top + round(top * self._down))
        try:
            rgba = np.asarray(self._slide.read_region(at, self._level, size))
        except _openslide().OpenSlideError as why:
            raise _broken(self._path, f"cannot be decoded at row {rows.start}, column {columns.start} ({why})") from why
        return over(rgba[rows.start - top :, columns.start - left :], self._background)


def _exact_start(wanted: int, down: float) -> int:
    """Where a block begins: at the pixel `wanted` of a level or a little before, so that it lies on level-0 pixels.

    OpenSlide takes a place in whole level-0 pixels and interpolates where that falls between pixels of the level, as
    it does on levels whose scale is not a whole number; then a pixel would depend on the block it is read with.
    """
    before = np.arange(wanted, max(wanted - _SEARCH_PX, -1), -1)
    between = np.abs(np.rint(before * down) / down - before)
    good = np.flatnonzero(between < _ON_PIXEL)
    return int(before[good[0] if len(good) else between.argmin()])


def over(rgba: Array, background: Array) -> Array:
    """(…, 4) uint8 laid over an opaque colour (3,), as (…, 3) uint8."""
    rgb, alpha = rgba[..., :3], rgba[..., 3:].astype(np.uint16)
    if (alpha == 255).all():
        return np.ascontiguousarray(rgb)
    mixed: Array = ((rgb * alpha + background * (255 - alpha) + 127) // 255).astype(np.uint8)
    return mixed


def is_scanner_tiff(path: Path) -> bool:
    """Whether a TIFF is of a family whose layout only OpenSlide follows: NDPI, SCN, BIF, Philips."""
    import tifffile

    # tifffile takes NDPI's bent layout for what is named so; a plain TIFF cannot have more than 4 GB.
    with path.open("rb") as file:
        bent = file.read(4)[2:] in (b"*\0", b"\0*") and path.stat().st_size >= 1 << 32
        file.seek(0)
        try:
            with tifffile.TiffFile(file, name="slide.ndpi" if bent else "slide.tif", _multifile=False) as tiff:
                return bool(tiff.is_ndpi or tiff.is_scn or tiff.is_bif or tiff.is_philips)
        except (tifffile.TiffFileError, struct.error, ValueError, KeyError, IndexError, OSError):
            return False  # the TIFF reader says what is wrong with it


def is_mirax(path: Path) -> bool:
    """Whether a file is the face of a MIRAX slide: by content a small JPEG, its pixels in the folder of its name."""
    return path.suffix.lower() == ".mrxs"


def is_other_slide(path: Path) -> bool:
    """Whether OpenSlide, where it is installed, knows a file."""
    try:
        return _openslide().OpenSlide.detect_format(str(path)) is not None
    except MissingDependency:
        return False


def read_openslide(path: Path, mpp: float | None = None, on_event: OnEvent = silent) -> Image:
    """An H&E, (rows, columns, 3) uint8; `mpp` overrules what the slide states.

    Raises MissingDependency with the command to install where OpenSlide is not there, InputError for what it
    cannot read.
    """
    path = Path(path)
    library = _openslide()
    if is_mirax(path) and not (path.with_suffix("") / MIRAX_INDEX).is_file():
        raise InputError(
            f"{path} is the face of a MIRAX slide; its pixels are in the folder {path.stem} beside it, "
            f"which has no {MIRAX_INDEX}.",
            "Copy that folder too, with all its files, and keep both names.",
        )
    try:
        slide = library.OpenSlide(str(path))
    except (library.OpenSlideError, OSError) as why:
        raise _broken(path, f"cannot be opened by OpenSlide ({why})") from why
    bounds = _bounds(slide)
    if bounds != (0, 0, *slide.dimensions):
        text = (
            f"{path.name} states a scanned area of {bounds[2]:,} × {bounds[3]:,} px at x {bounds[0]:,}, "
            f"y {bounds[1]:,} of its canvas: H&E pixels are counted from its upper left."
        )
        on_event(Note(text, "info", _STAGE))
    levels = tuple(SlideLevel(slide, level, bounds, path) for level in range(slide.level_count))
    return Image(levels, pixel_size.settle(path, _size(slide), mpp, on_event), path, path.name.split(".")[0])


def _openslide() -> Any:
    try:
        import openslide
    except (ImportError, OSError) as why:  # openslide-python without the library raises the latter
        raise MissingDependency(
            f"Slides of this kind are read through OpenSlide, which cannot be loaded here ({why}).",
            f"Install it: {COMMAND}. Or convert the slide to OME-TIFF with QuPath or Bio-Formats.",
        ) from None
    return openslide


def _bounds(slide: Any) -> tuple[int, int, int, int]:
    """(x, y, width, height) of the scanned area in level-0 pixels, within the canvas."""
    width, height = (int(n) for n in slide.dimensions)
    found = [_whole(slide.properties.get(f"openslide.bounds-{key}")) for key in ("x", "y", "width", "height")]
    x, y, w, h = found
    if x is None or y is None or not w or not h or x < 0 or y < 0 or x + w > width or y + h > height:
        return 0, 0, width, height
    return x, y, w, h


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def _size(slide: Any) -> pixel_size.Size | None:
    found = []
    for axis in ("x", "y"):
        try:
            value = float(slide.properties.get(f"openslide.mpp-{axis}", ""))
        except ValueError:
            return None
        found.append(value)
    return (found[0], found[1]) if all(math.isfinite(value) and value > 0 for value in found) else None


def _colour(properties: Any) -> Array:
    text = str(properties.get("openslide.background-color") or _BACKGROUND)
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)], dtype=np.uint16)


def _tile_side(slide: Any, level: int, side: str) -> int:
    stated = _whole(slide.properties.get(f"openslide.level[{level}].tile-{side}"))
    low, high = _CHUNK_PX
    return stated if stated is not None and low <= stated <= high else _USUAL_CHUNK_PX


def _broken(path: Path, how: str) -> InputError:
    return InputError(f"{path} {how}.", "Copy it again from its source, or export it as OME-TIFF.")
