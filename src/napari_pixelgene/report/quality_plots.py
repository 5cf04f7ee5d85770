"""How well two images lie on one another: a map over the slide, and close-ups of the worst places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch
from matplotlib.patheffects import withStroke

from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
from napari_pixelgene.elements.verdict import QualityMap
from napari_pixelgene.report.canvas import BLUE, INK, ORANGE, RED, TEXT, title
from napari_pixelgene.report.content import AlignmentContent, CloseUp, Picture
from napari_pixelgene.report.slide_plots import arrow_times, composite

# The colour scale of errors ends here, or higher where errors do.
_LEAST_END_UM = 10.0
# Squares of a checkerboard: so many µm on a close-up of 200, more on a wider one.
_CHECKS = 5
_SIZE = 0.38  # radius of a place's ring, as a share of the distance between places
_RING, _TINT = 2.2, 0.25
# A figure as wide as the text of an A4 page, its dots an inch, and the columns it has for close-ups.
_WIDE_IN, _PRINT_DPI, _CROPS = 7.5, 170, 4
# Of more pairs than this the numbers would cover the tissue.
_NUMBERED = 40
# Lengths that a scale bar may have, in µm.
_BARS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def error_figure(he: Picture, found: QualityMap, worst: Sequence[tuple[float, float]]) -> Figure:
    """The slide where it was looked at: the error at every place with the shift that would mend it, and letters."""
    figure, axes = _map(he, found)
    _errors(figure, axes, found)
    for n, (x, y) in enumerate(worst):
        axes.annotate(
            chr(ord("A") + n), (x, y), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=TEXT,
            fontweight="bold", color=INK, bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": INK, "lw": 0.6},
            zorder=6,
        )  # fmt: skip
    return figure


def likeness_figure(he: Picture, found: QualityMap, alignment: AlignmentContent | None = None) -> Figure:
    """The same: how alike nuclei are as they lie, with the pairs and what the transform leaves of them."""
    figure, axes = _map(he, found)
    alike = bool(np.isfinite(found.similarity).any())
    if alike:
        _alike(figure, axes, found)
    pairs = f"pairs, their residual × {_pairs(axes, alignment)}" if alignment is not None else ""
    words = "; ".join(each for each in ("likeness" if alike else "", pairs) if each)
    title(axes, words[:1].upper() + words[1:])
    return figure


def _map(he: Picture, found: QualityMap) -> tuple[Figure, Axes]:
    box = _around(he, found)
    tall = (box[2] - box[3]) / (box[1] - box[0])
    high = min(max(1.1, 2.9 * tall), 4.4)
    wide = min(_WIDE_IN / 2, max(2.9, high / tall + 0.8))
    figure, (axes,) = _figure(wide, high + 0.6, 1, 1)
    axes.imshow(he.rgb, extent=he.extent_um, alpha=0.75)
    axes.set_xlim(box[:2])
    axes.set_ylim(box[2:])
    axes.set_xticks([])
    axes.set_yticks([])
    scale_bar(axes)
    return figure, axes


def scale_end(error_um: FloatArray) -> float:
    """Where the colours of errors end: at 10 µm, or at the largest."""
    return float(np.nanmax(error_um, initial=_LEAST_END_UM)) if np.isfinite(error_um).any() else _LEAST_END_UM


def _figure(width_in: float, height_in: float, rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure for a page that is printed: its text is as large as the page's."""
    figure = Figure(figsize=(width_in, height_in), dpi=_PRINT_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _around(he: Picture, found: QualityMap) -> tuple[float, float, float, float]:
    """Left, right, bottom, top around all places, within the slide."""
    left, right, bottom, top = he.extent_um
    low, high = found.place_um.min(axis=0) - found.spacing_um, found.place_um.max(axis=0) + found.spacing_um
    return max(left, low[0]), min(right, high[0]), min(bottom, high[1]), max(top, low[1])


def _errors(figure: Figure, axes: Axes, found: QualityMap) -> None:
    """What nuclei say; where none were heard, what the pairs leave open."""
    seen, by_nuclei = found.seen, bool(found.seen.any())
    value = found.distance_um if by_nuclei else found.doubt_um
    rows = seen if by_nuclei else np.isfinite(value)
    norm = Normalize(0.0, scale_end(value[rows]))
    _others(axes, found)
    _rings(axes, found, rows, "viridis", norm, value)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, shrink=0.75, pad=0.01)
    bar.set_label("nuclei apart (µm)" if by_nuclei else "the pairs leave open (µm)", fontsize=TEXT - 1)
    bar.ax.tick_params(labelsize=TEXT - 2)
    if by_nuclei:
        times = _arrows(axes, found)
        title(axes, f"Error; arrows: shift that mends × {times}")
    else:
        title(axes, "What the pairs leave open")
    _legend(axes, found)


