"""Elements into napari's layer tuples: lazy, pure, no napari here.

Every layer lives in H&E micrometres. Our coordinates have 0 at the outer corner of the first pixel, napari
puts pixel centres at integers: hence `translate` is half a pixel, for a map of 8 µm superpixels 4 µm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_pixelgene.elements.arrays import Array, BoolArray, LazyArray
from napari_pixelgene.elements.expression import FILTERED, MEASURED, NEVER_MEASURED, Expression
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.views import RegionView
from napari_pixelgene.stages.comparing import Everywhere, masked

LayerData = tuple[Any, dict[str, Any], str]
Role = Literal["he", "morphology", "map", "measured", "tissue", "region"]

# Where a layer's metadata says what it shows, so that docks find it again.
KEY = "napari_pixelgene"
MAP_OPACITY = 0.65
RGB_OPACITY = 0.5
# A fluorescence image is dark nearly everywhere: the median is its background, the brightest specks are dirt.
PERCENTILES = (50.0, 99.8)
_STATES = {NEVER_MEASURED: "never measured", FILTERED: "filtered out", MEASURED: "measured"}
# Told apart by the colour-blind, and from the pink of an H&E.
_STATE_COLOURS: dict[int | None, tuple[float, float, float, float]] = {
    None: (0.0, 0.0, 0.0, 0.0),
    NEVER_MEASURED: (0.5, 0.5, 0.5, 0.35),
    FILTERED: (0.9, 0.62, 0.0, 1.0),
    MEASURED: (0.0, 0.45, 0.7, 1.0),
}


class Plane(RegionView):
    """One gene's (row, column) of an array (gene, row, column), as float32; reads what is asked for."""

    def __init__(self, source: LazyArray, gene: int) -> None:
        self.shape, self.dtype = (int(source.shape[1]), int(source.shape[2])), np.dtype(np.float32)
        sides: tuple[int, ...] = getattr(source, "chunks", source.shape)
        self.chunks = (int(sides[1]), int(sides[2]))
        self._source, self._gene = source, gene

    def read(self, rows: slice, columns: slice) -> Array:
        """The block of that gene."""
        return np.asarray(self._source[self._gene, rows, columns], dtype=np.float32)


