"""The DAPI image and the segmentation masks in morphology pixels, tile by tile."""

from __future__ import annotations

import cv2
import numpy as np

from napari_pixelgene.arithmetic.tiles import Tile
from napari_pixelgene.elements.arrays import Array, FloatArray
from napari_pixelgene.simulate.cells import EPITHELIAL, LYMPHOCYTE, MACROPHAGE, Cells
from napari_pixelgene.simulate.detection import Detection
from napari_pixelgene.simulate.noise import Grain
from napari_pixelgene.simulate.placement import morphology_shape

_HALO_PX = 96
_COARSE = 2  # the DAPI image is blurred by more than two pixels: it is drawn at half size
_SHIFT = 4
_BACKGROUND, _BRIGHT, _NOISE = 40.0, 2600.0, 9.0


class Morphology:
    """Draws any tile of the run's DAPI image and of its two masks."""

    def __init__(self, detection: Detection) -> None:
        self.detection = detection
        self.yx_shape = morphology_shape(detection.settings)
        self._grain = Grain.seeded(detection.settings.seed, 71)
        self._chromatin = Grain.seeded(detection.settings.seed, 72)

    def render(self, tile: Tile) -> Array:
        """DAPI of a tile, (rows, columns) uint16."""
        even = Tile(tile.rows, tile.columns).grown(_HALO_PX)
        low = np.array([even.columns.start, even.rows.start])
        high = np.array([even.columns.stop, even.rows.stop])
        to_um = self.detection.um_to_morphology.inverse()
        corners = to_um.apply(np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])], dtype=float))
        cells = self.detection.population.within(corners.min(axis=0), corners.max(axis=0))
        signal = self._nuclei(even, cells)
        full = cv2.resize(signal, even.yx_shape[::-1], interpolation=cv2.INTER_LINEAR)[tile.within(even)]
        noise = self._grain.at(tile.rows.start, tile.columns.start, tile.yx_shape)
        bright = full * np.float32(_BRIGHT) + np.float32(_BACKGROUND)
        bright += noise * (np.float32(_NOISE) + full * np.float32(60))
        return np.asarray(np.maximum(bright, 1).astype(np.uint16))

    def _nuclei(self, halo: Tile, cells: Cells) -> FloatArray:
        """Brightness of nuclei at half size, about 0..1, blurred by the optics."""
        shape = (-(-halo.yx_shape[0] // _COARSE), -(-halo.yx_shape[1] // _COARSE))
        image = np.zeros(shape, dtype=np.uint8)
        value = 150 * np.where(np.isin(cells.kind, (EPITHELIAL, MACROPHAGE)), 0.75, 1.0) * cells.tone
        value = np.minimum(value * np.where(cells.kind == LYMPHOCYTE, 1.35, 1.0), 255)
        for outline, brightness in zip(self._drawn(cells.nucleus_um, halo, _COARSE), value, strict=True):
            cv2.fillPoly(image, [outline], float(brightness), cv2.LINE_AA, _SHIFT)
        grain = self._chromatin.at(halo.rows.start // _COARSE, halo.columns.start // _COARSE, shape)
        textured = image.astype(np.float32) * np.float32(1 / 255) * (1 + np.float32(0.55) * cv2.blur(grain, (3, 3)))
        near = cv2.GaussianBlur(textured, (0, 0), 1.3)
        haze = cv2.resize(cv2.blur(near, (25, 25)), (near.shape[1], near.shape[0]))
        return np.asarray(near + np.float32(0.06) * haze)

    def masks(self, tile: Tile) -> tuple[Array, Array]:
        """Nucleus and cell labels of a tile, each (rows, columns) uint32; a label is a cell's number plus one."""
        low = np.array([tile.columns.start, tile.rows.start])
        cells, number = self.detection.near(low, np.array([tile.columns.stop, tile.rows.stop]))
        return self._labels(tile, cells.nucleus_um, number + 1), self._labels(tile, cells.cell_um, number + 1)

    def _labels(self, tile: Tile, outline_um: FloatArray, label: Array) -> Array:
        image = np.zeros(tile.yx_shape, dtype=np.int32)
        for outline, value in zip(self._drawn(outline_um, tile, 1), label, strict=True):
            cv2.fillPoly(image, [outline], int(value), cv2.LINE_8, _SHIFT)
        return image.view(np.uint32)

    def _drawn(self, outline_um: FloatArray, tile: Tile, factor: int) -> Array:
        """Outlines (n, v, 2) in sixteenths of a tile's pixel, `factor` times smaller; cv2 has centres at integers."""
        pixels = self.detection.um_to_morphology.apply(outline_um.reshape(-1, 2)).reshape(outline_um.shape)
        origin = np.array([tile.columns.start, tile.rows.start])
        fixed = np.rint(((pixels - origin) / factor - 0.5) * 2**_SHIFT)
        return np.asarray(fixed.astype(np.int32))