def _arrows(axes: Axes, found: QualityMap) -> int:
    """The shifts that would mend it, and how often they are enlarged."""
    seen = found.seen
    times = arrow_times(found.shift_um[seen], max(abs(np.diff(axes.get_xlim())[0]), abs(np.diff(axes.get_ylim())[0])))
    at, shift = found.place_um[seen], found.shift_um[seen] * times
    axes.quiver(*at.T, *shift.T, angles="xy", scale_units="xy", scale=1, width=0.005, color=INK, zorder=4)
    return times


def _legend(axes: Axes, found: QualityMap) -> None:
    """The marks that are drawn, below."""
    handles: list[Any] = []
    if found.compared.any() and not found.compared.all():
        handles.append(Patch(facecolor="none", edgecolor=INK, hatch="/////", label="nothing to compare"))
    if found.unlike.any():
        handles.append(Line2D([], [], color=ORANGE, marker="X", mec=INK, ls="", ms=7, label="in both, not alike"))
    if handles:
        place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "ncols": 2, "frameon": False}
        axes.legend(handles=handles, fontsize=TEXT - 1, borderpad=0.2, **place)


def _alike(figure: Figure, axes: Axes, found: QualityMap) -> None:
    compared = np.isfinite(found.similarity)
    norm = Normalize(0.0, 1.0)
    _others(axes, found, unlike=False)
    _rings(axes, found, compared, "cividis", norm, found.similarity)
    bar = figure.colorbar(ScalarMappable(norm, "cividis"), ax=axes, shrink=0.75, pad=0.01)
    bar.set_label("likeness of nuclei (correlation)", fontsize=TEXT - 1)
    bar.ax.tick_params(labelsize=TEXT - 2)


def _pairs(axes: Axes, alignment: AlignmentContent) -> int:
    """The pairs, numbered while they are few, with what the transform leaves of them; how often that is enlarged."""
    at, transform = alignment.pairs_um, alignment.transform
    trusted = transform.inlier if transform.inlier is not None else alignment.keypoints.enabled
    times = arrow_times(alignment.offsets_um[trusted], abs(float(np.diff(axes.get_xlim())[0])))
    for rows, colour, marker in ((trusted, BLUE, "o"), (~trusted, RED, "X")):
        axes.scatter(
            at[rows, 0], at[rows, 1], s=16, c=colour, marker=marker, edgecolors="white", linewidths=0.7, zorder=5
        )
    off = alignment.offsets_um[trusted] * times
    axes.quiver(*at[trusted].T, *off.T, angles="xy", scale_units="xy", scale=1, width=0.006, color=BLUE, zorder=5)
    for i, (x, y) in enumerate(at[:_NUMBERED]):
        axes.annotate(
            str(i + 1), (x, y), xytext=(4, 3), textcoords="offset points", fontsize=TEXT - 2, color=INK, zorder=6,
            path_effects=[withStroke(linewidth=1.5, foreground="white")], clip_on=True,
        )  # fmt: skip
    return times


def _rings(axes: Axes, found: QualityMap, rows: BoolArray, colours: str, norm: Normalize, values: FloatArray) -> None:
    """A thick ring in the value's colour, and a tint within: the tissue below is seen."""
    palette = matplotlib.colormaps[colours]
    for place, value in zip(found.place_um[rows], values[rows], strict=True):
        colour = palette(norm(value))
        look = {"facecolor": (*colour[:3], _TINT), "edgecolor": colour, "lw": _RING}
        axes.add_patch(Circle(place, _SIZE * found.spacing_um, zorder=3, **look))


