"""What every writer of tiles asks of a block before it touches the disk."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.elements.arrays import Array
from napari_pixelgene.errors import StoreError


def tile_key(index: tuple[int, int]) -> str:
    """A tile's name in a ledger."""
    return f"tile {index[0]},{index[1]}"


def require_aligned(tile: Tile, side: int, yx_shape: tuple[int, int]) -> None:
    """Refuse a tile that is not one whole chunk: it would make two writers read and rewrite one file."""
    row, column = tile.index
    whole = Tile(Span(row * side, (row + 1) * side), Span(column * side, (column + 1) * side))
    if tile.region != whole.clipped(yx_shape).region:
        raise StoreError(
            f"The tile {tile.index} covers rows {tile.rows.start}-{tile.rows.stop} and columns "
            f"{tile.columns.start}-{tile.columns.stop}, which is not chunk {tile.index} of side {side}.",
            f"Take the tiles from tiles(yx_shape, {side}).",
        )


def require_finite_cast(block: Array, dtype: npt.DTypeLike, what: str) -> Array:
    """`block` as `dtype`, a floating type, or an error where a value is or would become infinite. NaN stays NaN."""
    block, target = np.asarray(block), np.dtype(dtype)
    largest = float(np.nanmax(np.abs(block), initial=0.0))
    limit = float(np.finfo(target).max)
    if np.isinf(largest):
        raise StoreError(
            f"{what} hold infinite values.", "Find out which channel or gene overflows, and mend its maker."
        )
    if largest > limit:
        raise StoreError(f"{what} reach {largest:g}, more than {target} holds ({limit:g}).", "Store them as float32.")
    return block.astype(target, copy=False)
