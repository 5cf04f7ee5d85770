"""The folder that iStar, iSCALE and Pixel2Gene work in: counts, positions and sizes behind one prefix.

Files are named prefix + name, the prefix being a folder or a folder and the begin of a name. Those called `-raw`
(`he-raw.*`, `locs-raw.*`, `pixel-size-raw.txt`, `radius-raw.txt`) are in pixels of the slide as scanned, the others
(`he.*`, `locs.*`, …) in work pixels, usually of 0.5 µm. Positions are centres, 0 at the image's outer corner. A radius
of 0 means bins of one superpixel, 16 work pixels. Pickles are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from scipy import sparse

from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.prefix_size import RadiusIs, bin_footprint, spot_footprint
from napari_pixelgene.readers.streamed_table import Kind, StreamedTable, numbers, open_table, refuse_lost, texts
from napari_pixelgene.readers.wide_counts import WideCounts, read_wide

Level = Literal["raw", "work"]
_TABLE_ENDS = (".parquet", ".tsv", ".tsv.gz", ".csv", ".csv.gz")
_PICKLE_ENDS = (".pickle", ".pkl")
# In the order in which the scripts look.
_IMAGE_ENDS = (".jpg", ".png", ".tiff", ".tif", ".btf", ".ome.tiff", ".ome.tif", ".jpeg", ".svs")
_IMAGES: dict[Level, tuple[str, ...]] = {"raw": ("he-raw",), "work": ("he", "he-scaled")}
_LOCS: dict[Level, str] = {"raw": "locs-raw", "work": "locs"}
_PIXELS: dict[Level, str] = {"raw": "pixel-size-raw.txt", "work": "pixel-size.txt"}
_RADII: dict[Level, str] = {"raw": "radius-raw.txt", "work": "radius.txt"}
_WORK_UM, _SUPERPIXEL = 0.5, 16
_SAME_SIZE = 0.02


@dataclass(frozen=True, slots=True)
class PrefixFiles:
    """What lies behind a prefix. `level` is that of the positions: pixels as scanned, or work pixels."""

    prefix: Path
    counts: Path
    locs: Path
    level: Level
    radius: Path | None
    pixel_um: dict[Level, float]  # µm per pixel, where a file says


@dataclass(frozen=True, slots=True)
class SizeAnswers:
    """What a person says of a unit's size where the files leave it open."""

    radius_is: RadiusIs | None = None
    size_um: float | None = None
    shape: Literal["disk", "square"] | None = None


def find_prefix(prefix: Path, he: Path | None = None) -> PrefixFiles:
    """The files behind a prefix, the positions being those of the image `he` where both levels are there."""
    counts = _table(prefix, "cnts")
    level = _level_of(prefix, he) or _own_level(prefix)
    other: Level = "work" if level == "raw" else "raw"
    level = level if _first(prefix, _LOCS[level], _TABLE_ENDS) else other
    locs = _first(prefix, _LOCS[level], _TABLE_ENDS)
    if locs is None:
        raise InputError(
            f"{_shown(prefix, 'locs-raw')} and {_shown(prefix, 'locs')} are not there ({', '.join(_TABLE_ENDS)}).",
            "Give the prefix as the scripts do: a folder, or a folder and the begin of the files' names.",
        )
    radius = _joined(prefix, _RADII[level])
    sizes = {each: _joined(prefix, name) for each, name in _PIXELS.items()}
    pixel_um = {each: read_number(path) for each, path in sizes.items() if path.is_file()}
    return PrefixFiles(prefix, counts, locs, level, radius if radius.is_file() else None, pixel_um)


def find_image(prefix: Path) -> tuple[Path, float | None] | None:
    """The H&E, and its µm per pixel where a file says: the one whose positions are there, else any."""
    own = _own_level(prefix)
    levels: tuple[Level, Level] = ("raw", "work") if own == "raw" else ("work", "raw")
    for level in levels:
        image = _image(prefix, level)
        if image is not None:
            size = _joined(prefix, _PIXELS[level])
            return image, read_number(size) if size.is_file() else None
    return None


def prefix_of(counts: Path) -> Path:
    """The prefix of a file of counts: where its neighbours are looked for."""
    begin = counts.name[: counts.name.rindex("cnts")]
    return counts.parent / begin if begin else counts.parent


def read_prefix(
    prefix: Path,
    he: Path | None,
    mpp: float,
    answers: SizeAnswers | None = None,
    on_event: OnEvent = silent,
) -> Capture:
    """One capture in `he_px` of the image `he` of `mpp` µm per pixel; bins as squares, spots as disks.

    Rows of the tables meet by their names, or by their order where the names do not say. Raises InputError that
    names file and row; asks where the radius can be read in more than one way.
    """
    return read_files(find_prefix(prefix, he), he, mpp, answers or SizeAnswers(), on_event)


