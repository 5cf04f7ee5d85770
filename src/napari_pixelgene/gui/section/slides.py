"""The H&E of a new section: a file as it is, or a layer that is open, written to a file where it has none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pixelgene.errors import InputError
from napari_pixelgene.exporters.images import write_image
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.readers.images import read_image

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

_SIDES = 2


def layer_choices(viewer: ViewerModel) -> list[tuple[str, Image]]:
    """Image layers of other origin that could be a slide: those in colour."""
    return [
        (layer.name, layer)
        for layer in viewer.layers
        if type(layer).__name__ == "Image" and layer.rgb and not layer.metadata.get(KEY)
    ]


def look_at(path: Path) -> tuple[str, float | None]:
    """What an image file says of itself in words, and its pixel size. Raises PixelGeneError where it is none."""
    image = read_image(path)
    rows, columns = image.yx_shape
    size = f" · {image.mpp:.4g} µm/px" if image.mpp else " · pixel size not said"
    return f"{columns:,} × {rows:,} px{size}", image.mpp


def saved_layer(layer: Image, section: Path, mpp: float) -> Path:
    """The file behind a layer, or one written beside the section from its finest level."""
    behind = layer.source.path
    if behind and Path(behind).is_file():
        return Path(behind).absolute()
    data: Any = layer.data[0] if layer.multiscale else layer.data
    if data.ndim != _SIDES + 1 or data.shape[-1] not in (3, 4) or np.dtype(data.dtype) != np.uint8:
        raise InputError(
            f"The layer '{layer.name}' has shape {tuple(data.shape)} of {np.dtype(data.dtype)}.",
            "An H&E is (rows, columns, 3) in 8 bits: choose another layer, or convert it.",
        )
    place = section.with_name(section.name.removesuffix(".section.zarr") + ".he.ome.tif")
    return write_image(place, data, mpp)
