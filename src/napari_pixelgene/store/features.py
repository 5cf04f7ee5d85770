"""Features of an encoder: one array (row, column, channel) over the grid, written tile by tile.

A tile is a chunk with all its channels, so writers never contend and a killed one spoils only its own tile.
Tiles without tissue are never written and read as NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_pixelgene.arithmetic.tiles import Tile
from napari_pixelgene.elements.arrays import Array, FloatArray, LazyArray
from napari_pixelgene.elements.features import Features
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.arrays import put, take
from napari_pixelgene.store.blocks import require_aligned, require_finite_cast, tile_key
from napari_pixelgene.store.disk import disk_errors, require_free
from napari_pixelgene.store.documents import read_attributes, write_group
from napari_pixelgene.store.ledger import Partial
from napari_pixelgene.store.section import SectionStore, make_group

ARRAY, LAYOUT = "features", "layout"


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

    def finish(self, mean: FloatArray, sd: FloatArray, state: Mapping[str, Array] | None = None) -> None:
        """Publish, with the statistics (channels,) over tissue and what the encoder learned of the section."""
        with disk_errors(self._partial.path):
            group = make_group(self._partial.path)
            put(group, "mean", np.asarray(mean))
            put(group, "sd", np.asarray(sd))
            kept = group.require_group("state")
            for name, values in (state or {}).items():
                put(kept, name, values)
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
    partial = store.begin("features", encoder, fingerprint=f"{fingerprint} {dtype} {chunk} {shape}")
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
    group = store.group("features", encoder)
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
    return str(read_attributes(store.locate("features", encoder))["fingerprint"])


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
