"""The H&E: architecture and nuclei become optical densities of two stains, and those become colour.

Light through stain follows Beer and Lambert: RGB = 255 · 10^(-Σ stain · amount). A tile is drawn with a halo wider than
any nucleus and the blur, so that tiles join without a seam.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from napari_pixelgene.arithmetic.tiles import Tile
from napari_pixelgene.elements.arrays import Array, FloatArray
from napari_pixelgene.simulate.cells import EPITHELIAL, LYMPHOCYTE, MACROPHAGE, Cells, Population
from napari_pixelgene.simulate.noise import Grain
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.simulate.tissue import Fields

# Optical density of unit amounts in R, G, B: a violet haematoxylin and a pink eosin.
HAEMATOXYLIN = np.array([0.62, 0.70, 0.36])
EOSIN = np.array([0.10, 0.53, 0.27])
_GLASS = np.array([243.0, 242.0, 244.0])
_RASTER_UM = 2.0
_HALO_UM = 22.0
_BLUR_UM = 0.32
_TEXTURE_TAG, _GRAIN_TAG = 51, 52
_SHIFT = 4  # cv2 draws at sixteenths of a pixel


@dataclass(frozen=True, slots=True)
class Canvas:
    """A tile in pixels of the H&E, and where it lies in µm."""

    tile: Tile
    mpp: float

    @property
    def low_um(self) -> FloatArray:
        """(x, y) of its outer corner."""
        return np.array([self.tile.columns.start, self.tile.rows.start]) * self.mpp

    @property
    def high_um(self) -> FloatArray:
        """(x, y) of the opposite corner."""
        return np.array([self.tile.columns.stop, self.tile.rows.stop]) * self.mpp


class Histology:
    """Draws any tile of the slide."""

    def __init__(self, settings: SimulationSettings, population: Population) -> None:
        self.settings = settings
        self.population = population
        self._grain = Grain.seeded(settings.seed, _GRAIN_TAG)
        self._texture = [_smooth_grain(settings, _TEXTURE_TAG + 10 * n, um) for n, um in enumerate((0.7, 2.5))]

    def render(self, tile: Tile) -> Array:
        """The pixels of a tile, (rows, columns, 3) uint8."""
        mpp = self.settings.he_mpp
        halo = tile.grown(int(np.ceil(_HALO_UM / mpp)))
        canvas = Canvas(halo, mpp)
        layers = self._layers(canvas)
        cells = self.population.within(canvas.low_um, canvas.high_um)
        haematoxylin, eosin = self._stains(canvas, layers, cells)
        sigma = _BLUR_UM / mpp
        inside = tile.within(halo)
        density = []
        for amount in (haematoxylin, eosin):
            blurred = cv2.GaussianBlur(amount, (0, 0), sigma) if sigma > 0.15 else amount
            density.append(blurred[inside])
        return self._colour(tile, *density)

    def _layers(self, canvas: Canvas) -> dict[str, FloatArray]:
        """The architecture at every pixel, read between the points of a coarse raster, float32."""
        x, y = (_raster(low, high) for low, high in zip(canvas.low_um, canvas.high_um, strict=True))
        points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        fields = self.population.architecture.at(points)
        values = _composed(fields)
        values["fibre"] = self.population.architecture.fibre_um(points, fields.depth_um)
        step, first = (
            canvas.mpp / _RASTER_UM,
            (canvas.low_um + canvas.mpp / 2) / _RASTER_UM - np.array([x[0], y[0]]) / _RASTER_UM,
        )
        warp = np.array([[step, 0, first[0]], [0, step, first[1]]])
        size = canvas.tile.yx_shape[::-1]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return {
            name: cv2.warpAffine(
                value.reshape(len(y), len(x)).astype(np.float32),
                warp,
                size,
                flags=flags,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for name, value in values.items()
        }

    def _stains(self, canvas: Canvas, layers: dict[str, FloatArray], cells: Cells) -> tuple[FloatArray, FloatArray]:
        """Amounts of haematoxylin and eosin at every pixel."""
        fine, coarse = (
            t.at(canvas.tile.rows.start, canvas.tile.columns.start, canvas.tile.yx_shape) for t in self._texture
        )
        wall = _step(layers["depth"], 0.8) * _step(layers["wall"] - layers["depth"], 0.9)
        lumen = _step(layers["depth"] - layers["wall"], 0.9)
        fat = _step(layers["fat"], 1.0) * _step(layers["septum"] - 1.2, 0.5)
        strand = np.sin(layers["fibre"] * np.float32(2 * np.pi / 9)) + 0.5 * np.sin(
            layers["fibre"] * np.float32(2 * np.pi / 4.3)
        )
        stroma = 0.43 + 0.11 * layers["collagen"] + 0.10 * strand * (1 + 0.5 * coarse) + 0.07 * coarse + 0.05 * fine
        cleft = _step(coarse + 0.5 * strand - 2.0 + 0.35 * layers["collagen"], 0.35)
        stroma = np.maximum(stroma, 0.12) * (1 - 0.75 * cleft) * (1 - 0.45 * layers["immune"])
        epithelium = 0.44 + 0.05 * coarse + 0.04 * fine - 0.03 * layers["grade"]
        eosin = stroma + (epithelium - stroma) * wall
        eosin = eosin + ((0.045 + 0.03 * np.maximum(coarse, 0)) - eosin) * np.maximum(lumen, fat)
        basophil = 0.035 + 0.10 * layers["immune"] + wall * (0.09 + 0.035 * np.clip(layers["grade"], -1.5, 2.5))
        haematoxylin = basophil * (1 - np.maximum(lumen, fat)) * (1 + 0.25 * fine)
        thick = layers["inside"] * (1 + 0.85 * layers["fold"])
        eosin *= 1 + 0.07 * layers["gradient"]
        dark, border = _nuclei(canvas, cells), _borders(canvas, cells)
        haematoxylin += dark * (0.92 + 0.16 * fine + 0.05 * coarse)
        eosin += 0.10 * border * (1 - lumen) - 0.2 * eosin * dark
        return haematoxylin * thick, np.maximum(eosin, 0) * thick

    def _colour(self, tile: Tile, haematoxylin: FloatArray, eosin: FloatArray) -> Array:
        """Light through both stains, with the camera's grain."""
        noise = self._grain.at(tile.rows.start, tile.columns.start, tile.yx_shape)
        out = np.empty((*tile.yx_shape, 3), dtype=np.uint8)
        for c in range(3):
            light = cv2.exp(
                -np.float32(np.log(10)) * (haematoxylin * np.float32(HAEMATOXYLIN[c]) + eosin * np.float32(EOSIN[c]))
            )
            out[..., c] = np.clip(light * np.float32(_GLASS[c]) + noise * np.float32(1.6) + np.float32(0.5), 0, 255)
        return out


