"""The prefix folder of iStar, iSCALE and Pixel2Gene as a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.sources.base import SHAPES, SlideFile, Source
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.prefix import SizeAnswers, find_image, find_prefix, prefix_of, read_prefix
from napari_pixelgene.readers.prefix_size import RadiusIs
from napari_pixelgene.settings import shown

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image

_RADIUS = {
    "radius-px": "the radius in pixels",
    "diameter-px": "the diameter in pixels",
    "radius-um": "the radius in µm",
    "diameter-um": "the diameter in µm",
}


class PrefixSource(Source):
    """Counts and positions behind one prefix, in pixels of its H&E."""

    kind: ClassVar[str] = "prefix"
    title: ClassVar[str] = "Pixel2Gene / iStar folder"
    places: ClassVar[tuple[str, ...]] = ("prefix",)

    prefix: Path = Field(description="The folder with cnts and locs, or a folder and the begin of their names.")
    radius_is: RadiusIs | None = Field(
        None,
        description="What the number in radius-raw.txt is, where the distance of the spots does not tell.",
        json_schema_extra=shown(words=_RADIUS, empty="told by the distance of the spots"),
    )
    size_um: float | None = Field(
        None,
        gt=0,
        description="Diameter of a spot or side of a bin in µm; overrules radius-raw.txt.",
        json_schema_extra=shown(empty="by radius-raw.txt"),
    )
    shape: Literal["disk", "square"] | None = Field(
        None,
        description="What a row covers: spots are disks, bins squares; told by their distance when left out.",
        json_schema_extra=shown(words=SHAPES, empty="told by the distance of the spots"),
    )

    def files(self) -> dict[str, Path]:
        """The tables, and the radius where there is one."""
        found = find_prefix(self.prefix)
        files = {"counts": found.counts, "locs": found.locs}
        return files if found.radius is None else {**files, "radius": found.radius}

    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """Disks, squares or points in `he_px`."""
        answers = SizeAnswers(self.radius_is, self.size_um, self.shape)
        return read_prefix(self.prefix, he.path, he.require_mpp(), answers, on_event)

    def slide(self) -> SlideFile | None:
        """`he-raw.*` with its pixel size, or the rescaled `he.*` where only that is there."""
        found = find_image(self.prefix)
        return None if found is None else SlideFile(*found)

    def moved(self, files: Mapping[str, Path]) -> Self:
        """The prefix is the begin of the counts' path."""
        return self.replace(prefix=prefix_of(files["counts"])) if "counts" in files else self

    @classmethod
    def recognise(cls, path: Path) -> Self | None:
        """A folder with cnts and locs."""
        if not path.is_dir():
            return None
        try:
            find_prefix(path)
        except InputError:
            return None
        return cls(prefix=path)
