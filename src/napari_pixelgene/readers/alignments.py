"""Keypoints and matrices from files, told apart by what they hold and never by what they are called.

Every reader hands out our convention: continuous (x, y) with 0 at the outer corner of the first pixel.

* CSV with the header fixedX, fixedY, alignmentX, alignmentY: keypoints of Xenium Explorer; fixed is
  morphology level-0 px, alignment is H&E px.
* Nine bare numbers, 3 by 3: Xenium Explorer's matrix, H&E px → morphology level-0 px. With `direction=` they
  are what they are said to be: Pixel2Gene's `morphology_to_he` (px → px) or `stage_to_morph` (µm → px).
* Two bare columns, one file an image: Pixel2Gene's keypoints in px of a pyramid level (`read_keypoint_texts`).
* A JSON object: our own (`readers/alignment_json.py`); frames and units are stated in it.
* Rows of a name, true or false, and four numbers: BigWarp's landmarks (`readers/bigwarp.py`).
* A ZIP: what Xenium Explorer exports, its keypoints and its matrix.

None of the foreign formats states where its pixel grid begins. Xenium Explorer measures from the image's
corner (its matrix, times the pixel size, gives stage µm, whose 0 is that corner), and Pixel2Gene scales
levels by a bare factor, which is right for corner-based numbers only: both are read as corner-based.
Points that were clicked in a program with pixel centres at integers (napari, OpenCV, scikit-image) are
read with `origin="centre"`, which adds half a pixel of the level they were clicked on.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np

from napari_pixelgene.arithmetic.resampling import level_scale
from napari_pixelgene.elements.alignment import Frame, Keypoints, Transform
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.alignment_json import (
    Origin,
    is_json,
    parse_alignment,
    recentred,
    recentred_bend,
    sound_matrix,
)
from napari_pixelgene.readers.bigwarp import is_bigwarp, parse_bigwarp

Direction = Literal["he_to_morphology", "morphology_to_he", "stage_to_morphology", "stage_to_he"]
Shape = tuple[int, int]

EXPLORER_HEADER = ("fixedX", "fixedY", "alignmentX", "alignmentY")
ENDS: Mapping[Direction, tuple[Frame, Frame]] = {
    "he_to_morphology": ("he_px", "morphology_px"),
    "morphology_to_he": ("morphology_px", "he_px"),
    "stage_to_morphology": ("stage_um", "morphology_px"),
    "stage_to_he": ("stage_um", "he_px"),
}
# By the names of transforms: which way a bare matrix may lead instead.
OPPOSITE: Mapping[str, Direction] = {
    "he_to_morphology": "morphology_to_he",
    "morphology_to_he": "he_to_morphology",
}
_UNITS = (
    "{} holds BigWarp's landmarks, read as pixels (moving = morphology, fixed = H&E); where the images had a pixel "
    "size in ImageJ they are in its unit: say so with --unit um."
)


def read_alignment(
    path: Path | str,
    *,
    direction: Direction | None = None,
    origin: Origin = "corner",
    bigwarp_pixels: tuple[float, float] | None = None,
    on_event: OnEvent = silent,
) -> Keypoints | Transform:
    """What the file holds: keypoints (moving = morphology, fixed = H&E) or a transform with its direction.

    A bare 3×3 does not say its direction. It is read as Xenium Explorer's, H&E px → morphology px, unless
    `direction` says otherwise, and that is told. `origin` is explained at the top of this module.
    Our JSON and Explorer's ZIP may hold both things; then the keypoints are returned, since the matrix
    follows from them (`read_alignment_json` gives both). BigWarp's landmarks state no unit: they are taken as pixels
    unless `bigwarp_pixels` gives the sizes of a morphology and of an H&E pixel in their unit; their 0 is always a
    pixel's centre, whatever `origin` says.
    Raises InputError that names file and line.
    """
    path = Path(path)
    data = _bytes(path)
    texts = _zip_texts(path, data) if zipfile.is_zipfile(io.BytesIO(data)) else {str(path): _text(str(path), data)}
    first = next(iter(texts))
    if is_bigwarp(texts[first]):
        if bigwarp_pixels is None:
            on_event(Note(_UNITS.format(first), "info", "alignment"))
        return parse_bigwarp(first, texts[first], bigwarp_pixels or (1.0, 1.0), on_event)
    found = {name: _read_text(name, text, direction) for name, text in texts.items()}
    name = next((name for name, item in found.items() if isinstance(item, Keypoints)), next(iter(found)))
    if is_json(texts[name]):
        return found[name]
    best = _from_centre(found[name]) if origin == "centre" else found[name]
    if isinstance(best, Transform) and direction is None:
        on_event(Note(_assumption(name, best), "info", "alignment"))
    return best


def read_keypoint_texts(
    moving_path: Path | str,
    fixed_path: Path | str,
    *,
    moving_level: int = 0,
    fixed_level: int = 0,
    moving_shapes: Sequence[Shape] | None = None,
    fixed_shapes: Sequence[Shape] | None = None,
    origin: Origin = "corner",
) -> Keypoints:
    """Pixel2Gene's pair of text files: x and y a line, line i of one belonging to line i of the other.

    `moving` is the morphology image, `fixed` the H&E. Numbers are in pixels of a pyramid level; they are
    multiplied by the level's real ratio where `*_shapes`, the (rows, columns) of every level from the
    finest, are given, and by 2 to the level otherwise. `origin` is explained at the top of this module.
    """
    sides = []
    for path, level, shapes in ((moving_path, moving_level, moving_shapes), (fixed_path, fixed_level, fixed_shapes)):
        points = _two_columns(str(path), _table(str(path), _text(str(path), _bytes(Path(path)))))
        half = 0.5 if origin == "centre" else 0.0
        sides.append((points + half) * level_ratio(level, shapes))
    if len(sides[0]) != len(sides[1]):
        raise InputError(
            f"{moving_path} holds {len(sides[0])} points, {fixed_path} holds {len(sides[1])}.",
            "Line i of one file must show the same spot as line i of the other: remove or add points.",
        )
    return Keypoints(sides[0], sides[1], "morphology_px", "he_px")


def level_ratio(level: int, shapes: Sequence[Shape] | None = None) -> FloatArray:
    """Level-0 pixels a pixel of `level`, along (x, y): from the (rows, columns) of the levels, else 2 to the level."""
    if level < 0 or (shapes is not None and level >= len(shapes)):
        have = f"levels 0 to {len(shapes) - 1}" if shapes is not None else "no negative levels"
        raise InputError(
            f"There is no pyramid level {level}: the image has {have}.", "Give the level that was clicked."
        )
    if shapes is None:
        return np.full(2, 2.0**level)
    return np.array([level_scale(full, coarse) for full, coarse in zip(shapes[0], shapes[level], strict=True)][::-1])


def read_alignment_json(path: Path | str) -> tuple[Keypoints | None, Transform | None]:
    """Keypoints and transform of our own JSON; either may be missing, not both."""
    return parse_alignment(str(path), _text(str(path), _bytes(Path(path))))


# --- which of them it is


def _from_centre(found: Keypoints | Transform) -> Keypoints | Transform:
    """Half a pixel more on either side."""
    if isinstance(found, Transform):
        bend = recentred_bend(found.bend, found.target, 0.5)
        return replace(found, matrix=recentred(found.matrix, found.source, found.target, 0.5), bend=bend)
    return replace(found, moving_xy=found.moving_xy + 0.5, fixed_xy=found.fixed_xy + 0.5)


def _assumption(name: str, transform: Transform) -> str:
    words = (
        f"{name} is a bare matrix, read as Xenium Explorer's H&E px → morphology px; if it is not, give --direction."
    )
    m = transform.matrix
    if np.count_nonzero(m - np.diag(np.diag(m))) == 0:
        words += " It is a pure scale, as Pixel2Gene's stage_to_morph is, which leads to the run's own image only."
    return words


def _read_text(name: str, text: str, direction: Direction | None) -> Keypoints | Transform:
    if is_json(text):
        keypoints, transform = parse_alignment(name, text)
        return keypoints if keypoints is not None else cast(Transform, transform)
    table = _table(name, text)
    if table.header:
        return _explorer_keypoints(name, table)
    if len(table.rows[0][1]) == 2:
        raise InputError(
            f"{name} holds one point (x, y) a line, that is one image's half of the keypoints.",
            "Give both files together, the morphology image's and the H&E's (read_keypoint_texts).",
        )
    return _bare_matrix(name, table, direction or "he_to_morphology")


@dataclass(frozen=True, slots=True)
class _Table:
    """Cells of a text, with the line number of each row; `header` is empty when the first row is numbers."""

    header: tuple[str, ...]
    rows: list[tuple[int, list[str]]]


def _table(name: str, text: str) -> _Table:
    """Cut a text at commas, semicolons, tabs or blanks; lines that are empty or begin with # are skipped."""
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), start=1)]
    lines = [(i, line) for i, line in lines if line and not line.startswith("#")]
    if not lines:
        raise InputError(f"{name} is empty.", "Give a file of keypoints or a 3×3 matrix.")
    mark = next((m for m in (";", "\t", ",") if m in lines[0][1]), None)
    rows = [(i, [cell.strip().strip('"') for cell in line.split(mark)]) for i, line in lines]
    first = rows[0][1]
    if all(_number(cell) is None for cell in first) and re.search(r"[A-Za-z]", "".join(first)):
        return _Table(tuple(first), rows[1:])
    return _Table((), rows)


