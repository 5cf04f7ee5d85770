"""iSCALE as published, and iStar as its case of one section (specs/iscale.md sections 3.3, 4.2 to 4.5).

Counts are brought to 0…1 by their range over all captures pooled; spots at most `merge_um` apart, and whatever they are
chained to, become one site at their middle; sites go to superpixels, and their counts to 0…1 again. The disk's
integer offsets are averaged, Adam learns at 1e-4 for ever so many epochs, and the states' median answers.

Where we differ on purpose: counts come back through both ranges (the published code loses the first, so that its maps
are relative); a disk that leaves the tissue or the slide is the mean of what is there (the published code raises, or
drops the site by a filter that is one off); features are the tissue's, of any encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pixelgene.arithmetic.pooling import disk_mask
from napari_pixelgene.arithmetic.sites import connected, merged, site_superpixels
from napari_pixelgene.arithmetic.targets import min_max
from napari_pixelgene.errors import InputError
from napari_pixelgene.models.base import Scores
from napari_pixelgene.models.heads import UnitFeatures
from napari_pixelgene.models.superpixels.minmax import OriginalPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import Batch, TrainingData, TrainingSection

RATE = 1e-4
EPOCHS = {"original": 1000, "istar": 400}
_TINY = 1e-12


@dataclass(slots=True)
class SitesPlan(OriginalPlan):
    """Sites in the stead of units. `counts` are what the second range is taken of; the first (members, genes) takes
    them back to counts. Nothing is stopped on: all that a member is given, it learns from."""

    first_low: FloatArray
    first_span: FloatArray
    published_epochs: int

    @property
    def epochs(self) -> int:
        """Passes over the sites, where a person chose none."""
        return self.published_epochs

    def rate(self) -> float:
        """The rate of Adam, however many sites there are."""
        return RATE

    def scores(self, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """There are no units that a state has not learned from."""
        return Scores({"last": np.zeros(self.members)}, {})

    def arrays(self) -> dict[str, Array]:
        """Both ranges as one: the network's output to counts."""
        return {
            "low": self.low * self.first_span + self.first_low,
            "span": self.span * self.first_span,
            "unit_size": np.array([self.unit_size]),
        }


@dataclass(frozen=True, slots=True)
class _Sites:
    """Where sites lie, (sites, 2) row and column, on which slide (sites,), and their counts (sites, genes)."""

    row_column: IntArray
    slide: IntArray
    counts: FloatArray


def plan_published(data: TrainingData, recipe: str, merge_um: float) -> SitesPlan:
    """Sites of every member; members that are given the same units share theirs."""
    counts = np.concatenate([np.asarray(s.counts.toarray(), dtype=np.float64) for s in data.sections])
    learned = data.fit | data.stop
    known: dict[bytes, int] = {}
    rows: list[_Sites] = []
    first: list[tuple[FloatArray, FloatArray]] = []
    of_member = []
    for mine in learned:
        key = mine.tobytes()
        if key not in known:
            low, span = _first_range(counts[mine], recipe)
            known[key] = len(rows)
            rows.append(
                _sites(data, mine, (counts - low) / (span + _TINY if recipe == "original" else 1), merge_um, recipe)
            )
            first.append((low, span))
        of_member.append(known[key])
    start = np.cumsum([0, *(len(r.slide) for r in rows)])
    fit = np.zeros((len(learned), start[-1]), dtype=bool)
    for member, group in enumerate(of_member):
        fit[member, start[group] : start[group + 1]] = True
    units = _under(data, rows)
    fit &= units.size > 0
    _require_sites(fit, learned, merge_um, recipe)
    scaled = np.concatenate([r.counts for r in rows])
    ranges = [min_max(scaled[f])[1:] for f in fit]
    low, high = (np.stack(x) for x in zip(*ranges, strict=True))
    lows, spans = (np.stack([first[g][i] for g in of_member]) for i in (0, 1))
    cells = float(disk_mask(_radius(data.sections)).sum())
    return SitesPlan(units, scaled, low, high - low, cells, fit, np.zeros_like(fit), lows, spans, EPOCHS[recipe])


