"""Elements of a SpatialData store: what there is, where it lies in a coordinate system, shapes and points.

Names of the store's layout are spelled here. An element is read alone, lazily where it can be; its transformations are
taken through the package `spatialdata` (the extra of that name). SpatialData's pixel coordinates have 0 at the outer
corner of the first pixel, as ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from napari_pixelgene.elements.arrays import Array, FloatArray
from napari_pixelgene.elements.capture import Footprint
from napari_pixelgene.errors import InputError, MissingDependency
from napari_pixelgene.progress import Note, OnEvent
from napari_pixelgene.readers.xenium_transcripts import Table

Room = Literal["images", "labels", "points", "shapes", "tables"]
COMMAND = 'pip install "napari-pixelgene[spatialdata]"'
_MARKS = ("zarr.json", ".zattrs")
# Names of columns as the filters of transcripts know them.
_NAME, _X, _Y = "feature_name", "x_location", "y_location"
_BATCH_ROWS = 500_000
_SIMILAR, _SQUARE, _UPRIGHT = 1e-3, 0.01, 0.02
_STAGE = "spatialdata"


@dataclass(frozen=True, slots=True)
class Places:
    """Units of a region: ids (n,) text, positions (n, 2) and what they cover, in one coordinate system's units.

    `size` is a diameter or side, 0 for points.
    """

    ids: Array
    xy: FloatArray
    shape: Literal["disk", "square", "point"]
    size: float

    def footprint(self, um: float) -> Footprint:
        """The footprint where the system's unit is `um` µm."""
        return Footprint(self.shape, self.size * um)


def require_package() -> Any:
    """The package, or the command that brings it."""
    try:
        import spatialdata
    except ImportError as why:
        raise MissingDependency(f"SpatialData stores need the package spatialdata ({why}).", COMMAND) from None
    return spatialdata


def is_store(path: Path) -> bool:
    """Whether a folder is a SpatialData store, by its attributes or its rooms."""
    if not any((path / mark).is_file() for mark in _MARKS) and not (path / ".zgroup").is_file():
        return False
    return "spatialdata_attrs" in attributes(path) or any((path / room).is_dir() for room in ("shapes", "points"))