def _explorer_keypoints(name: str, table: _Table) -> Keypoints:
    """Moving = their fixed (morphology), fixed = their alignment (H&E): our names follow the way of the data."""
    places = {cell.lower(): i for i, cell in enumerate(table.header)}
    missing = [column for column in EXPLORER_HEADER if column.lower() not in places]
    if missing:
        raise InputError(
            f"{name} has the columns {', '.join(table.header)}; {', '.join(missing)} is missing.",
            f"Keypoints of Xenium Explorer have the columns {','.join(EXPLORER_HEADER)}.",
        )
    numbers = _numbers(name, table, len(table.header), [places[column.lower()] for column in EXPLORER_HEADER])
    return Keypoints(numbers[:, :2], numbers[:, 2:], "morphology_px", "he_px")


def _two_columns(name: str, table: _Table) -> FloatArray:
    if table.header:
        raise InputError(
            f"{name}, line 1: '{' '.join(table.header)}' is a header, expected x and y.",
            "Give a file of bare numbers, or read it with read_alignment.",
        )
    return _numbers(name, table, 2, [0, 1])


def _bare_matrix(name: str, table: _Table, direction: Direction) -> Transform:
    if len(table.rows) != 3:
        raise InputError(
            f"{name} holds {len(table.rows)} rows of {len(table.rows[0][1])} bare values, no alignment known here.",
            f"Give a 3×3 matrix, keypoints with the header {','.join(EXPLORER_HEADER)}, or our JSON.",
        )
    source, target = ENDS[direction]
    return Transform(sound_matrix(name, _numbers(name, table, 3, [0, 1, 2])), source, target)


