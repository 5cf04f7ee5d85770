"""Scores beside their controls, gene by gene; how training went; where the time was spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.scores import CHANCE, HELD_OUT_R, QuantityScores, SectionScores
from napari_pixelgene.report.canvas import (
    BLUE,
    FAINT,
    GROUP_COLOURS,
    INK,
    ORANGE,
    TEXT,
    new_figure,
    title,
    without_frame,
)
from napari_pixelgene.report.content import TruthContent

CONTROL_NAMES = {
    "ceiling": "noise ceiling",
    "position": "position alone",
    "nuclear": "counting nuclei",
    "total_only": "total only",
    "permuted": "permuted",
}
QUANTITY_NAMES = {"log": "composition (log)", "counts": "raw counts"}


def scores_figure(scores: SectionScores, truth: TruthContent | None = None) -> Figure:
    """Every gene's Pearson r, for the model and for each control; bars are medians, colours gene groups."""
    figure, axes = new_figure(9.6, 3.6, 2, sharey=True)
    colours, legend = group_colours(truth, len(scores.genes))
    for each, (name, words) in zip(axes, QUANTITY_NAMES.items(), strict=True):
        rows = series(getattr(scores, name), truth if name == "log" else None)
        _strips(each, rows, colours)
        title(each, f"Held-out r, {words}")
    axes[0].set_ylabel("Pearson r of a gene", fontsize=TEXT)
    if legend:
        figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), fontsize=TEXT, frameon=False)
    return figure


def series(scores: QuantityScores, truth: TruthContent | None = None) -> dict[str, FloatArray]:
    """The model's score and that of every control that could be had, in reading order, {name: (genes,)}."""
    rows = {"model": scores.pearson}
    if truth is not None:
        rows["true rates"] = truth.pearson
    return rows | {CONTROL_NAMES[c]: scores.controls[c] for c in CONTROL_NAMES if c in scores.controls}


def group_colours(truth: TruthContent | None, genes: int) -> tuple[list[str], list[Line2D]]:
    """A colour a gene, and the legend that explains them; one colour and no legend where nothing is known."""
    if truth is None:
        return [BLUE] * genes, []
    groups = list(dict.fromkeys(truth.group))
    groups.sort(key=lambda g: g == truth.hidden)  # the hidden one last
    of = {group: GROUP_COLOURS[i % len(GROUP_COLOURS)] for i, group in enumerate(groups)}
    many = {g: f"{n} gene{'' if n == 1 else 's'}" for g in groups if (n := truth.group.count(g))}
    handles = [Line2D([], [], ls="", marker="o", color=of[g], label=f"{g} ({many[g]})") for g in groups]
    return [of[g] for g in truth.group], handles


def _strips(axes: Axes, rows: Mapping[str, FloatArray], colours: Sequence[str]) -> None:
    rng = np.random.default_rng(0)
    axes.axhline(0, color=FAINT, lw=0.8)
    for at, values in enumerate(rows.values()):
        beside = at + rng.uniform(-0.26, 0.26, len(values))
        axes.scatter(beside, values, s=9, c=list(colours), alpha=0.75, linewidths=0)
        if np.isfinite(values).any():
            axes.hlines(np.nanmedian(values), at - 0.36, at + 0.36, color=INK, lw=2)
    axes.set_xticks(range(len(rows)), [name.replace(" ", "\n") for name in rows], fontsize=TEXT - 1)
    without_frame(axes)


def reached_figure(scores: SectionScores, truth: TruthContent | None = None) -> Figure:
    """Each gene's held-out r over its noise ceiling: on the upper line nothing is left to gain."""
    figure, (axes,) = new_figure(4.6, 4.2)
    colours, legend = group_colours(truth, len(scores.genes))
    ceiling = scores.log.controls["ceiling"]
    axes.axhline(0, color=FAINT, lw=0.8)
    for share, words in ((1.0, "ceiling"), (0.5, "half")):
        axes.plot([0, 1], [0, share], color=FAINT, lw=1, ls="-" if share == 1 else "--")
        axes.text(0.985, share * 0.985, words, fontsize=TEXT - 1, color=FAINT, ha="right", va="bottom")
    axes.scatter(ceiling, scores.log.pearson, s=16, c=colours, alpha=0.8, linewidths=0)
    axes.set_xlim(0, 1)
    axes.set_xlabel("noise ceiling of the gene (r)", fontsize=TEXT)
    axes.set_ylabel("held-out r of the model", fontsize=TEXT)
    without_frame(axes)
    if legend:
        axes.legend(handles=legend, fontsize=TEXT - 1, frameon=False, loc="upper left")
    title(axes, "Reached of what can be reached")
    return figure


def history_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """The mean r on the units that training stops on, beside the same with units shuffled."""
    figure, (axes,) = new_figure(4.6, 3.2)
    epochs = [row["epoch"] for row in history]
    for key, words, colour in ((HELD_OUT_R, "stop blocks", BLUE), (CHANCE, "permuted", ORANGE)):
        if all(key in row for row in history):
            values = [row[key] for row in history]
            axes.plot(epochs, values, color=colour, lw=2, marker="o", ms=3, label=words)
    axes.axhline(0, color=FAINT, lw=0.8)
    axes.set_xlabel("epoch", fontsize=TEXT)
    axes.set_ylabel("mean r over genes", fontsize=TEXT)
    axes.legend(fontsize=TEXT, frameon=False)
    without_frame(axes)
    title(axes, "Training")
    return figure


def timings_figure(seconds: Mapping[str, float]) -> Figure:
    """Seconds of each stage, in flow order."""
    figure, (axes,) = new_figure(6.0, 0.32 * len(seconds) + 0.9)
    names = list(seconds)
    bars = axes.barh(names, list(seconds.values()), color=BLUE, height=0.65)
    axes.bar_label(bars, labels=[f"{s:.1f} s" for s in seconds.values()], padding=4, fontsize=TEXT)
    axes.invert_yaxis()
    axes.set_xlabel("s", fontsize=TEXT)
    axes.margins(x=0.15)
    without_frame(axes)
    title(axes, f"Time: {sum(seconds.values()):.0f} s in all")
    return figure
