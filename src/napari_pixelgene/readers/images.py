"""Picks the reader of an H&E by the file's first bytes, and tells whether it can be browsed as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_pixelgene.elements.arrays import LazyArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.overviews import with_overviews
from napari_pixelgene.readers.plain_image import is_plain, read_plain
from napari_pixelgene.readers.tiff import is_tiff, read_tiff

# A level up to this many pixels a side may be decoded whole.
WHOLE_PX = 4096
# A block a viewer asks for should not decode more than this many pixels a side.
_CHUNK_PX = 2048


def read_image(path: Path, mpp: float | None = None, on_event: OnEvent = silent) -> Image:
    """The H&E at `path` as a lazy pyramid, (rows, columns, 3) uint8; `mpp` overrules what the file states.

    The file is recognised by content: OME-TIFF, BigTIFF, Aperio SVS, TIFF, JPEG, PNG. Only headers are
    read. Raises `InputError` for what is no H&E, is incomplete, or cannot be read.
    """
    path = Path(path)
    check_file(path)
    if is_tiff(path):
        image = read_tiff(path, mpp, on_event)
    elif is_plain(path):
        image = read_plain(path, mpp, on_event)
    else:
        raise InputError(
            f"{path} is not an image that can be read: its first bytes are neither TIFF, JPEG nor PNG.",
            "Give an OME-TIFF, SVS, TIFF, JPEG or PNG, or convert it with QuPath or Bio-Formats to OME-TIFF.",
        )
    return image if needs_pyramid(image) else replace(image, levels=with_overviews(image.levels))


def check_file(path: Path) -> None:
    """Refuse what is missing, empty or a folder."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; an image is a file.", "Name the image file in it.")
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
