"""Picks the reader of an H&E by the file's first bytes, and tells whether it can be browsed as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from napari_pixelgene.elements.arrays import LazyArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.ome_zarr import is_zarr, read_ome_zarr
from napari_pixelgene.readers.openslide import COMMAND, is_mirax, is_other_slide, is_scanner_tiff, read_openslide
from napari_pixelgene.readers.overviews import with_overviews
from napari_pixelgene.readers.plain_image import is_plain, read_plain
from napari_pixelgene.readers.tiff import is_tiff, read_channels, read_tiff

# A level up to this many pixels a side may be decoded whole.
WHOLE_PX = 4096
# A block a viewer asks for should not decode more than this many pixels a side.
_CHUNK_PX = 2048


def read_image(path: Path, mpp: float | None = None, on_event: OnEvent = silent) -> Image:
    """The H&E at `path` as a lazy pyramid, (rows, columns, 3) uint8; `mpp` overrules what the file states.

    It is recognised by content: OME-TIFF, BigTIFF, Aperio SVS, TIFF, JPEG, PNG; a folder that is an OME-Zarr; the
    scanners' own formats (NDPI, SCN, MIRAX, …) through OpenSlide. Only headers are read. Raises `InputError` for what
    is no H&E, is incomplete, or cannot be read, `MissingDependency` where OpenSlide is needed and not there.
    """
    path = Path(path)
    if not is_zarr(path):
        check_file(path)
    image = _reader(path)(path, mpp, on_event)
    return image if needs_pyramid(image) else replace(image, levels=with_overviews(image.levels))


def read_picture(path: Path, mpp: float | None = None, on_event: OnEvent = silent) -> tuple[Image, ...]:
    """An image of any kind: one in colour as `read_image` gives it, else every channel of a TIFF on its own."""
    path = Path(path)
    if not is_zarr(path):
        check_file(path)
    try:
        return (read_image(path, mpp, on_event),)
    except InputError as error:
        if is_zarr(path) or not is_tiff(path):
            raise
        try:
            return read_channels(path, mpp, on_event)
        except InputError:
            raise error from None


def _reader(path: Path) -> Callable[[Path, float | None, OnEvent], Image]:
    if is_zarr(path):
        return read_ome_zarr
    if is_tiff(path):
        return read_openslide if is_scanner_tiff(path) else read_tiff
    if is_mirax(path):
        return read_openslide
    if is_plain(path):
        return read_plain
    if is_other_slide(path):
        return read_openslide
    raise InputError(
        f"{path} is not an image that can be read: its first bytes are neither TIFF, JPEG nor PNG.",
        "Give an OME-TIFF, SVS, TIFF, JPEG, PNG or OME-Zarr, or convert it with QuPath or Bio-Formats to OME-TIFF "
        f"(some scanners' formats need OpenSlide: {COMMAND}).",
    )


def check_file(path: Path) -> None:
    """Refuse what is missing, empty or a folder."""
    if path.is_dir():
        raise InputError(
            f"{path} is a folder; an image is a file, or the folder of an OME-Zarr.", "Name the image file in it."
        )
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes).", "Copy it again from its source.")


def needs_pyramid(image: Image) -> bool:
    """Whether the image has no tiles or no coarse levels and is too large to do without.

    Such an image still reads by region, slowly; convert it once with `store.pyramids.write_pyramid`.
    """
    if max(image.levels[-1].shape[:2]) > WHOLE_PX:
        return True
    return any(max(level.shape[:2]) > WHOLE_PX and not _tiled(level) for level in image.levels)


def _tiled(level: LazyArray) -> bool:
    """Memory maps and arrays, which have no chunks, read by region as they are."""
    chunks: tuple[int, ...] = getattr(level, "chunks", (1, 1))
    return max(chunks[:2]) <= _CHUNK_PX
