"""Pixel2Gene: the kernel over superpixels, learned from bins, spots or cells as they are."""

from __future__ import annotations

from typing import ClassVar

from napari_pixelgene.models.base import Needs
from napari_pixelgene.models.pixel2gene.settings import Pixel2GeneSettings
from napari_pixelgene.models.superpixels.fitted import FittedSuperpixels
from napari_pixelgene.models.superpixels.model import SuperpixelModel
from napari_pixelgene.settings import Section


class FittedPixel2Gene(FittedSuperpixels):
    """A trained Pixel2Gene."""


class Pixel2Gene(SuperpixelModel):
    """Expression of a superpixel from its own histology vector."""

    name: ClassVar[str] = "pixel2gene"
    title: ClassVar[str] = "Pixel2Gene: an ensemble of small networks over superpixels"
    Settings = Pixel2GeneSettings
    fitted = FittedPixel2Gene

    def __init__(self, settings: Section | None = None) -> None:
        super().__init__(settings)
        self.needs = Needs(standardised=self.settings.recipe != "original")
