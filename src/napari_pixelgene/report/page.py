"""The report: one HTML file that holds everything it shows, verdict first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np

from napari_pixelgene.elements.scores import SectionScores, verdict
from napari_pixelgene.report import gene_plots, score_plots, slide_plots
from napari_pixelgene.report.alignment_tables import alignment_words, candidates_table, pairs_table
from napari_pixelgene.report.content import GenePanel, ReportContent
from napari_pixelgene.report.look import PAGE, STYLE
from napari_pixelgene.report.markup import bullets, folded, heading, number, paragraph, picture, table
from napari_pixelgene.report.score_tables import gene_table, group_table, scores_table

_HELD_OUT = (
    "Held-out r is Pearson's correlation, gene by gene, between what was measured and what a model predicted that had "
    "learned from other parts of the tissue only. It is 1 for a perfect map and 0 for chance."
)
_COMPOSITION = (
    "Composition (log) is log1p of counts per 10,000: which genes a place has, whatever its depth. Raw counts also "
    "follow the depth, so that one map of the total for every gene scores well on them."
)
# A score this little above a control is no better than it (accuracy.md: a section's spread).
_MARGIN = 0.03


def build_report(content: ReportContent) -> str:
    """The page as text. It refers to nothing outside itself."""
    parts = [
        _top(content),
        *(_scores(content, scores) for scores in content.scores),
        _genes(content),
        _alignment(content),
        _tissue(content),
        _training(content),
        _times(content),
        _settings(content),
    ]
    body = "\n".join(part for part in parts if part)
    return PAGE.substitute(title=escape(content.title), style=STYLE, body=body)


def doubtful(scores: Iterable[SectionScores]) -> bool:
    """Whether some control does as well as the model, on the mean over genes of the log score."""
    return any(_beaten(each) for each in scores)


def _beaten(scores: SectionScores) -> bool:
    reached = _mean(scores.log.pearson)
    rivals = [_mean(r) for name, r in scores.log.controls.items() if name != "ceiling"]
    return not reached > max([0.0, *(r for r in rivals if np.isfinite(r))]) + _MARGIN


def _mean(values: Any) -> float:
    finite = np.asarray(values)[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _top(content: ReportContent) -> str:
    words = verdict({s.name: s.as_dict() for s in content.scores}) if content.scores else "Nothing was scored."
    kind = "verdict doubt" if doubtful(content.scores) else "verdict"
    parts = [paragraph(words, kind), *map(paragraph, content.summary)]
    if content.done:
        parts += [heading("What was done"), bullets(content.done)]
    if content.notes:
        parts += [heading("What to know", 3), bullets(content.notes)]
    return "\n".join(parts)


def _scores(content: ReportContent, scores: SectionScores) -> str:
    truth = content.truth if content.truth and scores is content.scores[0] else None
    where = f"{scores.units:,} squares of {scores.block_um:g} µm" if scores.block_um else f"{scores.units:,} units"
    count = f"{len(scores.genes)} genes over {where} of {scores.name}."
    parts = [heading(f"Scores beside their controls: {scores.name}"), paragraph(f"{_HELD_OUT} {count}")]
    parts += [scores_table(scores, truth), paragraph(_COMPOSITION, "small")]
    says = "Pearson r of every gene for the model and for each control"
    parts.append(picture(score_plots.scores_figure(scores, truth), says, "A dot is a gene, a bar the median."))
    if truth is not None:
        parts += [heading("By what the histology shows", 3), group_table(scores, truth)]
    if "ceiling" in scores.log.controls:
        says = "Held-out r of every gene over its noise ceiling"
        parts.append(picture(score_plots.reached_figure(scores, truth), says))
    if scores.dropped_genes:
        parts.append(paragraph(f"Not measured here and not scored: {', '.join(scores.dropped_genes)}."))
    parts.append(folded(f"All {len(scores.genes)} genes", gene_table(scores, truth)))
    return "\n".join(parts)


def _genes(content: ReportContent) -> str:
    if not content.panels:
        return ""
    first = content.panels[0]
    intro = f"All maps of a gene share one colour scale, in {first.unit}; grey is where there is no value."
    parts = [heading("Best, median and worst gene"), paragraph(intro)]
    if content.predicted_how:
        parts.append(paragraph(content.predicted_how))
    return "\n".join(parts + [_panel(panel) for panel in content.panels])


def _panel(panel: GenePanel) -> str:
    group = f", {panel.group}" if panel.group else ""
    scores = f"held-out r {number(panel.pearson)} · chance {number(panel.permuted)} · ceiling {number(panel.ceiling)}"
    figure = picture(gene_plots.gene_figure(panel), f"Maps of {panel.gene}: measured beside predicted", scores)
    return heading(f"{panel.rank.capitalize()}: {panel.gene}{group}", 3) + figure


def _alignment(content: ReportContent) -> str:
    found = content.alignment
    if found is None:
        return ""
    parts = [heading("Alignment"), paragraph(alignment_words(found))]
    if found.recommendation:
        parts.append(paragraph(f"Recommended: {found.recommendation}"))
    parts.append(bullets(found.cautions))
    if content.he is not None:
        figure = slide_plots.alignment_figure(content.he, found)
        caption = f"Where nuclei are white, the H&E and the {found.moving_name} image agree."
        says = "The H&E with its keypoints, and close-ups of both images on one another"
        parts.append(picture(figure, says, caption, photo=True))
    parts += [candidates_table(found), folded(f"All {len(found.keypoints)} pairs", pairs_table(found))]
    return "\n".join(parts)


def _tissue(content: ReportContent) -> str:
    if content.tissue is None or content.he is None:
        return ""
    figure = slide_plots.tissue_figure(content.he, content.tissue, content.superpixel_um)
    words = f"Blue outlines what counts as tissue ({content.tissue.source or 'given'}); maps are made inside it only."
    return heading("Tissue") + picture(figure, "The H&E with the outline of its tissue", words, photo=True)


def _training(content: ReportContent) -> str:
    if not content.history:
        return ""
    caption = (
        "Mean over the members of the ensemble, each on the blocks that end its training; it is not scored on these. "
        "Permuted: the same blocks shuffled."
    )
    return heading("Training") + picture(score_plots.history_figure(content.history), "r by epoch", caption)


def _times(content: ReportContent) -> str:
    if not content.seconds:
        return ""
    says = "; ".join(f"{name} {seconds:.1f} s" for name, seconds in content.seconds.items())
    return heading("Time") + picture(score_plots.timings_figure(content.seconds), says)


def _settings(content: ReportContent) -> str:
    parts = []
    for stage, values in content.settings.items():
        rows = [(name, value) for name, value in flat(values)]
        parts.append(heading(stage, 3) + table(("setting", "value"), rows, words=(0, 1)))
    if content.versions:
        parts.append(heading("Versions", 3) + table(("package", "version"), content.versions.items(), words=(0, 1)))
    if not parts:
        return ""
    return heading("Settings and versions") + folded("Show them", "\n".join(parts))


def flat(values: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as (dotted name, value in words)."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", "not set" if value in (None, "", {}) else str(value)
