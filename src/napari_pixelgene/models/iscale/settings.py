"""What a person may choose about iSCALE."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_pixelgene.models.superpixels.settings import SuperpixelSettings


class IscaleSettings(SuperpixelSettings):
    """Settings of iSCALE."""

    recipe: Literal["auto", "components", "likelihood", "original", "istar"] = Field(
        "auto",
        description="What is learned. auto: 'components' where the median unit of every capture holds at least 200 "
        "counts, else 'likelihood', which takes spots and bins together; 'original' repeats the published recipe, "
        "'istar' that of its ancestor for one section.",
    )
    batch: Literal["offset", "standardise", "none"] = Field(
        "offset",
        description="What is taken off between captures: 'offset' what their histology does not explain, "
        "'standardise' every capture's own mean and spread, 'none' nothing.",
    )
    overlap: bool = Field(
        True, description="Units that lie on one another share the weight of their place, and none is merged."
    )
    merge_um: float = Field(
        50.0, ge=0, description="Spots so near become one site (recipe original; published as 100 work pixels)."
    )
