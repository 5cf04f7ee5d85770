"""The layer of measured counts beside the map layer, and the colours both share. No Qt here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pixelgene.gui.layers import KEY, LayerData, map_layer

if TYPE_CHECKING:
    from napari_pixelgene.elements.expression import Expression
    from napari_pixelgene.gui.genes.looks import Limits
    from napari_pixelgene.pipeline.measured_maps import MeasuredMaps

# What the layers' metadata says they are.
MAP, COUNTS = "map", "counts"
# A slider over so many times what is shown cannot be set any more.
_COARSE = 8


def is_map(layer: Any) -> bool:
    """Whether a layer shows a gene, predicted or measured."""
    return layer.metadata.get(KEY, {}).get("role") in (MAP, COUNTS)


def counts_layer(measured: MeasuredMaps, maps: Expression, gene: str, section: Path) -> LayerData:
    """What was counted of a gene, placed and drawn as its map is."""
    _, says, kind = map_layer(maps, gene, section)
    told = {**says["metadata"][KEY], "role": COUNTS, "unit": measured.unit}
    return measured.levels(gene), says | {"name": counts_name(gene), "metadata": {KEY: told}}, kind


def swap_counts(layer: Any, measured: MeasuredMaps, gene: str) -> None:
    """Show another gene in that layer."""
    layer.data = measured.levels(gene)
    layer.name = counts_name(gene)
    layer.metadata = {**layer.metadata, KEY: {**layer.metadata[KEY], "gene": gene}}


def counts_name(gene: str) -> str:
    """How the layer is called."""
    return f"{gene} (measured)"


def paint(layer: Any, limits: Limits, colormap: str) -> None:
    """Limits, with a slider range that suits them, and colours; only what is new, for each costs a few milliseconds."""
    if tuple(layer.contrast_limits) != limits:
        layer.contrast_limits = limits
    least, most = layer.contrast_limits_range
    wanted = (min(0.0, limits[0]), limits[1] + (limits[1] - limits[0]))
    if least > wanted[0] or not (limits[1] + wanted[1]) / 2 <= most <= _COARSE * wanted[1]:
        layer.contrast_limits_range = wanted
    if layer.colormap.name != colormap:
        layer.colormap = colormap


def limits_of(layer: Any) -> Limits:
    """A layer's display limits."""
    low, high = layer.contrast_limits
    return float(low), float(high)
