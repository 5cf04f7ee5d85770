"""What a person may choose about a synthetic tissue."""

from __future__ import annotations

from typing import Self
from uuid import NAMESPACE_OID, uuid5

from pydantic import Field, model_validator

from napari_pixelgene.settings import Section

MORPHOLOGY_MPP = 0.2125


class SimulationSettings(Section):
    """A slide, the run that measured part of it, and its genes. Same settings, same bytes."""

    width_um: float = Field(3000.0, ge=300, description="Width of the H&E slide in µm.")
    height_um: float = Field(3000.0, ge=300, description="Height of the H&E slide in µm.")
    he_mpp: float = Field(0.5, gt=0.1, le=2.0, description="Pixel size of the H&E in µm per pixel.")
    measured: float = Field(
        0.9, gt=0.2, le=0.93, description="Share of the slide's width and height that the Xenium run covers."
    )
    genes: int = Field(120, ge=8, le=1000, description="Genes of the panel; 100 or more resemble a real one.")
    hidden_genes: int = Field(
        24, ge=0, description="Genes whose pattern (100 µm or finer) the histology does not show at all."
    )
    hidden_um: float = Field(
        35.0,
        gt=5,
        le=60,
        description="Lattice spacing of the hidden patterns in µm; they correlate over about twice that.",
    )
    transcripts_per_cell: float = Field(
        150.0, gt=0, le=5000, description="Accepted transcripts of an average cell, over all genes of the panel."
    )
    click_sd_um: float = Field(0.5, ge=0, description="Error of a keypoint in each image: standard deviation in µm.")
    rotation_deg: float = Field(93.5, description="Turn from the morphology image to the H&E in degrees.")
    perspective: float = Field(
        0.004, ge=0, le=0.05, description="Strength of the projective part, as relative change of scale over the slide."
    )
    panel_seed: int = Field(
        0, ge=0, description="Seed of the gene programmes; slides that share it can train one another."
    )
    seed: int = Field(0, ge=0, description="Seed of the tissue and of everything measured on it.")

    @model_validator(mode="after")
    def _hidden_fit(self) -> Self:
        if self.hidden_genes > self.genes - 4:
            raise ValueError(
                f"hidden_genes is {self.hidden_genes}, but at least 4 of {self.genes} genes must be visible"
            )
        return self

    @property
    def he_shape(self) -> tuple[int, int]:
        """(rows, columns) of the H&E's level 0."""
        return round(self.height_um / self.he_mpp), round(self.width_um / self.he_mpp)


def name_of(settings: SimulationSettings, part: str) -> str:
    """A unique name of a file or run that the same settings give again."""
    return str(uuid5(NAMESPACE_OID, f"{part} {settings.model_dump_json()}"))
