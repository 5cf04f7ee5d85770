"""What a person may choose about HisToSGE."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_pixelgene.models.base import TorchSettings


class HistoSgeSettings(TorchSettings):
    """Settings of HisToSGE."""

    recipe: Literal["default", "original"] = Field(
        "default",
        description="default: sets by space, any place, early stopping; 'original' repeats the published one.",
    )
    reach: int = Field(48, ge=8, description="How far the units of a set may lie from one another, in superpixels.")
    set_size: int = Field(50, ge=1, description="Most units in a set.")
    position: Literal["relative", "absolute", "none"] = Field(
        "relative",
        description="What a token knows of its place. relative: how it lies to the others, on any slide; absolute: "
        "where it lies on the slide, to fill gaps between the units of one section; none: nothing.",
    )
    components: int = Field(8, ge=1, description="Principal components of the targets.")
    width: int = Field(128, ge=8, description="Numbers in a token.")
    hidden: int = Field(256, ge=1, description="Width of the head.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of hidden values dropped while training.")
    superpixels_per_unit: int = Field(8, ge=1, description="Superpixels of a unit drawn in one step.")
