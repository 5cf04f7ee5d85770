"""AnnData of spots, bins or cells: an .h5ad file or a Zarr folder with `obsm["spatial"]`.

What its positions mean, a person says: AnnData has no frame. scanpy's and squidpy's Visium objects keep Space Ranger's
scale factors in `uns["spatial"]`; there positions are pixels of the full-resolution image, and a spot is a disk of
55 µm (a Visium HD bin a square of `bin_size_um`). Pixels are taken as they stand, for no format says whether 0 is a
pixel's corner or its centre. Raw counts: `readers/anndata_matrix.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from scipy.spatial import cKDTree

from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.anndata_matrix import RawCounts, Table, opened, raw_counts
from napari_pixelgene.readers.feature_matrix import gene_table

Coordinates = Literal["he_px", "he_um", "stage_um"]
Shape = Literal["disk", "square", "point"]

SPATIAL = "spatial"
VISIUM_SPOT_UM, VISIUM_PITCH_UM = 55.0, 100.0
_UM_PER_PIXEL = "microns_per_pixel"
# Fewer spots than this may have no neighbours.
_ENOUGH = 10
_LIBRARY_ID, _ON_TISSUE = "library_id", "in_tissue"
_IDS, _KINDS, _GENE_KIND = "gene_ids", "feature_types", "Gene Expression"
_SPOT, _FIDUCIAL, _HIRES, _BIN = (
    "spot_diameter_fullres", "fiducial_diameter_fullres", "tissue_hires_scalef", "bin_size_um",
)  # fmt: skip
_STAGE = "anndata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person says about an AnnData; empty words mean: as usual."""

    coordinates: Coordinates
    layer: str = ""  # where the raw counts are: a layer, X or raw.X
    symbols: str = ""  # the column of var with gene symbols
    library: str = ""
    library_key: str = _LIBRARY_ID
    positions: str = SPATIAL  # the key of obsm
    shape: Shape | None = None
    size_um: float | None = None


def read_anndata(path: Path, choice: Choice, name: str = "", on_event: OnEvent = silent) -> Capture:
    """One capture of units in the order of `obs`, their positions in the frame `choice.coordinates`.

    Rows of other libraries and spots with `in_tissue` = 0 are left out and told, so are rows of `var` whose
    `feature_types` is no gene. Raises InputError that names file, row and field.
    """
    path = Path(path)
    with opened(path) as table:
        factors, library = _library(table, choice)
        keep = _rows(table, choice, library, on_event)
        xy = _positions(table, choice.positions)[keep]
        refuse_lost(path, table.names[keep], xy)
        _tell_frame(table.path, factors, library, choice.coordinates, on_event)
        footprint = _footprint(factors, choice, path)
        found = raw_counts(table, choice.layer, keep, on_event)
        genes, columns = read_genes(table, found.var, choice.symbols, on_event)
        units = units_of(table.names[keep], xy, found, genes, columns, footprint, choice.coordinates)
    facts: dict[str, str | int | float] = {"counts from": found.place}
    if library:
        facts["library"] = library
    return Capture(name or library or path.name.split(".")[0], "anndata", genes, units=units, facts=facts)


def anndata_pixel_size(path: Path, choice: Choice) -> float | None:
    """µm per pixel of the full-resolution image, where the object is Visium's and positions are said to be its pixels.

    As Space Ranger states it for Visium HD; else from the spots' pitch of 100 µm.
    """
    if choice.coordinates != "he_px":
        return None
    with opened(Path(path)) as table:
        factors, library = _library(table, choice)
        if not _is_visium(factors):
            return None
        if _BIN in factors:
            return factors.get(_UM_PER_PIXEL)
        xy = _positions(table, choice.positions)[_rows(table, choice, library, silent)]
    refuse_lost(Path(path), table.names, xy)
    if len(xy) < _ENOUGH:
        return None
    distance, _ = cKDTree(xy).query(xy, k=2)
    pitch_px = float(np.median(distance[:, 1]))
    return VISIUM_PITCH_UM / pitch_px if pitch_px > 0 else None


def units_of(
    ids: Array,
    xy: FloatArray,
    found: RawCounts,
    genes: GeneTable,
    columns: IntArray | None,
    footprint: Footprint,
    frame: Coordinates,
) -> Units:
    """Units with the counts of the genes, which are the matrix's `columns` (None: all)."""
    counts = found.counts if columns is None else found.counts[:, columns]
    return Units(ids, xy, counts, genes, footprint, frame)


# Genes