def _first_range(counts: FloatArray, recipe: str) -> tuple[FloatArray, FloatArray]:
    if recipe == "istar":  # raw counts are learned from
        return np.zeros(counts.shape[1]), np.ones(counts.shape[1])
    _, low, high = min_max(counts)
    return low, high - low


def _slides(sections: Sequence[TrainingSection]) -> IntArray:
    """(sections,) the slide of each capture; a section that is no capture among several is one of its own."""
    names = [s.name.rpartition("/")[0] or f"/{i}" for i, s in enumerate(sections)]
    return np.unique(names, return_inverse=True)[1]


def _sites(data: TrainingData, mine: BoolArray, scaled: FloatArray, merge_um: float, recipe: str) -> _Sites:
    slide_of_unit = _slides(data.sections)[data.section_of_unit]
    xy = np.concatenate([s.xy_um for s in data.sections])
    side = data.sections[0].superpixel_um
    place, slides, counts = [], [], []
    for slide in np.unique(slide_of_unit[mine]):
        units = np.flatnonzero(mine & (slide_of_unit == slide))
        label = connected(xy[units], merge_um) if recipe == "original" else np.arange(len(units))
        place.append(site_superpixels(merged(label, xy[units]), side))
        counts.append(merged(label, scaled[units]))
        slides.append(np.full(len(counts[-1]), slide))
    return _Sites(np.concatenate(place), np.concatenate(slides), np.concatenate(counts))


def _radius(sections: Sequence[TrainingSection]) -> float:
    """Of the disk, in superpixels; one for all captures, as published."""
    return float(np.median([s.unit_um for s in sections])) / 2 / sections[0].superpixel_um


def _under(data: TrainingData, rows: Sequence[_Sites]) -> UnitFeatures:
    """The superpixels in the disk of every site: the offsets of the published mask, where there are features."""
    mask = disk_mask(_radius(data.sections))
    offsets = np.argwhere(mask) - mask.shape[0] // 2
    slide_of, start = _slides(data.sections), np.cumsum([0, *(len(s.features) for s in data.sections)])
    slide = np.repeat(slide_of, np.diff(start))
    places = np.column_stack([slide, np.concatenate([s.row_column for s in data.sections])])
    known, first = np.unique(places, axis=0, return_index=True)
    wanted = np.concatenate([
        np.concatenate([np.broadcast_to(r.slide[:, None, None], (len(r.slide), len(offsets), 1)),
                        r.row_column[:, None] + offsets], axis=2)
        for r in rows
    ])  # fmt: skip
    at, found = _looked_up(known, wanted.reshape(-1, 3))
    at, found = first[at].reshape(-1, len(offsets)), found.reshape(-1, len(offsets))
    order = np.argsort(~found, axis=1, kind="stable")  # those that are there first
    index = np.take_along_axis(np.where(found, at, 0), order, axis=1)
    features = np.concatenate([s.features for s in data.sections])
    channels = features.shape[1]
    tensor = torch.from_numpy(features).to(data.device)
    return UnitFeatures(tensor, index, found.sum(1), np.zeros(channels), np.ones(channels))


def _looked_up(known: IntArray, wanted: IntArray) -> tuple[IntArray, BoolArray]:
    """The row of `known` (sorted, unique) that each wanted one is, and whether it is there."""
    low, span = known.min(0), np.ptp(known, axis=0) + 1
    inside = ((wanted >= low) & (wanted < low + span)).all(1)
    flat, key = (
        np.ravel_multi_index(tuple((p - low).T), tuple(span)) for p in (known, np.where(inside[:, None], wanted, low))
    )
    at = np.searchsorted(flat, key).clip(max=len(flat) - 1)
    return at, inside & (flat[at] == key)


def _require_sites(fit: BoolArray, learned: BoolArray, merge_um: float, recipe: str) -> None:
    left = int(fit.sum(1).min(initial=2))
    if left < 2:
        units = int(learned.sum(1).min())
        problem = f"Spots at most {merge_um:g} µm apart became one site, and so did their neighbours' neighbours: "
        problem += f"{units:,} units leave {left} to learn from."
        if recipe == "istar":
            problem = f"{units:,} units leave {left} on tissue to learn from."
        raise InputError(problem, "Give a smaller --set merge_um, or take the default recipe, which merges none.")
