"""Captures with counts, and their section's features, into what a model learns from, or is asked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, sparse

from napari_pixelgene.arithmetic.array_places import array_places
from napari_pixelgene.arithmetic.pooling import footprint_weights
from napari_pixelgene.elements.capture import Footprint
from napari_pixelgene.elements.expression import FILTERED, MEASURED, NEVER_MEASURED
from napari_pixelgene.errors import StoreError
from napari_pixelgene.models.base import Needs, TrainingSection
from napari_pixelgene.pipeline.choosing import label_of
from napari_pixelgene.pipeline.measured import Measured
from napari_pixelgene.pipeline.point_sections import joined_points
from napari_pixelgene.pipeline.preparing import ensure_bins, ensure_tissue
from napari_pixelgene.pipeline.slide import grid_of, is_streamed, require_capture, units_in_um
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.store.tissue import read_region

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.store.section import SectionStore

_FEATURE_TILE = 64
# Columns between the lattices of two captures.
_APART = 1000
_PLAIN = Needs()


def measured_units(store: SectionStore, capture: str | None = None, on_event: OnEvent = silent) -> Measured:
    """The units of a capture that lie on tissue; those that do not are left out with one line."""
    found = require_capture(store, capture)
    tissue, grid = ensure_tissue(store, on_event=on_event), grid_of(store)
    if is_streamed(found):
        bins = ensure_bins(store, found, on_event)
        counts, library, genes = bins.counts, bins.library, bins.genes
        xy, footprint = grid.centres_um(bins.superpixel), Footprint("square", grid.superpixel_um)
        ones = np.ones(len(bins), dtype=np.float32)
        everywhere = sparse.csr_matrix((ones, (np.arange(len(bins)), bins.superpixel)), shape=(len(bins), grid.size))
        keep = tissue.mask.ravel()[bins.superpixel]
        pooling, lattice = everywhere, None
    else:
        units = units_in_um(store, found)
        counts, library, genes, xy, footprint = units.counts, units.library, units.genes, units.xy, units.footprint
        lattice = units.lattice if units.lattice is not None or footprint.shape != "disk" else array_places(xy)
        arguments = (footprint.shape, footprint.size_um, xy, grid.superpixel_um, grid.yx_shape)
        everywhere, pooling = footprint_weights(*arguments), footprint_weights(*arguments, tissue.mask)
        keep = pooling.getnnz(axis=1) > 0
    keep &= library > 0
    name = label_of(store, found.name)
    _tell_left_out(name, keep, on_event)
    layer = _measured_layer(grid, everywhere, everywhere[keep].multiply(tissue.mask.ravel()[None, :]).tocsr())
    return Measured(
        name, store, found.name, counts[keep], library[keep].astype(np.float64), xy[keep], genes, pooling[keep],
        footprint, layer, grid.superpixel_um, None if lattice is None else lattice[keep],
    )  # fmt: skip


def _tell_left_out(name: str, keep: BoolArray, on_event: OnEvent) -> None:
    if not keep.any():
        raise StoreError(
            f"No unit of {name} lies on tissue.", "Check the alignment, the pixel size and the tissue mask."
        )
    lost = int((~keep).sum())
    if lost:
        level = "warning" if lost > 0.5 * len(keep) else "info"
        text = f"{name}: {lost:,} of {len(keep):,} units are off the tissue or empty and are left out."
        on_event(Note(text, level, "fit"))


def _measured_layer(grid: Grid, everywhere: sparse.csr_matrix, used: sparse.csr_matrix) -> Array:
    """Which superpixels were measured, which were measured and then dropped."""
    layer = np.full(grid.size, NEVER_MEASURED, dtype=np.uint8)
    layer[np.unique(everywhere.indices)] = FILTERED
    layer[np.unique(used.indices[used.data > 0])] = MEASURED
    return layer.reshape(grid.yx_shape)


def within_region(measured: Measured, on_event: OnEvent = silent) -> Measured:
    """The units that lie for the greater part in the region a person drew to train on; all where there is none."""
    region = read_region(measured.store)
    if region is None:
        return measured
    keep = np.asarray(measured.pooling @ region.ravel().astype(np.float32)) > 0.5
    if not keep.any():
        raise StoreError(
            f"No unit of {measured.name} lies in the region drawn to train on.", "Draw it over measured tissue."
        )
    text = f"{measured.name}: {int(keep.sum()):,} of {len(keep):,} units lie in the region drawn to train on."
    on_event(Note(text, stage="fit"))
    return take_units(measured, np.flatnonzero(keep))


def take_units(measured: Measured, rows: IntArray) -> Measured:
    """Some of the units."""
    return replace(
        measured, counts=measured.counts[rows], library=measured.library[rows], xy_um=measured.xy_um[rows],
        pooling=measured.pooling[rows], lattice=None if measured.lattice is None else measured.lattice[rows],
    )  # fmt: skip


def training_section(
    measured: Measured, features: Features, genes: GeneTable, needs: Needs = _PLAIN, mask: BoolArray | None = None
) -> TrainingSection:
    """What a model sees of a section: features of the superpixels that units touch and, for a model with a halo, of
    the tissue `mask` around them; counts of `genes`.

    Genes that the section did not measure are not allowed here; the caller drops and lists them.
    """
    seen = np.unique(measured.pooling.indices)
    if needs.halo:
        assert mask is not None
        seen = with_surroundings(seen, needs.halo, mask)
    place = np.column_stack(np.divmod(seen, features.array.shape[1]))
    return TrainingSection(
        name=measured.name,
        features=gather_features(features, seen, needs.standardised),
        pooling=measured.pooling[:, seen].tocsr(),
        counts=sparse.csr_matrix(measured.counts[:, measured.genes.indices(genes.symbols)]),
        library=measured.library,
        xy_um=measured.xy_um,
        row_column=place,
        superpixel_um=measured.superpixel_um,
        lattice=measured.lattice,
        unit_um=measured.footprint.size_um,
    )


def joined_sections(sections: Sequence[TrainingSection]) -> TrainingSection:
    """Captures of one slide as one section, one below the other; a superpixel that several cover stands once.

    Lattices are laid side by side, too far apart for neighbours; one capture without leaves all without.
    """
    if len(sections) == 1:
        return sections[0]
    if sections[0].everything is not None:
        return joined_points(sections)
    places = np.concatenate([s.row_column for s in sections])
    row_column, first, column = np.unique(places, axis=0, return_index=True, return_inverse=True)
    starts = np.cumsum([0, *(len(s.features) for s in sections)])
    pooling = [
        sparse.csr_matrix((s.pooling.data, column.ravel()[start + s.pooling.indices], s.pooling.indptr),
                          shape=(len(s), len(row_column)))
        for s, start in zip(sections, starts, strict=False)
    ]  # fmt: skip
    return replace(
        sections[0],
        name=sections[0].name.rpartition("/")[0] or sections[0].name,
        features=np.concatenate([s.features for s in sections])[first],
        pooling=sparse.vstack(pooling).tocsr(),
        counts=sparse.vstack([s.counts for s in sections]).tocsr(),
        library=np.concatenate([s.library for s in sections]),
        xy_um=np.concatenate([s.xy_um for s in sections]),
        row_column=row_column,
        lattice=_side_by_side([s.lattice for s in sections]),
    )


def _side_by_side(lattices: Sequence[IntArray | None]) -> IntArray | None:
    """Columns moved, so that lattices do not touch."""
    out: list[IntArray] = []
    start = 0
    for lattice in lattices:
        if lattice is None:
            return None
        moved = lattice.copy()
        moved[:, 0] += start - int(lattice[:, 0].min(initial=0))
        out.append(moved)
        start = int(moved[:, 0].max(initial=start)) + _APART
    return np.concatenate(out)


def with_surroundings(flat: IntArray, halo: int, mask: BoolArray) -> IntArray:
    """Ascending flat indices of the superpixels given, and of the tissue at most `halo` rows and columns away."""
    near = np.zeros(mask.shape, dtype=np.uint8)
    near.ravel()[flat] = 1
    wide = (ndimage.maximum_filter(near, 2 * halo + 1, mode="constant") > 0) & mask
    return np.flatnonzero(wide | (near > 0))


def gather_features(features: Features, flat: IntArray, standardised: bool = True) -> FloatArray:
    """(superpixels, channels) float32 of ascending flat indices, read tile by tile."""
    columns_count = features.array.shape[1]
    rows, columns = np.divmod(flat, columns_count)
    out = np.empty((len(flat), features.array.shape[2]), dtype=np.float32)
    read = features.standardised if standardised else features.raw
    tile = rows // _FEATURE_TILE * (columns_count // _FEATURE_TILE + 1) + columns // _FEATURE_TILE
    order = np.argsort(tile, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(tile[order])) + 1):
        top, left = (int(a[group[0]]) // _FEATURE_TILE * _FEATURE_TILE for a in (rows, columns))
        block = read(slice(top, top + _FEATURE_TILE), slice(left, left + _FEATURE_TILE))
        out[group] = block[rows[group] - top, columns[group] - left]
    return out


def gene_statistics(measured: Measured) -> tuple[FloatArray, FloatArray]:
    """Totals, and variance over mean, of every gene of the file."""
    total = np.asarray(measured.counts.sum(0), dtype=np.float64).ravel()
    mean = total / len(measured)
    squares = np.asarray(measured.counts.multiply(measured.counts).sum(0), dtype=np.float64).ravel() / len(measured)
    return total, (squares - mean**2) / np.maximum(mean, 1e-12)
