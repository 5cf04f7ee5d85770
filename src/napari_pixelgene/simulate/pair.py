"""An H&E and a DAPI image of one simulated tissue, in memory: for whoever judges how well they lie on one another.

Nothing of the run is written, so a slide of 2 mm² takes seconds. What real pairs suffer from can be asked for: nuclei
that only one image shows, blur, a mirrored scan, tissue that was bent between the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np

from napari_pixelgene.arithmetic.resampling import halve
from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import Array, FloatArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.simulate.cells import Cells, Population
from napari_pixelgene.simulate.detection import Detection
from napari_pixelgene.simulate.histology import Histology
from napari_pixelgene.simulate.morphology import Morphology
from napari_pixelgene.simulate.noise import LatticeNoise, uniform
from napari_pixelgene.simulate.placement import morphology_to_he
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP, SimulationSettings

_LOST, _BEND = 81, 82
_TILE_PX = 1024
_LEVELS = 4
# The bend is worked out on so coarse a raster (in pixels of the morphology) and read between.
_RASTER_PX = 64
_BEND_UM = 450.0


@dataclass(frozen=True, slots=True)
class Wear:
    """What the second image suffered. `bend_um` is how far tissue was moved, as one standard deviation an axis."""

    lost: float = 0.0
    blur_um: float = 0.0
    bend_um: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class SimulatedPair:
    """Both images and the truth between their level-0 pixels."""

    settings: SimulationSettings
    wear: Wear
    he: Image
    morphology: Image

    def true_xy(self, morphology_xy: FloatArray) -> FloatArray:
        """Where points (n, 2) in morphology pixels truly lie, in H&E pixels."""
        xy = np.array(morphology_xy, dtype=np.float64)
        if self.wear.mirrored:
            xy[:, 0] = self.morphology.yx_shape[1] - xy[:, 0]
        return morphology_to_he(self.settings).apply(xy + bend_px(self.settings, self.wear, xy))

    def straight(self) -> Transform:
        """The true transform without its bend."""
        true = morphology_to_he(self.settings)
        if not self.wear.mirrored:
            return true
        flip = np.array([[-1.0, 0, self.morphology.yx_shape[1]], [0, 1, 0], [0, 0, 1]])
        return replace(true, matrix=true.matrix @ flip)


def simulate_pair(settings: SimulationSettings, wear: Wear = Wear()) -> SimulatedPair:
    """Draw both images. Same arguments, same pixels."""
    population = Population(settings)
    he = np.zeros((*settings.he_shape, 3), dtype=np.uint8)
    histology = Histology(settings, population)
    for tile in tiles(settings.he_shape, _TILE_PX):
        he[tile.region] = histology.render(tile)
    return SimulatedPair(
        settings, wear, _pyramid(he, settings.he_mpp), _pyramid(_worn(settings, wear, population), MORPHOLOGY_MPP)
    )


def bend_px(settings: SimulationSettings, wear: Wear, xy: FloatArray) -> FloatArray:
    """How far (n, 2) tissue at points of the morphology was moved, in its pixels."""
    if not wear.bend_um:
        return np.zeros_like(xy)
    noise = LatticeNoise(settings.seed, _BEND, _BEND_UM / MORPHOLOGY_MPP, 2)
    # The noise is in units of its own lattice: points in pixels, spacing in pixels.
    return wear.bend_um / MORPHOLOGY_MPP * noise.at(xy)


@dataclass(frozen=True, slots=True)
class _Thinned:
    """A population of which a share is not seen."""

    population: Population
    lost: float

    def within(self, low_um: FloatArray, high_um: FloatArray) -> Cells:
        """As a population's, less what is lost."""
        cells = self.population.within(low_um, high_um)
        seed = self.population.settings.seed
        return cells.where(uniform(seed, _LOST, cells.block[:, 0], cells.block[:, 1], cells.index) >= self.lost)


def _worn(settings: SimulationSettings, wear: Wear, population: Population) -> Array:
    thinned = cast("Population", _Thinned(population, wear.lost))
    drawn = Morphology(replace(Detection.of(settings, population), population=thinned))
    image = np.zeros(drawn.yx_shape, dtype=np.uint16)
    for tile in tiles(drawn.yx_shape, 2 * _TILE_PX):
        image[tile.region] = drawn.render(tile)
    if wear.bend_um:
        image = _bent(image, settings, wear)
    if wear.blur_um:
        image = cv2.GaussianBlur(image, (0, 0), wear.blur_um / MORPHOLOGY_MPP)
    return np.ascontiguousarray(image[:, ::-1]) if wear.mirrored else image


def _bent(image: Array, settings: SimulationSettings, wear: Wear) -> Array:
    """What was at p + bend(p) comes to lie at p."""
    rows, columns = image.shape
    x, y = (np.arange(-1, side // _RASTER_PX + 3) * _RASTER_PX + 0.5 * _RASTER_PX for side in (columns, rows))
    points = np.stack(np.meshgrid(x, y), axis=-1)
    moved = bend_px(settings, wear, points.reshape(-1, 2)).reshape(points.shape).astype(np.float32)
    fine = cv2.resize(moved, None, fx=_RASTER_PX, fy=_RASTER_PX, interpolation=cv2.INTER_LINEAR)
    fine = fine[_RASTER_PX : _RASTER_PX + rows, _RASTER_PX : _RASTER_PX + columns]
    down, right = np.mgrid[:rows, :columns].astype(np.float32)
    return np.asarray(cv2.remap(image, right + fine[..., 0], down + fine[..., 1], cv2.INTER_LINEAR))


def _pyramid(image: Array, mpp: float) -> Image:
    levels = [image]
    for _ in range(_LEVELS - 1):
        levels.append(halve(levels[-1]))
    return Image(tuple(levels), mpp)
