"""Where the tissue is: Otsu on the optical density at 40 µm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_pixelgene.arithmetic.resampling import work_pixels
from napari_pixelgene.arithmetic.tiles import tile_count, tiles
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import OnEvent, silent, track
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.elements.image import Image

_TILE = 256
_WINDOW_UM = 40.0
# Glass and mounting medium stay below this optical density; a slide whose lighter class is darker has no glass.
_GLASS_DENSITY = 0.15
# Where the image is all glass or all tissue, Otsu would split noise: the classes must differ by this much.
_LEAST_CONTRAST = 0.05


class TissueSettings(Section):
    """How tissue is told from glass."""

    method: Literal["otsu", "histosweep"] = Field(
        "otsu",
        description="otsu: all that is stained; histosweep: of that what is worth learning from, without pen, dust, "
        "debris and bare stroma (Pixel2Gene's quality mask).",
    )
    min_area_um2: float = Field(20_000.0, ge=0, description="Pieces smaller than this are dirt and left out (µm²).")
    fill_holes_um2: float = Field(20_000.0, ge=0, description="Holes smaller than this are filled (µm²).")


def find_tissue(image: Image, grid: Grid, settings: TissueSettings | None = None, on_event: OnEvent = silent) -> Tissue:
    """The tissue of an H&E over its grid; an image without contrast is all tissue or an error if all glass."""
    settings = settings or TissueSettings()
    window = _window(grid.superpixel_um)
    density = _smoothed(optical_density(overview(image, grid, on_event)), window)
    threshold = _threshold(density)
    mask = density > threshold
    if not mask.any():
        raise InputError(f"No tissue was found on {image.path or image.name}.", "Give a mask with --mask.")
    if mask.all():
        return Tissue(mask, "all of the image: it shows no glass")
    area = grid.superpixel_um**2
    mask = _without_small(mask, settings.min_area_um2 / area)
    if not mask.any():
        raise InputError(
            f"All tissue on {image.path or image.name} is in pieces under {settings.min_area_um2:g} µm².",
            "Make --min-area-um2 smaller, or give a mask with --mask.",
        )
    mask = ~_without_small(~mask, settings.fill_holes_um2 / area)
    return Tissue(mask, f"optical density above {threshold:.3f} (Otsu at {window * grid.superpixel_um:g} µm)")


def overview(image: Image, grid: Grid, on_event: OnEvent = silent) -> Array:
    """The mean colour of every superpixel, (rows, columns, 3) uint8, read tile by tile from a coarse level."""
    out = np.full((*grid.yx_shape, 3), 255, dtype=np.uint8)
    count = tile_count(grid.yx_shape, _TILE)
    for tile in track(tiles(grid.yx_shape, _TILE), "tissue", on_event, count):
        out[tile.region] = work_pixels(image.levels, image.require_mpp(), grid.superpixel_um, tile)[0]
    return out


def optical_density(rgb: Array) -> FloatArray:
    """Mean over the channels of -log10 of the transmitted share, (rows, columns)."""
    out: FloatArray = -np.log10((rgb.astype(np.float32) + 1) / 256).mean(-1)
    return out


def _window(superpixel_um: float) -> int:
    """The odd number of superpixels that is nearest to 40 µm: odd, so that nothing shifts."""
    return 2 * round((_WINDOW_UM / superpixel_um - 1) / 2) + 1


def _smoothed(density: FloatArray, window: int) -> FloatArray:
    """Mean over `window` superpixels; past the edge nothing weighs."""
    total = ndimage.uniform_filter(density, window, mode="constant")
    weight = ndimage.uniform_filter(np.ones_like(density), window, mode="constant")
    return np.asarray(total / weight)


def _threshold(density: FloatArray) -> float:
    cut = float(threshold_otsu(density)) if np.ptp(density) > 1e-6 else float(density.max())
    light, dark = density[density <= cut], density[density > cut]
    no_contrast = dark.size == 0 or dark.mean() - light.mean() < _LEAST_CONTRAST
    if no_contrast or np.median(light) > _GLASS_DENSITY:
        return -1.0 if np.median(density) > _GLASS_DENSITY / 2 else float("inf")
    return cut


def _without_small(mask: BoolArray, least: float) -> BoolArray:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    size = np.bincount(labels.ravel())
    size[0] = 0
    return np.asarray((size >= least)[labels] & mask)
