"""Vectors at points, for models that speak of spots: out of a file of ready-made ones, or of an encoder.

`FeatureSettings.encoder` is `file:PATH` for the first, or the model's own setting `embeddings` names it: an .h5 of HEST
or TRIDENT, or a folder with NAME.h5 for every section NAME. Its rows belong to units by barcode, else by place. Files
count places in pixels of the slide's finest level, from the corner of a patch or from its centre. Which it is shows
where they are laid on the units; a row is a unit's when its centre lies within one superpixel (8 µm) of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from napari_pixelgene.elements.features import PointFeatures
from napari_pixelgene.errors import InputError, SettingsError
from napari_pixelgene.pipeline.encoding import encoder_of, ensure_point_features, require_weights
from napari_pixelgene.pipeline.slide import grid_of, is_streamed, open_slide, slide_hash, to_he_um
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.embeddings import Embeddings, embeddings_width, read_embeddings
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.features import POINTS
from napari_pixelgene.store.references import file_hash
from napari_pixelgene.store.section import element_of
from napari_pixelgene.store.tables import take_part

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import Model
    from napari_pixelgene.pipeline.measured import Measured
    from napari_pixelgene.stages.features import FeatureSettings
    from napari_pixelgene.store.section import SectionStore

FILE = "file:"
# A row of a file is a unit's where its centre lies this near.
TOLERANCE_UM = 8.0
# What HEST cuts out around a spot: 224 px of 0.5 µm.
HEST_PATCH_UM = 112.0
# With fewer of a section's units in a file it is another section's.
_LEAST_SHARE = 0.5
# No patch is so wide that its centre is farther from its corner.
_WIDEST_HALF_UM = 300.0


def is_file(settings: FeatureSettings) -> bool:
    """Whether vectors come from a file."""
    return settings.encoder.startswith(FILE)


def vectors_of(model: Model, settings: FeatureSettings) -> FeatureSettings:
    """Where a model's vectors come from: the file or folder that its own settings name, else the encoder."""
    path = getattr(model.settings, "embeddings", None)
    return settings.replace(encoder=f"{FILE}{path}") if path is not None else settings


def embeddings_path(store: SectionStore, settings: FeatureSettings) -> Path:
    """The file of a section: the one named, or NAME.h5 in the folder named."""
    path = Path(settings.encoder.removeprefix(FILE)).expanduser()
    if not settings.encoder.removeprefix(FILE).strip():
        raise SettingsError("'file:' names no embeddings.", "Write --encoder file:PATH, an .h5 or a folder of them.")
    return path / f"{store.name}.h5" if path.is_dir() else path


def require_vectors(stores: Sequence[SectionStore], settings: FeatureSettings) -> tuple[str, ...]:
    """Refuse what has no vector for a point before anything slow; gives the names of the vectors' numbers."""
    if is_file(settings):
        widths = {path: embeddings_width(path) for path in (embeddings_path(s, settings) for s in stores)}
        if len(set(widths.values())) > 1:
            told = ", ".join(f"{path.name} {width:,}" for path, width in widths.items())
            raise InputError(f"Files of embeddings have vectors of different lengths: {told}.", "Use one encoder.")
        width = next(iter(widths.values()))
    else:
        encoder = encoder_of(settings)
        if encoder.point_px is None:
            raise SettingsError(
                f"The encoder '{encoder.name}' has no vector for a point, which this model needs.",
                "Choose one that has (see `pixelgene encoders`), or give ready-made ones: --encoder file:PATH, "
                "or among the model's settings embeddings=PATH.",
            )
        if not settings.download and not all(_has_points(store, encoder.name) for store in stores):
            require_weights(encoder, settings)
        width = encoder.point_channels
    return tuple(f"{settings.encoder.partition(':')[0]} {i}" for i in range(width))


def vectors_hash(store: SectionStore, settings: FeatureSettings) -> str:
    """What the vectors of a section's points are made of: the file, or the slide and the encoder."""
    if is_file(settings):
        return file_hash(embeddings_path(store, settings))
    return f"{slide_hash(store)} {settings.encoder}"


def unit_vectors(
    measured: Measured, settings: FeatureSettings, on_event: OnEvent = silent, device: str = "cpu"
) -> FloatArray:
    """(n, c) vectors of a capture's units; rows of NaN for units that have none."""
    if not is_file(settings):
        return ensure_point_features(measured.store, settings, measured.xy_um, on_event, device).vectors
    found = read_embeddings(embeddings_path(measured.store, settings))
    rows, _ = _matched(found, measured)
    out: FloatArray = np.full((len(measured), found.vectors.shape[1]), np.nan, dtype=np.float32)
    out[rows >= 0] = found.vectors[rows[rows >= 0]]
    return out


def file_points(store: SectionStore, settings: FeatureSettings, measured: Sequence[Measured]) -> PointFeatures:
    """All patches of a section's file at their centres; `measured` units tell where in a patch its coordinates lie."""
    found = read_embeddings(embeddings_path(store, settings))
    half = _matched(found, measured[0])[1] if measured else _half_um(found, _mpp(store))[0]
    return PointFeatures(found.xy_px * _mpp(store) + half, found.vectors, settings.encoder)


