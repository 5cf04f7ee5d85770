"""Which tissue is worth learning from: HistoSweep's mask, tile by tile (specs/pixel2gene.md section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.arithmetic import sweeping
from napari_pixelgene.arithmetic.resampling import work_pixels
from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import OnEvent, silent, track

if TYPE_CHECKING:
    from napari_pixelgene.arithmetic.tiles import Tile
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.elements.image import Image

STAGE = "tissue"
_TILE = 64  # superpixels a side that are read at once
# Pieces of fewer squares are dirt.
_LEAST_PIECE = 10


def sweep_tissue(image: Image, grid: Grid, on_event: OnEvent = silent) -> Tissue:
    """HistoSweep's mask over the grid of an H&E. Raises InputError when nothing of it is left."""
    spread, colour = _of_squares(image, grid, on_event)
    z = sweeping.weighted_colour(colour)
    rare, never = sweeping.rare(z, spread), sweeping.never_tissue(colour)
    candidates = rare & ~never
    at = np.flatnonzero(candidates)
    rare[at[sweeping.tissue_like(_textures(image, grid, candidates.reshape(grid.yx_shape), on_event))]] = False
    bare, threshold = sweeping.bare(sweeping.texture_ratio(spread, z), rare)
    mask = sweeping.without_specks(~(rare | bare).reshape(grid.yx_shape), _LEAST_PIECE)
    if not (mask.ravel() & ~never).any():
        raise InputError(
            f"HistoSweep leaves no tissue on {image.path or image.name}.",
            "Use --method otsu, or give a mask with --mask.",
        )
    left_out = f"{int(rare.sum()):,} squares too unlike the others, {int(bare.sum()):,} too bare"
    return Tissue(mask, f"HistoSweep: texture ratio above {threshold:.3f}; left out {left_out}")


def _of_squares(image: Image, grid: Grid, on_event: OnEvent) -> tuple[FloatArray, FloatArray]:
    """Spread (n,) and mean colour (n, 3) of every superpixel, row by row."""
    spread = np.zeros(grid.yx_shape)
    colour = np.zeros((*grid.yx_shape, 3))
    plan = list(tiles(grid.yx_shape, _TILE))
    for tile in track(plan, STAGE, on_event, len(plan)):
        rgb, inside = _pixels(image, grid, tile)
        found = sweeping.spread_and_colour(rgb, grid.superpixel_px, inside)
        spread[tile.region], colour[tile.region] = found
    return spread.ravel(), colour.reshape(-1, 3)


def _textures(image: Image, grid: Grid, wanted: BoolArray, on_event: OnEvent) -> FloatArray:
    """(n, 3) energy, homogeneity and entropy of the superpixels wanted, row by row of the grid."""
    out = np.zeros((*grid.yx_shape, 3))
    side = grid.superpixel_px
    plan = [tile for tile in tiles(grid.yx_shape, _TILE) if wanted[tile.region].any()]
    for tile in track(plan, STAGE, on_event, len(plan)):
        levels = sweeping.grey_levels(_pixels(image, grid, tile)[0])
        rows, columns = tile.yx_shape
        patches = levels.reshape(rows, side, columns, side).swapaxes(1, 2)[wanted[tile.region]]
        place = np.argwhere(wanted[tile.region]) + np.array([tile.rows.start, tile.columns.start])
        out[tuple(place.T)] = sweeping.cooccurrence(patches)
    return out[wanted]


def _pixels(image: Image, grid: Grid, tile: Tile) -> tuple[Array, BoolArray]:
    return work_pixels(image.levels, image.require_mpp(), grid.work_mpp, tile.scaled(grid.superpixel_px))
