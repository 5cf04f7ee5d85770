"""A Visium HD output folder as a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field

from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.sources.base import SlideFile, Source
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.readers.feature_matrix import matrix_file
from napari_pixelgene.readers.visium_hd import find_bins, hd_pixel_size, hd_slide, read_visium_hd
from napari_pixelgene.settings import shown

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image


class VisiumHdSource(Source):
    """The bins of one capture area, of one size."""

    kind: ClassVar[str] = "visium-hd"
    title: ClassVar[str] = "Visium HD"
    places: ClassVar[tuple[str, ...]] = ("bundle",)

    bundle: Path = Field(
        description="Space Ranger's output folder (outs, the one with binned_outputs in it), or one square_…um of it."
    )
    bin_um: int | None = Field(
        None,
        ge=1,
        le=200,
        description="Side of a bin in µm: 8 when left out, or that of the square_…um folder given.",
        json_schema_extra=shown(empty="8, or that of the folder"),
    )

    def files(self) -> dict[str, Path]:
        """Matrix, positions and scale factors of one bin size."""
        run = find_bins(self.bundle, self.bin_um)
        return {"counts": matrix_file(run.matrix), "positions": run.positions, "scalefactors": run.scalefactors}

    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """Squares in `he_px`."""
        return read_visium_hd(self.bundle, he, self.bin_um, on_event)

    def slide(self) -> SlideFile | None:
        """The hires image, its pixels as the scale factors state them."""
        found = hd_slide(self.bundle, self.bin_um)
        return None if found is None else SlideFile(*found)

    def pixel_size(self, he: Image) -> float | None:
        """As the scale factors state it."""
        return hd_pixel_size(self.bundle, he, self.bin_um)

    def moved(self, files: Mapping[str, Path]) -> Self:
        """The bins' own folder is the one that holds `spatial`."""
        return self.replace(bundle=files["scalefactors"].parents[1]) if "scalefactors" in files else self

    @classmethod
    def recognise(cls, path: Path) -> Self | None:
        """A folder with binned_outputs, that folder, or one of its squares, with bins of 8 µm or its own."""
        try:
            find_bins(path)
        except (InputError, OSError):
            return None
        return cls(bundle=path)