def attributes(folder: Path) -> Mapping[str, Any]:
    """The Zarr attributes of a group, of either version."""
    for mark in _MARKS:
        try:
            document: dict[str, Any] = json.loads((folder / mark).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found = document.get("attributes", {}) if mark == "zarr.json" else document
        return found if isinstance(found, Mapping) else {}
    return {}


def names(store: Path, room: Room) -> list[str]:
    """The elements of a kind."""
    folder = store / room
    if not folder.is_dir():
        return []
    inside = (each for each in folder.iterdir() if each.is_dir())
    return sorted(each.name for each in inside if any((each / mark).is_file() for mark in (*_MARKS, ".zgroup")))


def require(store: Path, room: Room, name: str, option: str) -> Path:
    """The folder of an element, the only one where no name is given."""
    there = names(store, room)
    if not name and len(there) == 1:
        return store / room / there[0]
    if not name:
        said = f"several {room}: {', '.join(there)}" if there else f"no {room}"
        raise InputError(f"{store} holds {said}.", f"Choose one with --{option}." if there else "Give another store.")
    if name not in there:
        raise InputError(f"{store} has no '{name}' among its {room}.", f"It has: {', '.join(there) or 'none'}.")
    return store / room / name


# Where an element lies


def transformation(element: Path, system: str) -> FloatArray:
    """The 3 × 3 matrix from an element's own (x, y) to a coordinate system.

    Raises InputError that lists the systems the element knows, or says that the transformation is not affine.
    """
    known = _stated(element)
    if system not in known:
        raise InputError(
            f"{element} has no transformation to the coordinate system '{system}'.",
            f"It has: {', '.join(known) or 'none'} (--coordinate-system).",
        )
    require_package()
    from spatialdata.transformations import BaseTransformation
    from spatialdata.transformations.ngff.ngff_transformations import NgffBaseTransformation

    try:
        found = BaseTransformation.from_ngff(NgffBaseTransformation.from_dict(known[system]))
        matrix = np.asarray(found.to_affine_matrix(("x", "y"), ("x", "y")), dtype=np.float64)
    except (ValueError, KeyError, TypeError, NotImplementedError, IndexError) as why:
        raise InputError(
            f"The transformation of {element} to '{system}' is not affine in x and y "
            f"({known[system].get('type', 'of no type')}: {why}).",
            "Choose another coordinate system, or register the run here instead (coordinates stage_um).",
        ) from None
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
        raise InputError(f"The transformation of {element} to '{system}' cannot be inverted.", "Mend it in the store.")
    return matrix


def systems(element: Path) -> list[str]:
    """The coordinate systems an element has a transformation to."""
    return list(_stated(element))


def choose_system(element: Path, asked: str) -> str:
    """The system that is asked for, else the only one, else `global`."""
    known = systems(element)
    if asked or len(known) == 1:
        return asked or known[0]
    if "global" in known:
        return "global"
    raise InputError(
        f"{element} lies in several coordinate systems: {', '.join(known)}." if known else f"{element} lies nowhere.",
        "Choose one with --coordinate-system." if known else "Give it a transformation in the store.",
    )


def _stated(element: Path) -> Mapping[str, Mapping[str, Any]]:
    found = attributes(element)
    image = found.get("ome", found).get("multiscales")
    listed = (image[0] if image else found).get("coordinateTransformations", ())
    return {each["output"]["name"]: each for each in listed if isinstance(each.get("output"), Mapping)}


# Shapes


def read_shapes(element: Path, matrix: FloatArray, on_event: OnEvent, sized: bool = True) -> Places:
    """Circles as disks of their diameter; equal squares as squares; other outlines as points at their centroids.

    Where sizes are given otherwise (`sized` is false) all are points, whatever their form.
    """
    require_package()
    import geopandas
    import shapely

    file = element / "shapes.parquet"
    if not file.is_file():
        raise InputError(
            f"{element} has no shapes.parquet: it was written by an early spatialdata, or is incomplete.",
            "Open it with the spatialdata that wrote it and write it again.",
        )
    try:
        frame = geopandas.read_parquet(file)
    except (pa.ArrowException, OSError, ValueError, KeyError) as why:
        raise InputError(f"{file} cannot be read as shapes ({why}).", "Copy it again from its source.") from None
    ids, outlines = np.asarray(frame.index.astype(str), dtype=str), frame.geometry.to_numpy()
    empty = shapely.is_missing(outlines) | shapely.is_empty(outlines)
    if empty.any():
        raise InputError(f"{file}, row '{ids[int(empty.argmax())]}': it has no shape.", "Remove that row.")
    if not sized:
        return Places(ids, moved(shapely.get_coordinates(shapely.centroid(outlines)), matrix), "point", 0.0)
    if "radius" in frame.columns:
        return _disks(file, ids, shapely.get_coordinates(outlines), np.asarray(frame["radius"], float), matrix)
    return _outlines(file, ids, shapely.transform(outlines, lambda xy: moved(xy, matrix)), on_event)


def moved(xy: FloatArray, matrix: FloatArray) -> FloatArray:
    """(n, 2) points under an affine 3 × 3 matrix."""
    out: FloatArray = xy @ matrix[:2, :2].T + matrix[:2, 2]
    return out


def _disks(file: Path, ids: Array, xy: FloatArray, radius: FloatArray, matrix: FloatArray) -> Places:
    wrong = ~(np.isfinite(radius) & (radius > 0))
    if wrong.any():
        at = int(wrong.argmax())
        raise InputError(f"{file}, row '{ids[at]}': its radius is {radius[at]:g}.", "A radius is above 0.")
    if np.ptp(radius) > _SQUARE * radius.mean():
        raise InputError(
            f"{file} has circles of radius {radius.min():g} to {radius.max():g}; a capture has one size.",
            "Give the size with --shape and --size-um, or --shape point.",
        )
    low, high = sorted(np.linalg.svd(matrix[:2, :2], compute_uv=False))
    if high - low > _SIMILAR * high:
        raise InputError(
            f"The transformation of {file.parent} stretches circles into ellipses ({low:.4g} × {high:.4g}).",
            "Give the size with --shape and --size-um.",
        )
    return Places(ids, moved(xy, matrix), "disk", float(2 * np.median(radius) * np.sqrt(low * high)))


def _outlines(file: Path, ids: Array, outlines: Array, on_event: OnEvent) -> Places:
    import shapely

    xy = shapely.get_coordinates(shapely.centroid(outlines))
    area = shapely.area(outlines)
    side = np.sqrt(np.median(area))
    four = shapely.get_num_coordinates(outlines) == 5
    equal = np.abs(area - side**2) <= 2 * _SQUARE * side**2
    square = np.abs(shapely.length(outlines) - 4 * side) <= 2 * _SQUARE * 4 * side
    if not (four & equal & square).all():
        text = f"{file.parent.name}: outlines of different form are taken as points at their centroids."
        on_event(Note(text, "info", _STAGE))
        return Places(ids, xy, "point", 0.0)
    left, bottom, right, top = shapely.bounds(outlines).T
    turned = np.median((right - left) * (top - bottom)) > (1 + _UPRIGHT) * side**2
    if turned:
        text = f"{file.parent.name}: squares that are turned are taken as upright ones of the same area."
        on_event(Note(text, "warning", _STAGE))
    return Places(ids, xy, "square", float(side))


# Points


def read_points(element: Path) -> Table:
    """Points as a table of transcripts, its columns called as the filters of transcripts know them."""
    parts = _parts(element)
    attrs = attributes(element).get("spatialdata_attrs", {})
    try:
        with pq.ParquetFile(parts[0]) as first:
            there = list(first.schema_arrow.names)
        rows = sum(pq.ParquetFile(part).metadata.num_rows for part in parts)
    except (pa.ArrowException, OSError) as why:
        raise _unreadable(element, why) from None
    feature = attrs.get("feature_key") if isinstance(attrs, Mapping) else None
    if feature not in there:
        raise InputError(
            f"{element} does not say which column names the gene; it has {', '.join(there[:20])}.",
            "Write the points again with PointsModel.parse(…, feature_key=COLUMN).",
        )
    called = {"x": _X, "y": _Y, str(feature): _NAME}
    columns = {called.get(name, name): name for name in there}

    def batches(wanted: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            for part in parts:
                with pq.ParquetFile(part) as file:
                    for batch in file.iter_batches(_BATCH_ROWS, columns=[columns[name] for name in wanted]):
                        own = [_plain(batch.column(columns[name]), name) for name in wanted]
                        yield pa.RecordBatch.from_arrays(own, names=list(wanted))
        except (pa.ArrowException, OSError) as why:
            raise _unreadable(element, why) from None

    return Table(element, frozenset(columns), int(rows), batches)


def read_positions(element: Path) -> FloatArray:
    """x and y (n, 2) of points, in their own coordinates and in order, of few: landmarks."""
    try:
        tables = [pq.read_table(part, columns=["x", "y"]) for part in _parts(element)]
    except (pa.ArrowException, OSError) as why:
        raise _unreadable(element, why) from None
    sides = [np.concatenate([table[side].to_numpy() for table in tables]) for side in ("x", "y")]
    return np.stack(sides, axis=1).astype(np.float64)


def _plain(column: pa.Array, name: str) -> pa.Array:
    """Texts of large offsets, as pandas writes them, in the usual kind."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return column.cast(pa.string()) if name == _NAME and pa.types.is_large_string(kind) else column


def _parts(element: Path) -> list[Path]:
    place = element / "points.parquet"
    parts = [place] if place.is_file() else sorted(place.glob("*.parquet"), key=_number)
    if not parts:
        raise InputError(f"{element} has no points.parquet.", "Copy it again from its source, with all its files.")
    return parts


def _number(part: Path) -> tuple[int, str]:
    """dask numbers its parts without leading zeros."""
    digits = "".join(each for each in part.stem if each.isdigit())
    return int(digits or 0), part.name


def _unreadable(element: Path, why: Exception) -> InputError:
    reason = str(why).splitlines()[0] if str(why) else type(why).__name__
    return InputError(
        f"{element} cannot be read as points ({reason}).", "Copy it again from its source: it may be cut off."
    )
