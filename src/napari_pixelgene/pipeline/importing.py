"""Files into a section: the slide by reference or as a pyramid, the capture as imported."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from napari_pixelgene.elements.capture import Capture
from napari_pixelgene.elements.grid import WORK_MPP, Grid
from napari_pixelgene.errors import StoreError
from napari_pixelgene.pipeline.slide import HE
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.images import needs_pyramid, read_image
from napari_pixelgene.readers.legacy_st import read_legacy_st
from napari_pixelgene.readers.xenium import find_bundle, read_xenium
from napari_pixelgene.settings import Section
from napari_pixelgene.stages.checks import check_on_tissue, check_pitch, check_pixel_size, check_placement
from napari_pixelgene.stages.tissue import find_tissue
from napari_pixelgene.store import provenance
from napari_pixelgene.store.captures import write_capture
from napari_pixelgene.store.pyramids import write_pyramid
from napari_pixelgene.store.references import content_hash, reference, set_reference
from napari_pixelgene.store.section import SectionStore, require_suffix

if TYPE_CHECKING:
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.store.references import Reference

STAGE = "import"


class ImportSettings(Section):
    """How files become a section."""

    mpp: float | None = Field(None, gt=0, description="µm per pixel of the H&E; needed where the file does not say.")
    work_mpp: float = Field(WORK_MPP, gt=0, description="µm per work pixel; 16 of them are a superpixel.")
    min_qv: float = Field(20.0, ge=0, description="Transcripts of lower quality are left out (Xenium; 10x use 20).")
    spot_diameter_um: float | None = Field(None, gt=0, description="Diameter of a spot in µm (spot tables).")
    name: str = Field("", description="Name of the capture; taken from the files when empty.")


def import_image(
    path: Path, he: Path, settings: ImportSettings | None = None, on_event: OnEvent = silent, overwrite: bool = False
) -> SectionStore:
    """A section without captures: it can be predicted on, and everything that needs counts says so."""
    return _import(path, he, settings or ImportSettings(), {}, lambda image: (None, {}), on_event, overwrite)


def import_st(
    path: Path,
    he: Path,
    counts: Path,
    spots: Path,
    settings: ImportSettings,
    on_event: OnEvent = silent,
    overwrite: bool = False,
) -> SectionStore:
    """A section from an H&E and a legacy Spatial Transcriptomics table."""
    if settings.spot_diameter_um is None:
        raise StoreError("The diameter of a spot is not given.", "Give it with --spot-diameter-um (legacy ST: 100).")
    diameter = settings.spot_diameter_um

    def capture(image: Image) -> tuple[Capture, dict[str, Path]]:
        found = read_legacy_st(counts, spots, diameter, settings.name or "st", on_event)
        _check_place(found, image, settings, on_event)
        return found, {"counts": counts, "spots": spots}

    return _import(path, he, settings, {"counts": counts, "spots": spots}, capture, on_event, overwrite)


def import_xenium(
    path: Path,
    bundle: Path,
    he: Path,
    settings: ImportSettings | None = None,
    on_event: OnEvent = silent,
    overwrite: bool = False,
) -> SectionStore:
    """A section from an H&E and a Xenium output folder; it is registered next."""
    settings = settings or ImportSettings()
    experiment = find_bundle(bundle) / "experiment.xenium"

    def capture(image: Image) -> tuple[Capture, dict[str, Path]]:
        found = read_xenium(bundle, on_event, min_qv=settings.min_qv, name=settings.name)
        assert found.transcripts is not None
        return found, {"bundle": experiment, "transcripts": found.transcripts.path}

    return _import(path, he, settings, {"bundle": experiment}, capture, on_event, overwrite)


def _check_place(capture: Capture, image: Image, settings: ImportSettings, on_event: OnEvent) -> None:
    """Spots must lie on the image and on its tissue, or image, table or pixel size are wrong."""
    units = capture.units
    assert units is not None
    grid = Grid.of_image(image, settings.work_mpp)
    mpp = image.require_mpp()
    xy_um = units.xy * mpp
    check_pitch(xy_um, units.footprint, mpp)
    check_placement(xy_um, units.ids, grid, on_event)
    check_on_tissue(xy_um, grid, find_tissue(image, grid, on_event=on_event), on_event)


Read = Callable[["Image"], tuple[Capture | None, dict[str, Path]]]


def _import(
    path: Path,
    he: Path,
    settings: ImportSettings,
    files: Mapping[str, Path],
    capture_of: Read,
    on_event: OnEvent,
    overwrite: bool,
) -> SectionStore:
    start = time.monotonic()
    path = Path(path)
    require_suffix(path)
    image = read_image(he, settings.mpp, on_event)
    check_pixel_size(image.require_mpp(), on_event)
    he_reference = reference(image, path)
    inputs = {HE: content_hash(he_reference), **{k: content_hash(reference(f, path)) for k, f in files.items()}}
    fingerprint = provenance.fingerprint(settings, inputs)
    finished = _finished(path, fingerprint, overwrite)
    if finished is not None:
        on_event(Note(f"{path.name} was imported from these files before; nothing to do.", stage=STAGE))
        return finished
    capture, captured_files = capture_of(image)  # every fault of the files is found before anything is written
    store = _begin(path, fingerprint, overwrite)
    _write_slide(store, image, settings, he_reference, on_event)
    if capture is not None:
        write_capture(store, capture, {k: reference(f, path) for k, f in captured_files.items()}, fingerprint)
    store.update_meta(STAGE, {"finished": True, "fingerprint": fingerprint, "settings": settings.model_dump()})
    provenance.record(
        store, STAGE, fingerprint, settings, inputs, time.monotonic() - start, provenance.versions("tifffile", "zarr")
    )
    return store


def _write_slide(
    store: SectionStore, image: Image, settings: ImportSettings, ref: Reference, on_event: OnEvent
) -> None:
    set_reference(store, HE, ref)
    store.update_meta("mpp", image.require_mpp())
    store.update_meta("work_mpp", settings.work_mpp)
    if needs_pyramid(image):
        write_pyramid(store, image, HE, content_hash(ref), on_event)
    grid = Grid.of_image(image, settings.work_mpp)
    store.update_meta("grid", {"yx_shape": list(grid.yx_shape), "superpixel_um": grid.superpixel_um})


def _finished(path: Path, fingerprint: str, overwrite: bool) -> SectionStore | None:
    """The section, when it was made from the same files; another one is not overwritten unless told."""
    if overwrite or not path.exists():
        return None
    store = SectionStore.open(path)
    entry: dict[str, Any] = store.meta().get(STAGE, {})
    if entry.get("fingerprint") != fingerprint:
        raise StoreError(
            f"{path.name} exists and was made from other files or settings.",
            "Choose another name, or replace it with --overwrite.",
        )
    return store if entry.get("finished") else None


def _begin(path: Path, fingerprint: str, overwrite: bool) -> SectionStore:
    if path.exists() and not overwrite:
        return SectionStore.open(path)  # an import that was killed
    store = SectionStore.create(path, overwrite)
    store.update_meta(STAGE, {"finished": False, "fingerprint": fingerprint})
    return store