def read_genes(table: Table, var: str, symbols: str, on_event: OnEvent) -> tuple[GeneTable, IntArray | None]:
    """The genes of a frame and which of its rows they are, None where all are.

    Symbols are `var_names`, or the column `symbols`; ids are `gene_ids`, else `var_names` where these are not the
    symbols.
    """
    index = table.index(var)
    names = index if not symbols else _column(table, var, symbols)
    ids = table.column(var, _IDS)
    ids = index if ids is None else np.asarray(ids, dtype=str)
    _refuse_nameless(table.path, names, symbols or "var_names")
    columns = _gene_columns(table, var, on_event)
    if columns is not None:
        names, ids = names[columns], ids[columns]
    _refuse_twins(table.path, names, ids)
    if not symbols:
        _tell_ensembl(table, var, names, on_event)
    return gene_table(list(zip(map(str, ids), map(str, names), strict=True)), table.path, on_event), columns


def _column(table: Table, frame: str, name: str) -> Array:
    found = table.column(frame, name)
    if found is None:
        raise InputError(
            f"{table.path}: {frame} has no column '{name}'.",
            f"Its columns: {', '.join(table.columns(frame)) or 'none'}.",
        )
    return np.asarray(found, dtype=str)


def _gene_columns(table: Table, var: str, on_event: OnEvent) -> IntArray | None:
    kinds = table.column(var, _KINDS)
    if kinds is None or (kinds == _GENE_KIND).all():
        return None
    genes = np.flatnonzero(kinds == _GENE_KIND)
    others = ", ".join(sorted({str(kind) for kind in kinds if kind != _GENE_KIND}))
    if not len(genes):
        raise InputError(
            f"{table.path}: no row of {var} has {_KINDS} '{_GENE_KIND}'; they have {others}.",
            "Give an object with genes.",
        )
    text = f"{len(kinds) - len(genes):,} of {len(kinds):,} features of {table.path.name} are no genes ({others})"
    on_event(Note(f"{text} and are left out.", "info", _STAGE))
    return genes


def _refuse_nameless(path: Path, names: Array, where: str) -> None:
    lost = np.isin(names, ["", "nan", "None", "<NA>"])
    if lost.any():
        raise InputError(
            f"{path}: row {int(lost.argmax()) + 1} of {where} has no name ({int(lost.sum())} such).",
            "Name every gene, or name another column with symbols.",
        )


def _refuse_twins(path: Path, names: Array, ids: Array) -> None:
    """A symbol may stand twice where the ids tell the genes apart."""
    pairs, first = np.unique(np.char.add(np.char.add(names.astype(str), "\0"), ids.astype(str)), return_index=True)
    if len(pairs) == len(names):
        return
    twice = names[sorted(set(range(len(names))) - set(first.tolist()))[0]]
    raise InputError(
        f"{path} names the gene '{twice}' twice, and no ids tell the two apart.",
        "Make names unique first (adata.var_names_make_unique()), or keep ids in var['gene_ids'].",
    )


def _tell_ensembl(table: Table, var: str, names: Array, on_event: OnEvent) -> None:
    ensembl = np.char.startswith(names.astype(str), "ENS")
    columns = [each for each in table.columns(var) if "symbol" in each.lower() or "name" in each.lower()]
    if len(names) and ensembl.mean() > 0.5 and columns:
        text = f"{table.path.name} names its genes by Ensembl ids; symbols may be in the column {' or '.join(columns)}"
        on_event(Note(f"{text} of var (--symbols).", "warning", _STAGE))


# Places


