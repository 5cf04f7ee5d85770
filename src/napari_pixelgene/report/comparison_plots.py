"""Pictures of a comparison: who reached what beside chance and ceiling, at which scale, at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from napari_pixelgene.report.canvas import (
    BLUE,
    FAINT,
    GREEN,
    GROUP_COLOURS,
    INK,
    ORANGE,
    PINK,
    SKY,
    TEXT,
    new_figure,
    title,
    without_frame,
)

Rows = Sequence[Mapping[str, Any]]
# Controls as ticks beside each row: name, colour.
_TICKS = (
    ("permuted", "chance", FAINT),
    ("total_only", "total only", ORANGE),
    ("nuclear", "counting nuclei", PINK),
    ("position", "position alone", GREEN),
    ("ceiling", "noise ceiling", SKY),
)


def leaderboard_figure(rows: Rows) -> Figure:
    """Each row's held-out r with its interval, its single captures as dots, its controls as ticks."""
    figure, (axes,) = new_figure(9.4, 0.52 * len(rows) + 1.5)
    axes.axvline(0, color=FAINT, lw=0.8)
    for at, row in enumerate(rows):
        _controls(axes, at, row["controls"])
        captures = list(row["by_capture"].values())
        axes.scatter(captures, np.full(len(captures), at), s=14, color=BLUE, alpha=0.45, linewidths=0)
        if row["alone"] is not None:
            axes.plot(row["alone"], (at, at), color=BLUE, lw=2.2, solid_capstyle="round")
        axes.scatter([row["log"]], [at], s=52, color=BLUE, edgecolors="white", linewidths=0.8, zorder=3)
    axes.set_yticks(range(len(rows)), [name_of(row, rows) for row in rows], fontsize=TEXT)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("mean Pearson r over genes, log1p of counts per 10,000, held out", fontsize=TEXT)
    figure.legend(handles=_legend(rows), loc="outside lower center", ncols=4, fontsize=TEXT - 1, frameon=False)
    without_frame(axes)
    return figure


def _controls(axes: Axes, at: int, controls: Mapping[str, float | None]) -> None:
    for key, _, colour in _TICKS:
        if (value := controls.get(key)) is not None:
            axes.plot((value, value), (at - 0.3, at + 0.3), color=colour, lw=2)


def _legend(rows: Rows) -> list[Line2D]:
    model = [
        Line2D([], [], color=BLUE, marker="o", lw=2.2, label="mean and 95 % over draws of tissue"),
        Line2D([], [], color=BLUE, marker="o", ls="", ms=4, alpha=0.5, label="one capture"),
    ]
    shown = [t for t in _TICKS if any(row["controls"].get(t[0]) is not None for row in rows)]
    return model + [Line2D([], [], color=c, marker="|", ms=11, mew=2, ls="", label=name) for _, name, c in shown]


def scales_figure(rows: Rows) -> Figure | None:
    """Held-out r on squares of 8 to 64 µm, for log and counts; None where units are no squares."""
    scales = scales_of(rows)
    if not scales:
        return None
    figure, axes = new_figure(9.4, 3.4, 2, sharey=True)
    for each, (quantity, words) in zip(axes, (("log", "composition (log)"), ("counts", "raw counts")), strict=True):
        for i, row in enumerate(rows):
            values = [row["measures"].get(f"{um} µm.{quantity}.pearson") for um in scales]
            colour, line = GROUP_COLOURS[i % len(GROUP_COLOURS)], "-" if i < len(GROUP_COLOURS) else "--"
            y = [np.nan if v is None else v for v in values]
            each.plot(range(len(scales)), y, color=colour, ls=line, marker="o", ms=4, label=name_of(row, rows))
        each.set_xticks(range(len(scales)), scales)
        each.set_xlabel("side of a square (µm)", fontsize=TEXT)
        title(each, f"Held-out r, {words}")
        without_frame(each)
    axes[0].set_ylabel("mean Pearson r over genes", fontsize=TEXT)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=TEXT - 1, frameon=False
    )
    return figure


def scales_of(rows: Rows) -> list[str]:
    """The sides of squares that were measured, as they are named, finest first."""
    found = {key.partition(" µm.")[0] for row in rows for key in row["measures"] if " µm." in key}
    return sorted(found, key=float)


def cost_figure(rows: Rows) -> Figure:
    """Seconds and memory of each row."""
    figure, axes = new_figure(9.4, 0.36 * len(rows) + 0.9, 2, sharey=True)
    names = [name_of(row, rows) for row in rows]
    for each, (key, unit) in zip(axes, (("seconds", "s"), ("peak_mb", "MB")), strict=True):
        values = [row[key] or 0.0 for row in rows]
        bars = each.barh(range(len(rows)), values, color=BLUE if key == "seconds" else SKY, height=0.62)
        each.bar_label(bars, labels=[f"{v:,.0f} {unit}" for v in values], padding=4, fontsize=TEXT - 1, color=INK)
        each.margins(x=0.2)
        each.set_xlabel({"s": "seconds a task", "MB": "most memory held"}[unit], fontsize=TEXT)
        without_frame(each)
    axes[0].set_yticks(range(len(rows)), names, fontsize=TEXT - 1)
    axes[0].invert_yaxis()
    return figure


def name_of(row: Mapping[str, Any], rows: Rows) -> str:
    """What a row is called; with its encoder where there are several."""
    several = len({r["encoder"] for r in rows}) > 1
    return f"{row['label']} · {row['encoder']}" if several else str(row["label"])
