"""A run's maps as tables: summed over larger squares, or shared out to cells, as AnnData."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_pixelgene.arithmetic.areas import block_sums, covered_shares, pixels_inside
from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.elements.expression import unit
from napari_pixelgene.errors import InputError, SettingsError, StoreError
from napari_pixelgene.exporters.map_table import Rows, map_table
from napari_pixelgene.pipeline.exporting import outlines_um
from napari_pixelgene.pipeline.slide import grid_of, require_capture
from napari_pixelgene.progress import Note, OnEvent, Progress, silent, track
from napari_pixelgene.readers.cell_outlines import Outlines, read_outlines
from napari_pixelgene.store.maps import read_maps, require_maps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_pixelgene.arithmetic.tiles import Tile
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.expression import Expression
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.store.section import SectionStore

_STAGE = "export"
# Superpixels a side and genes that are read at once; one gene of a whole slide may be in memory as often.
_TILE, _SHARE = 512, 16
# The largest square, in µm: memory follows it.
_LARGEST = 1000.0
# So many outlines that lie nowhere are no chance.
_MANY = 0.1


@dataclass(frozen=True, slots=True)
class MapTable:
    """What was written: rows (squares or cells), genes, and how many cells were left out."""

    path: Path
    rows: int
    genes: int
    unit: str
    left_out: int = 0


def export_squares(
    store: SectionStore,
    run: str,
    out: Path,
    square_um: float = 16.0,
    overwrite: bool = False,
    on_event: OnEvent = silent,
) -> MapTable:
    """Maps summed over squares of `square_um` µm, a whole number of superpixels a side, from the H&E's outer corner.

    A square holds what its tissue holds; `obs["tissue"]` is the share of it that is. Squares without tissue are left
    out.
    """
    maps = _maps(store, run, out, overwrite)
    if not 0 < square_um <= _LARGEST:
        raise SettingsError(
            f"Squares of {square_um:g} µm cannot be summed over.",
            f"Give a multiple of {maps.superpixel_um:g} µm, {_LARGEST:g} µm at most.",
        )
    factor = round(square_um / maps.superpixel_um)
    if factor < 1 or abs(factor * maps.superpixel_um - square_um) > 1e-6:
        own = f"{maps.superpixel_um:g} µm"
        raise SettingsError(f"Squares of {square_um:g} µm are no whole number of {own}.", f"Give a multiple of {own}.")
    there = _tissue(maps)
    squares = np.nan_to_num(block_sums(np.where(there, 1.0, np.nan), factor))
    row, column = np.nonzero(squares)
    columns = {"row": row, "column": column, "tissue": squares[row, column] / factor**2}
    words = unit(square_um)
    names = np.array([f"{r}_{c}" for r, c in zip(row, column, strict=True)])
    notes = {"run": run, "unit": words, "square_um": float(square_um)}
    rows = Rows(names, (np.stack([column, row], axis=1) + 0.5) * square_um, columns, notes)
    side = factor * max(1, _TILE // factor)
    with map_table(out, rows, maps.genes, _SHARE) as values:
        for share in track(_shares(len(maps.genes)), _STAGE, on_event):
            sums = np.zeros((share.stop - share.start, *squares.shape), dtype=np.float32)
            for tile in tiles(there.shape, side):
                top, left = tile.rows.start // factor, tile.columns.start // factor
                part = np.nan_to_num(block_sums(_read(maps, share, tile), factor))
                sums[:, top : top + part.shape[1], left : left + part.shape[2]] = part
            values[:, share] = sums[:, row, column].T
    return MapTable(out, len(row), len(maps.genes), words)


def export_predicted_cells(
    store: SectionStore,
    run: str,
    out: Path,
    capture: str | None = None,
    outlines: Path | None = None,
    overwrite: bool = False,
    on_event: OnEvent = silent,
) -> MapTable:
    """Maps shared out to cells: of every superpixel the share that a cell's outline covers (specs/iscale.md section
    6.2). Outlines are those of a Xenium run, or a table of `outlines` on the H&E.

    A cell of several superpixels adds up what it covers of each; cells that share a superpixel share it by area, so
    that nothing finer than the maps is in the table. `obs["mapped"]` is the share of a cell that lies on tissue of the
    maps; cells without any are left out, and it is said.
    """
    maps, grid = _maps(store, run, out, overwrite), grid_of(store)
    found = _outlines_um(store, capture, outlines)
    there = _tissue(maps)
    shares, xy, broken = _shared(found, grid, there.shape, on_event)
    whole = np.asarray(shares.sum(axis=1), dtype=np.float64).ravel()
    mapped = np.divide(shares @ there.ravel().astype(np.float32), whole, out=np.zeros(len(whole)), where=whole > 0)
    kept = np.flatnonzero(mapped > 0)
    lost = len(found) - len(kept)
    _tell_left_out(lost, broken, outlines is None, on_event)
    if not len(kept):
        raise InputError(
            f"None of {len(found):,} outlines lies on the maps of '{run}'.",
            "Check that they are of this slide, and in its pixels or µm.",
        )
    words = "expected counts of a cell"
    columns = {"area_um2": whole[kept] * maps.superpixel_um**2, "mapped": mapped[kept]}
    rows = Rows(np.array(list(found))[kept], xy[kept], columns, {"run": run, "unit": words})
    parts = list(_by_tile(shares[kept].tocsr(), there.shape))
    with map_table(out, rows, maps.genes, _SHARE) as values:
        for share in track(_shares(len(maps.genes)), _STAGE, on_event):
            sums = np.zeros((len(kept), share.stop - share.start), dtype=np.float32)
            for tile, own, weights in parts:
                block = np.nan_to_num(_read(maps, share, tile))
                sums[own] += weights @ block.reshape(len(block), -1).T
            values[:, share] = sums
    return MapTable(out, len(kept), len(maps.genes), words, lost)


def _tell_left_out(lost: int, broken: BoolArray, measured: bool, on_event: OnEvent) -> None:
    """How many outlines are left out and why; many that lie nowhere are a warning with its likely causes."""
    count, unusable = len(broken), int(broken.sum())
    nowhere = lost - unusable
    if unusable:
        why = "have fewer than three corners, corners without a place, or no pixel inside"
        on_event(Note(f"{unusable:,} of {count:,} outlines {why}, and are left out.", stage=_STAGE))
    if nowhere:
        said = f"{nowhere:,} of {count:,} outlines lie nowhere on the maps and are left out"
        many = nowhere > _MANY * count
        given = "are x and y exchanged, pixels taken for µm, or is it another slide?"
        causes = "does the run reach past the tissue or the H&E, or is it registered wrongly?" if measured else given
        on_event(Note(f"{said}: {causes}" if many else f"{said}.", "warning" if many else "info", _STAGE))


def _maps(store: SectionStore, run: str, out: Path, overwrite: bool) -> Expression:
    """The maps, and a place for the file."""
    require_maps(store, run)
    if out.suffix.lower() != ".h5ad":
        raise StoreError(f"{out} is to be an AnnData.", "Give a name that ends in .h5ad.")
    if out.exists() and not overwrite:
        raise StoreError(f"{out} is there already.", "Choose another name, or pass --overwrite.")
    if not out.absolute().parent.is_dir():
        raise StoreError(f"There is no folder {out.absolute().parent}.", "Make it, or choose another place.")
    return read_maps(store, run)


def _outlines_um(store: SectionStore, capture: str | None, path: Path | None) -> Outlines:
    """Outlines in H&E µm."""
    if path is None:
        return outlines_um(store, require_capture(store, capture))
    found, frame = read_outlines(path)
    scale = float(store.meta()["mpp"]) if frame == "he_px" else 1.0
    return {cell: [part * scale for part in parts] for cell, parts in found.items()}


def _shared(
    found: Outlines, grid: Grid, yx_shape: tuple[int, int], on_event: OnEvent
) -> tuple[sparse.csr_matrix, FloatArray, BoolArray]:
    """(outlines, superpixels) what each covers, measured in work pixels, where the middle of that is (x, y), and which
    cover nothing though they lie on the image or nobody knows where."""
    side = grid.superpixel_px
    image = (yx_shape[0] * side, yx_shape[1] * side)
    xy, broken = np.full((len(found), 2), np.nan), np.zeros(len(found), dtype=bool)
    heard = max(1, len(found) // 50)

    def covered() -> Iterator[IntArray]:
        for place, parts in enumerate(found.values()):
            pixels = _inside(parts, grid.work_mpp, image)
            if len(pixels):
                xy[place] = (pixels.mean(axis=0)[::-1] + 0.5) * grid.work_mpp
            broken[place] = not len(pixels) and not any(_outside(part / grid.work_mpp, image) for part in parts)
            if place % heard == 0:
                on_event(Progress(_STAGE, place, len(found), "outlines"))
            yield pixels

    return covered_shares(covered(), side, yx_shape), xy, broken


def _whole(part: FloatArray) -> bool:
    return len(part) > 2 and bool(np.isfinite(part).all())


def _inside(parts: Sequence[FloatArray], mpp: float, image: tuple[int, int]) -> IntArray:
    """Pixels (n, 2) inside any polygon of a cell, each once."""
    found = [pixels_inside(part / mpp, image) for part in parts if _whole(part)]
    if len(found) == 1:
        return found[0]
    pixels: IntArray = np.unique(np.concatenate(found), axis=0) if found else np.zeros((0, 2), np.int64)
    return pixels


def _outside(part: FloatArray, image: tuple[int, int]) -> bool:
    """Whether a whole polygon, in pixels, lies beyond the image."""
    if not _whole(part):
        return False
    low, high = part.min(axis=0), part.max(axis=0)
    return bool((high <= 0).any() or (low >= image[::-1]).any())


def _by_tile(
    shares: sparse.csr_matrix, yx_shape: tuple[int, int]
) -> Iterator[tuple[Tile, IntArray, sparse.csr_matrix]]:
    """Each tile that cells lie on, which cells those are, and what they cover of its superpixels."""
    entries = shares.tocoo()
    row, column = np.divmod(entries.col, yx_shape[1])
    for tile in tiles(yx_shape, _TILE):
        top, left = tile.rows.start, tile.columns.start
        mine = (row >= top) & (row < tile.rows.stop) & (column >= left) & (column < tile.columns.stop)
        if mine.any():
            own, which = np.unique(entries.row[mine], return_inverse=True)
            flat = (row[mine] - top) * tile.yx_shape[1] + column[mine] - left
            size = (len(own), tile.yx_shape[0] * tile.yx_shape[1])
            yield tile, own, sparse.csr_matrix((entries.data[mine], (which, flat)), shape=size)


def _tissue(maps: Expression) -> BoolArray:
    """(rows, columns) where the maps have values."""
    out = np.zeros((maps.levels[0].shape[1], maps.levels[0].shape[2]), dtype=bool)
    for tile in tiles(out.shape, _TILE):
        out[tile.region] = np.isfinite(_read(maps, slice(0, 1), tile)[0])
    return out


def _shares(genes: int) -> list[slice]:
    return [slice(start, min(start + _SHARE, genes)) for start in range(0, genes, _SHARE)]


def _read(maps: Expression, share: slice, tile: Tile) -> FloatArray:
    return np.asarray(maps.levels[0][(share, *tile.region)], dtype=np.float32)
