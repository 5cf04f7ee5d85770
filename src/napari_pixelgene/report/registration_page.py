"""The page on one registration: the verdict on top, and everything it rests on below."""

from __future__ import annotations

from html import escape

from napari_pixelgene.elements.verdict import Verdict
from napari_pixelgene.report import quality_plots, slide_plots
from napari_pixelgene.report.alignment_tables import alignment_words, candidates_table, pairs_table
from napari_pixelgene.report.content import AlignmentContent, RegistrationContent
from napari_pixelgene.report.look import PAGE, STYLE
from napari_pixelgene.report.markup import bullets, folded, heading, number, paragraph, picture, table

_HOW = (
    "Nuclei of both images were compared in windows all over the tissue. A place counts only where its best match "
    "stands clearly above chance, which the same window turned over is asked for. Hatched places cannot be judged: "
    "nobody knows how well they fit."
)
_ROWS = (
    ("median_error_um", "error, median over the tissue (µm)"),
    ("ninth_decile_error_um", "error, nine tenths of the tissue within (µm)"),
    ("worst_seen_um", "largest distance between nuclei (µm)"),
    ("fit_rmse_um", "residual of the pairs, root mean square (µm)"),
    ("loo_rmse_um", "the same, each pair left out in turn (µm)"),
    ("doubt_median_um", "uncertainty that the pairs leave, median (µm)"),
    ("doubt_ninth_decile_um", "the same, nine tenths of the tissue within (µm)"),
)
_COUNTS = (
    ("places", "places looked at"),
    ("places_seen", "… where nuclei agree"),
    ("places_unlike", "… with nuclei in both that do not agree"),
    ("places_unknown", "… with nothing to compare"),
    ("pairs", "pairs used"),
    ("pairs_left_out", "pairs left out"),
)


def build_registration_report(content: RegistrationContent) -> str:
    """The page as text. It refers to nothing outside itself."""
    parts = [
        _top(content),
        _map(content),
        _crops(content),
        _numbers(content.verdict),
        _fit(content),
        _settings(content),
    ]
    body = "\n".join(part for part in parts if part)
    return PAGE.substitute(title=escape(content.title), style=STYLE, body=body)


def _top(content: RegistrationContent) -> str:
    verdict = content.verdict
    parts = [paragraph(verdict.sentence, "verdict" if verdict.level == "good" else "verdict doubt")]
    return "\n".join([*parts, bullets(verdict.reasons)])


def _map(content: RegistrationContent) -> str:
    found = content.verdict.map
    if not len(found):
        return ""
    figure = quality_plots.map_figure(content.he, found, [place.xy_um for place in content.verdict.worst])
    says = "The H&E with the distance between nuclei, and their likeness, at places all over the tissue"
    caption = f"Places are {found.spacing_um:.0f} µm apart. Letters are the places below."
    return heading("Over the tissue") + paragraph(_HOW) + picture(figure, says, caption, photo=True)


def _crops(content: RegistrationContent) -> str:
    worst = content.verdict.worst
    if not worst:
        return ""
    parts = [heading("Where to look first")]
    letters = [chr(ord("A") + n) for n in range(len(worst))]
    rows = [(letter, *map(_um, p.xy_um), p.why) for letter, p in zip(letters, worst, strict=True)]
    parts = [heading("Where to look first"), table(("place", "x (µm)", "y (µm)", "why"), rows, words=(0, 3))]
    if not content.crops:
        parts.append(paragraph("There is no image to lay on the H&E here: look at these places by other means."))
        return "\n".join(parts)
    figure = quality_plots.crops_figure(content.crops, letters, content.moving_name)
    caption = f"Where nuclei are white, or go on from square to square, H&E and {content.moving_name} agree."
    says = "Close-ups of both images on one another at the places of the table"
    return "\n".join([*parts, picture(figure, says, caption, photo=True)])


def _um(value: float) -> str:
    return f"{value:.0f}"


def _numbers(verdict: Verdict) -> str:
    values = verdict.numbers
    lengths = [(words, number(values.get(name), 1)) for name, words in _ROWS]
    counts = [(words, number(values.get(name), 0)) for name, words in _COUNTS]
    return heading("Numbers") + table(("", ""), [*counts, *lengths])


def _fit(content: RegistrationContent) -> str:
    found = content.alignment
    if found is None:
        return heading("Fit") + paragraph("The transform was given as a matrix; there are no pairs to judge it by.")
    parts = [heading("Fit"), paragraph(alignment_words(found))]
    if found.recommendation:
        parts.append(paragraph(f"Recommended: {found.recommendation}"))
    parts += [bullets(found.cautions), _pairs_picture(content, found), candidates_table(found)]
    return "\n".join([*parts, folded(f"All {len(found.keypoints)} pairs", pairs_table(found))])


def _pairs_picture(content: RegistrationContent, found: AlignmentContent) -> str:
    figure = slide_plots.alignment_figure(content.he, found)
    return picture(figure, "The H&E with its pairs and their residuals", photo=True)


def _settings(content: RegistrationContent) -> str:
    rows = [*content.about, *((name, str(value)) for name, value in content.settings.items())]
    rows += [(name, version) for name, version in content.versions.items()]
    return heading("How it was made") + folded("Show it", table(("", ""), rows, words=(0, 1))) if rows else ""
