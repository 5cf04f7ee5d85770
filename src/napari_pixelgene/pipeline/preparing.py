"""What every model needs of a section: tissue, counts on the lattice, features. Each is made once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.encoders.base import ContextEncoder
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.encoding import encoder_of, require_weights, weights_inputs
from napari_pixelgene.pipeline.slide import (
    grid_of,
    is_on_slide,
    is_placed,
    is_streamed,
    open_slide,
    reopen,
    slide_hash,
    to_he_um,
)
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.masks import read_mask
from napari_pixelgene.stages.binning import bin_transcripts
from napari_pixelgene.stages.features import (
    FeatureSettings,
    encode_tiles,
    look_around,
    prepare,
    smooth_tiles,
    tile_side,
    tissue_statistics,
    warn_if_coarse,
)
from napari_pixelgene.stages.quality import sweep_tissue
from napari_pixelgene.stages.tissue import TissueSettings, find_tissue
from napari_pixelgene.store import provenance
from napari_pixelgene.store.bins import read_bins, write_bins
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.features import begin_features, features_fingerprint, read_features
from napari_pixelgene.store.references import file_hash
from napari_pixelgene.store.tissue import (
    ADDED,
    ERASED,
    UNTOUCHED,
    read_region,
    read_tissue,
    write_edits,
    write_tissue,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_pixelgene.elements.arrays import BoolArray
    from napari_pixelgene.elements.bins import Bins
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.encoders.base import Encoder
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

TISSUE, FEATURES, BINNING = "tissue", "features", "binning"
# Inputs that are no stage's record: the slide under its pixel size, the mask with a person's strokes, the region that
# a person drew to train on.
SLIDE, MASK, REGION = "slide", "tissue mask", "training region"


def ensure_tissue(
    store: SectionStore,
    settings: TissueSettings | None = None,
    mask: Path | None = None,
    on_event: OnEvent = silent,
) -> Tissue:
    """The section's tissue mask: as it is when nothing new is asked for, else found or read from `mask`."""
    entry = provenance.records(store).get(TISSUE)
    if settings is None and mask is None and entry is not None and store.find(TISSUE) is not None:
        return read_tissue(store)
    settings = settings or TissueSettings()
    inputs = {SLIDE: slide_hash(store)} | ({"mask file": file_hash(mask)} if mask is not None else {})
    fingerprint = provenance.fingerprint(settings, inputs)
    if provenance.fresh(store, TISSUE, fingerprint):
        return read_tissue(store)
    start = time.monotonic()
    grid = grid_of(store)
    if mask is not None:
        width_um, height_um = open_slide(store).size_um
        covered = (height_um / grid.superpixel_um, width_um / grid.superpixel_um)
        tissue = Tissue(read_mask(mask, grid.yx_shape, covered), f"mask from {mask.name}")
    elif settings.method == "histosweep":
        tissue = sweep_tissue(open_slide(store), grid, on_event)
    else:
        tissue = find_tissue(open_slide(store), grid, settings, on_event)
    write_tissue(store, tissue, fingerprint)
    provenance.record(
        store, TISSUE, fingerprint, settings, inputs, time.monotonic() - start, provenance.versions("scikit-image")
    )
    on_event(Note(f"Tissue covers {tissue.fraction:.0%} of {store.path.name}: {tissue.source}.", stage=TISSUE))
    return tissue


def ensure_features(
    store: SectionStore, settings: FeatureSettings | None = None, on_event: OnEvent = silent, device: str = "cpu"
) -> Features:
    """The features of an encoder over the section's tissue; a killed run continues.

    Raises MissingDependency where its weights are neither here nor allowed to be fetched.
    """
    settings = settings or FeatureSettings()
    encoder = encoder_of(settings)
    tissue = ensure_tissue(store, on_event=on_event)
    key, chosen = f"{FEATURES}/{encoder.name}", settings.chosen(encoder.has_windows)
    inputs = _features_inputs(store, key, encoder, settings)
    if provenance.fresh(store, key, provenance.fingerprint(chosen, inputs)) and encoder.name in store.encoders():
        return read_features(store, encoder.name)
    of: Features | None = None
    if encoder.made_of:
        of = ensure_features(store, settings.replace(encoder=encoder.made_of), on_event, device)
    files = {} if of else require_weights(encoder, settings)
    start = time.monotonic()
    inputs = _features_inputs(store, key, encoder, settings)  # what was fetched is here by now
    fingerprint = provenance.fingerprint(chosen, inputs)
    if of:
        _smooth(store, tissue, encoder, of, fingerprint, on_event)
    else:
        _encode(store, tissue, encoder, settings, files, fingerprint, on_event, device)
    seconds = time.monotonic() - start
    provenance.record(store, key, fingerprint, chosen, inputs, seconds, provenance.versions("torch", "timm"))
    return read_features(store, encoder.name)


