"""A Xenium output folder as a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from napari_pixelgene.pipeline.sources.base import Source
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.xenium import EXPERIMENT, find_bundle, find_transcripts, read_morphology, read_xenium

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image


class XeniumSource(Source):
    """The output folder of one Xenium region."""

    kind: ClassVar[str] = "xenium"
    title: ClassVar[str] = "Xenium"
    places: ClassVar[tuple[str, ...]] = ("bundle",)

    bundle: Path = Field(title="Run folder", description="The run's output folder (the one with experiment.xenium).")
    min_qv: float = Field(
        20.0, ge=0, title="Least quality (QV)", description="Transcripts of lower quality are left out (10x use 20)."
    )

    def files(self) -> dict[str, Path]:
        """The experiment file stands for the folder."""
        folder = find_bundle(self.bundle)
        return {"bundle": folder / EXPERIMENT, "transcripts": find_transcripts(folder)}

    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """Transcripts in `stage_um`, with the morphology."""
        return read_xenium(self.bundle, on_event, min_qv=self.min_qv)

    def morphology(self, on_event: OnEvent = silent) -> tuple[Image, ...]:
        """The channels of the focus image."""
        return read_morphology(self.bundle, on_event)

    def moved(self, files: Mapping[str, Path]) -> Self:
        """The folder is where its experiment file is."""
        return self.replace(bundle=files["bundle"].parent) if "bundle" in files else self

    @classmethod
    def recognise(cls, path: Path) -> Self | None:
        """A folder with experiment.xenium, or that file."""
        folder = path.parent if path.name == EXPERIMENT else path
        return cls(bundle=folder) if (folder / EXPERIMENT).is_file() else None
