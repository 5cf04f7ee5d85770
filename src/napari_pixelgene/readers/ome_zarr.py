"""OME-Zarr 0.4 and 0.5 (Zarr v2 and v3): a multiscale image as a lazy pyramid of (rows, columns, 3) uint8.

Axes may stand in any order; time and depth of length 1 are taken out, longer ones refused. Three channels of 8 bits
are red, green and blue. The pixel size is the scale of the finest level in the unit of the axes y and x; without a
unit of length it is not believed. Our arrays begin at the outer corner of the first pixel. What a file's translation
begins at is not agreed on (ours puts the centre of a level's first pixel at half its size; other writers leave it
out, or count from the centre of level 0's first pixel); so a level may lie up to half its own pixel off, and one that
its scale or translation puts further away than that is left out and told.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_pixelgene.arithmetic.resampling import level_scale
from napari_pixelgene.elements.arrays import Array, LazyArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.views import RegionView
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers import pixel_size

# The files that say that a folder is a Zarr group or array.
MARKS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_UM = {
    "picometer": 1e-6, "angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4,
    "decimeter": 1e5, "meter": 1e6, "inch": 25_400.0,
}  # fmt: skip
_LAYOUT = "bioformats2raw.layout"
_PLANE = ("y", "x")
# In pixels of a level: rounding of its shape; and corner against centre.
_DRIFT, _SHIFT = 1.0, 0.51
_STAGE = "image"


class AxesView(RegionView):
    """A level with axes in any order, seen as (rows, columns, 3)."""

    def __init__(self, source: Any, axes: Sequence[str], path: Path) -> None:
        at = {axis: i for i, axis in enumerate(axes)}
        rows, columns = (int(source.shape[at[axis]]) for axis in _PLANE)
        self.shape, self.dtype = (rows, columns, 3), np.dtype(source.dtype)
        self.chunks = (*(int(source.chunks[at[axis]]) for axis in _PLANE), 3)
        self._source, self._axes, self._path = source, tuple(axes), path
        left = [axis for axis in axes if axis in "yxc"]
        self._order = [left.index(axis) for axis in "yxc"]

    def read(self, rows: slice, columns: slice) -> Array:
        """The block, its channels behind."""
        where: Mapping[str, slice | int] = {"y": rows, "x": columns, "c": slice(0, 3)}
        try:
            block = np.asarray(self._source[tuple(where.get(axis, 0) for axis in self._axes)])
        except (RuntimeError, ValueError, OSError) as why:
            raise _broken(self._path, f"cannot be decoded at row {rows.start}, column {columns.start} ({why})") from why
        return block.transpose(self._order)


@dataclass(frozen=True, slots=True)
class _Level:
    """An array with what the metadata say of it: µm-free scale and translation by axis, None where not stated."""

    path: str
    array: Any
    scale: Mapping[str, float] | None
    translation: Mapping[str, float]

    def side(self, axes: Sequence[str], axis: str) -> int:
        return int(self.array.shape[axes.index(axis)])


@dataclass(frozen=True, slots=True)
class _Multiscale:
    path: Path
    axes: tuple[str, ...]
    units: Mapping[str, str]
    levels: tuple[_Level, ...]

    @property
    def size(self) -> pixel_size.Size | None:
        """(x, y) µm per pixel, where scale and unit say it."""
        scale, units = self.levels[0].scale, [self.units.get(axis, "") for axis in ("x", "y")]
        if scale is None or any(unit not in _UM for unit in units):
            return None
        x, y = (scale[axis] * _UM[unit] for axis, unit in zip(("x", "y"), units, strict=True))
        return (x, y) if x > 0 and y > 0 else None


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


def read_ome_zarr(path: Path, mpp: float | None = None, on_event: OnEvent = silent) -> Image:
    """An H&E, (rows, columns, 3) uint8; `mpp` overrules what the file states.

    Of a folder as bioformats2raw writes it the largest image is read. Raises InputError for what is no H&E, lacks a
    level, or is no OME-Zarr.
    """
    path = Path(path)
    found = _multiscale(path, on_event)
    for level in found.levels:
        _check_colours(path, found.axes, level.array)
    if "c" in found.axes and found.levels[0].side(found.axes, "c") == 4:
        on_event(Note(f"{path.name} has a fourth channel; it is left out.", stage=_STAGE))
    _tell_holes(path, found.levels[0].array, on_event)
    levels: tuple[LazyArray, ...] = tuple(
        AxesView(level.array, found.axes, path) for level in _aligned(found, on_event)
    )
    if mpp is None:
        _tell_size(found, on_event)
    return Image(levels, pixel_size.settle(path, found.size, mpp, on_event), path, path.name.split(".")[0])


# Metadata


def _multiscale(path: Path, on_event: OnEvent) -> _Multiscale:
    group = _open(path)
    attributes = _ome(group)
    if "multiscales" not in attributes and _LAYOUT in attributes:
        return _largest_series(path, group, on_event)
    if "multiscales" not in attributes:
        raise _no_image(path, group, attributes)
    return _parse(path, group, attributes, on_event)


def _open(path: Path) -> zarr.Group:
    try:
        found = zarr.open(str(path), mode="r", use_consolidated=False)
    except (ValueError, KeyError, OSError, TypeError) as why:
        raise _broken(path, f"cannot be read as Zarr ({why})") from why
    if isinstance(found, zarr.Group):
        return found
    raise InputError(
        f"{path} is a bare Zarr array: it does not say what its axes are.",
        "Give the OME-Zarr group that holds it (the folder above).",
    )


def _ome(group: zarr.Group) -> Mapping[str, Any]:
    """The attributes of 0.5 stand under `ome`, those of 0.4 by themselves."""
    attributes: Mapping[str, Any] = group.attrs.asdict()
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def _largest_series(path: Path, group: zarr.Group, on_event: OnEvent) -> _Multiscale:
    series = {name: _parse(path, each, _ome(each), silent) for name, each in _series(group)}
    if not series:
        raise _broken(path, "lists no image")
    chosen = max(series, key=lambda name: int(np.prod(series[name].levels[0].array.shape)))
    if len(series) > 1:
        left = ", ".join(name for name in series if name != chosen)
        on_event(Note(f"{path.name} also holds the images {left}; only the largest, {chosen}, is read.", stage=_STAGE))
    return series[chosen]


def _series(group: zarr.Group) -> Iterator[tuple[str, zarr.Group]]:
    """The images of a bioformats2raw folder, in order: numbered groups."""
    place = 0
    while isinstance(each := group.get(str(place)), zarr.Group):
        yield str(place), each
        place += 1


def _no_image(path: Path, group: zarr.Group, attributes: Mapping[str, Any]) -> InputError:
    if "plate" in attributes or "well" in attributes:
        return InputError(f"{path} is a plate or a well of a screen.", "Give one image in it.")
    inside = [name for name, each in _below(group) if "multiscales" in _ome(each)]
    mend = f"It holds {', '.join(inside[:8])}: name one of these folders." if inside else "Give an OME-Zarr image."
    return InputError(f"{path} is a Zarr group, but no OME-Zarr image: it has no 'multiscales'.", mend)


def _below(group: zarr.Group) -> Iterator[tuple[str, zarr.Group]]:
    for name, each in sorted(group.groups()):
        yield name, each
        for inner, deeper in sorted(each.groups()):
            yield f"{name}/{inner}", deeper


def _parse(path: Path, group: zarr.Group, attributes: Mapping[str, Any], on_event: OnEvent) -> _Multiscale:
    try:
        several = attributes["multiscales"]
        document = several[0]
        axes = tuple(_axis(each) for each in document.get("axes") or "tczyx")
        units = {_axis(each): str(each.get("unit", "")) for each in document.get("axes", ()) if isinstance(each, dict)}
        levels = tuple(_level(group, each, document, axes, path) for each in document["datasets"])
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as why:
        if isinstance(why, InputError):
            raise
        raise _broken(path, f"has 'multiscales' that cannot be read ({why!r})") from why
    if len(several) > 1:
        on_event(Note(f"{path.name} describes {len(several)} pyramids; the first is read.", stage=_STAGE))
    if not levels:
        raise _broken(path, "lists no levels")
    if not set(_PLANE) <= set(axes) or len(set(axes)) < len(axes):
        raise InputError(f"{path} has the axes {', '.join(axes)}; an image has y and x.", "Give an H&E.")
    return _Multiscale(path, axes, units, levels)


def _axis(each: Any) -> str:
    """One letter for the axes we know; versions before 0.4 list bare names."""
    if isinstance(each, str):
        return each.lower()
    return {"channel": "c", "time": "t"}.get(each.get("type", ""), str(each["name"]).lower())


def _level(
    group: zarr.Group, dataset: Mapping[str, Any], document: Mapping[str, Any], axes: tuple[str, ...], path: Path
) -> _Level:
    name = str(dataset["path"])
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise _broken(path, f"is incomplete: its level '{name}' is not there")
    if array.ndim != len(axes):
        raise _broken(path, f"has {len(axes)} axes ({', '.join(axes)}) and a level '{name}' of shape {array.shape}")
    scale, translation = _placed(dataset, document, len(axes))
    by_axis = None if scale is None else dict(zip(axes, map(float, scale), strict=True))
    return _Level(name, array, by_axis, dict(zip(axes, map(float, translation), strict=True)))


def _placed(dataset: Mapping[str, Any], document: Mapping[str, Any], count: int) -> tuple[Array | None, Array]:
    """Scale and translation of a level; those of the whole pyramid come after its own.

    A transformation to a named system (SpatialData's) places the image in another space: it is not the pixel size.
    """
    scale, translation = None, np.zeros(count)
    whole = [each for each in document.get("coordinateTransformations", ()) if "output" not in each]
    for each in (*dataset.get("coordinateTransformations", ()), *whole):
        if "scale" in each:
            factor = np.broadcast_to(np.asarray(each["scale"], dtype=np.float64), count)
            scale, translation = factor * (1.0 if scale is None else scale), translation * factor
        elif "translation" in each:
            translation = translation + np.broadcast_to(np.asarray(each["translation"], dtype=np.float64), count)
    return scale, translation


# Pixels


def _check_colours(path: Path, axes: tuple[str, ...], array: Any) -> None:
    shown = ", ".join(f"{axis} {n}" for axis, n in zip(axes, array.shape, strict=True))
    deep = [axis for axis, n in zip(axes, array.shape, strict=True) if axis not in ("y", "x", "c") and n > 1]
    if deep:
        raise InputError(
            f"{path} has several planes along {', '.join(deep)} ({shown}); an H&E has one.",
            "Export the plane in focus alone.",
        )
    channels = array.shape[axes.index("c")] if "c" in axes else 1
    if channels not in (3, 4):
        raise InputError(
            f"{path} has {channels} channel{'s' * (channels != 1)} ({shown}); an H&E has three colours.",
            "Give the colour scan of the slide; a fluorescence image is no H&E.",
        )
    if array.dtype != np.uint8:
        raise InputError(f"{path} holds {array.dtype}; an H&E has 8 bits a colour.", "Export it as 8-bit RGB.")


def _tell_holes(path: Path, array: Any, on_event: OnEvent) -> None:
    """Chunks that were never written read as the fill value; a copy that broke off looks the same."""
    stored = array.shards or array.chunks
    all_of_them = math.prod(-(-size // side) for size, side in zip(array.shape, stored, strict=True))
    there = _files_below(Path(array.store.root) / array.path)
    if not there:
        raise _broken(path, "is incomplete: the finest level has no pixels")
    if there < all_of_them:
        text = f"{all_of_them - there:,} of {all_of_them:,} chunks of {path.name} are not there and read as "
        on_event(Note(f"{text}{array.fill_value}: the copy may be incomplete.", "warning", _STAGE))


def _files_below(folder: Path) -> int:
    """How many chunks a folder holds; zarr's own count compares every name with every other."""
    return sum(sum(name not in MARKS for name in names) for _, _, names in os.walk(folder))


def _tell_size(found: _Multiscale, on_event: OnEvent) -> None:
    """Say what a stated pixel size is worth."""
    name = found.path.name
    if found.size is None and found.levels[0].scale is not None:
        on_event(Note(f"{name} states a pixel size without a unit of length; it is not believed.", stage=_STAGE))
    if found.size == (1.0, 1.0):
        text = f"{name} states exactly 1 µm per pixel, as writers do that were told nothing: see that it is so."
        on_event(Note(text, "warning", _STAGE))


def _aligned(found: _Multiscale, on_event: OnEvent) -> Iterator[_Level]:
    """The finest level and those below it that lie where their shapes say."""
    first, *rest = found.levels
    yield first
    if rest and all(level.scale == first.scale for level in rest):
        text = f"{found.path.name} states no scale of its coarse levels; their shapes are believed."
        on_event(Note(text, "info", _STAGE))
        yield from rest
        return
    for level in rest:
        off = max(_misplaced(found.axes, first, level, axis) for axis in _PLANE)
        if off <= 1.0:
            yield level
        else:
            text = f"The level '{level.path}' of {found.path.name} does not lie where its shape says; it is left out."
            on_event(Note(text, "warning", _STAGE))


def _misplaced(axes: tuple[str, ...], first: _Level, level: _Level, axis: str) -> float:
    """How far the stated place of a level is from the one its shape says; up to 1 is allowed."""
    if first.scale is None or level.scale is None:
        return 0.0
    own, sides = level.scale[axis], (first.side(axes, axis), level.side(axes, axis))
    stated = own / first.scale[axis]
    drift = min(abs(stated / by_shape - 1) for by_shape in (level_scale(*sides), sides[0] / sides[1])) * sides[1]
    moved = level.translation[axis] - first.translation[axis]
    # From corner to corner, whether translations mean corners or centres.
    shift = min(abs(moved), abs(moved - (own - first.scale[axis]) / 2)) / own
    return max(drift / _DRIFT, shift / _SHIFT)


def _broken(path: Path, how: str) -> InputError:
    return InputError(f"{path} {how}.", "Copy it again from its source, with all its files.")
