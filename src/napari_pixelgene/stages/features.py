"""Features of every superpixel: an encoder over the slide, tile by tile, with halos.

Tiles without tissue are skipped. A finished tile is written and marked before the next one, so that a
killed run continues; reading the next tile overlaps with encoding this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pydantic import Field

from napari_pixelgene.arithmetic.resampling import work_pixels
from napari_pixelgene.arithmetic.tiles import Span, Tile, tiles
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, Progress, silent
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray, LazyArray
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.elements.tissue import Tissue
    from napari_pixelgene.encoders.base import Encoder

STAGE = "features"
# Interpolated pixels carry no texture of their own.
_COARSE_MPP = 1.0


class FeatureSettings(Section):
    """Which encoder, and how it prepares itself."""

    encoder: str = Field("stain_texture", description="The histology network, by name (see `pixelgene models`).")
    patches: int = Field(64, ge=1, description="Places on the tissue an encoder sees before the first tile.")
    seed: int = Field(0, ge=0, description="Seed of the choice of patches.")


class FeatureSink(Protocol):
    """Where tiles of features go."""

    def done(self, index: tuple[int, int]) -> bool:
        """Whether that tile was written before."""

    def write(self, tile: Tile, block: Array) -> None:
        """Write (rows, columns, channels) of a tile, and mark it."""


def tile_side(encoder: Encoder, grid: Grid) -> int:
    """Side of a tile in superpixels."""
    return encoder.tile_px // grid.superpixel_px


def warn_if_coarse(image: Image, on_event: OnEvent) -> None:
    """Say which channels carry nothing when the slide is coarser than 1 µm per pixel."""
    mpp = image.require_mpp()
    if mpp > _COARSE_MPP:
        text = (
            f"The H&E has {mpp:g} µm per pixel: gradients, patterns and nuclear fraction at 8 µm carry next to "
            "nothing; colour and wide windows still do."
        )
        on_event(Note(text, "warning", STAGE))


def prepare(image: Image, grid: Grid, tissue: Tissue, encoder: Encoder, settings: FeatureSettings) -> dict[str, Array]:
    """The encoder's state for this section, from the tissue superpixels at seeded places of the slide.

    Places are read 16 × 16 superpixels at a time; a patch is one superpixel that is tissue and whole.
    """
    side = 16
    anchors = np.argwhere(tissue.mask)
    rng = np.random.default_rng(settings.seed)
    chosen = anchors[rng.choice(len(anchors), min(settings.patches, len(anchors)), replace=False)]
    patches: list[Array] = []
    for row, column in chosen:
        tile = Tile(Span(row, row + side), Span(column, column + side)).clipped(grid.yx_shape)
        rgb, inside = work_pixels(image.levels, image.require_mpp(), grid.work_mpp, tile.scaled(grid.superpixel_px))
        whole = _blocks(inside[..., None], grid.superpixel_px).all(axis=(2, 3, 4))
        patches.extend(_blocks(rgb, grid.superpixel_px)[tissue.mask[tile.region] & whole])
    return encoder.prepare(patches)


def _blocks(pixels: Array, side: int) -> Array:
    """(rows, columns, side, side, values) of an image cut into superpixels."""
    rows, columns = (n // side for n in pixels.shape[:2])
    return pixels.reshape(rows, side, columns, side, -1).swapaxes(1, 2)


def encode_tiles(
    image: Image,
    grid: Grid,
    tissue: Tissue,
    encoder: Encoder,
    state: Mapping[str, Array],
    sink: FeatureSink,
    on_event: OnEvent = silent,
    device: str = "cpu",
) -> None:
    """Encode every tile that holds tissue and is not done yet."""
    import torch  # takes seconds; the settings above are read without

    side = tile_side(encoder, grid)
    plan = [t for t in tiles(grid.yx_shape, side) if tissue.mask[t.region].any()]
    todo = [t for t in plan if not sink.done(t.index)]
    done = len(plan) - len(todo)
    on_event(Progress(STAGE, done, len(plan)))
    for tile, (rgb, inside) in _read_ahead(image, grid, encoder, todo):
        pixels, valid = (torch.from_numpy(x)[None].to(device) for x in (rgb, inside))
        block = encoder.encode(pixels, valid, state)[0, : tile.yx_shape[0], : tile.yx_shape[1]]
        sink.write(tile, block.cpu().numpy().astype(encoder.dtype))
        done += 1
        on_event(Progress(STAGE, done, len(plan)))


def _read_ahead(
    image: Image, grid: Grid, encoder: Encoder, plan: list[Tile]
) -> Iterator[tuple[Tile, tuple[Array, Array]]]:
    """Each tile with its pixels, the next one being read meanwhile."""
    if not plan:
        return
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(_pixels, image, grid, encoder, plan[0])
        for tile, following in zip(plan, [*plan[1:], None], strict=True):
            ready = ahead.result()
            if following is not None:
                ahead = pool.submit(_pixels, image, grid, encoder, following)
            yield tile, ready


def _pixels(image: Image, grid: Grid, encoder: Encoder, tile: Tile) -> tuple[Any, Any]:
    """Work pixels of a whole tile with its halo, also where the tile reaches past the grid."""
    top, left = tile.rows.start * grid.superpixel_px, tile.columns.start * grid.superpixel_px
    whole = Tile(Span(top, top + encoder.tile_px), Span(left, left + encoder.tile_px)).grown(encoder.halo_px)
    return work_pixels(image.levels, image.require_mpp(), grid.work_mpp, whole)


def tissue_statistics(array: LazyArray, tissue: Tissue, side: int) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (channels,) over tissue, read in tiles of `side` superpixels."""
    if not tissue.mask.any():
        raise InputError("The tissue mask is empty.", "Give another mask with --mask, or find the tissue again.")
    channels = array.shape[2]
    count, total, squares = 0, np.zeros(channels), np.zeros(channels)
    plan = [t for t in tiles(tissue.mask.shape, side) if tissue.mask[t.region].any()]
    first = np.asarray(array[plan[0].region], dtype=np.float64)[tissue.mask[plan[0].region]]
    shift = first.mean(0)  # keeps squares small where a channel's mean is large
    for tile in plan:
        values = np.asarray(array[tile.region], dtype=np.float64)[tissue.mask[tile.region]] - shift
        count, total, squares = count + len(values), total + values.sum(0), squares + (values**2).sum(0)
    mean = total / count
    return mean + shift, np.sqrt(np.maximum(squares / count - mean**2, 0.0))
