"""`pixelgene import`: files into a section. The options of a kind are the fields of its source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, Overwrite, SectionPath, default, of, open_section
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.adding import CaptureSettings, add_captures, next_step, require_no_others
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.slide import is_placed
from napari_pixelgene.pipeline.sources.anndata import AnnDataSource
from napari_pixelgene.pipeline.sources.base import Source
from napari_pixelgene.pipeline.sources.cosmx import CosmxSource
from napari_pixelgene.pipeline.sources.iscale import IscaleSource
from napari_pixelgene.pipeline.sources.legacy_st import LegacyStSource
from napari_pixelgene.pipeline.sources.prefix import PrefixSource
from napari_pixelgene.pipeline.sources.spatialdata import SpatialDataSource
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.pipeline.sources.visium import VisiumSource
from napari_pixelgene.pipeline.sources.visium_hd import VisiumHdSource
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.store.captures import read_capture

# A source's fields as options of the command, each with the words of its description.
_FIELDS = Parameter(name="*", consume_multiple=True, negative="")


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """What every import takes."""

    he: Annotated[
        Path | None,
        Parameter(
            help="The H&E: OME-TIFF, SVS, TIFF, JPEG, PNG, OME-Zarr, or a scanner's file (NDPI, MRXS, SCN); may be "
            "left out where the run has one."
        ),
    ] = None
    mpp: Annotated[float | None, of(ImportSettings, "mpp")] = None
    work_mpp: Annotated[float, of(ImportSettings, "work_mpp")] = default(ImportSettings, "work_mpp")
    name: Annotated[str, of(ImportSettings, "name")] = ""
    overwrite: Overwrite = False
    add: Annotated[
        bool,
        Parameter(
            help="One more capture in a section that is there; --he is then the capture's own image and --mpp that "
            "image's pixel size (or that of the positions).",
            negative="",
        ),
    ] = False


_SLIDE = Slide()


def import_st(
    section: SectionPath, *, slide: Slide = _SLIDE, source: Annotated[LegacyStSource, _FIELDS], terminal: Listener
) -> None:
    """A section from an H&E and a legacy Spatial Transcriptomics table."""
    _import(section, slide, source, terminal)


def import_xenium(
    section: SectionPath, *, slide: Slide = _SLIDE, source: Annotated[XeniumSource, _FIELDS], terminal: Listener
) -> None:
    """A section from an H&E and a Xenium output folder."""
    _import(section, slide, source, terminal)


def import_cosmx(
    section: SectionPath, *, slide: Slide = _SLIDE, source: Annotated[CosmxSource, _FIELDS], terminal: Listener
) -> None:
    """A section from an H&E and the flat files of a CosMx run."""
    _import(section, slide, source, terminal)


def import_prefix(
    section: SectionPath, *, slide: Slide = _SLIDE, source: Annotated[PrefixSource, _FIELDS], terminal: Listener
) -> None:
    """A section from the folder that Pixel2Gene, iSCALE and iStar work in."""
    _import(section, slide, source, terminal)


def import_iscale(
    section: SectionPath, *, slide: Slide = _SLIDE, source: Annotated[IscaleSource, _FIELDS], terminal: Listener
) -> None:
    """A section from an iSCALE project: the mother slide with each daughter as a capture."""
    _import(section, slide, source, terminal)


def import_table(
    section: SectionPath, *, slide: Slide = _SLIDE, source: Annotated[TableSource, _FIELDS], terminal: Listener
) -> None:
    """A section from an H&E and a table of molecules or units: MERSCOPE, Stereo-seq, your own."""
    _import(section, slide, source, terminal)


def import_anndata(
    section: SectionPath, *, slide: Slide = _SLIDE, source: Annotated[AnnDataSource, _FIELDS], terminal: Listener
) -> None:
    """A section from an H&E and an AnnData with positions."""
    _import(section, slide, source, terminal)


def import_spatialdata(
    section: SectionPath, *, slide: Slide = _SLIDE, source: Annotated[SpatialDataSource, _FIELDS], terminal: Listener
) -> None:
    """A section from a SpatialData store, and its H&E or another."""
    _import(section, slide, source, terminal)


def import_visium(
    section: SectionPath, *, slide: Slide = _SLIDE, source: Annotated[VisiumSource, _FIELDS], terminal: Listener
) -> None:
    """A section from a Visium output folder, and the full-resolution H&E where there is one."""
    _import(section, slide, source, terminal)


def import_visium_hd(
    section: SectionPath, *, slide: Slide = _SLIDE, source: Annotated[VisiumHdSource, _FIELDS], terminal: Listener
) -> None:
    """A section from a Visium HD output folder, and the full-resolution H&E where there is one."""
    _import(section, slide, source, terminal)


def import_image(section: SectionPath, *, slide: Slide = _SLIDE, terminal: Listener) -> None:
    """A section from an H&E alone, to be predicted on."""
    _import(section, slide, None, terminal)


def _import(section: Path, slide: Slide, source: Source | None, terminal: Listener) -> None:
    if slide.add:
        return _add(section, slide, source, terminal)
    settings = ImportSettings.make({"mpp": slide.mpp, "work_mpp": slide.work_mpp, "name": slide.name})
    made = import_section(section, slide.he, source, settings, terminal, slide.overwrite)
    if source is None:
        following = f"pixelgene predict {made.path.name} --run RUN --from SECTION"
    elif all(is_placed(read_capture(made, name)) for name in made.captures()):
        following = f"pixelgene fit --train {made.path.name} --run RUN"
    else:
        following = f"pixelgene register {made.path.name} --keypoints FILE   (or --matrix FILE)"
    values = {"section": str(made.path), "captures": made.captures(), "mpp": made.meta()["mpp"]}
    terminal.result(values, f"{made.path.name} is imported. Next: {following}")
    return None


def _add(section: Path, slide: Slide, source: Source | None, terminal: Listener) -> None:
    store = open_section(section)
    if source is None:
        raise SettingsError("An H&E alone is no capture.", "Add a run: pixelgene import KIND SECTION --add.")
    require_no_others(slide.work_mpp, slide.overwrite, store)
    settings = CaptureSettings(mpp=slide.mpp, name=slide.name)
    *others, capture = add_captures(store, source, slide.he, settings, terminal)
    values = {"section": str(store.path), "capture": capture.name, "captures": store.captures()}
    named = ", ".join(f"'{each.name}'" for each in (*others, capture))
    told = f"The capture{'s' if others else ''} {named} {'are' if others else 'is'} in {store.path.name}, which has "
    told += f"{len(store.captures())}."
    terminal.result(values, f"{told} Next: {next_step(store, capture)}")
