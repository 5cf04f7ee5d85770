"""BigWarp's landmarks: a CSV without a header, one pair a row.

Name, true or false (whether the pair counts), moving x, moving y, fixed x, fixed y; a field may stand in quotes. Some
versions put a whole number between switch and coordinates. A point that was not set yet is Infinity. Landmarks in
three dimensions have two columns more and are refused.

Coordinates are in the unit of the images as ImageJ knew them, pixels where they had no pixel size, which the file does
not say. BigWarp (BigDataViewer) has 0 at the *centre* of the first pixel, so half a pixel is added on reading.
"""

from __future__ import annotations

import csv
from itertools import islice

import numpy as np

from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent

Row = tuple[int, list[str]]

_SWITCH = {"true": True, "false": False}
_PLAIN, _NUMBERED, _SPATIAL = 6, 7, (8, 9)


def is_bigwarp(text: str) -> bool:
    """Whether a text's first row is one of BigWarp's."""
    cells = next((cells for _, cells in islice(_rows(text), 1)), [])
    return len(cells) in (_PLAIN, _NUMBERED, *_SPATIAL) and cells[1].strip().lower() in _SWITCH


def parse_bigwarp(
    name: str, text: str, pixels: tuple[float, float] = (1.0, 1.0), on_event: OnEvent = silent
) -> Keypoints:
    """Pairs with moving = morphology and fixed = H&E, in level-0 pixels from the outer corner of the first one.

    `pixels` are the sizes of a moving and of a fixed pixel in the file's unit: 1 where that is pixels. Pairs with a
    point that is not set are left out and told. Raises InputError that names file and line.
    """
    found = [_pair(name, line, cells) for line, cells in _rows(text)]
    whole = [(xy, on) for label, xy, on in found if np.isfinite(xy).all()]
    halves = [label for label, xy, _ in found if not np.isfinite(xy).all()]
    if halves:
        words = f"{name}: {', '.join(halves[:5])} {'has' if len(halves) == 1 else 'have'} a point in one image only"
        on_event(Note(f"{words} and {'is' if len(halves) == 1 else 'are'} left out.", "warning", "alignment"))
    if not whole:
        raise InputError(f"{name} holds no pair with a point in both images.", "Set the landmarks' other points.")
    numbers = np.array([xy for xy, _ in whole])
    moving, fixed = numbers[:, :2] / pixels[0] + 0.5, numbers[:, 2:] / pixels[1] + 0.5
    return Keypoints(moving, fixed, "morphology_px", "he_px", np.array([on for _, on in whole], dtype=bool))


def _rows(text: str) -> list[Row]:
    reader = csv.reader(text.splitlines())
    return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]


def _pair(name: str, line: int, cells: list[str]) -> tuple[str, list[float], bool]:
    if len(cells) in _SPATIAL:
        raise InputError(
            f"{name}, line {line}: {len(cells)} values, these are landmarks in three dimensions.",
            "Set landmarks on two flat images.",
        )
    if len(cells) not in (_PLAIN, _NUMBERED) or cells[1].strip().lower() not in _SWITCH:
        raise InputError(
            f"{name}, line {line}: not a row of BigWarp's landmarks.",
            "It has a name, true or false, moving x and y, fixed x and y.",
        )
    try:
        xy = [float(cell) for cell in cells[-4:]]
    except ValueError as error:
        raise InputError(f"{name}, line {line}: {error}.", "Mend that cell.") from None
    return cells[0].strip() or f"line {line}", xy, _SWITCH[cells[1].strip().lower()]
