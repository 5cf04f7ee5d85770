"""A verdict as the window shows it: one line, a picture of the map, and whether it still holds. No window here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
from napari_pixelgene.elements.verdict import UNKNOWN, UNLIKE, QualityMap, Verdict
from napari_pixelgene.gui.levels import SIGNS
from napari_pixelgene.gui.register.pairs import Pairs

# The colours of errors end at 10 µm, or at the largest, as in the report.
_LEAST_END_UM = 10.0
_CELL, _FRAME, _HATCH = 56, 3, 14  # pixels of the picture a square, across its frame, from line to line of a hatching
_UNLIKE, _INK, _PALE = (255, 140, 26, 255), (20, 20, 20, 255), (245, 245, 245, 255)
Colours = Callable[[FloatArray], FloatArray]
Within = Callable[[FloatArray], BoolArray]


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and the pairs and transform it was made on; None where those are not known any more."""

    verdict: Verdict
    pairs: Pairs | None
    transform: Transform | None

    def holds(self, pairs: Pairs, transform: Transform | None) -> bool:
        """Whether nothing changed since."""
        if self.pairs is None or self.transform is None or not self.transform.same_map(transform):
            return False
        return self.pairs.pairs == pairs.pairs


def line(verdict: Verdict) -> str:
    """Sign, word and numbers: "● Good: median 1.9 µm, worst 4.2 µm, pairs left out 3.1 µm"."""
    numbers = verdict.numbers
    unlike = numbers.get("places_unlike")
    if verdict.basis != "nuclei" and unlike:  # what the pairs say of themselves would only soothe
        told = f"nuclei do not agree, at {unlike:.0f} of {numbers['places']:.0f} places"
        return f"{SIGNS[verdict.level]} {verdict.level.capitalize()}: {told}"
    named = (("median", "median_error_um"), ("worst", "worst_seen_um"), ("pairs left out", "loo_rmse_um"))
    values = [(words, numbers.get(key)) for words, key in named]
    told = ", ".join(f"{words} {value:.1f} µm" for words, value in values if value is not None)
    alone = {"pairs": " (by the pairs alone)", "outlines": " (by outlines and pairs)"}.get(verdict.basis, "")
    return f"{SIGNS[verdict.level]} {verdict.level.capitalize()}{alone}: {told or 'nothing to judge it by'}"


def places(verdict: Verdict) -> list[tuple[str, str]]:
    """The worst places: a letter, and why."""
    return [(chr(ord("A") + i), place.why) for i, place in enumerate(verdict.worst)]


def by_nuclei(found: QualityMap) -> bool:
    """Whether nuclei agree anywhere, so that colours are their distances; else they are what the pairs leave open."""
    return bool(found.seen.any())


def coloured(found: QualityMap) -> FloatArray:
    """What the colours of the map mean (n,), in µm; NaN where nothing is known."""
    return found.distance_um if by_nuclei(found) else np.where(found.unlike, np.nan, found.doubt_um)


def scale_end(found: QualityMap) -> float:
    """Where the colours end, in µm."""
    return float(np.nanmax(coloured(found), initial=_LEAST_END_UM))


def picture(
    found: QualityMap, size_um: tuple[float, float], colours: Colours, under_run: Within | None = None
) -> tuple[Array, float]:
    """The map over a slide of (x, y) `size_um` as RGBA, and the side of its pixels in µm. It hides little.

    Squares have a frame, coloured by how far nuclei lie apart, or, where no nuclei are heard, by what the pairs leave
    open; crossed where they do not agree, hatched where there is
    nothing to compare: no nuclei in both images, or no tissue `under_run`, as in fat. Clear where the run is not.
    `colours` takes numbers from 0 to 1 to RGBA, `under_run` places (n, 2) in µm to whether the run lies there.
    """
    pixel = found.spacing_um / _CELL
    columns, rows = (int(np.ceil(size / found.spacing_um)) for size in size_um)
    drawn = np.zeros((rows, columns, _CELL, _CELL, 4), dtype=np.uint8)
    if under_run is not None:
        several = (np.indices((4 * columns, 4 * rows)).reshape(2, -1).T + 0.5) / 4  # places in every square
        column, row = np.floor(several[under_run(several * found.spacing_um)]).astype(int).T
        drawn[row, column] = swatch(UNKNOWN)
    value = coloured(found)
    tints = np.round(255 * colours(np.nan_to_num(value / scale_end(found)))).astype(np.uint8)
    for place, state, um, tint in zip(found.place_um, found.state, value, tints, strict=True):
        column, row = (int(v // found.spacing_um) for v in place)
        drawn[row, column] = swatch(int(state), tint if np.isfinite(um) else None)
    whole = drawn.swapaxes(1, 2).reshape(rows * _CELL, columns * _CELL, 4)
    width, height = (int(np.ceil(size / pixel)) for size in size_um)
    return np.ascontiguousarray(whole[:height, :width]), pixel


def swatch(state: int, tint: Array | None = None) -> Array:
    """One square (row, column, RGBA) of the map; most of it is clear."""
    square = np.zeros((_CELL, _CELL, 4), dtype=np.uint8)
    rows, columns = np.indices(square.shape[:2])
    if tint is None and state != UNLIKE:
        away = (rows + columns) % _HATCH  # light beside dark: seen on white glass as on dark nuclei
        square[away < 2], square[(away >= 2) & (away < 4)] = _INK, _PALE
        return square
    inward = np.minimum.reduce([rows, columns, _CELL - 1 - rows, _CELL - 1 - columns])
    square[(inward >= 1) & (inward < _FRAME + 3)] = _PALE
    square[(inward >= 2) & (inward < _FRAME + 2)] = np.asarray(_UNLIKE if state == UNLIKE else tint)
    if state == UNLIKE:
        inside = inward >= _FRAME + 2
        across = np.minimum(abs(rows - columns), abs(rows + columns - _CELL + 1))
        square[inside & (across < 3)], square[inside & (across < 1)] = _UNLIKE, _INK
    return square