class Strided(RegionView):
    """Every `step`-th value of a (row, column) array: states cannot be averaged. Read only, as napari wants it."""

    def __init__(self, source: LazyArray, step: int) -> None:
        self.shape = (-(-int(source.shape[0]) // step), -(-int(source.shape[1]) // step))
        self.dtype = np.dtype(source.dtype)
        self.chunks = tuple(-(-int(side) // step) for side in getattr(source, "chunks", source.shape))
        self._source, self._step = source, step

    def read(self, rows: slice, columns: slice) -> Array:
        """The block, from the rectangle it stands for."""
        places = (slice(s.start * self._step, s.stop * self._step) for s in (rows, columns))
        return np.asarray(self._source[tuple(places)])[:: self._step, :: self._step]


def he_layer(image: Image, section: Path) -> LayerData:
    """The H&E as a lazy pyramid."""
    mpp = image.require_mpp()
    return list(image.levels), _placed("H&E", mpp, "he", section) | {"rgb": image.is_rgb}, "image"


def morphology_layer(image: Image, section: Path, capture: str, visible: bool = True) -> LayerData:
    """A channel already drawn through its transform onto the H&E (`stages.warping`), for a glance at the fit.

    Contrast is taken from the coarsest level. No signal is white, signal blue, and the darker of it and the H&E
    shows: the slide stays visible, nuclei that do not meet stand out, and nothing takes on a colour of the map.
    An image with colours of its own (another H&E) lies on the slide half clear.
    """
    name = f"{image.name or 'morphology'} → H&E"
    says = _placed(name, image.require_mpp(), "morphology", section, capture=capture, channel=image.name)
    if image.is_rgb:
        if image.levels[0].shape[2] == 3:
            image = masked(image, Everywhere())
        colours = {"rgb": True, "blending": "translucent_no_depth", "opacity": RGB_OPACITY, "visible": visible}
        return list(image.levels), says | colours, "image"
    look = {
        "rgb": False,
        "contrast_limits": percentile_limits(np.asarray(image.levels[-1])),
        "colormap": "I Blue",
        "blending": "minimum",
        "visible": visible,
    }
    return list(image.levels), says | look, "image"


def map_layer(expression: Expression, gene: str, section: Path) -> LayerData:
    """One gene of a run, over what lies below it; background (NaN) is transparent."""
    says = _map_metadata(expression, gene)
    look = {
        "rgb": False,
        "contrast_limits": gene_contrast(expression, gene),
        "colormap": "viridis",  # napari draws NaN with its nan_color, which is transparent
        "blending": "translucent_no_depth",
        "opacity": MAP_OPACITY,
        "interpolation2d": "nearest",  # anything smoother spreads the NaN of the background
    }
    placed = _placed(map_name(gene), expression.superpixel_um, "map", section, **says)
    return gene_levels(expression, gene), placed | look, "image"


def measured_layer(expression: Expression, section: Path) -> LayerData:
    """Which superpixels were measured, dropped by a filter, or never measured; hidden at first."""
    names = {"index": list(_STATES), "state": list(_STATES.values())}
    look = {"colormap": _STATE_COLOURS, "features": names, "opacity": 0.6, "visible": False}
    placed = _placed("where it was measured", expression.superpixel_um, "measured", section, run=expression.run)
    # napari takes a single level for an editable array, so there are always two.
    steps = [2**level for level in range(max(2, len(expression.levels)))]
    return [Strided(expression.measured, step) for step in steps], placed | look, "labels"


def tissue_layer(mask: BoolArray, superpixel_um: float, section: Path) -> LayerData:
    """The tissue mask as labels a person can paint: 1 is tissue, 0 is not."""
    colours = {None: (0.0, 0.0, 0.0, 0.0), 1: (0.0, 0.55, 0.45, 1.0)}
    return _painted("tissue", mask, superpixel_um, section, colours)


def region_layer(region: BoolArray, superpixel_um: float, section: Path) -> LayerData:
    """Where to train as labels a person can paint: 1 is inside; nothing painted means everywhere."""
    colours = {None: (0.0, 0.0, 0.0, 0.0), 1: (0.9, 0.55, 0.0, 1.0)}
    return _painted("train only here", region, superpixel_um, section, colours)


def _painted(name: str, mask: BoolArray, superpixel_um: float, section: Path, colours: dict[Any, Any]) -> LayerData:
    """One level in memory: napari paints on nothing else."""
    role: Role = "tissue" if name == "tissue" else "region"
    placed = _placed(name, superpixel_um, role, section) | {"multiscale": False}
    return np.asarray(mask, dtype=np.uint8), placed | {"colormap": colours, "opacity": 0.35}, "labels"


def gene_levels(expression: Expression, gene: str) -> list[Plane]:
    """The lazy levels of one gene, finest first, to be handed to a layer as its data."""
    index = expression.genes.index(gene)
    return [Plane(level, index) for level in expression.levels]


def gene_contrast(expression: Expression, gene: str) -> tuple[float, float]:
    """Display limits of a gene, stored when the maps were written."""
    low, high = expression.contrast[expression.genes.index(gene)]
    return float(low), float(high)


def swap_gene(layer: Any, expression: Expression, gene: str, limits: tuple[float, float] | None = None) -> None:
    """Show another gene in the layer that `map_layer` made: the same layer, other data, name and limits.

    `limits` stand in for those that were stored with the map.
    """
    layer.data = gene_levels(expression, gene)
    layer.contrast_limits = limits or gene_contrast(expression, gene)
    layer.name = map_name(gene)
    layer.metadata = {**layer.metadata, KEY: {**layer.metadata[KEY], **_map_metadata(expression, gene)}}


def first_gene(expression: Expression) -> str:
    """The gene whose map spans most, by its stored limits: something to see at once, and nothing is read."""
    spans = np.diff(np.asarray(expression.contrast, dtype=np.float64), axis=1).ravel()
    return expression.genes.symbols[int(np.argmax(spans))]


def map_name(gene: str) -> str:
    """How a map's layer is called."""
    return f"{gene} (predicted)"


def percentile_limits(pixels: Array, percentiles: tuple[float, float] = PERCENTILES) -> tuple[float, float]:
    """Display limits of a fluorescence channel from its pixels that are not 0; (0, 1) where there are none."""
    seen = pixels[pixels > 0]
    if not seen.size:
        return 0.0, 1.0
    low, high = np.percentile(seen, percentiles)
    return float(low), float(high if high > low else low + 1)


def _map_metadata(expression: Expression, gene: str) -> dict[str, Any]:
    return {"run": expression.run, "gene": gene, "unit": expression.unit}


def _placed(name: str, pixel_um: float, role: Role, section: Path, **says: Any) -> dict[str, Any]:
    """What all layers share: name, place in H&E µm, and what they show."""
    return {
        "name": name,
        "multiscale": True,
        "scale": (pixel_um, pixel_um),
        "translate": (pixel_um / 2, pixel_um / 2),
        "units": ("µm", "µm"),
        "metadata": {KEY: {"role": role, "section": str(section), **says}},
    }
