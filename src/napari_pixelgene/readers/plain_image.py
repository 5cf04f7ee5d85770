"""JPEG and PNG: small headers are read at once, pixels on first access, whole, and then kept.

Neither format has tiles, and neither states a pixel size worth believing (72 dpi says nothing about a
slide). An orientation tag is not applied: spot tables count pixels as they are stored.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import imagecodecs
import numpy as np

from napari_pixelgene.elements.arrays import Array
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.views import KeptView
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers import pixel_size

# Decoding is whole: 1.5 Gpx are 4.5 GB of RGB.
MAX_PIXELS = 1_500_000_000
_TAIL_BYTES = 1 << 20
_PNG_COLOURS = {0: "greyscale", 2: "RGB", 3: "an indexed palette", 4: "greyscale with transparency", 6: "RGB"}
_JPEG_COLOURS = {1: "greyscale", 3: "RGB", 4: "CMYK"}
# Start-of-frame markers: SOF0-15 without DHT, JPG and DAC.
_SOF = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes say."""

    kind: Literal["JPEG", "PNG"]
    yx_shape: tuple[int, int]
    bits: int
    colours: str
    alpha: bool = False

    @property
    def pixels(self) -> int:
        """Rows × columns."""
        return self.yx_shape[0] * self.yx_shape[1]


class DecodedImage(KeptView):
    """A JPEG or PNG, decoded whole when first read; a fourth channel is left out."""

    def __init__(self, path: Path, yx_shape: tuple[int, int]) -> None:
        super().__init__((*yx_shape, 3), np.dtype(np.uint8))
        self._path = path

    def whole(self) -> Array:
        """All pixels."""
        return decode(self._path)[..., :3]


def is_plain(path: Path) -> bool:
    """Whether the first bytes are those of a JPEG or PNG."""
    with path.open("rb") as file:
        start = file.read(8)
    return start[:3] == b"\xff\xd8\xff" or start == b"\x89PNG\r\n\x1a\n"


def read_plain(path: Path, mpp: float | None = None, on_event: OnEvent = silent) -> Image:
    """An H&E from a JPEG or PNG: one level, (rows, columns, 3) uint8."""
    header = read_header(path)
    if header.colours != "RGB" or header.bits != 8:
        raise InputError(
            f"{path} is {header.colours} with {header.bits} bits; an H&E is RGB with 8.",
            "Export the colour scan of the slide as 8-bit RGB.",
        )
    require_decodable(path, header.pixels)
    if header.alpha:
        on_event(Note(f"{path.name} has a transparency channel; it is left out.", stage="image"))
    size = pixel_size.settle(path, None, mpp, on_event)
    return Image((DecodedImage(path, header.yx_shape),), size, path, path.name.split(".")[0])


def require_decodable(path: Path, pixels: int) -> None:
    """Refuse an image that is too large to be decoded whole, and name a converter."""
    if pixels > MAX_PIXELS:
        raise InputError(
            f"{path} has {pixels:,} pixels and must be decoded whole; the limit is {MAX_PIXELS:,}.",
            f"Convert it to a tiled pyramid first: vips tiffsave {path.name} {path.stem}-tiled.tif "
            "--tile --pyramid --bigtiff",
        )


def decode(path: Path) -> Array:
    """All pixels of a JPEG or PNG, as stored."""
    data = path.read_bytes()
    decoder = imagecodecs.png_decode if data[:4] == b"\x89PNG" else imagecodecs.jpeg8_decode
    try:
        pixels: Array = decoder(data)
    except (ValueError, RuntimeError) as why:
        raise _broken(path, f"cannot be decoded ({why})") from why
    return pixels


def read_header(path: Path) -> Header:
    """Size, depth and colours; a file without its end is refused."""
    with path.open("rb") as file:
        try:
            header = _png_header(file) if file.read(4) == b"\x89PNG" else _jpeg_header(file)
        except (struct.error, IndexError) as why:
            raise _broken(path, "ends within its header") from why
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        if (b"IEND" if header.kind == "PNG" else b"\xff\xd9") not in file.read():
            raise _broken(path, "is incomplete: its end is missing")
    return header


def _broken(path: Path, how: str) -> InputError:
    return InputError(f"{path} {how}.", "Copy it again from its source.")


def _png_header(file: BinaryIO) -> Header:
    file.seek(16)
    columns, rows, bits, colours = struct.unpack(">IIBB", file.read(10))
    return Header("PNG", (rows, columns), bits, _PNG_COLOURS.get(colours, "unknown"), alpha=colours == 6)


def _jpeg_header(file: BinaryIO) -> Header:
    """Walk the segments up to the frame header."""
    file.seek(2)
    while True:
        while (marker := file.read(2)[1]) == 0xFF:
            file.seek(-1, 1)
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _SOF:
            bits, rows, columns, components = struct.unpack(">BHHB", file.read(6))
            return Header("JPEG", (rows, columns), bits, _JPEG_COLOURS.get(components, "unknown"))
        file.seek(length - 2, 1)
