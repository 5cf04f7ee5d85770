"""What the Genes dock says about a gene and about a place, in a biologist's words. No Qt here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_pixelgene.elements.expression import FILTERED, NEVER_MEASURED

if TYPE_CHECKING:
    from napari_pixelgene.elements.scores import GeneScores

# A gene's correlation on some thousand places wavers by this much.
_WAVERS = 0.05
# Two that are shown as the same number are equally good.
_ROUNDED = 0.005
_BANDS = ((0.5, "predicted well"), (0.3, "predicted fairly"), (0.15, "predicted weakly"), (-1.0, "hardly predicted"))
SMOOTHER = (
    "Predicted maps are smoother than transcripts: they show what to expect in each square, not what happened to be "
    "caught there. Single transcripts come and go; an expected count of 0.2 is one transcript in five such squares."
)
NOT_SCORED = "This run was not scored, so nobody knows whether this map can be trusted. Score it in the Run dock."


def about(gene: str, scores: GeneScores | None, held_out: str = "blocks") -> str:
    """One sentence: how far a gene's map can be trusted."""
    if scores is None:
        return f"{gene}: {NOT_SCORED[0].lower()}{NOT_SCORED[1:]}"
    if gene not in scores.genes:
        return f"{gene}: it was not scored, so nobody knows whether this map can be trusted."
    at = scores.genes.index(gene)
    r, chance = float(scores.held_out_r[at]), float(scores.chance[at])
    where = "held-out blocks" if held_out == "blocks" else "held-out sections"
    if math.isnan(r):
        return f"{gene}: it has no score on {where}, because it hardly varies there."
    level = 0.0 if math.isnan(chance) else chance
    said = f"(r {r + 0.0:.2f}, chance {round(level, 2) + 0.0:.2f})"
    if r <= max(level, 0.0) + _WAVERS:
        return f"{gene}: not better than chance on {where} {said}. Do not use this map."
    band = next(words for least, words in _BANDS if r >= least)
    return f"{gene}: {band} on {where} {said}.{_easier(scores, at, r)}"


def _easier(scores: GeneScores, at: int, r: float) -> str:
    """Whether something simpler does as well, or better."""
    easy = {
        "counting nuclei": scores.nuclear,
        "one map of all transcripts": scores.total_only,
        "position alone": scores.position,
    }
    as_good = {f"{name} ({values[at]:.2f})": float(values[at]) for name, values in easy.items() if values[at] >= r}
    if not as_good:
        return ""
    how = "better" if min(as_good.values()) > r + _ROUNDED else "as well"
    return f" But {' and '.join(as_good)} {'does' if len(as_good) == 1 else 'do'} {how}."


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of one superpixel: NaN where nothing is. `state` is that of the map's measured layer."""

    x_um: float
    y_um: float
    inside: bool
    predicted: float = math.nan
    measured: float = math.nan
    state: int = NEVER_MEASURED


def at_cursor(gene: str, unit: str, place: Place | None, can_measure: bool = True) -> str:
    """Both values where the mouse is, with their unit."""
    if place is None or not place.inside:
        return f"{gene}: point at the slide to read its values."
    predicted = (
        "background, nothing predicted" if math.isnan(place.predicted) else f"predicted {_number(place.predicted)}"
    )
    said = f"{gene} at x {place.x_um:,.0f}, y {place.y_um:,.0f} µm: {predicted}"
    return f"{said} · {_measured(place)} ({unit})" if can_measure else f"{said} ({unit})"


def at_cursor_short(gene: str, unit: str, place: Place, can_measure: bool = True) -> str:
    """The same for the status bar."""
    predicted = "background" if math.isnan(place.predicted) else f"predicted {_number(place.predicted)}"
    return f"{gene}: {predicted}{f', {_measured(place)}' if can_measure else ''} ({unit})"


def _measured(place: Place) -> str:
    if math.isnan(place.measured):
        return "never measured here"
    left_out = ", left out of training" if place.state == FILTERED else ""
    return f"measured {_number(place.measured)}{left_out}"


def _number(value: float) -> str:
    """Whole counts whole, small ones with two digits that mean something."""
    if value == round(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
