"""The page of a comparison: one HTML file, who leads first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from napari_pixelgene.report.comparison_plots import (
    cost_figure,
    leaderboard_figure,
    name_of,
    scales_figure,
    scales_of,
)
from napari_pixelgene.report.look import PAGE, STYLE
from napari_pixelgene.report.markup import MISSING, bullets, folded, heading, number, paragraph, picture, table

_TITLE = "Models side by side"
_HELD_OUT = (
    "Held-out r is Pearson's correlation, gene by gene, between what was measured and what a model predicted that had "
    "not learned from that tissue, and then the mean over genes. The interval draws the tissue's blocks again and "
    "again; the difference to the first row is drawn on the same blocks, so that what both find hard cancels. A map "
    "that is the same everywhere has no correlation."
)
# Measure and what it says, in reading order; docs/metrics.md has the formulas.
_MEASURES = {
    "pearson": "Pearson r",
    "spearman": "Spearman r",
    "rmse": "RMSE",
    "nrmse": "RMSE / mean",
    "mse": "MSE",
    "mae": "MAE",
    "r_squared": "R²",
    "profile": "r over genes",
    "dice": "Dice, top 10 %",
    "jaccard": "Jaccard, top 10 %",
    "ssim": "SSIM",
    "ssim_permuted": "SSIM, permuted",
    "ms_ssim": "MS-SSIM",
    "ms_ssim_permuted": "MS-SSIM, permuted",
    "moran_truth": "Moran's I, measured",
    "moran_prediction": "Moran's I, predicted",
}
_SIDES = ("prediction", "truth")
Rows = Sequence[Mapping[str, Any]]


def build_comparison(said: str, tasks: Sequence[str], rows: Rows) -> str:
    """The page as text; `rows` are those of the leaderboard, as plain values. It refers to nothing outside itself."""
    done = [row for row in rows if row["measures"]]
    parts = [paragraph(said, "verdict"), paragraph("Scored: " + "; ".join(tasks) + ".")]
    if done:
        parts += [_board(done), *_pictures([row for row in done if row["log"] is not None]), *_costs(done)]
        parts += _details(done)
    failed = [f"{row['label']} on {row['encoder']}: {error}" for row in rows for error in row["errors"]]
    if failed:
        parts += [heading("What failed"), bullets(failed)]
    return PAGE.substitute(title=escape(_TITLE), style=STYLE, body="\n".join(parts))


def _board(rows: Rows) -> str:
    head = ["model", "held-out r", "95 %", "behind the first", "counts r", "chance", "total only", "nuclei", "ceiling"]
    lines = []
    for row in rows:
        controls = (number(row["controls"].get(c)) for c in ("permuted", "total_only", "nuclear", "ceiling"))
        reached = (number(row["log"], 3), _between(row["alone"]), _behind(row), number(row["counts"], 3))
        lines.append([name_of(row, rows), *reached, *controls])
    return table(head, lines, strong=(0,)) + paragraph(_HELD_OUT, "small")


def _behind(row: Mapping[str, Any]) -> str:
    if row["behind"] is None:
        return MISSING
    return f"{number(row['behind'], 3)} ({_between(row['behind_interval'])})"


def _between(interval: Sequence[float] | None) -> str:
    return MISSING if interval is None else f"{number(interval[0], 3)} to {number(interval[1], 3)}"


def _pictures(rows: Rows) -> list[str]:
    if not rows:
        return []
    says = "Held-out r of every model with its interval, beside chance, simple explanations and the noise ceiling"
    parts = [heading("What each reaches"), picture(leaderboard_figure(rows), says)]
    scales = scales_figure(rows)
    if scales is not None:
        parts += [heading("At which scale"), picture(scales, "Held-out r of every model on squares of 8 to 64 µm")]
    return parts


def _costs(rows: Rows) -> list[str]:
    head = ["model", "seconds a task", "most memory (MB)", "measured units near by"]
    lines = [[name_of(r, rows), number(r["seconds"], 0), number(r["peak_mb"], 0), r["context"]] for r in rows]
    says = "Seconds and memory of every model"
    return [heading("At what cost"), picture(cost_figure(rows), says), table(head, lines, words=(0, 3))]


def _details(rows: Rows) -> list[str]:
    captures = list(dict.fromkeys(name for row in rows for name in row["by_capture"]))
    each = [[name_of(row, rows), *(number(row["by_capture"].get(c), 3) for c in captures)] for row in rows]
    parts = [folded("Held-out r on every capture", table(["model", *captures], each))]
    places = {"": "All measures"} | {f"{um} µm.": f"All measures on squares of {um} µm" for um in scales_of(rows)}
    for prefix, words in places.items():
        inside = "".join(_measures(rows, prefix, quantity) for quantity in ("log", "counts"))
        parts.append(folded(words, inside))
    if any("icc.prediction" in row["measures"] for row in rows):
        values = [[name_of(r, rows), *(number(r["measures"].get(f"icc.{s}")) for s in _SIDES)] for r in rows]
        words = "How well clusters of the histology are told apart (ICC of the leading components)"
        parts.append(folded(words, table(["model", "predicted", "measured"], values)))
    return parts


def _measures(rows: Rows, prefix: str, quantity: str) -> str:
    there = [m for m in _MEASURES if any(row["measures"].get(f"{prefix}{quantity}.{m}") is not None for row in rows)]
    head = ["model", *(_MEASURES[m] for m in there)]
    lines = [
        [name_of(row, rows), *(number(row["measures"].get(f"{prefix}{quantity}.{m}"), 3) for m in there)]
        for row in rows
    ]
    return heading({"log": "Composition (log)", "counts": "Counts"}[quantity], 3) + table(head, lines)