def _others(axes: Axes, found: QualityMap, unlike: bool = True) -> None:
    """Places without a number: hatched where nothing can be compared while elsewhere it can, crossed where nuclei do
    not agree."""
    look: dict[str, Any] = {"facecolor": "none", "edgecolor": INK, "hatch": "/////", "lw": 0.6, "zorder": 2}
    blank = found.place_um[~found.compared] if found.compared.any() else ()
    for place in blank:
        axes.add_patch(Circle(place, _SIZE * found.spacing_um, **look))
    if unlike:
        x, y = found.place_um[found.unlike].T
        axes.scatter(x, y, marker="X", s=45, c=ORANGE, edgecolors=INK, lw=0.6, zorder=3)


def scale_bar(axes: Axes) -> None:
    """A bar of a round length in µm at the lower left, black on white, read on any tissue."""
    left, right = sorted(axes.get_xlim())
    low, high = sorted(axes.get_ylim())
    length = max([b for b in _BARS if b <= 0.3 * (right - left)], default=_BARS[0])
    x, y = left + 0.04 * (right - left), high - 0.06 * (high - low)
    axes.plot([x, x + length], [y, y], color="white", lw=6, solid_capstyle="butt", zorder=6)
    axes.plot([x, x + length], [y, y], color="black", lw=3, solid_capstyle="butt", zorder=7)
    words = f"{length / 1000:g} mm" if length >= 1000 else f"{length} µm"
    axes.annotate(
        words, (x + length / 2, y), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=TEXT - 1, zorder=8,
        bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.8},
    )  # fmt: skip


def crops_figure(crops: Sequence[CloseUp], letters: Sequence[str], moving: str) -> Figure:
    """Close-ups, a place a column: above as colours over one another, below in turn on a checkerboard."""
    columns = max(len(crops), _CROPS)
    figure, axes = _figure(_WIDE_IN, 2 * _WIDE_IN / columns + 0.35, 2, columns)
    above, below = axes[:columns], axes[columns:]
    for each in [*above[len(crops) :], *below[len(crops) :]]:
        each.set_visible(False)
    for crop, letter, top, bottom in zip(crops, letters, above, below, strict=False):
        other = grey(crop.moving)
        _crop(top, crop, composite(crop.he.rgb, other), letter)
        _crop(bottom, crop, checkerboard(crop.he, other), "")
    for each, words in ((above[0], f"H&E magenta, {moving} green"), (below[0], f"H&E, {moving} in turn")):
        each.set_ylabel(words, fontsize=TEXT - 2, color=INK)
    return figure


def _crop(axes: Axes, crop: CloseUp, image: Array, letter: str) -> None:
    axes.imshow(image, extent=crop.he.extent_um)
    axes.set_xticks([])
    axes.set_yticks([])
    scale_bar(axes)
    if letter:
        axes.set_title(letter, fontsize=TEXT, loc="left", color=INK, fontweight="bold", pad=2)


def grey(moving: Array) -> FloatArray:
    """(rows, columns), nuclei bright: a fluorescence channel as it is, of an RGB image what takes up red light."""
    values = np.asarray(moving, dtype=np.float64)
    return values if values.ndim == 2 else 255.0 - values[..., 0]


def checkerboard(he: Picture, moving: FloatArray) -> Array:
    """(rows, columns, 3) uint8: squares of the H&E and of the moving image, its bright nuclei dark, in turn."""
    low, high = np.percentile(moving, (5, 99.5))
    dark = 255 * (1 - 0.85 * np.clip((moving - low) / max(high - low, 1e-9), 0, 1))
    rows, columns = np.ogrid[: moving.shape[0], : moving.shape[1]]
    side = max(1, round(max(moving.shape) / _CHECKS))
    odd = (rows // side + columns // side) % 2 == 1
    return np.where(odd[..., None], dark[..., None], he.rgb).astype(np.uint8)
