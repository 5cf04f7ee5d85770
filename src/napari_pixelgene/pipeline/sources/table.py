"""Any table of positions and genes as a source: MERSCOPE, Stereo-seq, Slide-seq, a table of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from napari_pixelgene.elements.capture import Footprint
from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.sources.base import COORDINATES, SHAPES, Source
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.anndata import Coordinates, Shape
from napari_pixelgene.readers.streamed_table import open_table
from napari_pixelgene.readers.tables import (
    CONTROLS,
    DNB_UM,
    MERSCOPE,
    STEREO_SEQ,
    Names,
    has_columns,
    is_long,
    read_long,
    read_units,
)
from napari_pixelgene.settings import shown

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image

_KNOWN = shown(empty="a well-known column")
_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".gem", ".gem.gz", ".parquet")


class TableSource(Source):
    """A long table, one molecule (or count) a row, or a wide one, one unit a row and one gene a column."""

    kind: ClassVar[str] = "table"
    title: ClassVar[str] = "Table (MERSCOPE, Stereo-seq, …)"
    places: ClassVar[tuple[str, ...]] = ("table",)

    table: Path = Field(description="CSV or TSV (may be gzipped), GEM or Parquet.")
    coordinates: Coordinates = Field(
        description="What x and y count: he_px (pixels of the H&E), he_um (µm of the H&E), stage_um (the "
        "instrument's own µm, to be registered).",
        json_schema_extra=shown(words=COORDINATES),
    )
    unit_um: float = Field(
        1.0, gt=0, description="µm that one step of x or y is, where they are no pixels: 1 for µm, Stereo-seq 0.5."
    )
    shape: Shape | None = Field(
        None,
        description="Of a table with a spot, bin or cell a row, what a row covers: disk (spots, beads), square (bins), "
        "point (cells).",
        json_schema_extra=shown(words=SHAPES, empty="a row is a molecule"),
    )
    size_um: float | None = Field(
        None,
        gt=0,
        description="Diameter of the disks or side of the squares in µm.",
        json_schema_extra=shown(empty="of disks and squares only"),
    )
    x: str = Field("", description="Column of x (to the right); empty: a well-known name.", json_schema_extra=_KNOWN)
    y: str = Field("", description="Column of y; empty: a well-known name.", json_schema_extra=_KNOWN)
    gene: str = Field(
        "", description="Of a table of molecules, the column of the gene's name; empty: a well-known name.",
        json_schema_extra=_KNOWN,
    )  # fmt: skip
    layout: Literal["auto", "long", "wide"] = Field(
        "auto",
        description="long: a molecule or count a row. wide: a spot, bin or cell a row, a gene a column. auto looks.",
        json_schema_extra=shown(
            words={"auto": "found by itself", "long": "a molecule", "wide": "a spot, bin or cell"}, rare=True
        ),
        title="A row is",
    )
    count: str = Field(
        "",
        description="Of a table of molecules, the column of how many a row counts; empty: a well-known name, else one.",
        json_schema_extra=shown(empty="a well-known column, else one a row", rare=True),
    )
    controls: tuple[str, ...] = Field(
        CONTROLS,
        description="Of a table of molecules, begins of names that are no genes; such rows are left out and told.",
        json_schema_extra=shown(rare=True),
    )
    identity: str = Field(
        "",
        description="Of a table of spots, bins or cells, the column of their names; empty: a well-known name.",
        json_schema_extra=shown(empty="a well-known column", rare=True),
    )
    others: tuple[str, ...] = Field(
        (),
        description="Of a table of spots, bins or cells, columns that are no genes, such as area.",
        json_schema_extra=shown(empty="columns that are no genes: area, type", rare=True),
    )

    @field_validator("unit_um")
    @classmethod
    def _of_um(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("coordinates") == "he_px" and value != 1:
            raise ValueError("pixels of the H&E are no µm; choose the coordinates he_um, or leave unit_um out")
        return value

    @field_validator("size_um")
    @classmethod
    def _of_an_area(cls, value: float | None, info: ValidationInfo) -> float | None:
        if info.data.get("shape") == "point" and value is not None:
            raise ValueError("a point has no size")
        return value

    def files(self) -> dict[str, Path]:
        """The table."""
        key = "transcripts" if self._is_long() else "counts"
        return {key: self.table}

    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """Transcripts or units, in the frame that `coordinates` says."""
        if self._is_long():
            return read_long(self.table, self._names(), self.coordinates, self.unit_um, self.controls, on_event)
        return read_units(self.table, self._names(), self._footprint(), self.coordinates, self.unit_um, on_event)

    def moved(self, files: Mapping[str, Path]) -> Self:
        """There is one file, whatever its key."""
        return self.replace(table=next(iter(files.values()))) if files else self

    def _names(self) -> Names:
        return Names(self.x, self.y, self.gene, self.count, self.identity, self.others)

    def _is_long(self) -> bool:
        return is_long(open_table(self.table), self._names()) if self.layout == "auto" else self.layout == "long"

    def _footprint(self) -> Footprint:
        if self.shape is None:
            raise InputError(
                f"{self.table} has a unit a row; what a unit covers is not said.",
                "Give --shape disk or square with --size-um, or --shape point (cells). "
                "If a row is a molecule, name the column of its gene with --gene.",
            )
        if self.shape != "point" and self.size_um is None:
            raise InputError(f"The size of the {self.shape}s of {self.table} is not given.", "Give --size-um.")
        return Footprint(self.shape, self.size_um or 0.0)

    @classmethod
    def recognise(cls, path: Path) -> Self | None:
        """MERSCOPE's table of transcripts, or its folder, or a GEM file; of other tables a person must say more."""
        inside = sorted(path.glob("detected_transcripts.*")) if path.is_dir() else []
        table = inside[0] if inside else path
        if not (table.is_file() and table.name.lower().endswith(_SUFFIXES)):
            return None
        if has_columns(table, MERSCOPE):
            return cls(table=table, coordinates="stage_um")
        is_gem = any(has_columns(table, columns) for columns in STEREO_SEQ)
        return cls(table=table, coordinates="stage_um", unit_um=DNB_UM) if is_gem else None
