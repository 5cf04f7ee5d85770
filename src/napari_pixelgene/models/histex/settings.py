"""What a person may choose about HISTEX."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from napari_pixelgene.models.base import TorchSettings

# The widest window that is chosen by itself, in superpixels: the spots of legacy ST, 100 µm.
WIDEST = 13


class HistexSettings(TorchSettings):
    """Settings of HISTEX."""

    recipe: Literal["components", "original"] = Field(
        "components",
        description="What is learned. 'components': composition and total, context left out at random; 'original' "
        "repeats the published recipe and needs units on an array.",
    )
    window: int = Field(
        0, ge=0, description="Side of a window in superpixels, odd; 0: as wide as the units, 7 at least."
    )
    neighbours: int = Field(5, ge=1, description="Measured units near by that a window looks at.")
    dense_context: bool = Field(
        False, description="Also look at points half way between measured units (recipe components)."
    )
    context_drop: float = Field(
        0.5, ge=0, le=1, description="Share of the training units that are shown no measured unit (recipe components)."
    )
    components: int = Field(8, ge=1, description="Principal components of the targets (recipe components).")
    embedding: int = Field(64, ge=8, multiple_of=8, description="Width of the attention; in 'original' 128.")
    hidden: int = Field(256, ge=1, description="Width of the head's hidden layers (recipe components).")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of hidden values dropped while training.")
    superpixels_per_unit: int = Field(24, ge=1, description="Superpixels of a window drawn in one step.")

    @field_validator("window")
    @classmethod
    def _odd(cls, side: int) -> int:
        if side and side % 2 == 0:
            raise ValueError("a window has a middle: its side is odd")
        return side

    @property
    def widest(self) -> int:
        """The widest window that there can be, in superpixels."""
        return self.window or WIDEST
