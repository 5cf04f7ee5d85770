"""The slide: how well the moving image lies on it, and what counts as tissue."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_pixelgene.elements.arrays import Array, FloatArray
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.report.canvas import BLUE, INK, RED, TEXT, micrometres, new_figure, title
from napari_pixelgene.report.content import AlignmentContent, CloseUp, Picture

# The longest arrow may be this share of the slide's longer side.
_LONGEST = 0.07
_TIMES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def alignment_figure(he: Picture, alignment: AlignmentContent) -> Figure:
    """The slide with its pairs and their residuals, enlarged; beside it the two images on one another."""
    several = 1 + len(alignment.close_ups)
    figure, axes = new_figure(4.3 * several, 4.6, several)
    _pairs(axes[0], he, alignment)
    for each, close_up in zip(axes[1:], alignment.close_ups, strict=True):
        _close_up(each, close_up, alignment.moving_name)
    return figure


def arrow_times(offsets_um: FloatArray, longer_um: float) -> int:
    """How often residuals (n, 2) are enlarged, so that they are seen on a slide this long and stay on it."""
    longest = float(np.hypot(*offsets_um.T).max(initial=0.0))
    return max([t for t in _TIMES if t * longest <= _LONGEST * longer_um], default=_TIMES[0])


def _pairs(axes: Axes, he: Picture, alignment: AlignmentContent) -> None:
    axes.imshow(he.rgb, extent=he.extent_um, alpha=0.6)
    at = alignment.pairs_um
    times = arrow_times(alignment.offsets_um, max(he.rgb.shape[:2]) * he.um_per_px)
    off = alignment.offsets_um * times
    inlier = alignment.transform.inlier
    trusted = np.ones(len(at), dtype=bool) if inlier is None else inlier
    for mask, colour, marker in ((trusted, BLUE, "o"), (~trusted, RED, "X")):
        axes.scatter(
            at[mask, 0], at[mask, 1], s=22, c=colour, marker=marker, edgecolors="white", linewidths=0.7, zorder=3
        )
    arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.009, "color": INK, "zorder": 4}
    axes.quiver(at[:, 0], at[:, 1], off[:, 0], off[:, 1], **arrows)
    for i, (x, y) in enumerate(at):
        axes.annotate(
            str(i + 1), (x, y), xytext=(-5, 4), textcoords="offset points", fontsize=TEXT, color=INK, ha="right"
        )
    micrometres(axes)
    axes.set_xlim(he.extent_um[:2])
    axes.set_ylim(he.extent_um[2:])
    title(axes, f"Pairs; arrows: residual × {times}")


def _close_up(axes: Axes, close_up: CloseUp, moving: str) -> None:
    axes.imshow(composite(close_up.he.rgb, close_up.moving), extent=close_up.he.extent_um)
    micrometres(axes)
    title(axes, f"{close_up.where}: H&E magenta, {moving} green")


def composite(he: Array, moving: Array) -> FloatArray:
    """(rows, columns, 3) in 0…1: stained nuclei in magenta, the moving image in green, white where both are."""
    dark = _stretched(255.0 - he[..., 0].astype(np.float64))
    bright = _stretched(np.asarray(moving, dtype=np.float64))
    return np.stack([dark, bright, dark], axis=-1)


def _stretched(values: FloatArray) -> FloatArray:
    low, high = np.percentile(values, (20, 99.5))
    out: FloatArray = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    return out


def tissue_figure(he: Picture, tissue: Tissue, superpixel_um: float) -> Figure:
    """The slide, the outline of its tissue over it, and everything else paled."""
    figure, (axes,) = new_figure(5.6, 5.2)
    axes.imshow(he.rgb, extent=he.extent_um)
    rows, columns = tissue.mask.shape
    extent = (0.0, columns * superpixel_um, rows * superpixel_um, 0.0)
    pale = np.zeros((rows, columns, 4))
    pale[~tissue.mask] = (1.0, 1.0, 1.0, 0.65)
    axes.imshow(pale, extent=extent, interpolation="nearest")
    x, y = ((np.arange(n) + 0.5) * superpixel_um for n in (columns, rows))
    if tissue.mask.any() and not tissue.mask.all():
        axes.contour(x, y, tissue.mask.astype(float), levels=[0.5], colors=[BLUE], linewidths=1.2)
    axes.set_xlim(he.extent_um[:2])
    axes.set_ylim(he.extent_um[2:])
    micrometres(axes)
    title(axes, f"Tissue: {tissue.fraction:.0%} of the slide")
    return figure
