"""iSCALE's project folder as a source: each daughter a capture on the mother slide."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.sources.base import SHAPES, SlideFile, Source
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.iscale_project import (
    TRUTH,
    WORK_UM,
    Project,
    find_project,
    mother_image,
    read_daughter,
)
from napari_pixelgene.readers.prefix import SizeAnswers
from napari_pixelgene.settings import shown

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image


class IscaleSource(Source):
    """Captures that were laid onto a mother slide, in pixels of it."""

    kind: ClassVar[str] = "iscale"
    title: ClassVar[str] = "iSCALE project (mother and daughters)"
    places: ClassVar[tuple[str, ...]] = ("project",)

    project: Path = Field(description="The project's folder, which holds DaughterCaptures and MotherImage.")
    capture: str = Field(
        "",
        description="One daughter by name (D1), or truth for cnts-truth-agg, a pickle that is read only when it is "
        "asked for; all daughters when left out.",
        json_schema_extra=shown(empty="all daughters"),
    )
    size_um: float | None = Field(
        None,
        gt=0,
        description="Diameter of a spot or side of a bin in µm; overrules radius.txt.",
        json_schema_extra=shown(empty="by radius.txt"),
    )
    shape: Literal["disk", "square"] | None = Field(
        None,
        description="What a row covers: spots are disks, bins squares; told by their distance when left out.",
        json_schema_extra=shown(words=SHAPES, empty="told by the distance of the spots"),
    )

    def captures(self) -> tuple[Self, ...]:
        """Every daughter, or the one that is named."""
        if self.capture:
            return (self,)
        return tuple(self.replace(capture=name) for name in find_project(self.project).captures)

    def files(self) -> dict[str, Path]:
        """The tables, and the radius where there is one."""
        return self._found().files(self._name())

    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """Disks or squares in `he_px`."""
        answers = SizeAnswers("radius-px", self.size_um, self.shape)  # as the scripts read it
        return read_daughter(self._found(), self._name(), he.path, he.require_mpp(), answers, on_event)

    def slide(self) -> SlideFile | None:
        """The mother image."""
        return SlideFile(*mother_image(self._found()))

    def pixel_size(self, he: Image) -> float | None:
        """The published size of work pixels, for an image that states none; one as scanned must be told."""
        is_raw = he.path is not None and he.path.name.startswith("he-raw")
        return None if is_raw else WORK_UM

    def moved(self, files: Mapping[str, Path]) -> Self:
        """The project is four folders above a daughter's table; of the truth, the same."""
        return self.replace(project=files["counts"].parents[3]) if "counts" in files else self

    @classmethod
    def recognise(cls, path: Path) -> Self | None:
        """A folder with a mother and aligned daughters."""
        if not path.is_dir():
            return None
        try:
            find_project(path)
        except (InputError, OSError):
            return None
        return cls(project=path)

    def _found(self) -> Project:
        project = find_project(self.project)
        known = [*project.captures, *([TRUTH] if project.truth is not None else [])]
        if self.capture and self.capture not in known:
            raise InputError(f"{self.project} has no capture '{self.capture}'.", f"There is: {', '.join(known)}.")
        return project

    def _name(self) -> str:
        return self.capture or next(iter(find_project(self.project).captures))
