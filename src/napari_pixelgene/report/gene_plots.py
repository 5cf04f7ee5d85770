"""One gene: measured, predicted and, where it is known, true, side by side on one colour scale."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.report.canvas import EMPTY, TEXT, micrometres, new_figure, title
from napari_pixelgene.report.content import GenePanel

_TOP = 99.5  # percentile of the measured values that is the scale's end


def gene_figure(panel: GenePanel) -> Figure:
    """Maps of one gene; superpixels without a value are grey."""
    maps = named_maps(panel)
    figure, axes = new_figure(3.6 * len(maps) + 0.7, 3.9, len(maps), sharex=True, sharey=True)
    norm = Normalize(0.0, scale_end(list(maps.values())))
    for each, (name, values) in zip(axes, maps.items(), strict=True):
        rows, columns = values.shape
        extent = (0.0, columns * panel.superpixel_um, rows * panel.superpixel_um, 0.0)
        each.set_facecolor(EMPTY)
        image = each.imshow(values, extent=extent, cmap="viridis", norm=norm, interpolation="nearest")
        micrometres(each)
        title(each, name)
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.01, extend="max")
    bar.set_label(panel.unit, fontsize=TEXT)
    bar.ax.tick_params(labelsize=TEXT - 1)
    return figure


def named_maps(panel: GenePanel) -> dict[str, FloatArray]:
    """The maps by the words above them."""
    pooled = f" (mean over {panel.pooled_um:g} µm)" if panel.pooled_um else ""
    maps = {f"Measured{pooled}": panel.measured, "Predicted, held out": panel.predicted}
    if panel.truth is not None:
        maps["Truth"] = panel.truth
    return maps


def scale_end(maps: list[FloatArray]) -> float:
    """Where the shared colour scale ends: high enough for each map but for its brightest half per cent."""
    ends = [float(np.percentile(m[np.isfinite(m)], _TOP)) for m in maps if np.isfinite(m).any()]
    return max([*ends, 1e-6])