def read_files(
    files: PrefixFiles,
    he: Path | None,
    mpp: float,
    answers: SizeAnswers,
    on_event: OnEvent = silent,
) -> Capture:
    """The same of files that were found already; a table with a gene a row and a unit a column is turned."""
    prefix = files.prefix
    counts, locs = _counts(files.counts, on_event), _locs(files.locs, on_event)
    counts = _upright(files, counts, locs, on_event)
    place = _matched(files, counts, locs, on_event)
    xy = locs.xy[place] * _to_image(files, he, mpp, on_event)
    footprint = _footprint(files, xy * mpp, mpp, answers, on_event)
    genes = GeneTable(counts.genes)
    units = Units(counts.ids, xy, counts.counts, genes, footprint, "he_px")
    facts: dict[str, str | int | float] = {
        "units": len(units),
        "footprint": f"{footprint.shape} {footprint.size_um:g} µm",
        "locs": files.locs.name,
    }
    return Capture(prefix.name.strip("-_.") or prefix.resolve().name, "prefix", genes, units=units, facts=facts)


# Files


def _joined(prefix: Path, name: str) -> Path:
    return prefix / name if prefix.is_dir() else prefix.parent / (prefix.name + name)


def _shown(prefix: Path, name: str) -> str:
    return f"{_joined(prefix, name)}.*"


def _first(prefix: Path, name: str, ends: tuple[str, ...]) -> Path | None:
    paths = (_joined(prefix, name + end) for end in ends)
    return next((path for path in paths if path.is_file()), None)


def _image(prefix: Path, level: Level) -> Path | None:
    found = (_first(prefix, name, _IMAGE_ENDS) for name in _IMAGES[level])
    return next((path for path in found if path is not None), None)


def _own_level(prefix: Path) -> Level:
    """The level of which both image and positions are there; else of the positions; else as scanned."""
    levels: tuple[Level, Level] = ("raw", "work")
    placed = [level for level in levels if _first(prefix, _LOCS[level], _TABLE_ENDS)]
    both = [level for level in placed if _image(prefix, level)]
    return (both or placed or ["raw"])[0]


def _level_of(prefix: Path, he: Path | None) -> Level | None:
    """Which of the prefix's images `he` is, by its name."""
    if he is None:
        return None
    names = {_joined(prefix, name + end).name: level for level, own in _IMAGES.items() for name in own
             for end in _IMAGE_ENDS}  # fmt: skip
    return names.get(he.name)


def _table(prefix: Path, name: str) -> Path:
    found = _first(prefix, name, _TABLE_ENDS)
    if found is not None:
        return found
    pickle = _first(prefix, name, _PICKLE_ENDS)
    if pickle is not None:
        raise InputError(
            f"{pickle} is a pickle, which is never read: opening one can run any program.",
            "Write it as a table where you trust it: pandas.read_pickle(…).to_parquet('cnts.parquet').",
        )
    raise InputError(
        f"{_shown(prefix, name)} is not there ({', '.join(_TABLE_ENDS)}).",
        "Give the prefix as the scripts do: a folder, or a folder and the begin of the files' names.",
    )


def read_number(path: Path, or_zero: bool = False) -> float:
    """The one number of a text file: positive, or 0 where that means something."""
    text = path.read_text(encoding="utf-8-sig").strip()
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (np.isfinite(value) and (value > 0 or (or_zero and value == 0))):
        raise InputError(f"{path} holds '{text[:40]}'.", "It must be one positive number.")
    return value


# Tables


@dataclass(frozen=True, slots=True)
class _Locs:
    """Names (n,) and positions (n, 2) of the table of positions."""

    ids: Array
    xy: FloatArray


def _identity(table: StreamedTable, aside: tuple[int, ...] = ()) -> int | None:
    """Where the rows' names stand: the index that pandas kept; in text the first column; in Parquet if it is text."""
    if table.index is not None:
        return table.index
    first_is_name = table.rows is None or table.is_text[0]
    return 0 if first_is_name and 0 not in aside else None


def _counts(path: Path, on_event: OnEvent) -> WideCounts:
    table = open_table(path)
    identity = _identity(table)
    genes = [i for i in range(len(table.columns)) if i != identity]
    text = next((table.columns[i] for i in genes if table.is_text[i]), None)
    if text is not None:
        raise InputError(
            f"{path}: the column '{text}' holds no counts.", "Rows are units and columns genes, or the other way round."
        )
    return read_wide(table, identity, genes, on_event=on_event)


def _locs(path: Path, on_event: OnEvent) -> _Locs:
    table = open_table(path)
    x, y = table.place("x"), table.place("y")
    if x is None or y is None:
        if len(table.columns) != 3 or any(table.is_text[1:]):
            raise InputError(
                f"{path} has no columns x and y; it has {', '.join(table.columns[:12])}.",
                "It holds a row's name, x (to the right) and y (down) in pixels.",
            )
        x, y = 1, 2
        on_event(Note(f"{path.name}: '{table.columns[1]}' is taken as x, '{table.columns[2]}' as y.", "warning"))
    identity = _identity(table, (x, y))
    wanted: dict[int, Kind] = {x: "number", y: "number"}
    if identity is not None:
        wanted[identity] = "text"
    ids, xy, first = [], [], 0
    for batch in table.batches(wanted):
        xy.append(np.stack([numbers(batch, 0), numbers(batch, 1)], axis=1))
        refuse_lost(path, first, xy[-1])
        ids.append(_names(batch.num_rows, first) if identity is None else _texts(batch))
        first += batch.num_rows
    return _Locs(np.concatenate(ids), np.concatenate(xy))


