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

from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
from napari_pixelgene.elements.verdict import QualityMap
from napari_pixelgene.report.canvas import DPI, FAINT, INK, ORANGE, TEXT, new_figure, title
from napari_pixelgene.report.content import CloseUp, Picture
from napari_pixelgene.report.slide_plots import arrow_times, composite

# The colour scale of errors ends here, or higher where errors do.
_LEAST_END_UM = 10.0
_CHECK_UM = 40.0
_SIZE = 0.38  # radius of a place's disc, as a share of the distance between places
# Lengths that a scale bar may have, in µm.
_BARS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def map_figure(he: Picture, found: QualityMap, worst: list[tuple[float, float]]) -> Figure:
    """The slide twice: the error at every place with the shift that would mend it, and how alike nuclei are."""
    rows, columns = he.rgb.shape[:2]
    figure, axes = new_figure(11.0, max(3.4, 5.0 * rows / columns) + 0.8, 2, sharex=True, sharey=True)
    for each in axes:
        _slide(each, he)
    _errors(figure, axes[0], he, found)
    _alike(figure, axes[1], found)
    for n, (x, y) in enumerate(worst):
        axes[0].annotate(
            chr(ord("A") + n), (x, y), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=TEXT + 1,
            fontweight="bold", color=INK, bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": INK, "lw": 0.6},
        )  # fmt: skip
    return figure


def scale_end(error_um: FloatArray) -> float:
    """Where the colours of errors end: at 10 µm, or at the largest."""
    return float(np.nanmax(error_um, initial=_LEAST_END_UM)) if np.isfinite(error_um).any() else _LEAST_END_UM


def _slide(axes: Axes, he: Picture) -> None:
    axes.imshow(he.rgb, extent=he.extent_um, alpha=0.35)
    axes.set_xlim(he.extent_um[:2])
    axes.set_ylim(he.extent_um[2:])
    axes.set_xticks([])
    axes.set_yticks([])
    scale_bar(axes)


def _errors(figure: Figure, axes: Axes, he: Picture, found: QualityMap) -> None:
    seen, error = found.seen, found.distance_um
    norm = Normalize(0.0, scale_end(error[seen]))
    _discs(axes, found, seen, "viridis", norm, error)
    _others(axes, found)
    times = arrow_times(found.shift_um[seen], max(he.rgb.shape[:2]) * he.um_per_px)
    at, shift = found.place_um[seen], found.shift_um[seen] * times
    axes.quiver(*at.T, *shift.T, angles="xy", scale_units="xy", scale=1, width=0.005, color=INK, zorder=4)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, shrink=0.7, pad=0.01)
    bar.set_label("how far nuclei lie apart (µm)", fontsize=TEXT)
    bar.ax.tick_params(labelsize=TEXT - 1)
    title(axes, f"Error; arrows: the shift that would mend it × {times}")
    handles = [
        Patch(facecolor="white", edgecolor=FAINT, hatch="....", label="nothing to compare: unknown"),
        Line2D([], [], color=ORANGE, marker="X", ls="", ms=8, label="nuclei in both, not alike"),
    ]
    axes.legend(
        handles=handles, fontsize=TEXT - 1, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, frameon=False
    )


def _alike(figure: Figure, axes: Axes, found: QualityMap) -> None:
    compared = np.isfinite(found.similarity)
    norm = Normalize(0.0, 1.0)
    _discs(axes, found, compared, "cividis", norm, found.similarity)
    _others(axes, found, unlike=False)
    bar = figure.colorbar(ScalarMappable(norm, "cividis"), ax=axes, shrink=0.7, pad=0.01)
    bar.set_label("likeness of nuclei as they lie (correlation)", fontsize=TEXT)
    bar.ax.tick_params(labelsize=TEXT - 1)
    title(axes, "Likeness")


def _discs(axes: Axes, found: QualityMap, rows: BoolArray, colours: str, norm: Normalize, values: FloatArray) -> None:
    palette = matplotlib.colormaps[colours]
    for place, value in zip(found.place_um[rows], values[rows], strict=True):
        axes.add_patch(Circle(place, _SIZE * found.spacing_um, facecolor=palette(norm(value)), lw=0, zorder=2))


def _others(axes: Axes, found: QualityMap, unlike: bool = True) -> None:
    """Places without a number: hatched where nothing can be compared, crossed where nuclei do not agree."""
    look: dict[str, Any] = {"facecolor": "white", "edgecolor": FAINT, "hatch": "....", "lw": 0.8, "zorder": 2}
    for place in found.place_um[~found.seen & ~found.unlike]:
        axes.add_patch(Circle(place, _SIZE * found.spacing_um, **look))
    if unlike:
        x, y = found.place_um[found.unlike].T
        axes.scatter(x, y, marker="X", s=70, c=ORANGE, edgecolors=INK, lw=0.6, zorder=3)


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
    """Close-ups, two places a row, each twice: as colours over one another, and in turn on a checkerboard."""
    rows = -(-len(crops) // 2)
    figure = Figure(figsize=(11.0, 3.1 * rows), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, 4, squeeze=False).flat)
    for each in axes[2 * len(crops) :]:
        each.set_visible(False)
    for n, (crop, letter) in enumerate(zip(crops, letters, strict=True)):
        other = grey(crop.moving)
        _crop(axes[2 * n], crop, composite(crop.he.rgb, other), f"{letter}: H&E magenta, {moving} green")
        _crop(axes[2 * n + 1], crop, checkerboard(crop.he, other), f"{letter}: H&E, {moving} in turn")
    return figure


def _crop(axes: Axes, crop: CloseUp, image: Array, words: str) -> None:
    axes.imshow(image, extent=crop.he.extent_um)
    axes.set_xticks([])
    axes.set_yticks([])
    scale_bar(axes)
    axes.set_title(words, fontsize=TEXT, loc="left", color=INK)


def grey(moving: Array) -> FloatArray:
    """(rows, columns), nuclei bright: a fluorescence channel as it is, of an RGB image what takes up red light."""
    values = np.asarray(moving, dtype=np.float64)
    return values if values.ndim == 2 else 255.0 - values[..., 0]


def checkerboard(he: Picture, moving: FloatArray) -> Array:
    """(rows, columns, 3) uint8: squares of the H&E and of the moving image, its bright nuclei dark, in turn."""
    low, high = np.percentile(moving, (5, 99.5))
    dark = 255 * (1 - 0.85 * np.clip((moving - low) / max(high - low, 1e-9), 0, 1))
    rows, columns = np.ogrid[: moving.shape[0], : moving.shape[1]]
    side = max(1, round(_CHECK_UM / he.um_per_px))
    odd = (rows // side + columns // side) % 2 == 1
    return np.where(odd[..., None], dark[..., None], he.rgb).astype(np.uint8)
