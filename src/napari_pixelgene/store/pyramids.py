"""An image without tiles or levels as an OME-Zarr 0.5 pyramid in the section: `images/NAME/0`, `1`, …

Level 0 is the image without loss; each further level is the 2×2 mean of the one before, until one has at
most 512 pixels a side. Work goes band by band, each band is noted when it is done, and a killed run
continues behind the last one. RGB is stored channel first, as OME-Zarr wants, and read as (row, column, 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_pixelgene.arithmetic.resampling import halve
from napari_pixelgene.elements.arrays import Array, LazyArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.views import ChannelsLast
from napari_pixelgene.progress import Note, OnEvent, Progress, silent
from napari_pixelgene.store.disk import disk_errors, in_words, require_free
from napari_pixelgene.store.documents import NAMESPACE, write_group, write_json
from napari_pixelgene.store.ledger import Partial
from napari_pixelgene.store.section import SectionStore, make_group

ROOM = "images"
# A band is one row of chunks; a shard holds up to eight chunks beside one another.
CHUNK_PX = 512
_SHARD_PX = 8 * CHUNK_PX
_LAST_PX = 512
_LAYOUT = "layout"
_STAGE = "pyramid"


def write_pyramid(
    store: SectionStore, image: Image, name: str = "he", fingerprint: str = "", on_event: OnEvent = silent
) -> Image:
    """Convert level 0 of `image` into a pyramid under `images/name`, or continue; returns it as it reads from there.

    `fingerprint` tells sources apart: an unfinished pyramid of another one is begun afresh. Memory holds one
    band of 1,024 rows of the source, and the whole source where it can only be decoded whole, which is told.
    """
    source = image.levels[0]
    shapes = _level_shapes(image.yx_shape)
    _tell_whole(image, on_event)
    partial = store.begin(ROOM, name, fingerprint=f"{fingerprint} {source.shape} {source.dtype} {image.mpp}")
    with disk_errors(partial.path):
        if not partial.done(_LAYOUT):
            require_free(
                partial.path, int(np.prod(source.shape)) * source.dtype.itemsize, f"The pyramid of {image.name}"
            )
            _lay_out(partial.path, source, shapes, image)
            partial.mark(_LAYOUT)
        _fill(partial, source, len(shapes), on_event)
    partial.publish()
    return read_pyramid(store, name)


def read_pyramid(store: SectionStore, name: str = "he") -> Image:
    """The pyramid `images/name` of a section; its levels stay on disk."""
    group = store.group(ROOM, name)
    notes: Mapping[str, Any] = group.attrs[NAMESPACE]  # type: ignore[assignment]
    levels = tuple(_levels(group, int(notes["levels"])))
    return Image(levels, notes["mpp"], None, str(notes["name"]))


def _levels(group: zarr.Group, count: int) -> Iterator[LazyArray]:
    for k in range(count):
        level: Any = group[str(k)]
        yield ChannelsLast(level) if level.ndim == 3 else level


def _level_shapes(yx_shape: tuple[int, int]) -> list[tuple[int, int]]:
    shapes = [yx_shape]
    while max(shapes[-1]) > _LAST_PX:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def _tell_whole(image: Image, on_event: OnEvent) -> None:
    source = image.levels[0]
    if getattr(source, "chunks", None) == tuple(source.shape) and max(source.shape[:2]) > _SHARD_PX:
        size = in_words(float(np.prod(source.shape)) * source.dtype.itemsize)
        text = f"{image.path or image.name} has no tiles and is decoded whole, which takes {size} of memory."
        on_event(Note(text, stage=_STAGE))


def _lay_out(folder: Path, source: LazyArray, shapes: list[tuple[int, int]], image: Image) -> None:
    """Attributes and empty levels."""
    channels = tuple(source.shape[2:])
    write_group(folder, {"levels": len(shapes), "mpp": image.mpp, "name": image.name})
    group = make_group(folder)
    for k, (rows, columns) in enumerate(shapes):
        chunks = (*channels, CHUNK_PX, CHUNK_PX)
        group.create_array(
            str(k),
            shape=(*channels, rows, columns),
            dtype=source.dtype.newbyteorder("="),
            chunks=chunks,
            shards=(*channels, CHUNK_PX, min(_SHARD_PX, -(-columns // CHUNK_PX) * CHUNK_PX)),
            dimension_names=("c", "y", "x") if channels else ("y", "x"),
            overwrite=True,
        )
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {**group.attrs.asdict(), "ome": _multiscales(image, len(shapes), bool(channels))},
    }
    write_json(folder / "zarr.json", document)


def _multiscales(image: Image, levels: int, channels: bool) -> dict[str, Any]:
    """OME-Zarr 0.5; a level's translation is half its pixel, for 0 is the outer corner."""
    unit = {"unit": "micrometer"} if image.mpp else {}
    axes = [{"name": axis, "type": "space", **unit} for axis in ("y", "x")]
    first = ([1.0], [0.0]) if channels else ([], [])
    sizes = [(image.mpp or 1.0) * 2**k for k in range(levels)]
    datasets = [
        {
            "path": str(k),
            "coordinateTransformations": [
                {"type": "scale", "scale": [*first[0], size, size]},
                {"type": "translation", "translation": [*first[1], size / 2, size / 2]},
            ],
        }
        for k, size in enumerate(sizes)
    ]
    axes = [{"name": "c", "type": "channel"}, *axes] if channels else axes
    return {
        "version": "0.5",
        "multiscales": [{"name": image.name, "axes": axes, "datasets": datasets, "type": "mean"}],
    }


def _fill(partial: Partial, source: LazyArray, count: int, on_event: OnEvent) -> None:
    """Every band of every level that is not done yet."""
    group = make_group(partial.path)
    levels: list[Any] = [group[str(k)] for k in range(count)]
    bands = [(k, top) for k, level in enumerate(levels) for top in range(0, level.shape[-2], CHUNK_PX)]
    for done, (k, top) in enumerate(bands):
        on_event(Progress(_STAGE, done, len(bands), f"level {k}"))
        key = f"level {k} row {top}"
        if not partial.done(key):
            _write_band(levels[k], source if k == 0 else _rows_columns(levels[k - 1]), top, halved=k > 0)
            partial.mark(key)
    on_event(Progress(_STAGE, len(bands), len(bands)))


def _rows_columns(level: Any) -> LazyArray:
    return ChannelsLast(level) if level.ndim == 3 else level


def _write_band(level: Any, source: LazyArray, top: int, halved: bool) -> None:
    """One row of chunks. A source in strips is read across, so that no strip is decoded twice."""
    times = 2 if halved else 1
    width = level.shape[-1]
    step = _SHARD_PX if _has_tiles(source) else width
    for left in range(0, width, step):
        rows = slice(top * times, (top + CHUNK_PX) * times)
        columns = slice(left * times, (left + step) * times)
        block = np.asarray(source[_within(rows, source.shape[0]), _within(columns, source.shape[1])])
        _put(level, halve(block) if halved else block, top, left)


def _put(level: Any, block: Array, top: int, left: int) -> None:
    rows, columns = slice(top, top + block.shape[0]), slice(left, left + block.shape[1])
    if level.ndim == 3:
        level[:, rows, columns] = np.moveaxis(block, -1, 0)
    else:
        level[rows, columns] = block


def _within(span: slice, size: int) -> slice:
    return slice(span.start, min(span.stop, size))


def _has_tiles(source: LazyArray) -> bool:
    chunks: tuple[int, ...] = getattr(source, "chunks", source.shape)
    return chunks[1] < source.shape[1]
