"""TIFF in all its families: OME-TIFF, BigTIFF, Aperio SVS, plain TIFF.

Levels are lazy: tiled and stripped files through tifffile's zarr store, uncompressed contiguous ones
through a memory map. Multi-file OME sets are opened one file at a time, for each file of a set
describes all of them. Truncated files are refused when opened.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
import zarr

from napari_pixelgene.elements.arrays import Array, LazyArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.views import ChannelsLast, KeptView, RegionView
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers import pixel_size
from napari_pixelgene.readers.plain_image import require_decodable
from napari_pixelgene.readers.tiff_directories import reach

_APERIO_YCBCR = 33003
_CHANNEL_AXES = "CQI"


class ColourView(RegionView):
    """The first three of a level's channels, as RGB also where they are stored as YCbCr."""

    def __init__(self, source: LazyArray, ycbcr: bool = False) -> None:
        self.shape, self.dtype = (int(source.shape[0]), int(source.shape[1]), 3), np.dtype(source.dtype)
        self.chunks = (*_chunks(source)[:2], 3)
        self._source, self._ycbcr = source, ycbcr

    def read(self, rows: slice, columns: slice) -> Array:
        """RGB of the block."""
        block = np.asarray(self._source[rows, columns, slice(0, 3)])
        return rgb_of_ycbcr(block) if self._ycbcr else block


class WholeStrip(KeptView):
    """A level compressed in one piece, which can only be decoded whole."""

    def __init__(self, source: LazyArray) -> None:
        super().__init__(tuple(int(n) for n in source.shape), np.dtype(source.dtype))
        self._source = source

    def whole(self) -> Array:
        """All pixels."""
        return np.asarray(self._source[...])


class PlaneView(RegionView):
    """One channel of a (channel, row, column) level."""

    def __init__(self, source: LazyArray, channel: int) -> None:
        self.shape = (int(source.shape[1]), int(source.shape[2]))
        self.dtype = np.dtype(source.dtype)
        self.chunks = _chunks(source)[1:3]
        self._source, self._channel = source, channel

    def read(self, rows: slice, columns: slice) -> Array:
        """The block of this channel."""
        return np.asarray(self._source[self._channel, rows, columns])


def rgb_of_ycbcr(block: Array) -> Array:
    """Full-range YCbCr (ITU-R BT.601, as in JFIF) to RGB, uint8 (…, 3)."""
    y, cb, cr = (block[..., i].astype(np.float32) for i in range(3))
    cb, cr = cb - 128, cr - 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    out: Array = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return out


