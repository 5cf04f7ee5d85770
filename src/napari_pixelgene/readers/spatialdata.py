"""A SpatialData store: a table and the region it annotates as units, or points as transcripts.

Positions are those of a coordinate system. Where the H&E is an image of the same store, they are its pixels: through
the system into the image. Elsewhere a person says what the system's units are. A region of shapes only; of labels the
table's own `obsm["spatial"]` can be read as an AnnData.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_pixelgene.elements.arrays import Array, FloatArray
from napari_pixelgene.elements.capture import Capture, Footprint
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.transcripts import TranscriptBatch, Transcripts
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers import spatialdata_elements as elements
from napari_pixelgene.readers import xenium_transcripts
from napari_pixelgene.readers.anndata import Coordinates, Shape, given_footprint, read_genes, refuse_lost, units_of
from napari_pixelgene.readers.anndata_matrix import Table, opened, raw_counts

_ATTRS = "uns/spatialdata_attrs"
_STAGE = "spatialdata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a person says about a store; empty words mean: the only one."""

    table: str = ""
    region: str = ""
    points: str = ""
    image: str = ""
    coordinate_system: str = ""
    coordinates: Coordinates | None = None
    layer: str = ""
    symbols: str = ""
    shape: Shape | None = None
    size_um: float | None = None
    min_qv: float = 20.0


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a region's own coordinates lead: the matrix, the frame, and µm per unit of it."""

    matrix: FloatArray
    name: Coordinates
    um: float
    system: str


def find_store(path: Path) -> Path:
    """The store, or the error that says it is none."""
    if not path.exists():
        raise InputError(f"There is no folder {path}.", "Check the path.")
    if not elements.is_store(path):
        raise InputError(f"{path} is no SpatialData store.", "Give the .zarr folder that spatialdata wrote.")
    return path


def find_files(store: Path, choice: Choice) -> dict[str, Path]:
    """The folders of the elements that are read: `transcripts`, or `counts` (the table) and `region`."""
    find_store(store)
    if choice.points:
        return {"transcripts": elements.require(store, "points", choice.points, "points")}
    if not elements.names(store, "tables"):
        there = elements.names(store, "points")
        mend = f"Read its points instead: --points {there[0]}." if there else "Give another store."
        raise InputError(f"{store} holds no tables.", mend)
    table = elements.require(store, "tables", choice.table, "table")
    with opened(table) as found:
        region = _region(store, table, found, choice.region)
    return {"counts": table, "region": store / "shapes" / region}


def find_image(store: Path, name: str) -> Path:
    """The folder of an image, an OME-Zarr."""
    return elements.require(find_store(store), "images", name, "image")


def read_spatialdata(store: Path, choice: Choice, he: Image, on_event: OnEvent = silent, name: str = "") -> Capture:
    """Units or transcripts in pixels of the H&E where that is an image of the store, else as `choice` says.

    Raises InputError that names the element and the field, MissingDependency without the package.
    """
    elements.require_package()
    files = find_files(store, choice)
    if "transcripts" in files:
        return _transcripts(store, files["transcripts"], choice, he, on_event, name)
    return _units(store, files["counts"], files["region"], choice, he, on_event, name)


# Frames


def _frame(store: Path, element: Path, choice: Choice, he: Image) -> _Frame:
    system = elements.choose_system(element, choice.coordinate_system)
    matrix = elements.transformation(element, system)
    if choice.image:
        if choice.coordinates not in (None, "he_px"):
            raise InputError(
                f"With the image {choice.image} positions of {store} are pixels of the H&E, and coordinates say "
                f"{choice.coordinates}.",
                "Leave one of the two out.",
            )
        image = find_image(store, choice.image)
        _check_same(image, he)
        to_image = np.linalg.inv(elements.transformation(image, system)) @ matrix
        return _Frame(to_image, "he_px", he.require_mpp(), system)
    if choice.coordinates is None:
        images = ", ".join(elements.names(store, "images")) or "none"
        raise InputError(
            f"{store}: what the units of the coordinate system '{system}' are is not said.",
            f"Where the H&E is an image of the store, name it with --image (it has: {images}); else say --coordinates "
            "he_px (pixels of the H&E), he_um (its µm) or stage_um (the instrument's µm, to be registered).",
        )
    return _Frame(matrix, choice.coordinates, he.require_mpp() if choice.coordinates == "he_px" else 1.0, system)


def _check_same(image: Path, he: Image) -> None:
    """The image a person names and the H&E must be one picture; a copy elsewhere has the same size."""
    from napari_pixelgene.readers.ome_zarr import read_ome_zarr

    found = read_ome_zarr(image, he.require_mpp())
    if found.yx_shape != he.yx_shape:
        raise InputError(
            f"The image {image.name} of the store has {found.yx_shape[1]} × {found.yx_shape[0]} pixels, "
            f"the H&E {he.path or he.name} has {he.yx_shape[1]} × {he.yx_shape[0]}.",
            "Leave --he out to take the store's image, or --image to say what coordinates are.",
        )


# Units