# --- files


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.", "Check the path.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.") from None


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{name} is not text.", "Give keypoints or a matrix as CSV, text or JSON, or Xenium Explorer's ZIP."
        ) from None


def _zip_texts(path: Path, data: bytes) -> dict[str, str]:
    """The CSV members of an archive, by name; macOS leaves hidden doubles, which are skipped."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [n for n in archive.namelist() if n.lower().endswith(".csv") and not n.startswith("__MACOSX")]
            texts = {f"{path}/{n}": _text(f"{path}/{n}", archive.read(n)) for n in names}
    except (zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"The archive {path} cannot be read: {error}.", "Export the alignment again.") from None
    if not texts:
        raise InputError(f"The archive {path} holds no CSV file.", "Export the alignment again.")
    return texts


# --- cells


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _numbers(name: str, table: _Table, width: int, columns: list[int]) -> FloatArray:
    """Some columns of all rows as finite numbers (rows, len(columns))."""
    if not table.rows:
        raise InputError(f"{name} has a header and no rows.", "Export the keypoints again.")
    out = np.empty((len(table.rows), len(columns)))
    for r, (line, cells) in enumerate(table.rows):
        if len(cells) != width:
            raise InputError(f"{name}, line {line}: {len(cells)} values, expected {width}.", "Mend that line.")
        for c, column in enumerate(columns):
            value = _number(cells[column])
            if value is None or not np.isfinite(value):
                label = table.header[column] if table.header else str(column + 1)
                comma = "," in cells[column]
                raise InputError(
                    f"{name}, line {line}, column {label}: "
                    + (f"'{cells[column]}' is not a finite number." if cells[column] else "the cell is empty."),
                    "Write decimals with a point." if comma else "Mend that cell.",
                )
            out[r, c] = value
    return out
