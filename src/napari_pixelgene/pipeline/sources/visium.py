"""A Visium output folder as a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.sources.base import SlideFile, Source
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.feature_matrix import matrix_file
from napari_pixelgene.readers.visium import find_visium, is_run, read_visium, visium_pixel_size, visium_slide

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image


class VisiumSource(Source):
    """The output folder of one capture area."""

    kind: ClassVar[str] = "visium"
    title: ClassVar[str] = "Visium"
    places: ClassVar[tuple[str, ...]] = ("bundle",)

    bundle: Path = Field(description="Space Ranger's output folder (outs, the one with spatial in it).")

    def files(self) -> dict[str, Path]:
        """Matrix, positions and scale factors."""
        run = find_visium(self.bundle)
        return {"counts": matrix_file(run.matrix), "positions": run.positions, "scalefactors": run.scalefactors}

    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """Disks of 55 µm in `he_px`."""
        return read_visium(self.bundle, he, on_event)

    def slide(self) -> SlideFile | None:
        """The hires image, its pixels measured by the array's pitch."""
        found = visium_slide(self.bundle)
        return None if found is None else SlideFile(*found)

    def pixel_size(self, he: Image) -> float | None:
        """By the array's pitch."""
        return visium_pixel_size(self.bundle, he)

    def moved(self, files: Mapping[str, Path]) -> Self:
        """The folder is the one that holds `spatial`."""
        return self.replace(bundle=files["scalefactors"].parents[1]) if "scalefactors" in files else self

    @classmethod
    def recognise(cls, path: Path) -> Self | None:
        """A folder with spatial/scalefactors_json.json and a matrix, of spots."""
        try:
            if not is_run(path):
                return None
            find_visium(path)
        except (InputError, OSError):
            return None
        return cls(bundle=path)
