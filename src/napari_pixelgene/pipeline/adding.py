"""One more capture in a section that is there: several small captures on one mother slide, or serial sections.

Where the capture has an image of its own, its positions are pixels of that one, and the image is laid onto the mother
slide by a registration. Without one its positions count µm, and the picture of its spots is registered.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from napari_pixelgene.elements.grid import WORK_MPP
from napari_pixelgene.errors import InputError, SettingsError, StoreError
from napari_pixelgene.pipeline.import_checks import STAGE, check_molecules, check_place, chosen_of, measured
from napari_pixelgene.pipeline.own_frame import ON_IMAGE, in_own_frame, stand_in
from napari_pixelgene.pipeline.slide import HE, is_on_slide, open_slide, own_pyramid
from napari_pixelgene.pipeline.sources.registry import source_from
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.images import needs_pyramid, read_picture
from napari_pixelgene.settings import Section
from napari_pixelgene.stages.checks import check_pitch, check_pixel_size
from napari_pixelgene.store import provenance
from napari_pixelgene.store.captures import IMPORT, MORPHOLOGY, read_capture, write_capture
from napari_pixelgene.store.pyramids import write_pyramid
from napari_pixelgene.store.references import Reference, content_hash, reference, references

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.pipeline.sources.base import Source
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore


class CaptureSettings(Section):
    """How files become one more capture."""

    mpp: float | None = Field(
        None, gt=0, description="µm per pixel of the capture's own image, or of its positions where it has none."
    )
    name: str = Field("", description="Name of the capture; taken from the files when empty.")


@dataclass(frozen=True, slots=True)
class _Own:
    """The image that the capture's positions lie on: its channels (none: there is no image), µm per pixel where known,
    its reference, and whether it is the mother slide itself."""

    channels: tuple[Image, ...] = ()
    mpp: float | None = None
    ref: Reference | None = None
    is_mother: bool = False


def add_capture(
    store: SectionStore,
    source: Source,
    he: Path | None = None,
    settings: CaptureSettings | None = None,
    on_event: OnEvent = silent,
) -> StoredCapture:
    """One more capture in a section; `he` is the capture's own H&E (or other image), that its positions are pixels of.

    An image that comes with the run is taken where none is named; the mother slide's own file means that positions lie
    on it by themselves. What was added from the same files before is left as it is. Raises PixelGeneError before
    anything is written.
    """
    start = time.monotonic()
    settings = settings or CaptureSettings()
    _require_made(store)
    own = _own(store, source, he, settings, on_event)
    refs = {key: reference(file, store.path) for key, file in source.files().items()}
    inputs = {key: content_hash(ref) for key, ref in refs.items()}
    inputs |= {MORPHOLOGY: content_hash(own.ref)} if own.ref is not None else {}
    chosen = {"mpp": None if own.mpp is None else round(own.mpp, 9), "mother": own.is_mother, **chosen_of(source)}
    fingerprint = provenance.fingerprint(chosen, inputs)
    known = _known(store, source, refs)
    if known is not None and known.fingerprint == fingerprint and settings.name in ("", known.name):
        on_event(Note(f"The capture '{known.name}' was added from these files before; nothing to do.", stage=STAGE))
        return known
    _refuse_known(store, known)
    read = _read(store, source, own, on_event)
    capture = replace(read, name=settings.name or read.name)
    _require_new(store, capture.name)
    key = f"{IMPORT}/{capture.name}"
    if own.is_mother or not (own.channels and own.ref):
        write_capture(store, capture, refs, fingerprint, source.plain(), key, _own_mpp(own))
    else:
        _keep_pyramid(store, capture.name, own, on_event)
        write_capture(store, capture, {**refs, MORPHOLOGY: own.ref}, fingerprint, source.plain(), key, _own_mpp(own))
    seconds, versions = time.monotonic() - start, provenance.versions("tifffile", "zarr")
    provenance.record(store, key, fingerprint, settings, inputs, seconds, versions)
    return read_capture(store, capture.name)


def add_captures(
    store: SectionStore,
    source: Source,
    he: Path | None = None,
    settings: CaptureSettings | None = None,
    on_event: OnEvent = silent,
) -> tuple[StoredCapture, ...]:
    """All captures that a source holds, each as `add_capture` adds one."""
    each = source.captures()
    if len(each) > 1 and settings is not None and settings.name:
        raise SettingsError("Several captures cannot have one name.", "Leave --name out, or add one of them.")
    return tuple(add_capture(store, one, he, settings, on_event) for one in each)


def require_no_others(work_mpp: float, overwrite: bool, store: SectionStore) -> None:
    """What belongs to the making of a section, and not to one more capture in it, is refused."""
    if overwrite:
        raise SettingsError("A capture that is added replaces nothing.", "Leave --overwrite out, or leave --add out.")
    if work_mpp != WORK_MPP and abs(work_mpp - float(store.meta().get("work_mpp", WORK_MPP))) > 1e-9:
        raise SettingsError("The size of work pixels is the section's.", "Leave --work-mpp out.")


def _require_made(store: SectionStore) -> None:
    store.require_writable()
    if not store.meta().get(STAGE, {}).get("finished", True) or HE not in references(store):
        raise StoreError(f"The import of {store.path.name} was interrupted.", "Import it again; then add to it.")


def _own(store: SectionStore, source: Source, he: Path | None, settings: CaptureSettings, on_event: OnEvent) -> _Own:
    """The image that was named, or the one that comes with the run."""
    brought = source.slide()
    path = Path(he) if he is not None else (brought.path if brought is not None else None)
    if path is None:
        mpp = settings.mpp or source.pixel_size(stand_in(None, source.title))
        return _Own(mpp=mpp)
    stated = brought.mpp if brought is not None and brought.path == path else None
    channels = read_picture(path, settings.mpp or stated, on_event)
    ref = reference(channels[0], store.path)
    if content_hash(ref) == content_hash(references(store)[HE]):
        text = f"{path.name} is the H&E of {store.path.name}: the capture lies on it by itself."
        on_event(Note(text, stage=STAGE))
        return _Own((open_slide(store),), float(store.meta()["mpp"]), None, True)
    first = measured(channels[0], source, on_event) if channels[0].is_rgb else channels[0]
    mpp = first.require_mpp()
    check_pixel_size(mpp, on_event)
    return _Own(tuple(replace(channel, mpp=mpp) for channel in channels), mpp, ref)


def _own_mpp(own: _Own) -> float | None:
    """Positions in µm have no pixels: then a pixel is 1 µm."""
    return None if own.is_mother else own.mpp or 1.0


def _known(store: SectionStore, source: Source, refs: dict[str, Reference]) -> StoredCapture | None:
    """The capture that was read from the same files in the same way."""

    def identity(of: Source, files: dict[str, Reference]) -> str:
        return provenance.fingerprint(chosen_of(of), {key: content_hash(ref) for key, ref in files.items()})

    for name in store.captures():
        found = read_capture(store, name)
        if found.source.get("kind") == source.kind:
            files = {key: ref for key, ref in found.references.items() if key != MORPHOLOGY}
            if identity(source_from(found.source), files) == identity(source, refs):
                return found
    return None


def _refuse_known(store: SectionStore, known: StoredCapture | None) -> None:
    if known is not None:
        raise StoreError(
            f"These files are the capture '{known.name}' of {store.path.name} already.",
            "Register that one, or give the files of another capture.",
        )


def _require_new(store: SectionStore, name: str) -> None:
    if name in store.captures():
        there = ", ".join(store.captures())
        raise StoreError(
            f"{store.path.name} has a capture '{name}' already; there is: {there}.", "Choose another name with --name."
        )


def _read(store: SectionStore, source: Source, own: _Own, on_event: OnEvent) -> Capture:
    """The capture in its own frame, after the checks that an import makes on the image it lies on."""
    read = source.read(own.channels[0] if own.channels else stand_in(own.mpp, source.title), on_event)
    if own.channels and not own.is_mother and read.stage_to_morphology is not None:
        raise InputError(
            f"This {source.title} run brings its own images, and is registered by those.", "Leave the H&E out."
        )
    _check(store, read, own, on_event)
    if own.is_mother:
        return _require_on_mother(read)
    return in_own_frame(read, own.mpp or 1.0, bool(own.channels))


def _check(store: SectionStore, read: Capture, own: _Own, on_event: OnEvent) -> None:
    units, molecules = read.units, read.transcripts
    frames = {each.frame for each in (units, molecules) if each is not None}
    if "he_px" in frames and own.mpp is None:
        raise InputError(
            f"The positions of '{read.name}' are pixels of an image that is not given.",
            "Name that image with --he, or give µm per pixel with --mpp.",
        )
    work_mpp = float(store.meta().get("work_mpp", WORK_MPP))
    if units is not None and units.frame in ON_IMAGE:
        if own.channels and own.channels[0].is_rgb:
            check_place(read, own.channels[0], work_mpp, on_event)
        else:
            mpp = own.mpp if units.frame == "he_px" and own.mpp else 1.0
            check_pitch(units.xy * mpp, units.footprint, own.mpp or 1.0)
    if molecules is not None and molecules.frame in ON_IMAGE and own.channels:
        check_molecules(molecules, own.channels[0], work_mpp)


def _require_on_mother(read: Capture) -> Capture:
    frames = {each.frame for each in (read.units, read.transcripts) if each is not None}
    if not frames <= set(ON_IMAGE):
        raise InputError(
            f"The positions of '{read.name}' are the instrument's own µm, and do not lie on the section's H&E.",
            "Leave the H&E out, and register the capture.",
        )
    return read


def _keep_pyramid(store: SectionStore, name: str, own: _Own, on_event: OnEvent) -> None:
    """An image without tiles or levels is converted once; what a killed import left of another one goes."""
    image, pyramid = own.channels[0], own_pyramid(name)
    if len(own.channels) == 1 and needs_pyramid(image):
        assert own.ref is not None
        write_pyramid(store, image, pyramid, content_hash(own.ref), on_event)
    elif store.find("images", pyramid) is not None:
        store.remove("images", pyramid)


def next_step(store: SectionStore, capture: StoredCapture) -> str:
    """What to do with a capture that was added, as a command."""
    if is_on_slide(capture):
        return f"pixelgene info {store.path.name}"
    return f"pixelgene register {store.path.name} --capture {capture.name} --keypoints FILE   (or --matrix FILE)"