def is_tiff(path: Path) -> bool:
    """Whether the first bytes are those of a TIFF or BigTIFF."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tiff(path: Path, mpp: float | None = None, on_event: OnEvent = silent) -> Image:
    """An H&E: the largest picture of the file with its pyramid, (rows, columns, 3) uint8."""
    tiff, series = _open(path)
    chosen = max(series, key=lambda s: int(np.prod(s.shape)))
    if len(series) > 1:
        left = ", ".join(s.name or f"{s.shape}" for s in series if s is not chosen)
        on_event(Note(f"{path.name} also holds {left}; only the largest picture is read.", stage="image"))
    levels = tuple(_colour(path, chosen, i, level, on_event) for i, level in enumerate(chosen.levels))
    size = pixel_size.settle(path, _stated_size(tiff, chosen, on_event), mpp, on_event)
    return Image(levels, size, path, path.name.split(".")[0])


def read_channels(path: Path, mpp: float | None = None, on_event: OnEvent = silent) -> tuple[Image, ...]:
    """Every channel of a fluorescence OME-TIFF (or plain TIFF) as its own lazy (rows, columns) image with its name.

    One file of a multi-file set gives the one channel it holds.
    """
    tiff, series = _open(path)
    chosen = max(series, key=lambda s: int(np.prod(s.shape)))
    axes = chosen.axes
    if axes != "YX" and not (len(axes) == 3 and axes[0] in _CHANNEL_AXES and axes[1:] == "YX"):
        raise InputError(
            f"{path} has the axes {axes} {chosen.shape}; a morphology image has rows, columns and perhaps channels.",
            "Give the focus or maximum projection of a stack, and an H&E as the H&E.",
        )
    arrays = [_array(path, chosen, i) for i in range(len(chosen.levels))]
    size = pixel_size.settle(path, _stated_size(tiff, chosen, on_event), mpp, on_event)
    names = _channel_names(tiff, path, 1 if axes == "YX" else chosen.shape[0])
    if axes == "YX":
        return (Image(tuple(arrays), size, path, names[0]),)
    return tuple(Image(tuple(PlaneView(a, c) for a in arrays), size, path, name) for c, name in enumerate(names))


def _open(path: Path) -> tuple[Any, list[Any]]:
    """The open file and its pictures, or the error that says why not."""
    try:
        tiff = tifffile.TiffFile(path, _multifile=False)
        series = [s for s in tiff.series if "Y" in s.axes and "X" in s.axes]
    except (tifffile.TiffFileError, struct.error, ValueError, KeyError, IndexError, OSError) as why:
        raise _incomplete(path, f"cannot be read as TIFF ({why})") from why
    if not series:
        raise _incomplete(path, "holds no picture")
    _check_complete(path, tiff, series)
    return tiff, series


def _incomplete(path: Path, how: str) -> InputError:
    return InputError(f"{path} {how}.", "Copy it again from its source, or export it anew as OME-TIFF.")


def _check_complete(path: Path, tiff: Any, series: list[Any]) -> None:
    end = tiff.filehandle.size
    for level in (level for s in series for level in s.levels):
        for page in level.pages:
            last = 0 if page is None else _last_byte(page)
            if last > end:
                raise _incomplete(path, f"is incomplete: it has {end:,} bytes and its tiles reach to {last:,}")
    # NDPI bends the layout to go beyond 4 GB.
    named = 0 if tiff.is_ndpi else reach(path)
    if named > end:
        raise _incomplete(path, f"is incomplete: it has {end:,} bytes and its directories reach to {named:,}")


def _last_byte(page: Any) -> int:
    offsets, counts = np.asarray(page.dataoffsets, np.int64), np.asarray(page.databytecounts, np.int64)
    both = min(len(offsets), len(counts))
    return int((offsets[:both] + counts[:both]).max(initial=0))


def _array(path: Path, series: Any, level: int) -> LazyArray:
    at = series.levels[level]
    if at.keyframe.is_memmappable and at.dataoffset is not None:
        mapped: LazyArray = at.asarray(out="memmap")
        return mapped
    array: Any = zarr.open(series.aszarr(level=level), mode="r")
    if array.chunks != array.shape:
        return array  # type: ignore[no-any-return]
    require_decodable(path, array.size)
    return WholeStrip(array)


def _chunks(source: LazyArray) -> tuple[int, ...]:
    chunks: tuple[int, ...] = getattr(source, "chunks", source.shape)
    return chunks


def _colour(path: Path, series: Any, index: int, level: Any, on_event: OnEvent) -> LazyArray:
    """A level as (rows, columns, 3) uint8, or the error that says what it is instead."""
    axes, shape = level.axes, level.shape
    last = axes == "YXS" and shape[2] in (3, 4)
    first = axes in ("SYX", "CYX", "QYX", "IYX") and (shape[0] == 3 or (axes == "SYX" and shape[0] == 4))
    if not (last or first):
        raise _not_an_he(path, axes, shape)
    if level.dtype != np.uint8:
        raise InputError(
            f"{path} has {level.dtype.itemsize * 8} bits a colour; an H&E has 8.",
            "Export it as 8-bit RGB; a fluorescence image belongs to the Xenium run as its morphology.",
        )
    if index == 0:
        _tell_colours(path, axes, shape, on_event)
    source = ChannelsLast(_array(path, series, index)) if first else _array(path, series, index)
    ycbcr = int(level.keyframe.compression) == _APERIO_YCBCR
    return ColourView(source, ycbcr) if ycbcr or source.shape[2] == 4 else source


def _not_an_he(path: Path, axes: str, shape: tuple[int, ...]) -> InputError:
    if axes in ("YX", "YXS"):
        return InputError(f"{path} is greyscale; an H&E has three colours.", "Give the colour scan of the slide.")
    return InputError(
        f"{path} has the axes {axes} {shape}; an H&E has rows, columns and three colours.",
        "Give the colour scan; a fluorescence image belongs to the Xenium run as its morphology.",
    )


def _tell_colours(path: Path, axes: str, shape: tuple[int, ...], on_event: OnEvent) -> None:
    if "S" in axes and shape[axes.index("S")] == 4:
        on_event(Note(f"{path.name} has a transparency channel; it is left out.", stage="image"))
    if "S" not in axes:
        on_event(Note(f"The three channels of {path.name} are read as red, green and blue.", stage="image"))


def _stated_size(tiff: Any, series: Any, on_event: OnEvent) -> pixel_size.Size | None:
    page = series.keyframe
    description = str(tiff.pages[0].description or "")
    if tiff.is_ome or description.lstrip().startswith("<?xml"):
        stated = pixel_size.ome_size(description)
        return stated if stated is not None else pixel_size.tag_size(page)
    if tiff.is_svs:
        stated = pixel_size.aperio_size(description)
        if stated is None and "AppMag" in description:
            text = "The slide states a magnification but no pixel size: a magnification alone is not believed."
            on_event(Note(text, level="warning", stage="image"))
        return stated
    if tiff.is_imagej:
        return pixel_size.imagej_size(page, tiff.imagej_metadata or {})
    return pixel_size.tag_size(page)


def _channel_names(tiff: Any, path: Path, count: int) -> list[str]:
    """Names from the OME-XML; the file's own name where it has none."""
    plain = [path.name.split(".")[0]] if count == 1 else [f"channel {i}" for i in range(count)]
    try:
        root = ElementTree.fromstring(tiff.pages[0].description or "")
    except ElementTree.ParseError:
        return plain
    named = [c.get("Name") for c in _elements(root, "Channel")]
    if count == 1 and len(named) > 1:
        named = named[_own_channel(root, path) :][:1]
    return [named[i] or plain[i] if i < len(named) else plain[i] for i in range(count)]


def _own_channel(root: ElementTree.Element, path: Path) -> int:
    """Which channel of a multi-file set this file holds, by the set's UUID, else by the file's name."""
    for planes in _elements(root, "TiffData"):
        for uuid in _elements(planes, "UUID"):
            if (root.get("UUID") and uuid.text == root.get("UUID")) or uuid.get("FileName") == path.name:
                return int(planes.get("FirstC", "0"))
    return 0


def _elements(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (e for e in root.iter() if e.tag.rsplit("}", 1)[-1] == name)