def _positions(table: Table, key: str) -> FloatArray:
    there = table.keys("obsm")
    if key not in there:
        raise InputError(
            f"{table.path} has no obsm['{key}'].",
            f"Positions are looked for there; obsm has: {', '.join(there) or 'nothing'} (--positions).",
        )
    found = table.element(f"obsm/{key}")
    xy = np.asarray(found.to_numpy() if hasattr(found, "to_numpy") else found, dtype=np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise InputError(
            f"{table.path}: obsm['{key}'] has the shape {xy.shape}; positions have two columns, x and y.",
            "Keep x and y alone there.",
        )
    return xy


def refuse_lost(path: Path, names: Array, xy: FloatArray) -> None:
    """Every unit needs a position, and there must be units."""
    if not len(xy):
        raise InputError(f"{path}: no row is left.", "Check the library and in_tissue.")
    lost = ~np.isfinite(xy).all(axis=1)
    if lost.any():
        raise InputError(
            f"{path}, row '{names[int(lost.argmax())]}': its position is not a number ({int(lost.sum())} such).",
            "Mend or remove these rows.",
        )


def _rows(table: Table, choice: Choice, library: str, on_event: OnEvent) -> BoolArray:
    keep = np.ones(len(table.names), dtype=bool)
    of_row = table.column("obs", choice.library_key)
    if library and of_row is not None:
        keep &= np.asarray(of_row, dtype=str) == library
        if not keep.all():
            text = f"{int((~keep).sum()):,} of {len(keep):,} rows of {table.path.name} are of other libraries"
            on_event(Note(f"{text} and are left out.", "info", _STAGE))
    on_tissue = table.column("obs", _ON_TISSUE)
    if on_tissue is not None:
        off = keep & (np.asarray(on_tissue).astype(np.float64) == 0)
        if off.any():
            text = f"{int(off.sum()):,} of {int(keep.sum()):,} rows of {table.path.name} have {_ON_TISSUE} = 0"
            on_event(Note(f"{text} and are left out.", "info", _STAGE))
        keep &= ~off
    return keep


# Libraries and what they know


def _library(table: Table, choice: Choice) -> tuple[Mapping[str, float], str]:
    """Scale factors and name of the library that is meant; nothing and "" where the file speaks of none."""
    described = [key for key in table.keys(f"uns/{SPATIAL}") if hasattr(table.root[f"uns/{SPATIAL}/{key}"], "keys")]
    of_row = table.column("obs", choice.library_key)
    names = described if of_row is None else sorted(set(map(str, of_row)))
    library = choice.library
    if library and library not in names:
        raise InputError(
            f"{table.path} has no library '{library}'.", f"It has: {', '.join(names) or 'none that are named'}."
        )
    if not library and len(names) > 1:
        raise InputError(f"{table.path} holds several libraries: {', '.join(names)}.", "Choose one with --library.")
    if of_row is None and len(described) > 1:
        raise InputError(
            f"{table.path} holds several libraries ({', '.join(described)}), and obs has no column "
            f"'{choice.library_key}' that says which row is of which.",
            f"Name that column with --library-key; obs has: {', '.join(table.columns('obs')) or 'none'}.",
        )
    library = library or (names[0] if names else "")
    key = library if library in described else described[0] if len(described) == 1 else None
    return (_factors(table.element(f"uns/{SPATIAL}/{key}/scalefactors")) if key else {}), library


def _factors(found: Any) -> Mapping[str, float]:
    if not isinstance(found, Mapping):
        return {}
    numbers = {str(key): np.asarray(value) for key, value in found.items()}
    return {key: float(value) for key, value in numbers.items() if value.ndim == 0 and value.dtype.kind in "iuf"}


def _is_visium(factors: Mapping[str, float]) -> bool:
    """squidpy writes scale factors of 1 for other technologies; only Space Ranger's come with fiducials or bins."""
    return _SPOT in factors and _HIRES in factors and (_FIDUCIAL in factors or _BIN in factors)


def _tell_frame(
    path: Path, factors: Mapping[str, float], library: str, coordinates: Coordinates, on_event: OnEvent
) -> None:
    if not _is_visium(factors):
        return
    text = (
        f"{path.name} has Space Ranger's scale factors in uns['{SPATIAL}']['{library}']: positions are probably "
        "pixels of the full-resolution image (he_px), of which the hires image is "
        f"{factors[_HIRES]:.4g} times the size"
    )
    wrong = coordinates != "he_px"
    on_event(Note(f"{text}; you say {coordinates}." if wrong else f"{text}.", "warning" if wrong else "info", _STAGE))


def _footprint(factors: Mapping[str, float], choice: Choice, path: Path) -> Footprint:
    if choice.shape is None and choice.size_um is None:
        if not _is_visium(factors):
            return Footprint("point")
        return Footprint("square", factors[_BIN]) if _BIN in factors else Footprint("disk", VISIUM_SPOT_UM)
    return given_footprint(choice.shape, choice.size_um, path)


def given_footprint(shape: Shape | None, size_um: float | None, path: Path) -> Footprint:
    """The footprint a person gives: a point, or a shape with its size."""
    if shape == "point" and size_um is None:
        return Footprint("point")
    if shape is None or size_um is None or shape == "point":
        raise InputError(
            f"The footprint of {path} is given by half: shape {shape or 'none'}, size {size_um or 'none'}.",
            f"Give both --shape ({', '.join(get_args(Shape)[:2])}) and --size-um, or --shape point alone.",
        )
    return Footprint(shape, float(size_um))
