"""A SpatialData store as a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from napari_pixelgene.pipeline.sources.base import SlideFile, Source
from napari_pixelgene.pipeline.sources.folders import zarr_attributes
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.anndata import Coordinates, Shape
from napari_pixelgene.readers.spatialdata import Choice, find_files, find_image, read_spatialdata

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image


class SpatialDataSource(Source):
    """A table and the shapes it annotates, or points, of a SpatialData store; perhaps its H&E."""

    kind: ClassVar[str] = "spatialdata"
    title: ClassVar[str] = "SpatialData"
    places: ClassVar[tuple[str, ...]] = ("store",)

    store: Path = Field(description="The .zarr folder of the SpatialData store.")
    table: str = Field("", description="Which table, where there are several.")
    region: str = Field("", description="Which of the shapes that the table annotates.")
    points: str = Field("", description="Points to read as transcripts, in the table's stead.")
    image: str = Field(
        "", description="The image that is the H&E: positions are then its pixels, through the coordinate system."
    )
    coordinate_system: str = Field("", description="Which coordinate system; empty: the only one, else global.")
    coordinates: Coordinates | None = Field(
        None,
        description="Without --image, what the system's units are: he_px (level-0 pixels of the H&E), he_um (its µm) "
        "or stage_um (the instrument's µm, to be registered).",
    )
    layer: str = Field(
        "", description="Where raw counts are: a layer's name, X or raw.X; empty: layers['counts'], raw.X, X in turn."
    )
    symbols: str = Field("", description="The column of var with gene symbols; empty: var_names.")
    shape: Shape | None = Field(None, description="What a unit covers: disk, square or point; left out: as drawn.")
    size_um: float | None = Field(None, gt=0, description="Diameter of a disk or side of a square in µm.")
    min_qv: float = Field(
        20.0,
        ge=0,
        title="Least quality (QV)",
        description="Points of lower quality (qv) are left out, where they state one.",
    )

    @classmethod
    def claims(cls, path: Path) -> bool:
        """A Zarr folder that says so; which table and image, a person may have to say."""
        return "spatialdata_attrs" in zarr_attributes(path)

    def files(self) -> dict[str, Path]:
        """The folders of the elements that are read."""
        return find_files(self.store, self._choice())

    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """Units or transcripts; in pixels of the H&E where that is an image of the store."""
        return read_spatialdata(self.store, self._choice(), he, on_event)

    def slide(self) -> SlideFile | None:
        """The image that was named."""
        return SlideFile(find_image(self.store, self.image)) if self.image else None

    def moved(self, files: Mapping[str, Path]) -> Self:
        """The store is two folders above an element."""
        found = files.get("counts") or files.get("transcripts")
        return self if found is None else self.replace(store=found.parents[1])

    def _choice(self) -> Choice:
        return Choice(**{key: getattr(self, key) for key in type(self).model_fields if key not in self.places})
