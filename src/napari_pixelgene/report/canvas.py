"""Figures of their own, drawn without a screen, and their pictures inside a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 120
# Okabe and Ito's colours, which the colour-blind tell apart.
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
GROUP_COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
INK, FAINT, EMPTY = "#222222", "#8a8a8a", "#e4e4e4"
TEXT = 9


def new_figure(width_in: float, height_in: float, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure with a row of axes; it belongs to the caller alone."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False, **options)
    for each in axes[0]:
        each.tick_params(labelsize=TEXT - 1)
    return figure, list(axes[0])


def title(axes: Axes, text: str) -> None:
    """A heading above axes, at their left."""
    axes.set_title(text, fontsize=TEXT + 1, loc="left", color=INK)


def micrometres(axes: Axes) -> None:
    """Ticks in µm on both axes, few of them."""
    axes.set_xlabel("µm", fontsize=TEXT)
    axes.locator_params(nbins=5)


def without_frame(axes: Axes, sides: Sequence[str] = ("top", "right")) -> None:
    """Take away the sides of the frame that carry no numbers."""
    for side in sides:
        axes.spines[side].set_visible(False)


def data_uri(figure: Figure, photo: bool = False) -> str:
    """The figure as `data:image/…`: PNG, or JPEG for pictures of tissue, which PNG cannot pack."""
    buffer = BytesIO()
    if photo:
        figure.savefig(buffer, format="jpeg", pil_kwargs={"quality": 88})
    else:
        figure.savefig(buffer, format="png")
    kind = "jpeg" if photo else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
