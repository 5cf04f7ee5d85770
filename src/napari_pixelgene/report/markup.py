"""Pieces of HTML: every word that comes from outside is escaped here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from matplotlib.figure import Figure

from napari_pixelgene.report.canvas import data_uri

MISSING = "–"


def heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, of a class of the style sheet where one is given."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """A list of sentences; nothing for none."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def picture(figure: Figure, says: str, caption: str = "", photo: bool = False) -> str:
    """A figure inside the page. `says` is read out to who cannot see it."""
    below = f'<figcaption class="caption">{escape(caption)}</figcaption>' if caption else ""
    return f'<figure><img alt="{escape(says)}" src="{data_uri(figure, photo)}">{below}</figure>'


def table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], words: Sequence[int] = (0,), strong: Sequence[int] = ()
) -> str:
    """A table. Columns in `words` hold text and lie left, the others numbers; rows in `strong` stand out."""
    kind = ['class="words"' if i in words else "" for i in range(len(head))]
    lines = ["<tr>" + "".join(f"<th {k}>{escape(h)}</th>" for k, h in zip(kind, head, strict=True)) + "</tr>"]
    for n, row in enumerate(rows):
        cells = "".join(f"<td {k}>{escape(str(cell))}</td>" for k, cell in zip(kind, row, strict=True))
        lines.append(f'<tr class="strong">{cells}</tr>' if n in strong else f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def folded(summary: str, inside: str) -> str:
    """Something long behind a line that opens it."""
    return f"<details><summary>{escape(summary)}</summary>{inside}</details>"


def number(value: float | None, digits: int = 2) -> str:
    """A number with a true minus, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{digits}f}"
    rounded_away = float(text) == 0.0
    return (text.lstrip("-") if rounded_away else text).replace("-", "−")
