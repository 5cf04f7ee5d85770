"""`pixelgene import`: files into a section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, Overwrite, SectionPath, default, of
from napari_pixelgene.pipeline import importing
from napari_pixelgene.pipeline.importing import ImportSettings
from napari_pixelgene.store.section import SectionStore


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """What every import takes."""

    he: Annotated[Path, Parameter(help="The H&E: OME-TIFF, SVS, TIFF, JPEG or PNG.")]
    mpp: Annotated[float | None, of(ImportSettings, "mpp")] = None
    work_mpp: Annotated[float, of(ImportSettings, "work_mpp")] = default(ImportSettings, "work_mpp")
    overwrite: Overwrite = False

    def settings(self, **more: Any) -> ImportSettings:
        """With what the kind of capture asks for."""
        return ImportSettings.make({"mpp": self.mpp, "work_mpp": self.work_mpp, **more})


def import_st(
    section: SectionPath,
    *,
    slide: Slide,
    counts: Annotated[Path, Parameter(help="Table of counts: spots down, genes across (TSV, may be gzipped).")],
    spots: Annotated[Path, Parameter(help="Table of spots: x, y, pixel_x, pixel_y (TSV).")],
    spot_diameter_um: Annotated[float | None, of(ImportSettings, "spot_diameter_um")] = None,
    name: Annotated[str, of(ImportSettings, "name")] = "",
    terminal: Listener,
) -> None:
    """A section from an H&E and a legacy Spatial Transcriptomics table."""
    settings = slide.settings(spot_diameter_um=spot_diameter_um, name=name)
    made = importing.import_st(section, slide.he, counts, spots, settings, terminal, slide.overwrite)
    _tell(made, terminal, f"pixelgene fit --train {made.path.name} --run RUN")


def import_xenium(
    section: SectionPath,
    *,
    slide: Slide,
    bundle: Annotated[Path, Parameter(help="The run's output folder (the one with experiment.xenium).")],
    min_qv: Annotated[float, of(ImportSettings, "min_qv")] = default(ImportSettings, "min_qv"),
    name: Annotated[str, of(ImportSettings, "name")] = "",
    terminal: Listener,
) -> None:
    """A section from an H&E and a Xenium output folder."""
    settings = slide.settings(min_qv=min_qv, name=name)
    made = importing.import_xenium(section, bundle, slide.he, settings, terminal, slide.overwrite)
    _tell(made, terminal, f"pixelgene register {made.path.name} --keypoints FILE   (or --matrix FILE)")


def import_image(section: SectionPath, *, slide: Slide, terminal: Listener) -> None:
    """A section from an H&E alone, to be predicted on."""
    made = importing.import_image(section, slide.he, slide.settings(), terminal, slide.overwrite)
    _tell(made, terminal, f"pixelgene predict {made.path.name} --run RUN --from SECTION")


def _tell(made: SectionStore, terminal: Listener, following: str) -> None:
    values = {"section": str(made.path), "captures": made.captures(), "mpp": made.meta()["mpp"]}
    terminal.result(values, f"{made.path.name} is imported. Next: {following}")
