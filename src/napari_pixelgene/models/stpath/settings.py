"""What a person may choose about STPath."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.models.stpath.labels import Organ, Technology, organ_named, technology_named
from napari_pixelgene.settings import Section, shown

# A superpixel's side: points lie on corners or centres of whole ones.
_SQUARE_UM = 8


def _organ(value: Any) -> Any:
    return _meant(organ_named, value)


def _technology(value: Any) -> Any:
    return _meant(technology_named, value)


def _meant(named: Any, value: Any) -> Any:
    """The name of the list that is meant; what is on no list is left for pydantic to refuse with all choices."""
    try:
        return named(value) if isinstance(value, str) else value
    except SettingsError:
        return value


class STPathSettings(Section):
    """Settings of STPath."""

    weights: Path | None = Field(
        None,
        description="The file of weights, stfm.pth (also called stpath.pkl); it is not part of this package.",
        json_schema_extra=shown(empty="stfm.pth"),
    )
    vocabulary: Path | None = Field(
        None,
        description="The file symbol2ensembl.json that belongs to the weights.",
        json_schema_extra=shown(empty="symbol2ensembl.json"),
    )
    embeddings: Path | None = Field(
        None,
        description="Ready-made vectors of points in the stead of an encoder: an .h5 of HEST or TRIDENT, or what holds "
        "one named like each section.",
        json_schema_extra=shown(empty="made by the encoder"),
    )
    download: bool = Field(
        False,
        description="Fetch what is not on this machine from Hugging Face; the weights (197 MB) state no licence.",
    )
    organ: Annotated[Organ, BeforeValidator(_organ)] = Field(
        "unknown", description="The organ, as the network was told in its training; unknown leaves it out."
    )
    technology: Annotated[Technology, BeforeValidator(_technology)] = Field(
        "unknown",
        description="How the spots are, or would be, measured; the network was mostly trained without being told.",
    )
    context: str = Field(
        "measured",
        description="Units whose counts it may see: measured (all that are not scored), region (those in the region "
        "drawn to train on), file:FILE (names of units, one a line) or none (histology alone).",
    )
    fine_tune: Literal["no", "head", "last block", "all"] = Field(
        "no",
        description="What goes on learning on your section: nothing, the last layer, also the last block, or all but "
        "the embedding of genes.",
    )
    epochs: int = Field(20, ge=1, description="Fine-tuning: at most so many passes over the units.")
    patience: int = Field(5, ge=1, description="Fine-tuning: stop when no better for so many epochs.")
    learning_rate: float = Field(1e-4, gt=0, description="Fine-tuning: step size of Adam; pretraining took 5e-4.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Fine-tuning: share of hidden values dropped.")
    patch_units: int = Field(1024, ge=64, description="Fine-tuning: at most so many neighbouring units in one step.")
    pitch_um: int = Field(
        56, ge=_SQUARE_UM, multiple_of=_SQUARE_UM, description="µm between the points that a map is made of."
    )
    isotropic: bool = Field(
        False,
        description="Keep the tissue's shape when places are scaled; the network was trained with each axis stretched.",
        json_schema_extra=shown(rare=True),
    )
    released: bool = Field(
        True,
        description="Take the released network only; off, one of the same layout and other sizes, as of a pretraining "
        "of your own.",
        json_schema_extra=shown(rare=True),
    )
    recipe: Literal["default", "original"] = Field(
        "default",
        description="original: names of organs and technologies, and symbols that share a gene, count as in the "
        "published code, where also 'Others' means nothing.",
        json_schema_extra=shown(rare=True),
    )

    @field_validator("context")
    @classmethod
    def _is_a_choice(cls, value: str) -> str:
        kind, _, argument = value.strip().partition(":")
        if kind not in ("measured", "region", "none", "file") or (kind == "file") != bool(argument):
            raise ValueError("use measured, region, file:FILE or none")
        return value.strip()

    @property
    def leans(self) -> bool:
        """Whether measured units are shown to the network."""
        return self.context != "none"
