"""An AnnData with positions as a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from napari_pixelgene.pipeline.sources.base import Source
from napari_pixelgene.pipeline.sources.folders import zarr_attributes
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.anndata import Choice, Coordinates, Shape, anndata_pixel_size, read_anndata

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
        description="What positions are: he_px (level-0 pixels of this H&E), he_um (µm of this H&E) or stage_um "
        "(the instrument's µm, to be registered)."
    )
    layer: str = Field(
        "", description="Where raw counts are: a layer's name, X or raw.X; empty: layers['counts'], raw.X, X in turn."
    )
    symbols: str = Field("", description="The column of var with gene symbols; empty: var_names.")
    library: str = Field("", description="Which library, where the object holds several.")
    library_key: str = Field("library_id", description="The column of obs that names the library of a row.")
    positions: str = Field("spatial", description="The key of obsm with x and y.")
    shape: Shape | None = Field(
        None, description="What a unit covers: disk, square or point; left out: Visium's where uns tells, else a point."
    )
    size_um: float | None = Field(None, gt=0, description="Diameter of a disk or side of a square in µm.")

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
