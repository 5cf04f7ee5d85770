"""What a person may choose about any network over superpixels."""

from __future__ import annotations

from pydantic import Field

from napari_pixelgene.models.base import TorchSettings


class SuperpixelSettings(TorchSettings):
    """What the recipes have in common."""

    components: int = Field(8, ge=1, description="Principal components of the targets (recipe components).")
    rank: int = Field(24, ge=1, description="Programmes that all genes are mixed from (recipe likelihood).")
    hidden: int = Field(256, ge=1, description="Width of the hidden layers.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of hidden values dropped while training.")
    superpixels_per_unit: int = Field(16, ge=1, description="Superpixels of a unit drawn in one step.")
