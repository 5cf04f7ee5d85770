"""An AnnData with positions as a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from napari_pixelgene.pipeline.sources.base import COORDINATES, SHAPES, Source
from napari_pixelgene.pipeline.sources.folders import zarr_attributes
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.anndata import Choice, Coordinates, Shape, anndata_pixel_size, read_anndata
from napari_pixelgene.settings import shown

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image


class AnnDataSource(Source):
    """Spots, bins or cells of an .h5ad file or a Zarr folder."""

    kind: ClassVar[str] = "anndata"
    title: ClassVar[str] = "AnnData"
    places: ClassVar[tuple[str, ...]] = ("counts",)

    counts: Path = Field(description="The .h5ad file, or the Zarr folder of one AnnData.")
    coordinates: Coordinates = Field(
        description="What positions count: he_px (pixels of this H&E, as scanpy has them for Visium), he_um (µm of "
        "this H&E), stage_um (the instrument's own µm, to be registered).",
        json_schema_extra=shown(words=COORDINATES),
    )
    shape: Shape | None = Field(
        None,
        description="What a row covers: disk (spot, bead), square (bin), point (cell); left out: Visium's where uns "
        "tells, else a point.",
        json_schema_extra=shown(words=SHAPES, empty="Visium's where the file says so, else points"),
    )
    size_um: float | None = Field(
        None,
        gt=0,
        description="Diameter of the disks or side of the squares in µm.",
        json_schema_extra=shown(empty="of disks and squares only"),
    )
    layer: str = Field(
        "",
        description="Where raw counts are: a layer's name, X or raw.X; empty: layers['counts'], raw.X, X in turn.",
        json_schema_extra=shown(empty="raw counts are looked for"),
    )
    library: str = Field(
        "",
        description="Which library (sample), where the object holds several.",
        json_schema_extra=shown(empty="where there are several samples"),
    )
    symbols: str = Field(
        "",
        description="The column of var with gene symbols; empty: var_names.",
        json_schema_extra=shown(empty="var_names", rare=True),
    )
    library_key: str = Field(
        "library_id",
        description="The column of obs that names the library of a row.",
        json_schema_extra=shown(rare=True),
    )
    positions: str = Field("spatial", description="The key of obsm with x and y.", json_schema_extra=shown(rare=True))

    @classmethod
    def claims(cls, path: Path) -> bool:
        """An .h5ad file, or a Zarr folder that says so; what its positions are, a person must say."""
        if path.is_file():
            return path.suffix.lower() == ".h5ad"
        return zarr_attributes(path).get("encoding-type") == "anndata"

    def files(self) -> dict[str, Path]:
        """The one file or folder."""
        return {"counts": self.counts}

    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """Units in the frame that `coordinates` names."""
        return read_anndata(self.counts, self._choice(), on_event=on_event)

    def pixel_size(self, he: Image) -> float | None:
        """Of a Visium object in pixels: as stated, or by the array's pitch."""
        return anndata_pixel_size(self.counts, self._choice())

    def _choice(self) -> Choice:
        return Choice(**{key: getattr(self, key) for key in type(self).model_fields if key not in self.places})