def _composed(fields: Fields) -> dict[str, FloatArray]:
    """What the stains need, from the architecture's fields; edges stay distances so that they can be cut sharp."""
    return {
        "inside": 1 / (1 + np.exp(-np.clip(fields.inside_um / 1.5, -30, 30))),
        "depth": fields.depth_um,
        "wall": fields.wall_um,
        "fat": np.minimum(fields.fat * 120, -12 - fields.depth_um),
        "septum": fields.septum_um,
        "immune": fields.immune,
        "collagen": fields.collagen,
        "grade": fields.grade,
        "gradient": fields.gradient,
        "fold": fields.fold,
    }


def _raster(low_um: float, high_um: float) -> FloatArray:
    """Points of the global raster that cover an interval."""
    first, last = np.floor(low_um / _RASTER_UM) - 1, np.ceil(high_um / _RASTER_UM) + 1
    return np.asarray((np.arange(first, last) + 0.5) * _RASTER_UM)


def _step(distance_um: FloatArray, soft_um: float) -> FloatArray:
    """0 to 1 across zero, linear over ± `soft_um`."""
    return np.asarray(np.clip(distance_um * np.float32(0.5 / soft_um) + np.float32(0.5), 0, 1))


def _smooth_grain(settings: SimulationSettings, tag: int, sigma_um: float) -> Grain:
    """Texture of one scale: grain blurred around its own edges, so that it still repeats without a seam."""
    sigma = sigma_um / settings.he_mpp
    patches = []
    for patch in Grain.seeded(settings.seed, tag).patches:
        halo = min(int(np.ceil(4 * sigma)), len(patch))
        smooth = cv2.GaussianBlur(np.pad(patch, halo, mode="wrap"), (0, 0), sigma)[halo:-halo, halo:-halo]
        patches.append((smooth / smooth.std() * np.sqrt(0.5)).astype(np.float32))
    return Grain((patches[0], patches[1]))


def _drawn(outline_um: FloatArray, canvas: Canvas) -> Array:
    """Outlines (n, v, 2) in cv2's sixteenths of a pixel; cv2 puts pixel centres at integers."""
    origin = np.array([canvas.tile.columns.start, canvas.tile.rows.start])
    fixed = np.rint((outline_um / canvas.mpp - 0.5) * 2**_SHIFT).astype(np.int64) - origin * 2**_SHIFT
    return np.asarray(fixed.astype(np.int32))


def _nuclei(canvas: Canvas, cells: Cells) -> FloatArray:
    """How dark chromatin is at every pixel, 0 outside nuclei: pale inside with a rim where cells are large."""
    image = np.zeros(canvas.tile.yx_shape, dtype=np.uint8)
    pale = np.isin(cells.kind, (EPITHELIAL, MACROPHAGE))
    depth = np.where(pale, 128, np.where(cells.kind == LYMPHOCYTE, 228, 195)) * cells.tone
    outlines = _drawn(cells.nucleus_um, canvas)
    inner = _drawn(cells.xy_um[:, None] + 0.78 * (cells.nucleus_um - cells.xy_um[:, None]), canvas)
    spots = _drawn(cells.xy_um[:, None], canvas)[:, 0]
    for n in range(len(cells)):
        value = float(min(depth[n], 255))
        cv2.fillPoly(image, [outlines[n]], min(value + 45 * bool(pale[n]), 255), cv2.LINE_AA, _SHIFT)
        if pale[n]:
            cv2.fillPoly(image, [inner[n]], value, cv2.LINE_AA, _SHIFT)
            radius = round(0.75 / canvas.mpp * 2**_SHIFT)
            cv2.circle(
                image, (int(spots[n, 0]), int(spots[n, 1])), radius, min(value + 60, 255), -1, cv2.LINE_AA, _SHIFT
            )
    return np.asarray(image.astype(np.float32) * np.float32(1 / 255))


def _borders(canvas: Canvas, cells: Cells) -> FloatArray:
    """Faint membranes between epithelial cells, 0..1."""
    image = np.zeros(canvas.tile.yx_shape, dtype=np.uint8)
    outlines = _drawn(cells.cell_um[cells.kind == EPITHELIAL], canvas)
    cv2.polylines(image, list(outlines), True, 255, 1, cv2.LINE_AA, _SHIFT)
    return np.asarray(image.astype(np.float32) * np.float32(1 / 255))