def _units(store: Path, path: Path, region: Path, choice: Choice, he: Image, on_event: OnEvent, name: str) -> Capture:
    frame = _frame(store, region, choice, he)
    with opened(path) as table:
        places = elements.read_shapes(
            region, frame.matrix, on_event, sized=choice.shape is None and choice.size_um is None
        )
        rows, place = _joined(table, region, places.ids, on_event)
        keep = np.zeros(len(table.names), dtype=bool)
        keep[rows] = True
        xy = places.xy[place]
        refuse_lost(path, table.names[rows], xy)
        found = raw_counts(table, choice.layer, keep, on_event)
        genes, columns = read_genes(table, found.var, choice.symbols, on_event)
        footprint = _footprint(places, frame, choice, region)
        units = units_of(table.names[rows], xy, found, genes, columns, footprint, frame.name)
    facts = {"counts from": f"{path.name} {found.place}", "region": region.name, "coordinate system": frame.system}
    return Capture(name or region.name, "spatialdata", genes, units=units, facts=facts)


def _footprint(places: elements.Places, frame: _Frame, choice: Choice, region: Path) -> Footprint:
    if choice.shape is None and choice.size_um is None:
        return places.footprint(frame.um)
    return given_footprint(choice.shape, choice.size_um, region)


def _said(table: Table, key: str) -> list[str]:
    found = table.element(f"{_ATTRS}/{key}")
    return [] if found is None else [str(each) for each in np.atleast_1d(np.asarray(found, dtype=object))]


def _region(store: Path, path: Path, table: Table, asked: str) -> str:
    """The shapes that the table annotates, and of several the one that is asked for."""
    annotated = _said(table, "region")
    if not annotated:
        raise InputError(
            f"The table {path} annotates no region.",
            f"Read it alone where it has positions: pixelgene import anndata … --counts {path}",
        )
    region = asked or (annotated[0] if len(annotated) == 1 else "")
    if not region or region not in annotated:
        said = f"does not annotate '{region}'" if region else f"annotates several regions: {', '.join(annotated)}"
        raise InputError(f"The table {path} {said}.", f"Choose one of {', '.join(annotated)} with --region.")
    if region in elements.names(store, "shapes"):
        return region
    if region in elements.names(store, "labels"):
        raise InputError(
            f"The table {path} annotates '{region}', which are labels (a raster); regions of shapes are read.",
            f"Where the table has obsm['spatial'], read it alone: pixelgene import anndata … --counts {path}",
        )
    raise InputError(
        f"The table {path} annotates '{region}', which is not among the shapes of the store.",
        f"Shapes: {', '.join(elements.names(store, 'shapes')) or 'none'}. Copy the store with all its elements.",
    )


def _joined(table: Table, region: Path, ids: Array, on_event: OnEvent) -> tuple[Array, Array]:
    """The rows of the table that are of this region, and where each one's shape stands."""
    region_key, instance_key = (next(iter(_said(table, key)), "") for key in ("region_key", "instance_key"))
    columns = [table.column("obs", key) if key else None for key in (region_key, instance_key)]
    if columns[0] is None or columns[1] is None:
        lost, what = (region_key, "region") if columns[0] is None else (instance_key, "shape")
        raise InputError(
            f"{table.path}: obs has no column '{lost}', which is to name a row's {what}.",
            "Write the table again with TableModel.parse.",
        )
    rows = np.flatnonzero(columns[0].astype(str) == region.name)
    wanted = columns[1][rows].astype(str)
    place = {each: i for i, each in enumerate(ids.tolist())}
    if len(place) < len(ids):
        raise InputError(
            f"{region}: {len(ids) - len(place)} of its rows have a name that stands twice.", "Rename them."
        )
    lost_rows = [each for each in wanted.tolist() if each not in place]
    if lost_rows:
        raise InputError(
            f"{table.path} counts '{lost_rows[0]}' ({len(lost_rows)} such), which {region} does not hold.",
            "Take both from one store, written together.",
        )
    twice = len(wanted) - len(set(wanted.tolist()))
    if twice:
        raise InputError(f"{table.path}: {twice} rows name a shape of {region} that another row names.", "Mend obs.")
    if len(ids) > len(rows):
        text = f"{len(ids) - len(rows):,} of {len(ids):,} shapes of {region.name} have no counts and are left out."
        on_event(Note(text, "info", _STAGE))
    return rows, np.array([place[each] for each in wanted.tolist()], dtype=np.int64)


# Transcripts


def _transcripts(store: Path, points: Path, choice: Choice, he: Image, on_event: OnEvent, name: str) -> Capture:
    frame = _frame(store, points, choice, he)
    table = elements.read_points(points)
    min_qv = choice.min_qv if "qv" in table.columns else 0.0
    if choice.min_qv and not min_qv:
        on_event(Note(f"{points.name} states no quality (qv): all its points are taken.", "info", _STAGE))
    found = xenium_transcripts.survey(table, min_qv, on_event)
    genes = GeneTable(tuple(sorted(found.seen)))
    stream = xenium_transcripts.stream(table, genes, found, min_qv, on_event)
    facts = {"points": points.name, "coordinate system": frame.system}
    return Capture(name or points.name, "spatialdata", genes, transcripts=_placed(stream, frame), facts=facts)


def _placed(stream: Transcripts, frame: _Frame) -> Transcripts:
    """The stream with its positions in the frame."""

    def batches() -> Iterator[TranscriptBatch]:
        for batch in stream.batches():
            yield TranscriptBatch(elements.moved(batch.xy, frame.matrix), batch.gene)

    return replace(stream, batches=batches, frame=frame.name)
