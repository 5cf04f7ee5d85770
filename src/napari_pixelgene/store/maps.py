"""Maps of a run as OME-Zarr 0.5 (gene, y, x): predicted all genes of a tile at a time, shown a gene at a time.

Level 0 is sharded: up to 128 genes × 512² a file, inside it one gene × 512² a chunk. Writers write whole shards.
Coarse levels, contrast limits and the gene table are stored when the maps are finished, so that opening them reads
no map. NaN is background.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_pixelgene.arithmetic.tiles import Tile, tile_count
from napari_pixelgene.elements.arrays import Array
from napari_pixelgene.elements.expression import Expression, unit
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.errors import StoreError
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.store import levels
from napari_pixelgene.store.arrays import put, put_genes, take, take_genes
from napari_pixelgene.store.blocks import require_aligned, require_finite_cast, tile_key
from napari_pixelgene.store.disk import disk_errors, require_free
from napari_pixelgene.store.documents import NAMESPACE, read_attributes, write_json
from napari_pixelgene.store.ledger import Partial
from napari_pixelgene.store.ome import multiscales
from napari_pixelgene.store.section import SectionStore, make_group

TILE = 512
SHARD_GENES = 128
STAGE = "maps"
LAYOUT = "layout"
# Measured: float16 maps shrink to 0.45 of their size; the coarse levels add a third.
_PACKED = 0.6


class MapWriter:
    """Maps being written. Tiles are of `tile_side` superpixels; genes go all at once, or a `share` at a time."""

    __slots__ = ("_levels", "_partial", "tile_side")

    def __init__(self, partial: Partial, arrays: list[zarr.Array[Any]]) -> None:
        self._partial = partial
        self._levels = arrays
        self.tile_side = arrays[0].chunks[1]

    @property
    def genes(self) -> int:
        """How many genes."""
        return int(self._levels[0].shape[0])

    def shares(self) -> list[slice]:
        """Genes that share a shard: at most 128, so that a tile of them is 128 MB in float32."""
        step = SHARD_GENES
        return [slice(start, min(start + step, self.genes)) for start in range(0, self.genes, step)]

    def share(self, genes: slice) -> MapShare:
        """A writer of these genes alone, one of `shares`."""
        if genes not in self.shares():
            raise ValueError(f"{genes} is not a share; take one of shares()")
        return MapShare(self, genes)

    def done(self, index: tuple[int, int], genes: slice | None = None) -> bool:
        """Whether all shards of that tile, or the one of a share, were written before."""
        shares = self.shares() if genes is None else [genes]
        return all(self._partial.done(_key(index, share)) for share in shares)

    def write(self, tile: Tile, block: Array, genes: slice | None = None) -> None:
        """Write (genes, rows, columns) of a tile in superpixels, all genes or those of a share, and mark it."""
        level = self._levels[0]
        given = genes or slice(0, self.genes)
        require_aligned(tile, self.tile_side, (level.shape[1], level.shape[2]))
        if block.shape != (given.stop - given.start, *tile.yx_shape):
            raise StoreError(
                f"A block of shape {block.shape} does not fill a tile of {tile.yx_shape} for "
                f"{given.stop - given.start} genes.",
                "Give (genes, rows, columns) of the tile.",
            )
        for share in self.shares() if genes is None else [genes]:
            part = block[share.start - given.start : share.stop - given.start]
            self._write_shard(tile, require_finite_cast(part, level.dtype, "The maps"), share)

    def finish(self, measured: Array, on_event: OnEvent = silent) -> None:
        """Make coarse levels, contrast limits and the measured layer (rows, columns; 0, 1, 2), and publish.

        Continues where a killed run stopped. A tile that was never written is an error.
        """
        self._require_complete()
        measured = np.asarray(measured)
        if measured.shape != self._levels[0].shape[1:] or not np.isin(measured, (0, 1, 2)).all():
            raise StoreError(
                f"The measured layer of shape {measured.shape} does not fit maps of {self._levels[0].shape[1:]}.",
                "Give an array of the grid's shape with 0 (never measured), 1 (filtered) and 2 (measured).",
            )
        with disk_errors(self._partial.path):
            levels.build(self._levels, self._partial, STAGE, on_event)
            group = make_group(self._partial.path)
            put(group, "contrast", levels.contrast_limits(self._levels))
            put(group.require_group("measured"), "0", measured.astype(np.uint8), ("y", "x"))
        self._partial.publish()

    def _write_shard(self, tile: Tile, block: Array, share: slice) -> None:
        if not self._partial.done(_key(tile.index, share)):
            with disk_errors(self._partial.path):
                self._levels[0][(share, *tile.region)] = block
            self._partial.mark(_key(tile.index, share))

    def _require_complete(self) -> None:
        rows, columns = self._levels[0].shape[1:]
        wanted = tile_count((rows, columns), self.tile_side) * len(self.shares())
        written = sum(key.startswith("tile ") for key in self._partial.finished)
        if written < wanted:
            raise StoreError(
                f"{wanted - written} of {wanted} pieces of the maps '{self._partial.name}' were not written.",
                "Run the prediction again: it continues.",
            )


class MapShare:
    """The part of a `MapWriter` that holds some genes; takes tiles like the whole."""

    __slots__ = ("_genes", "_writer", "tile_side")

    def __init__(self, writer: MapWriter, genes: slice) -> None:
        self._writer = writer
        self._genes = genes
        self.tile_side = writer.tile_side

    def done(self, index: tuple[int, int]) -> bool:
        """Whether that tile of these genes was written before."""
        return self._writer.done(index, self._genes)

    def write(self, tile: Tile, block: Array) -> None:
        """Write (these genes, rows, columns) of a tile, and mark it."""
        self._writer.write(tile, block, self._genes)


def begin_maps(
    store: SectionStore,
    run: str,
    genes: GeneTable,
    grid: Grid,
    fingerprint: str,
    dtype: str = "float16",
    attributes: Mapping[str, Any] | None = None,
) -> MapWriter:
    """Begin or continue the maps of a run. float16 holds up to 65504; a larger value is refused when written."""
    # Another layout starts afresh, as when float16 was too narrow.
    partial = store.begin("maps", run, fingerprint=f"{fingerprint} {dtype} {len(genes)} {grid.yx_shape}")
    size = int(len(genes) * grid.size * np.dtype(dtype).itemsize * 4 / 3 * _PACKED)
    if not partial.resumed:
        require_free(partial.path, size, f"Maps of {len(genes)} genes for run '{run}'")
    shapes = levels.level_shapes(grid.yx_shape)
    with disk_errors(partial.path):
        if not partial.done(LAYOUT):
            values = {"fingerprint": fingerprint, "superpixel_um": grid.superpixel_um, "unit": unit(grid.superpixel_um)}
            values["levels"] = len(shapes)
            _lay_out(partial.path, genes, shapes, dtype)
            _describe(partial.path, run, len(shapes), grid.superpixel_um, {**(attributes or {}), **values})
            partial.mark(LAYOUT)
        arrays = [zarr.open_array(partial.path / str(level), mode="r+") for level in range(len(shapes))]
    return MapWriter(partial, arrays)


def require_maps(store: SectionStore, run: str) -> None:
    """That a section has maps of a run; else which runs there are to choose from."""
    known = store.mapped_runs()
    if run not in known:
        there = f"Choose one of: {', '.join(known)}." if known else "Make them with: pixelgene predict."
        raise StoreError(f"{store.path.name} has no maps of a run '{run}'.", there)


def read_maps(store: SectionStore, run: str) -> Expression:
    """The maps of a run: levels stay on disk; gene table and contrast limits are read."""
    folder = store.locate("maps", run)
    group = store.group("maps", run)
    values = read_attributes(folder)
    return Expression(
        levels=tuple(zarr.open_array(folder / str(level), mode="r") for level in range(values["levels"])),
        genes=take_genes(group),
        superpixel_um=float(values["superpixel_um"]),
        contrast=take(group, "contrast"),
        measured=zarr.open_array(folder / "measured" / "0", mode="r"),
        run=run,
        unit=str(values["unit"]),
    )


def maps_attributes(store: SectionStore, run: str) -> dict[str, Any]:
    """Fingerprint, unit, and whatever `begin_maps` was given, without reading anything else."""
    return read_attributes(store.locate("maps", run))


def _key(index: tuple[int, int], share: slice) -> str:
    return f"{tile_key(index)} genes {share.start}"


def _lay_out(folder: Path, genes: GeneTable, shapes: list[tuple[int, int]], dtype: str) -> None:
    """The gene table, and every level as an empty array."""
    group = make_group(folder)
    put_genes(group, genes)
    for level, yx_shape in enumerate(shapes):
        side = min(levels.CHUNK if level else TILE, max(yx_shape))
        shard = None if level else (min(SHARD_GENES, len(genes)), side, side)
        group.create_array(
            str(level),
            shape=(len(genes), *yx_shape),
            dtype=dtype,
            chunks=(1, side, side),
            shards=shard,
            fill_value=np.nan,
            dimension_names=("gene", "y", "x"),
            overwrite=True,
        )


def _describe(folder: Path, run: str, count: int, superpixel_um: float, values: Mapping[str, Any]) -> None:
    """OME-Zarr metadata of the measured layer and of the maps."""
    measured = {"ome": multiscales("measured", 1, superpixel_um, genes=False)}
    maps = {"ome": multiscales(run, count, superpixel_um, genes=True), NAMESPACE: dict(values)}
    (folder / "measured").mkdir(exist_ok=True)
    for place, attributes in ((folder / "measured", measured), (folder, maps)):
        write_json(place / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": attributes})
