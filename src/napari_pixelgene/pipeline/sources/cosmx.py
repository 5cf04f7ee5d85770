"""CosMx flat files as a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.sources.base import Source
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.cosmx import FIELDS, MATRIX, METADATA, TRANSCRIPTS, find_run, read_cosmx
from napari_pixelgene.settings import shown

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image


class CosmxSource(Source):
    """The flat files that AtoMx exports."""

    kind: ClassVar[str] = "cosmx"
    title: ClassVar[str] = "CosMx"
    places: ClassVar[tuple[str, ...]] = ("run",)

    run: Path = Field(description="The folder of flat files; one of them where the folder holds several runs.")
    count: Literal["transcripts", "cells"] = Field(
        "transcripts",
        description="What is counted: every transcript, or those of cells, at the cells' centres. A run without a "
        "table of transcripts has cells only.",
        json_schema_extra=shown(words={"transcripts": "every transcript", "cells": "cells, at their centres"}),
    )
    pixel_um: float | None = Field(
        None,
        gt=0,
        title="CosMx pixel (µm)",
        description="µm per pixel of the run's own images; left out, it is taken from the files and told.",
        json_schema_extra=shown(empty="taken from the files"),
    )

    def files(self) -> dict[str, Path]:
        """The tables that are read."""
        tables = find_run(self.run).tables
        streamed = self.count == "transcripts" and TRANSCRIPTS in tables
        keys = {TRANSCRIPTS: "transcripts"} if streamed else {MATRIX: "counts", METADATA: "metadata"}
        return {key: tables[kind] for kind, key in {**keys, FIELDS: "fields"}.items() if kind in tables}

    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """Transcripts, or cells as points, in `stage_um`."""
        return read_cosmx(self.run, self.pixel_um, self.count == "cells", on_event)

    def moved(self, files: Mapping[str, Path]) -> Self:
        """The run is where its table is."""
        table = files.get("transcripts") or files.get("counts")
        return self if table is None else self.replace(run=table)

    @classmethod
    def recognise(cls, path: Path) -> Self | None:
        """A folder with the flat files of one run, or its table of transcripts."""
        try:
            find_run(path)
        except (InputError, OSError):
            return None
        return cls(run=path)