def _encode(
    store: SectionStore,
    tissue: Tissue,
    encoder: Encoder,
    settings: FeatureSettings,
    files: Mapping[str, Path],
    fingerprint: str,
    on_event: OnEvent,
    device: str,
) -> None:
    """Look at every tile, and around it where the encoder looks twice."""
    image = open_slide(store)
    grid = grid_of(store, image)
    if encoder.mpp is not None and abs(encoder.mpp - grid.work_mpp) > 1e-6:
        raise SettingsError(
            f"The encoder '{encoder.name}' was made for {encoder.mpp} µm per pixel, the section has {grid.work_mpp}.",
            "Import the section with that --work-mpp.",
        )
    warn_if_coarse(image, on_event)
    encoder.load(files, device)
    state = prepare(image, grid, tissue, encoder, settings)
    side = tile_side(encoder, grid)
    writer = begin_features(store, encoder.name, grid, encoder.channels, encoder.dtype, side, fingerprint)
    encode_tiles(image, grid, tissue, encoder, state, writer, on_event, device)
    if isinstance(encoder, ContextEncoder):
        look_around(grid, tissue, encoder, writer, on_event, device)
    writer.finish(*tissue_statistics(writer.array, tissue, side), state)


def _smooth(
    store: SectionStore, tissue: Tissue, encoder: Encoder, of: Features, fingerprint: str, on_event: OnEvent
) -> None:
    """Average what another encoder said."""
    grid = grid_of(store)
    side = tile_side(encoder, grid)
    writer = begin_features(store, encoder.name, grid, encoder.channels, encoder.dtype, side, fingerprint)
    smooth_tiles(of.array, grid, tissue, encoder, writer, on_event)
    writer.finish(*tissue_statistics(writer.array, tissue, side))


def _features_inputs(store: SectionStore, key: str, encoder: Encoder, settings: FeatureSettings) -> dict[str, str]:
    here = {SLIDE: slide_hash(store), MASK: tissue_hash(store)}
    if encoder.made_of and encoder.made_of in store.encoders():
        here[f"{FEATURES}/{encoder.made_of}"] = features_fingerprint(store, encoder.made_of)
    return here | weights_inputs(store, key, encoder, settings)


def ensure_bins(store: SectionStore, capture: StoredCapture, on_event: OnEvent = silent) -> Bins:
    """A streamed capture's transcripts on the lattice of the H&E, under its present transform."""
    assert is_streamed(capture)
    inputs = _bins_inputs(store, capture)
    fingerprint = provenance.fingerprint({}, inputs)
    key = f"{BINNING}/{capture.name}"
    if provenance.made_with(store, "captures", capture.name, "bins") == fingerprint:
        return read_bins(store, capture.name)
    start = time.monotonic()
    transcripts = reopen(store, capture, on_event).transcripts
    assert transcripts is not None
    binned = bin_transcripts(transcripts, to_he_um(store, capture, capture.frame), grid_of(store), on_event)
    write_bins(store, capture.name, binned.bins, fingerprint, binned.notes)
    provenance.record(
        store, key, fingerprint, {}, inputs, time.monotonic() - start, provenance.versions("polars", "pyarrow")
    )
    return binned.bins


def bins_are_current(store: SectionStore, capture: StoredCapture) -> bool:
    """Whether a streamed capture's bins are there, and lie where its present transform lays them."""
    made = provenance.made_with(store, "captures", capture.name, "bins")
    return made is not None and made == provenance.fingerprint({}, _bins_inputs(store, capture))


def counts_inputs(store: SectionStore, captures: Sequence[str] | None = None) -> dict[str, str]:
    """What training and maps depend on besides features: the counts, of all captures or of those named, as the
    present transform lays them."""
    found: dict[str, str] = {}
    for name in store.captures() if captures is None else captures:
        found |= _counts_inputs(store, read_capture(store, name))
    return found


def _counts_inputs(store: SectionStore, capture: StoredCapture) -> dict[str, str]:
    if is_on_slide(capture) and not is_streamed(capture):
        return {capture.import_key: capture.fingerprint}
    if not is_placed(capture):
        return {}
    inputs = _bins_inputs(store, capture)
    return {f"{BINNING}/{capture.name}": provenance.fingerprint({}, inputs)} if is_streamed(capture) else inputs


def transform_hashes(store: SectionStore) -> dict[str, str]:
    """The present transform of every registered run, by the name that its bins were recorded with."""
    captures = [read_capture(store, name) for name in store.captures()]
    return {
        f"transform/{c.name}": _bins_inputs(store, c)[f"transform/{c.name}"]
        for c in captures
        if not is_on_slide(c) and c.to_he is not None
    }


def _bins_inputs(store: SectionStore, capture: StoredCapture) -> dict[str, str]:
    hashed = provenance.fingerprint({}, to_he_um(store, capture, capture.frame).spelled(12))
    return {capture.import_key: capture.fingerprint, f"transform/{capture.name}": hashed}


def tissue_hash(store: SectionStore) -> str:
    """What the mask was made with, a person's strokes included."""
    return _mask_hash(read_tissue(store).mask)


def region_hash(store: SectionStore) -> str:
    """Of the region to train on; empty where there is none."""
    region = read_region(store)
    return "" if region is None else _mask_hash(region)


def _mask_hash(mask: BoolArray) -> str:
    return hashlib.blake2b(np.packbits(mask).tobytes(), digest_size=16).hexdigest()


def edit_tissue(store: SectionStore, drawn: BoolArray) -> Tissue:
    """Take over a mask (rows, columns) that a person changed: what differs from the mask found is kept as strokes,
    which survive finding the tissue anew."""
    found = read_tissue(store, edited=False).mask
    drawn = np.asarray(drawn, dtype=bool)
    edits = np.where(drawn == found, UNTOUCHED, np.where(drawn, ADDED, ERASED))
    if edits.any():
        write_edits(store, edits)
    elif store.find(TISSUE, "edits") is not None:
        store.remove(TISSUE, "edits")
    return read_tissue(store)
