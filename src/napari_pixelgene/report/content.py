"""What a report tells, as plain values: pictures, maps, scores, times. Whoever has them fills them in.

Positions are (x, y) in H&E µm from the outer corner of the slide's first pixel; arrays are (row, column).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_pixelgene.elements.alignment import Candidate, Keypoints, Transform
from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
from napari_pixelgene.elements.expression import UNIT
from napari_pixelgene.elements.scores import SectionScores
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.elements.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Picture:
    """Part of a slide: (rows, columns, 3) uint8, µm a pixel, and the (x, y) of its outer corner in H&E µm."""

    rgb: Array
    um_per_px: float
    corner_um: tuple[float, float] = (0.0, 0.0)

    @property
    def extent_um(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top as matplotlib's `imshow` takes them, y downwards."""
        rows, columns = self.rgb.shape[:2]
        left, top = self.corner_um
        return left, left + columns * self.um_per_px, top + rows * self.um_per_px, top


@dataclass(frozen=True, slots=True)
class CloseUp:
    """The slide and, on the same pixels, the moving image drawn through the transform, (rows, columns)."""

    he: Picture
    moving: Array
    where: str


@dataclass(frozen=True, slots=True)
class AlignmentContent:
    """A transform, the pairs behind it, and how well they agree.

    `pairs_um` are the clicked points of the H&E (n, 2), `offsets_um` (n, 2) where the transform puts their partners,
    seen from them. `corner_error_um` (corners,) is how far the transform is from the true one, where that is known.
    """

    transform: Transform
    keypoints: Keypoints
    pairs_um: FloatArray
    offsets_um: FloatArray
    candidates: Sequence[Candidate] = ()
    recommendation: str = ""
    cautions: Sequence[str] = ()
    close_ups: Sequence[CloseUp] = ()
    corner_error_um: FloatArray | None = None
    moving_name: str = "morphology"


@dataclass(frozen=True, slots=True)
class RegistrationContent:
    """A registration and its verdict. `crops` are close-ups at the verdict's worst places, in their order.

    `about` are facts (name, value) of what was registered; `settings` how it was judged.
    """

    title: str
    verdict: Verdict
    he: Picture
    alignment: AlignmentContent | None = None
    crops: Sequence[CloseUp] = ()
    moving_name: str = "morphology"
    about: Sequence[tuple[str, str]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GenePanel:
    """One gene's maps on the same lattice, (rows, columns) in `unit`, NaN where there is nothing.

    `rank` says why the gene is shown ("best"); `pearson`, `permuted` and `ceiling` are its held-out scores.
    """

    gene: str
    rank: str
    measured: FloatArray
    predicted: FloatArray
    pearson: float
    permuted: float
    ceiling: float
    truth: FloatArray | None = None
    superpixel_um: float = 8.0
    pooled_um: float | None = None  # side of the squares that `measured` is the mean over
    unit: str = UNIT
    group: str = ""


@dataclass(frozen=True, slots=True)
class TruthContent:
    """What is known of a simulated section's genes, in the order of its scores.

    `group` names the kind of pattern each gene follows, `hidden` the group that the histology does not show.
    `pearson` (genes,) is what the true rates themselves score on the same counts.
    """

    group: tuple[str, ...]
    pearson: FloatArray
    hidden: str = "hidden"

    @property
    def shown(self) -> BoolArray:
        """Which genes the histology shows, (genes,)."""
        return np.array([g != self.hidden for g in self.group], dtype=bool)


@dataclass(frozen=True, slots=True)
class ReportContent:
    """A run and its scores. Parts that are None or empty are left out of the page.

    `done` are sentences on what was done, `summary` what it came to, `notes` what a person must know (left out,
    doubtful). `truth` belongs to the first of `scores`.
    """

    title: str
    scores: Sequence[SectionScores]
    panels: Sequence[GenePanel] = ()
    predicted_how: str = ""
    he: Picture | None = None
    alignment: AlignmentContent | None = None
    tissue: Tissue | None = None
    superpixel_um: float = 8.0
    truth: TruthContent | None = None
    history: Sequence[Mapping[str, float]] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    done: Sequence[str] = ()
    summary: Sequence[str] = ()
    notes: Sequence[str] = ()


def ranked(pearson: FloatArray) -> dict[str, int]:
    """The best, the median and the worst of the genes whose score is a number; fewer where there are fewer."""
    order = np.argsort(np.where(np.isfinite(pearson), pearson, np.inf), kind="stable")
    order = order[: int(np.isfinite(pearson).sum())][::-1]
    if len(order) == 0:
        return {}
    places = {"best": 0, "median": len(order) // 2, "worst": len(order) - 1}
    chosen: dict[str, int] = {}
    for rank, place in places.items():
        if int(order[place]) not in chosen.values():
            chosen[rank] = int(order[place])
    return chosen
