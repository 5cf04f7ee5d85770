"""Legacy Spatial Transcriptomics tables as a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from napari_pixelgene.pipeline.sources.base import Source
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.legacy_st import read_legacy_st
from napari_pixelgene.settings import shown

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image


class LegacyStSource(Source):
    """A wide table of counts, and a table of spots in pixels of the H&E."""

    kind: ClassVar[str] = "st"
    title: ClassVar[str] = "Legacy Spatial Transcriptomics"
    places: ClassVar[tuple[str, ...]] = ("counts", "spots")

    counts: Path = Field(description="Table of counts: spots down, genes across (TSV, may be gzipped).")
    spots: Path = Field(description="Table of spots: x, y, pixel_x, pixel_y (TSV).")
    spot_diameter_um: float = Field(
        gt=0,
        title="Spot diameter (µm)",
        description="Diameter of a spot in µm (legacy ST: 100).",
        json_schema_extra=shown(empty="100 on the first arrays"),
    )

    def files(self) -> dict[str, Path]:
        """Both tables."""
        return {"counts": self.counts, "spots": self.spots}

    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """Disks in `he_px`."""
        return read_legacy_st(self.counts, self.spots, self.spot_diameter_um, on_event=on_event)