def grid_points(
    store: SectionStore,
    settings: FeatureSettings,
    mask: BoolArray,
    pitch_um: float,
    on_event: OnEvent = silent,
    device: str = "cpu",
) -> PointFeatures:
    """Vectors of an encoder on a square lattice over the tissue `mask` (rows, columns), every `pitch_um`."""
    xy_um = lattice(mask, grid_of(store).superpixel_um, pitch_um, open_slide(store).size_um)
    return ensure_point_features(store, settings, xy_um, on_event, device)


def lattice(mask: BoolArray, superpixel_um: float, pitch_um: float, size_um: tuple[float, float]) -> FloatArray:
    """(n, 2) centres of the squares of `pitch_um` that hold any tissue and lie on the slide of `size_um` (x, y).

    The pitch is a whole number of superpixels, so that no superpixel lies in two squares.
    """
    side = round(pitch_um / superpixel_um)
    if side < 1 or abs(side * superpixel_um - pitch_um) > 1e-6:
        raise SettingsError(
            f"Points every {pitch_um:g} µm do not meet squares of {superpixel_um:g} µm.",
            f"Take a multiple of {superpixel_um:g} for pitch_um.",
        )
    rows, columns = np.nonzero(mask)
    squares = np.unique(np.stack([columns // side, rows // side], axis=1), axis=0)
    xy = (squares + 0.5) * pitch_um
    out: FloatArray = np.minimum(xy, np.array(size_um) - 1e-6)
    return out


def unit_names(measured: Measured) -> np.ndarray | None:
    """(n,) the names (barcodes) of a capture's units as its file has them; None where units are squares of ours."""
    capture = read_capture(measured.store, measured.capture)
    if is_streamed(capture):
        return None
    names = np.asarray(take_part(capture.path, "obs").index, dtype=str)
    places = to_he_um(measured.store, capture, capture.frame).apply(capture.unit_places()[0])
    apart, row = cKDTree(places).query(measured.xy_um)
    # Units that were made of others, such as spots of squares, have no name.
    return names[row] if np.all(apart < 1e-6) else None


def _matched(found: Embeddings, measured: Measured) -> tuple[IntArray, FloatArray]:
    """(n,) the file's row of each unit (-1: none), and (2,) µm from a row's coordinates to its patch's centre."""
    mpp = _mpp(measured.store)
    names = unit_names(measured) if found.barcodes else None
    if names is not None:
        row_of = {barcode: row for row, barcode in enumerate(found.barcodes)}
        rows = np.array([row_of.get(name, -1) for name in names], dtype=np.int64)
        if (rows >= 0).mean() >= _LEAST_SHARE:
            return rows, _offset_um(found, measured, rows, mpp)
    best = max(
        (_by_place(found, measured, half, mpp) for half in _half_um(found, mpp)), key=lambda m: (m[0] >= 0).sum()
    )
    share = float((best[0] >= 0).mean())
    if share < _LEAST_SHARE:
        raise InputError(
            f"{found.path} does not belong to {measured.name}: of {len(measured):,} units {share:.0%} have a vector, "
            f"{'by barcode or ' if names is not None else ''}within {TOLERANCE_UM:g} µm.",
            "Give the embeddings of this very slide; places are counted in pixels of its finest level.",
        )
    return best


def _by_place(found: Embeddings, measured: Measured, half: float, mpp: float) -> tuple[IntArray, FloatArray]:
    apart, rows = cKDTree(found.xy_px * mpp + half).query(measured.xy_um)
    return np.where(apart <= TOLERANCE_UM, rows, -1), np.array([half, half])


def _half_um(found: Embeddings, mpp: float) -> tuple[float, ...]:
    """How far the centre may lie right of and below a file's coordinates: half the patch it tells, nothing, half of
    HEST's."""
    told = (found.patch_px * mpp / 2,) if found.patch_px else ()
    return (*told, 0.0, HEST_PATCH_UM / 2)


def _offset_um(found: Embeddings, measured: Measured, rows: IntArray, mpp: float) -> FloatArray:
    """(2,) µm from coordinates to centres, by the units whose barcodes are known. Many slides share their barcodes:
    where places do not agree, the file is another slide's."""
    known = rows >= 0
    away = measured.xy_um[known] - found.xy_px[rows[known]] * mpp
    offset = np.median(away, axis=0)
    far = np.abs(away - offset).max(axis=1) > TOLERANCE_UM
    is_half = offset.min() >= -TOLERANCE_UM and offset.max() <= _WIDEST_HALF_UM and np.ptp(offset) <= TOLERANCE_UM
    if far.mean() > 1 - _LEAST_SHARE or not is_half:
        x, y = np.abs(away).mean(axis=0)
        raise InputError(
            f"{found.path} does not belong to {measured.name}: it knows the barcodes, but they lie elsewhere, by "
            f"{x:,.0f} and {y:,.0f} µm (x, y) in the mean.",
            "Give the embeddings of this very slide; places are counted in pixels of its finest level.",
        )
    out: FloatArray = offset
    return out


def _has_points(store: SectionStore, encoder: str) -> bool:
    return any(name.startswith(f"{element_of(encoder)}-") for name in store.names(POINTS))


def _mpp(store: SectionStore) -> float:
    return open_slide(store).require_mpp()


def tell_without(measured: Measured, lost: int, on_event: OnEvent) -> None:
    """Say how many units have no vector."""
    if lost:
        text = f"{measured.name}: {lost:,} of {len(measured):,} units have no vector and are left out."
        on_event(Note(text, "warning" if lost > 0.1 * len(measured) else "info", "fit"))
