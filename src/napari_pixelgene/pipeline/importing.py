"""Files into a section: the slide by reference or as a pyramid, the capture as imported."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from napari_pixelgene.elements.grid import WORK_MPP, Grid
from napari_pixelgene.errors import InputError, StoreError
from napari_pixelgene.pipeline.adding import add_capture
from napari_pixelgene.pipeline.import_checks import STAGE, check_molecules, check_place, chosen_of, measured
from napari_pixelgene.pipeline.slide import HE
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.images import needs_pyramid, read_image
from napari_pixelgene.settings import Section
from napari_pixelgene.stages.checks import check_pixel_size
from napari_pixelgene.store import provenance
from napari_pixelgene.store.captures import write_capture
from napari_pixelgene.store.pyramids import write_pyramid
from napari_pixelgene.store.references import content_hash, reference, set_reference
from napari_pixelgene.store.section import SectionStore, require_suffix

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.pipeline.sources.base import SlideFile, Source
    from napari_pixelgene.store.references import Reference


class ImportSettings(Section):
    """How files become a section."""

    mpp: float | None = Field(None, gt=0, description="µm per pixel of the H&E; needed where the file does not say.")
    work_mpp: float = Field(WORK_MPP, gt=0, description="µm per work pixel; 16 of them are a superpixel.")
    name: str = Field("", description="Name of the capture; taken from the files when empty.")


def import_section(
    path: Path,
    he: Path | None = None,
    source: Source | None = None,
    settings: ImportSettings | None = None,
    on_event: OnEvent = silent,
    overwrite: bool = False,
) -> SectionStore:
    """A section from an H&E and the run that `source` describes; `he` may be left out where the run brings one.

    Without a source it is an H&E alone: it can be predicted on, and everything that needs counts says so. Of a source
    that holds several captures of the slide, all are imported. What was imported from the same files before is left as
    it is. Raises PixelGeneError before anything is written.
    """
    settings, each = settings or ImportSettings(), source.captures() if source is not None else (None,)
    if len(each) > 1 and settings.name:
        raise InputError("Several captures cannot have one name.", "Leave --name out, or import one of them.")
    store = _import(path, he, each[0], settings, on_event, overwrite)
    if len(each) > 1:
        for other in filter(None, each[1:]):
            add_capture(store, other, he, on_event=on_event)
    return store


def _import(
    path: Path,
    he: Path | None,
    source: Source | None,
    settings: ImportSettings,
    on_event: OnEvent,
    overwrite: bool,
) -> SectionStore:
    start = time.monotonic()
    path = Path(path)
    require_suffix(path)
    slide = _slide(he, source)
    read = read_image(slide.path, settings.mpp or slide.mpp, on_event)
    image = measured(read, source, on_event)
    check_pixel_size(image.require_mpp(), on_event)
    files = source.files() if source is not None else {}
    refs = {key: reference(file, path) for key, file in files.items()}
    he_reference = reference(image, path)
    inputs = {key: content_hash(ref) for key, ref in {HE: he_reference, **refs}.items()}
    # A size given that is the file's own makes no other section.
    chosen = {**settings.model_dump(), "mpp": round(image.require_mpp(), 9), **chosen_of(source)}
    fingerprint = provenance.fingerprint(chosen, inputs)
    finished = _finished(path, fingerprint, overwrite)
    if finished is not None:
        on_event(Note(f"{path.name} was imported from these files before; nothing to do.", stage=STAGE))
        return finished
    capture = _read(source, image, settings, on_event)  # every fault of the files is found before anything is written
    store = _begin(path, fingerprint, overwrite)
    _write_slide(store, image, settings, he_reference, on_event)
    if capture is not None and source is not None:
        write_capture(store, capture, refs, fingerprint, source.plain())
    by_run = settings.mpp is None and (slide.mpp is not None or read.mpp is None)
    told = {"finished": True, "fingerprint": fingerprint, "settings": settings.model_dump(), "mpp_by_run": by_run}
    store.update_meta(STAGE, told)
    provenance.record(
        store, STAGE, fingerprint, settings, inputs, time.monotonic() - start, provenance.versions("tifffile", "zarr")
    )
    return store


def _slide(he: Path | None, source: Source | None) -> SlideFile:
    from napari_pixelgene.pipeline.sources.base import SlideFile

    found = source.slide() if source is not None else None
    if he is not None:
        return found if found is not None and found.path == Path(he) else SlideFile(Path(he))
    if found is None:
        what = f"This {source.title} run brings no H&E" if source is not None else "No H&E is given"
        raise InputError(f"{what}.", "Name the H&E image with --he.")
    return found


def _read(source: Source | None, image: Image, settings: ImportSettings, on_event: OnEvent) -> Capture | None:
    if source is None:
        return None
    found = source.read(image, on_event)
    if settings.name:
        found = replace(found, name=settings.name)
    if found.units is not None and found.units.frame in ("he_px", "he_um"):
        check_place(found, image, settings.work_mpp, on_event)
    if found.transcripts is not None and found.transcripts.frame in ("he_px", "he_um"):
        check_molecules(found.transcripts, image, settings.work_mpp)
    return found


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