def _names(rows: int, first: int) -> Array:
    return np.arange(first + 1, first + rows + 1).astype(str)


def _texts(batch: pa.RecordBatch) -> Array:
    values, code = texts(batch, 2)
    return np.array([*values, ""], dtype=str)[code]


def _upright(files: PrefixFiles, counts: WideCounts, locs: _Locs, on_event: OnEvent) -> WideCounts:
    """Units down and genes across: the ids that the positions name tell which way the table lies."""
    placed = set(locs.ids.tolist())
    if placed.intersection(counts.ids.tolist()) or not placed.intersection(counts.genes):
        return counts
    on_event(Note(f"{files.counts.name} has a gene a row and a unit a column: turned."))
    turned = sparse.csr_matrix(counts.counts.T)
    return WideCounts(np.array(counts.genes), np.zeros((len(counts.genes), 2)), tuple(counts.ids.tolist()), turned)


def _matched(files: PrefixFiles, counts: WideCounts, locs: _Locs, on_event: OnEvent) -> IntArray:
    """The row of `locs` of each row of counts: by name, or by order where there is no telling."""
    row = {name: i for i, name in enumerate(locs.ids.tolist())}
    if len(row) < len(locs.ids):
        twice = next(name for i, name in enumerate(locs.ids.tolist()) if row[name] != i)
        raise InputError(f"{files.locs}: the row '{twice}' stands more than once.", "Keep one of them.")
    known = np.array([name in row for name in counts.ids.tolist()])
    if known.all():
        return _by_name(files, counts, locs, row, on_event)
    if not known.any() and len(locs.ids) == len(counts.ids) and _plain_numbers(locs.ids, counts.ids):
        on_event(
            Note(f"{files.counts.name} and {files.locs.name} are matched row by row: one has no names.", "warning")
        )
        return np.arange(len(counts.ids))
    lost = counts.ids[~known]
    raise InputError(
        f"{files.counts} has counts for '{lost[0]}' ({len(lost)} such of {len(known)}), which {files.locs.name} does "
        "not place.",
        "Both tables must name their rows alike; check that they are of one sample.",
    )


def _by_name(files: PrefixFiles, counts: WideCounts, locs: _Locs, row: dict[str, int], on_event: OnEvent) -> IntArray:
    place = np.array([row[name] for name in counts.ids.tolist()], dtype=np.int64)
    without = len(locs.ids) - len(place)
    if without:
        on_event(Note(f"{without} of {len(locs.ids)} rows in {files.locs.name} have no counts and are left out."))
    elif (np.diff(place) < 0).any():
        on_event(Note(f"{files.locs.name} lists the units in another order than {files.counts.name}: names decide."))
    return place


def _plain_numbers(*names: Array) -> bool:
    """Whether one of the tables only numbers its rows."""
    return any(each.tolist() in ([str(i + start) for i in range(len(each))] for start in (0, 1)) for each in names)


# Units on the image


def _to_image(files: PrefixFiles, he: Path | None, mpp: float, on_event: OnEvent) -> float:
    """Pixels of the image a pixel of the positions."""
    image = _level_of(files.prefix, he)
    stated = files.pixel_um.get(image or files.level)
    if image is None and he is not None:
        text = f"Positions of {files.locs.name} are taken as pixels of {he.name}."
        on_event(Note(text, "warning"))
    if stated is not None and abs(stated - mpp) > _SAME_SIZE * mpp:
        name = _PIXELS[image or files.level]
        on_event(Note(f"{name} says {stated:.6g} µm per pixel; the {mpp:.6g} µm of the image are used.", "warning"))
    if image is None or image == files.level:
        return 1.0
    if set(files.pixel_um) != {"raw", "work"}:
        raise InputError(
            f"{files.locs} is in pixels of another image than {he}.",
            f"Give that image, or both {_PIXELS['raw']} and {_PIXELS['work']}.",
        )
    return files.pixel_um[files.level] / files.pixel_um[image]


def _footprint(files: PrefixFiles, xy_um: FloatArray, mpp: float, answers: SizeAnswers, on_event: OnEvent) -> Footprint:
    if answers.size_um is not None:
        return Footprint(answers.shape or "disk", answers.size_um)
    if files.radius is None:
        raise InputError(
            f"{_joined(files.prefix, _RADII[files.level])} is not there: how large a unit is, is not said.",
            "Give it: --size-um (Visium: 55, with --shape disk; bins: their side, with --shape square).",
        )
    radius = read_number(files.radius, or_zero=True)
    if radius == 0:
        side_um = _SUPERPIXEL * files.pixel_um.get("work", _WORK_UM)
        return bin_footprint(files.radius, side_um, xy_um, on_event)
    pixel_um = files.pixel_um.get(files.level, mpp)
    found = spot_footprint(files.radius, radius, pixel_um, xy_um, answers.radius_is, on_event)
    return Footprint(answers.shape, found.size_um) if answers.shape else found
