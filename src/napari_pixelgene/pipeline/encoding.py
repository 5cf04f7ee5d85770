"""The chosen encoder with its weights, and the vectors of points that it makes: for models that see spots, not squares.

Weights are looked for before anything slow, and named in provenance by the hash of their file, so that others make
features stale. Where they are not on this machine, features that were made elsewhere hold as they are.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.encoders.registry import get_encoder
from napari_pixelgene.encoders.weights import locate_all, require_all
from napari_pixelgene.errors import InputError, SettingsError
from napari_pixelgene.pipeline.slide import grid_of, open_slide, slide_hash
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.stages.features import STAGE, FeatureSettings, encode_points
from napari_pixelgene.store import provenance
from napari_pixelgene.store.features import begin_points, points_fingerprint, points_name, read_points
from napari_pixelgene.store.references import file_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.elements.arrays import BoolArray, FloatArray
    from napari_pixelgene.elements.features import PointFeatures
    from napari_pixelgene.encoders.base import Encoder
    from napari_pixelgene.store.section import SectionStore

SLIDE = "slide"


def encoder_of(settings: FeatureSettings) -> Encoder:
    """The encoder that is asked for, as it is asked for, without its weights."""
    encoder = get_encoder(settings.encoder, settings.weights, settings.download)
    encoder.configure(settings.batch, settings.shifts)
    return encoder


def require_weights(encoder: Encoder, settings: FeatureSettings) -> dict[str, Path]:
    """The files of an encoder's weights, fetched where a person allowed it. Raises MissingDependency that says how."""
    return require_all(encoder, locate_all(encoder, settings.weights), settings.download)


def require_ready(stores: Sequence[SectionStore], settings: FeatureSettings) -> None:
    """Ask for weights before hours are spent: they must be here, or may be fetched, unless the features are there."""
    encoder = encoder_of(settings)
    enough = {encoder.name, encoder.made_of}
    if not settings.download and not all(enough & set(store.encoders()) for store in stores):
        require_weights(encoder, settings)


def weights_inputs(store: SectionStore, key: str, encoder: Encoder, settings: FeatureSettings) -> dict[str, str]:
    """The hash of every file of weights by its name in provenance; of one that is not here the hash that the record
    `key` was made with, and none where there is no such record."""
    recorded = provenance.records(store).get(key, {}).get("inputs", {})
    inputs: dict[str, str] = {}
    for name, path in locate_all(encoder, settings.weights).items():
        written = f"weights/{encoder.name}/{name}"
        if path is not None:
            inputs[written] = file_hash(path)
        elif written in recorded:
            inputs[written] = recorded[written]
    return inputs


def ensure_point_features(
    store: SectionStore,
    settings: FeatureSettings,
    xy_um: FloatArray,
    on_event: OnEvent = silent,
    device: str = "cpu",
) -> PointFeatures:
    """Vectors of the squares around points (n, 2) (x, y) in H&E µm; a killed run continues.

    Kept in the section under the encoder and the places. Points off the slide have NaN, which is told. Raises
    SettingsError for an encoder that has no vector for a point, InputError where no point lies on the slide.
    """
    encoder = encoder_of(settings)
    if encoder.point_px is None:
        raise SettingsError(
            f"The encoder '{encoder.name}' has no vector for a point.", "Choose one that has: see `pixelgene encoders`."
        )
    xy_um = np.asarray(xy_um, dtype=np.float64)
    key = f"{STAGE}/{points_name(encoder.name, xy_um)}"
    inputs = {SLIDE: slide_hash(store)} | weights_inputs(store, key, encoder, settings)
    fingerprint = provenance.fingerprint({"encoder": encoder.name, "points": len(xy_um)}, inputs)
    if points_fingerprint(store, encoder.name, xy_um) == fingerprint:
        return read_points(store, encoder.name, xy_um)
    encoder.load(require_weights(encoder, settings), device)
    fingerprint, inputs = _after_loading(store, key, encoder, settings, len(xy_um))
    start = time.monotonic()
    on_slide = _on_the_slide(store, xy_um, on_event)
    writer = begin_points(store, encoder.name, xy_um, encoder.point_channels, fingerprint)

    def write(block: int, vectors: FloatArray) -> None:
        first = block * writer.per_block
        vectors[~on_slide[first : first + writer.per_block]] = np.nan
        writer.write(block, vectors)

    image, mpp = open_slide(store), grid_of(store).work_mpp
    encode_points(image, encoder, xy_um, write, writer.todo(), writer.per_block, mpp, on_event, device)
    writer.finish()
    asked = {"encoder": encoder.name, "points": len(xy_um)}
    provenance.record(
        store, key, fingerprint, asked, inputs, time.monotonic() - start, provenance.versions("torch", "timm")
    )
    return read_points(store, encoder.name, xy_um)


def _after_loading(
    store: SectionStore, key: str, encoder: Encoder, settings: FeatureSettings, points: int
) -> tuple[str, dict[str, str]]:
    """Fingerprint and inputs once weights that were fetched are here."""
    inputs = {SLIDE: slide_hash(store)} | weights_inputs(store, key, encoder, settings)
    return provenance.fingerprint({"encoder": encoder.name, "points": points}, inputs), inputs


def _on_the_slide(store: SectionStore, xy_um: FloatArray, on_event: OnEvent) -> BoolArray:
    """Which points lie on the slide, and a note of those that do not."""
    width_um, height_um = open_slide(store).size_um
    inside: BoolArray = np.all((xy_um >= 0) & (xy_um < np.array([width_um, height_um])), axis=1)
    if not inside.any():
        raise InputError(
            f"None of the {len(xy_um):,} points lies on the slide of {store.path.name} "
            f"({width_um:,.0f} × {height_um:,.0f} µm).",
            "Give positions (x, y) in µm of the H&E.",
        )
    if not inside.all():
        on_event(Note(f"{np.sum(~inside):,} of {len(xy_um):,} points lie off the slide: nothing is said of them."))
    return inside
