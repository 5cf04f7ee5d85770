"""What a person may choose about Pixel2Gene."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_pixelgene.models.superpixels.settings import SuperpixelSettings


class Pixel2GeneSettings(SuperpixelSettings):
    """Settings of Pixel2Gene."""

    recipe: Literal["auto", "components", "likelihood", "original"] = Field(
        "auto",
        description="What is learned. auto: 'components' where the median unit holds at least 200 counts, else "
        "'likelihood'; 'original' repeats the published recipe.",
    )
