"""Features of an encoder: one array (row, column, channel) over the grid, written tile by tile; and vectors of points.

A tile is a chunk with all its channels, so writers never contend and a killed one spoils only its own tile.
Tiles without tissue are never written and read as NaN. Of an encoder that looks twice, the tokens of every tile stand
beside the array until the second look is through. Vectors of points are elements of their own, in `points`: an encoder,
and a hash of the places. An encoder's name may hold what no file's may (`timm:NAME`): it is written with percent signs.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_pixelgene.arithmetic.tiles import Tile
from napari_pixelgene.elements.arrays import Array, FloatArray, LazyArray
from napari_pixelgene.elements.features import Features, PointFeatures
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.arrays import put, take
from napari_pixelgene.store.blocks import require_aligned, require_finite_cast, tile_key
from napari_pixelgene.store.disk import disk_errors, require_free
from napari_pixelgene.store.documents import read_attributes, write_group
from napari_pixelgene.store.ledger import Partial
from napari_pixelgene.store.section import SectionStore, element_of, make_group, open_group

ARRAY, LAYOUT, TOKENS, POINTS = "features", "layout", "tokens", "points"


class FeatureWriter:
    """Features being written. `array` may be read meanwhile, as for their statistics."""

    __slots__ = ("_partial", "array", "tile_side")

    def __init__(self, partial: Partial, array: zarr.Array[Any], tile_side: int) -> None:
        self._partial = partial
        self.array: LazyArray = array
        self.tile_side = tile_side

    def done(self, index: tuple[int, int]) -> bool:
        """Whether that tile was written before, by this run or a killed one."""
        return self._partial.done(tile_key(index))

    def write(self, tile: Tile, block: Array) -> None:
        """Write (rows, columns, channels) of a tile in superpixels, and mark it."""
        rows, columns, channels = self.array.shape
        require_aligned(tile, self.tile_side, (rows, columns))
        if block.shape != (*tile.yx_shape, channels):
            raise StoreError(
                f"A block of shape {block.shape} does not fill a tile of {tile.yx_shape} with {channels} channels.",
                "Give (rows, columns, channels) of the tile without its halo.",
            )
        values = require_finite_cast(block, self.array.dtype, "The features")
        with disk_errors(self._partial.path):
            self.array[tile.region] = values  # type: ignore[index]
        self._partial.mark(tile_key(tile.index))

    def keep_tokens(self, index: tuple[int, int], place: Array, vectors: Array) -> None:
        """Keep what the first look summed a tile up to, until `finish`: places (k, 2) and vectors (k, d)."""
        with disk_errors(self._partial.path):
            group = make_group(self._partial.path).require_group(f"{TOKENS}/{_of_tile(index)}")
            put(group, "place", place)
            put(group, "vectors", vectors)

    def tokens(self, index: tuple[int, int]) -> tuple[Array, Array] | None:
        """Places and vectors of a tile; None where it was not looked at."""
        folder = self._partial.path / TOKENS / _of_tile(index)
        if not self.done(index) or not folder.exists():
            return None
        group = open_group(folder, writable=False)
        return take(group, "place"), take(group, "vectors")

    def has_context(self, index: tuple[int, int]) -> bool:
        """Whether the second look at that tile was written before."""
        return self._partial.done(f"context {tile_key(index)}")

    def write_context(self, tile: Tile, block: Array) -> None:
        """Write (rows, columns, context channels), the first channels of a tile, and mark it."""
        values = require_finite_cast(block, self.array.dtype, "The features")
        with disk_errors(self._partial.path):
            self.array[(*tile.region, slice(0, block.shape[2]))] = values  # type: ignore[index]
        self._partial.mark(f"context {tile_key(tile.index)}")

    def finish(self, mean: FloatArray, sd: FloatArray, state: Mapping[str, Array] | None = None) -> None:
        """Publish, with the statistics (channels,) over tissue and what the encoder learned of the section."""
        with disk_errors(self._partial.path):
            group = make_group(self._partial.path)
            put(group, "mean", np.asarray(mean))
            put(group, "sd", np.asarray(sd))
            kept = group.require_group("state")
            for name, values in (state or {}).items():
                put(kept, name, values)
            shutil.rmtree(self._partial.path / TOKENS, ignore_errors=True)
        self._partial.publish()


def begin_features(
    store: SectionStore,
    encoder: str,
    grid: Grid,
    channels: Sequence[str],
    dtype: str,
    chunk: int,
    fingerprint: str,
) -> FeatureWriter:
    """Begin or continue the features of an encoder; `chunk` is the side of its tiles in superpixels."""
    shape = (*grid.yx_shape, len(channels))
    # Another layout starts afresh.
    partial = store.begin("features", element_of(encoder), fingerprint=f"{fingerprint} {dtype} {chunk} {shape}")
    if not partial.resumed:
        size = grid.size * len(channels) * np.dtype(dtype).itemsize
        require_free(partial.path, size, f"Features of '{encoder}'")
    with disk_errors(partial.path):
        if not partial.done(LAYOUT):
            _lay_out(partial.path, shape, channels, dtype, chunk, {"fingerprint": fingerprint, **_grid(grid)})
            partial.mark(LAYOUT)
        array = zarr.open_array(partial.path / ARRAY, mode="r+")
    return FeatureWriter(partial, array, array.chunks[0])


def read_features(store: SectionStore, encoder: str) -> Features:
    """The features of an encoder: the array stays on disk, the statistics are read."""
    group = store.group("features", element_of(encoder))
    array, state = group[ARRAY], group["state"]
    assert isinstance(array, zarr.Array) and isinstance(state, zarr.Group)
    return Features(
        array=array,
        channels=tuple(map(str, take(group, "channels"))),
        encoder=encoder,
        mean=take(group, "mean"),
        sd=take(group, "sd"),
        state={name: take(state, name) for name in state.array_keys()},
    )


def features_fingerprint(store: SectionStore, encoder: str) -> str:
    """What the features were made with."""
    return str(read_attributes(store.locate("features", element_of(encoder)))["fingerprint"])


class PointWriter:
    """Vectors of points being written, a block of rows at a time."""

    __slots__ = ("_array", "_partial", "per_block")

    def __init__(self, partial: Partial, array: zarr.Array[Any]) -> None:
        self._partial, self._array = partial, array
        self.per_block = int(array.chunks[0])

    def todo(self) -> list[int]:
        """Blocks that are not written yet."""
        blocks = -(-self._array.shape[0] // self.per_block)
        return [block for block in range(blocks) if not self._partial.done(f"block {block}")]

    def write(self, block: int, vectors: FloatArray) -> None:
        """Write the vectors of a block, and mark it."""
        first = block * self.per_block
        values = require_finite_cast(vectors, self._array.dtype, "The vectors of points")
        with disk_errors(self._partial.path):
            self._array[first : first + len(vectors)] = values
        self._partial.mark(f"block {block}")

    def finish(self) -> None:
        """Publish."""
        self._partial.publish()


def begin_points(
    store: SectionStore, encoder: str, xy_um: FloatArray, channels: int, fingerprint: str, per_block: int = 64
) -> PointWriter:
    """Begin or continue the vectors of points (n, 2) (x, y) in H&E µm."""
    name = points_name(encoder, xy_um)
    partial = store.begin(POINTS, name, fingerprint=f"{fingerprint} {channels} {per_block}")
    if not partial.resumed:
        require_free(partial.path, len(xy_um) * channels * 4, f"Vectors of points by '{encoder}'")
    with disk_errors(partial.path):
        if not partial.done(LAYOUT):
            write_group(partial.path, {"fingerprint": fingerprint, "encoder": encoder})
            group = make_group(partial.path)
            put(group, "xy_um", np.asarray(xy_um, dtype=np.float64))
            group.create_array(
                ARRAY, shape=(len(xy_um), channels), dtype="float32", chunks=(per_block, channels),
                fill_value=np.nan, dimension_names=("point", "channel"), overwrite=True,
            )  # fmt: skip
            partial.mark(LAYOUT)
        array = zarr.open_array(partial.path / ARRAY, mode="r+")
    return PointWriter(partial, array)


def write_points(
    store: SectionStore, encoder: str, xy_um: FloatArray, vectors: FloatArray, fingerprint: str
) -> PointFeatures:
    """Keep vectors (n, c) of points that were made elsewhere, such as ready-made embeddings."""
    writer = begin_points(store, encoder, xy_um, vectors.shape[1], fingerprint, max(1, len(vectors)))
    for block in writer.todo():
        writer.write(block, vectors)
    writer.finish()
    return read_points(store, encoder, xy_um)


def read_points(store: SectionStore, encoder: str, xy_um: FloatArray) -> PointFeatures:
    """The vectors of exactly these points by an encoder. Raises StoreError where they were not made."""
    group = store.group(POINTS, points_name(encoder, xy_um))
    return PointFeatures(take(group, "xy_um"), take(group, ARRAY), encoder)


def points_fingerprint(store: SectionStore, encoder: str, xy_um: FloatArray) -> str | None:
    """What the vectors of these points were made with; None where there are none."""
    folder = store.find(POINTS, points_name(encoder, xy_um))
    return None if folder is None else str(read_attributes(folder)["fingerprint"])


def points_name(encoder: str, xy_um: FloatArray) -> str:
    """The element that holds the vectors of these points: the encoder, and a hash of the places to 0.01 µm."""
    places = np.rint(np.asarray(xy_um, dtype=np.float64) * 100).astype(np.int64)
    digest = hashlib.blake2b(np.ascontiguousarray(places).tobytes(), digest_size=8).hexdigest()
    return f"{element_of(encoder)}-{digest}"


def _of_tile(index: tuple[int, int]) -> str:
    return f"{index[0]}-{index[1]}"


def _grid(grid: Grid) -> dict[str, float]:
    return {"work_mpp": grid.work_mpp, "superpixel_um": grid.superpixel_um}


def _lay_out(
    folder: Path, shape: tuple[int, ...], channels: Sequence[str], dtype: str, chunk: int, values: Mapping[str, object]
) -> None:
    """Attributes, channel names and the empty array."""
    write_group(folder, values)
    group = make_group(folder)
    put(group, "channels", np.array(list(channels), dtype=object))
    group.create_array(
        ARRAY,
        shape=shape,
        dtype=dtype,
        chunks=(chunk, chunk, shape[2]),
        fill_value=np.nan,
        dimension_names=("y", "x", "channel"),
        overwrite=True,
    )
