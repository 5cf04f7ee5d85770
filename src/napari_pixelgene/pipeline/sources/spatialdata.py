"""A SpatialData store as a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from napari_pixelgene.pipeline.sources.base import COORDINATES, SHAPES, SlideFile, Source
from napari_pixelgene.pipeline.sources.folders import zarr_attributes
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.anndata import Coordinates, Shape
from napari_pixelgene.readers.spatialdata import Choice, find_files, find_image, read_spatialdata
from napari_pixelgene.settings import shown

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image


class SpatialDataSource(Source):
    """A table and the shapes it annotates, or points, of a SpatialData store; perhaps its H&E."""

    kind: ClassVar[str] = "spatialdata"
    title: ClassVar[str] = "SpatialData"
    places: ClassVar[tuple[str, ...]] = ("store",)

    store: Path = Field(description="The .zarr folder of the SpatialData store.")
    image: str = Field(
        "",
        description="The image of the store that is the H&E: positions come to lie on it by themselves.",
        json_schema_extra=shown(empty="none: the H&E is chosen above"),
    )
    coordinates: Coordinates | None = Field(
        None,
        description="Where no image of the store is the H&E, what positions count: he_px (pixels of the H&E), he_um "
        "(µm of the H&E), stage_um (the instrument's own µm, to be registered).",
        json_schema_extra=shown(words=COORDINATES, empty="by the image"),
    )
    table: str = Field(
        "", description="Which table, where there are several.", json_schema_extra=shown(empty="the only one")
    )
    points: str = Field(
        "",
        description="Points to read as transcripts, in the table's stead.",
        json_schema_extra=shown(empty="none: counts are those of the table"),
    )
    region: str = Field(
        "",
        description="Which of the shapes that the table annotates.",
        json_schema_extra=shown(empty="the only one", rare=True),
    )
    coordinate_system: str = Field(
        "",
        description="Which coordinate system; empty: the only one, else global.",
        json_schema_extra=shown(empty="the only one, else global", rare=True),
    )
    shape: Shape | None = Field(
        None,
        description="What a row covers: disk (spot, bead), square (bin), point (cell); left out: as drawn.",
        json_schema_extra=shown(words=SHAPES, empty="as drawn in the store", rare=True),
    )
    size_um: float | None = Field(
        None,
        gt=0,
        description="Diameter of the disks or side of the squares in µm.",
        json_schema_extra=shown(empty="as drawn in the store", rare=True),
    )
    layer: str = Field(
        "",
        description="Where raw counts are: a layer's name, X or raw.X; empty: layers['counts'], raw.X, X in turn.",
        json_schema_extra=shown(empty="raw counts are looked for", rare=True),
    )
    symbols: str = Field(
        "",
        description="The column of var with gene symbols; empty: var_names.",
        json_schema_extra=shown(empty="var_names", rare=True),
    )
    min_qv: float = Field(
        20.0,
        ge=0,
        title="Least quality (QV)",
        description="Points of lower quality (qv) are left out, where they state one.",
        json_schema_extra=shown(rare=True),
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
