"""The page on one registration: one sheet of A4, or one screen: the verdict, and everything it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray, IntArray
from napari_pixelgene.elements.verdict import Basis, Level, Verdict
from napari_pixelgene.report import quality_plots
from napari_pixelgene.report.alignment_tables import alignment_words
from napari_pixelgene.report.content import AlignmentContent, RegistrationContent
from napari_pixelgene.report.look import PAGE, STYLE
from napari_pixelgene.report.markup import bullets, folded, heading, number, paragraph, picture, table
from napari_pixelgene.report.sheet import SHEET

SIGNS: dict[Level, str] = {"good": "●", "look here": "▲", "do not use": "✗"}
_HOW: dict[Basis, str] = {
    "nuclei": "A place counts only where nuclei of both images match clearly above chance. How well hatched places fit "
    "is unknown.",
    "outlines": "The nuclei tell nothing here: places are coloured by what the pairs leave open.",
    "pairs": "The nuclei tell nothing here: places are coloured by what the pairs leave open.",
    "nothing": "Neither nuclei nor pairs tell anything here.",
}
# Pairs that the page has room for, in blocks of so many rows.
_PAIRS, _ROWS = 36, 12
_CAUTIONS = 3
_NUMBERS = (
    ("error, median (µm)", "median_error_um", 1),
    ("nine tenths within (µm)", "ninth_decile_error_um", 1),
    ("largest seen (µm)", "worst_seen_um", 1),
    ("places looked at", "places", 0),
    ("… nuclei agree", "places_seen", 0),
    ("… in both, not alike", "places_unlike", 0),
    ("… nothing to compare", "places_unknown", 0),
    ("pairs used", "pairs", 0),
    ("pairs left out", "pairs_left_out", 0),
    ("pairs leave open (µm)", "doubt_median_um", 1),
    ("outlines apart (µm)", "outline_shift_um", 0),
)
# Of the pairs alone, where nuclei were not heard.
_ERRORS = ("median_error_um", "ninth_decile_error_um")
# Of nuclei that were compared nowhere.
_OF_NUCLEI = ("places_seen", "places_unlike", "places_unknown")


def build_registration_report(content: RegistrationContent) -> str:
    """The page as text. It refers to nothing outside itself, prints on one sheet, and fills one wide screen."""
    left = [("top", _top(content)), ("models", _models(content)), ("numbers", _numbers(content.verdict))]
    right = [("crops", _crops(content)), ("pairs", _pairs(content.alignment))]
    parts = [_column("left", left), _section("map", _map(content)), _column("right", right)]
    body = "\n".join([*parts, _section("foot", _foot(content))])
    sheet = f'<main class="{"sheet" if content.crops else "sheet bare"}">{body}</main>'
    return PAGE.substitute(title=escape(content.title), style=STYLE + SHEET, body=sheet)


def _column(name: str, parts: Sequence[tuple[str, str]]) -> str:
    """Sections that stand below one another on a wide screen; elsewhere each has a place of its own."""
    return f'<div class="{name}">{"".join(_section(*part) for part in parts)}</div>'


def _section(name: str, inside: str) -> str:
    return f'<section class="{name}">{inside}</section>' if inside else ""


def _top(content: RegistrationContent) -> str:
    verdict = content.verdict
    head, stop, numbers = verdict.sentence.partition(". ")
    said = paragraph(f"{SIGNS[verdict.level]} {head}{stop.strip()}", f"verdict {verdict.level.replace(' ', '-')}")
    return said + (paragraph(numbers) if numbers else "") + bullets(verdict.reasons)


def _map(content: RegistrationContent) -> str:
    found = content.verdict.map
    if not len(found):
        return ""
    worst = [place.xy_um for place in content.verdict.worst]
    error = quality_plots.error_figure(content.he, found, worst)
    alike = quality_plots.likeness_figure(content.he, found, content.alignment)
    caption = (
        f"Places are {found.spacing_um:.0f} µm apart; without a ring: no tissue was found there (glass, fat)."
        f" {_HOW[content.verdict.basis]}"
    )
    pictures = picture(error, "The H&E with the distance between nuclei at places all over the tissue", photo=True)
    pictures += picture(alike, "The same with how alike nuclei are, and the pairs with their residuals", photo=True)
    return heading("Over the tissue") + f'<div class="two">{pictures}</div>' + paragraph(caption, "caption")


def _crops(content: RegistrationContent) -> str:
    worst = content.verdict.worst
    if not worst:
        return ""
    letters = [chr(ord("A") + n) for n in range(len(worst))]
    places = [
        f"{letter}: {place.why}, at x {place.xy_um[0]:.0f}, y {place.xy_um[1]:.0f} µm"
        for letter, place in zip(letters, worst, strict=True)
    ]
    told = paragraph("; ".join(places) + ".", "caption")
    if not content.crops:
        return heading("Where to look first") + told + paragraph("There is no image to lay on the H&E here.")
    figure = quality_plots.crops_figure(content.crops, letters, content.moving_name)
    says = "Close-ups of both images on one another at the places of the list"
    return heading("Where to look first") + picture(figure, says, photo=True) + told


def _numbers(verdict: Verdict) -> str:
    values, hidden = verdict.numbers, () if verdict.map.compared.any() else _OF_NUCLEI
    by_pairs = verdict.basis in ("pairs", "outlines")
    rows = [
        (f"by the pairs: {words}" if by_pairs and name in _ERRORS else words, number(values.get(name), digits))
        for words, name, digits in _NUMBERS
        if values.get(name) is not None and name not in hidden
    ]
    return heading("Numbers") + table(("", ""), rows)


def _models(content: RegistrationContent) -> str:
    """Every kind of transform with its residuals and its error when pairs are left out, the one that is used strong."""
    found = content.alignment
    if found is None:
        return heading("Fit") + paragraph("The transform was given as a matrix; there are no pairs to judge it by.")
    head = ("kind (µm)", "residual", "worst", "left out")
    rows = [
        (c.kind, *map(number, (c.fit_rmse_um, c.fit_worst_um, c.loo_rmse_um)))
        if np.isfinite(c.fit_rmse_um)
        else (c.kind, c.why_not, "", "")
        for c in found.candidates
    ]
    strong = [i for i, c in enumerate(found.candidates) if c.kind == found.transform.kind]
    parts = [heading("Fit"), table(head, rows, strong=strong) if rows else paragraph(alignment_words(found))]
    if found.recommendation:
        parts.append(paragraph(f"Recommended: {found.recommendation}", "caption"))
    return "\n".join([*parts, bullets(_few(found.cautions))])


def _few(cautions: Sequence[str]) -> list[str]:
    """The first of them; of pairs left out the table tells each."""
    told = [text for text in cautions if " was left out: " not in text]
    more = [f"and {len(told) - _CAUTIONS} more"] if len(told) > _CAUTIONS else []
    return [*told[:_CAUTIONS], *more]


def _pairs(found: AlignmentContent | None) -> str:
    """Each pair with its residual and its error when left out; of many those that are worst, the rest in a sentence."""
    if found is None:
        return ""
    count, transform = len(found.keypoints), found.transform
    residual, loo = (np.full(count, np.nan) if v is None else v for v in (transform.residual_um, transform.loo_um))
    trusted = transform.inlier if transform.inlier is not None else found.keypoints.enabled
    rows, rest = _shown(residual, loo)
    cells = [(f"{i + 1}" if trusted[i] else f"{i + 1} ✗", number(residual[i], 1), number(loo[i], 1)) for i in rows]
    blocks = [
        table(("pair", "off", "left out"), cells[start : start + _ROWS], words=(), strong=_left_out(cells, start))
        for start in range(0, len(cells), _ROWS)
    ]
    parts = [heading("Pairs (µm)"), f'<div class="blocks">{"".join(blocks)}</div>']
    if len(rest):
        most = number(float(np.nanmax(residual[rest], initial=0.0)), 1)
        parts.append(
            paragraph(f"These are the {len(rows)} worst; the other {len(rest)} are at most {most} µm off.", "caption")
        )
    if not trusted.all():
        parts.append(paragraph("✗ not used in the fit.", "caption"))
    return "\n".join(parts)


def _left_out(cells: Sequence[tuple[str, str, str]], start: int) -> list[int]:
    """Rows of a block that stand out: pairs that take no part."""
    return [n for n, cell in enumerate(cells[start : start + _ROWS]) if "✗" in cell[0]]


def _shown(residual: FloatArray, loo: FloatArray) -> tuple[IntArray, IntArray]:
    """Rows of the pairs that are listed, in their order, and of those that are not."""
    worst = np.argsort(-np.nan_to_num(np.fmax(residual, loo), nan=-1.0), kind="stable")
    return np.sort(worst[:_PAIRS]), np.sort(worst[_PAIRS:])


def _foot(content: RegistrationContent) -> str:
    """What was judged, on a line; how, behind another one."""
    parts = []
    if content.about:
        parts.append(paragraph("; ".join(f"{name}: {value}" for name, value in content.about) + ".", "caption"))
    rows = [(name, str(value)) for name, value in content.settings.items()] + list(content.versions.items())
    if rows:
        parts.append(folded("How it was judged", table(("", ""), rows, words=(0, 1))))
    return "\n".join(parts)
