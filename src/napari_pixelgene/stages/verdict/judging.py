"""Who is heard, how large the error is over the tissue, and what level that comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from napari_pixelgene.arithmetic import geometry, jackknife
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.verdict import UNKNOWN, Basis, Level, Outlines, QualityMap, Sections, Verdict
from napari_pixelgene.stages.verdict.evidence import PairEvidence, VerdictSettings
from napari_pixelgene.stages.verdict.wording import Findings, reasons, sentence
from napari_pixelgene.stages.verdict.worst import worst_places

# Fewer places where nuclei agree are no witness, nor is a smaller share of those that have nuclei in both images.
_LEAST_SEEN, _LEAST_SHARE = 4, 0.25
# Of a good registration nuclei may fail to agree at this share of the places that have them in both images.
_MOST_UNLIKE = 0.15
# From so many places on the error of the others is foretold by the plane through them.
_FORETELLING = 6
# Pairs alone: so few say little, and this share of what they leave over may be tissue that is bent.
_FEW_PAIRS, _BENT_SHARE = 6, 0.35


def judge(
    found: QualityMap,
    pairs: PairEvidence,
    settings: VerdictSettings | None = None,
    sections: Sections = "unknown",
    outlines: Outlines | None = None,
) -> Verdict:
    """The verdict on what was found. Whether there was a picture to compare is told by the map's states.

    `sections`: of the same section nuclei that agree nowhere are out of place; of neighbouring ones (serial) they are
    others, and pairs and outlines are heard; where it is not known, outlines that agree tell. `outlines` is None
    where they were not compared.
    """
    return _Judge(found, pairs, settings or VerdictSettings(), sections, outlines).verdict()


def at_odds(found: QualityMap) -> bool:
    """Both images show nuclei in many places, and they do not agree: a reason to look at outlines."""
    return not hears_nuclei(found) and _comparable(found) >= _LEAST_SEEN


def hears_nuclei(found: QualityMap) -> bool:
    """Whether enough nuclei agree, whatever the shift, to say how far apart the images lie."""
    seen = int(found.seen.sum())
    return seen >= min(_LEAST_SEEN, max(len(found) - 1, 2)) and seen >= _LEAST_SHARE * _comparable(found)


def _comparable(found: QualityMap) -> int:
    """Places with nuclei in both images."""
    return int(found.compared.sum())


@dataclass(frozen=True, slots=True)
class _Judge:
    map: QualityMap
    pairs: PairEvidence
    settings: VerdictSettings
    sections: Sections
    outlines: Outlines | None

    @property
    def at_odds(self) -> bool:
        return at_odds(self.map)

    @property
    def out_of_place(self) -> bool:
        """By outlines the run lies elsewhere."""
        found = self.outlines
        return found is not None and (bool(found.elsewhere) or found.shift_um > self.settings.outline_useless_um)

    @property
    def serial(self) -> bool:
        """Neighbouring sections: marked as such, or taken for them since all but the nuclei agrees."""
        if hears_nuclei(self.map) or self.sections == "same":
            return False
        taken = self.at_odds and self.outlines is not None and not self.out_of_place
        return self.sections == "serial" or taken

    def verdict(self) -> Verdict:
        """All of it."""
        if not len(self.map):
            return self.off_tissue()
        error = self.error_um()
        median, ninth = _percentiles(error)
        basis = self.basis(median)
        level = self.level(basis, median)
        heard = self.findings(level, basis, median, ninth)
        shown = _without_unlike(self.map) if self.serial else self.map
        worst = worst_places(shown, error, self.settings.local_um)
        numbers = self.numbers(shown, median, ninth)
        return Verdict(level, basis, sentence(heard), tuple(reasons(heard)), numbers, worst, shown)

    def off_tissue(self) -> Verdict:
        """There is nothing under the run at all."""
        text = "Do not use: drawn like this, the run lies on no tissue of the H&E."
        return Verdict("do not use", "nothing", text, (), self.numbers(self.map, np.nan, np.nan), (), self.map)

    def findings(self, level: Level, basis: Basis, median: float, ninth: float) -> Findings:
        """What the words are made of."""
        return Findings(
            level, basis, median, ninth, self.map, self.pairs, self.settings, self.outlines,
            at_odds=self.at_odds, serial=self.serial, marked=self.sections == "serial",
            same=self.sections == "same", fine=self.fine(median, ninth), out_of_place=self.out_of_place,
        )  # fmt: skip

    def basis(self, median: float) -> Basis:
        """Who was heard. That nuclei of one section agree nowhere says more than outlines."""
        if hears_nuclei(self.map):
            return "nuclei"
        if self.outlines is not None and not (self.sections == "same" and self.at_odds):
            return "outlines"
        return "pairs" if np.isfinite(median) else "nothing"

    def error_um(self) -> FloatArray:
        """The error (n,) at each place: seen, else foretold from where it was seen; without nuclei by the pairs."""
        if not hears_nuclei(self.map):
            return self.by_pairs()
        seen = self.map.seen
        places, shifts = self.map.place_um, self.map.shift_um
        if seen.sum() < _FORETELLING or geometry.spread_ratio(places[seen]) < geometry.COLLINEAR:
            foretold = np.full(len(seen), float(np.median(self.map.distance_um[seen])))
        else:
            plane = geometry.fit_affine(places[seen], shifts[seen])
            foretold = np.linalg.norm(geometry.apply_matrix(plane, places), axis=1)
        return np.where(seen, self.map.distance_um, foretold)

    def by_pairs(self) -> FloatArray:
        """What the pairs let one expect (n,): their own uncertainty, and a share of what they leave over."""
        if self.pairs.spare <= 0:
            return np.full(len(self.map), np.nan)
        left = self.pairs.fit_um * np.sqrt(2 * self.pairs.trusted / self.pairs.spare)
        caution = jackknife.caution(self.pairs.spare)
        return np.asarray(caution * np.hypot(self.map.doubt_um, _BENT_SHARE * left))

    def fine(self, median: float, ninth: float) -> bool:
        """Whether the numbers are those of a good registration, as far as who was heard can tell."""
        limits = self.settings
        good, local = (limits.serial_um, 2 * limits.serial_um) if self.serial else (limits.good_um, limits.local_um)
        if not (median <= good and ninth <= local):
            return False
        enough = self.pairs.trusted >= _FEW_PAIRS and (self.serial or not self.at_odds)
        near = self.outlines is None or self.outlines.shift_um <= limits.outline_um
        return hears_nuclei(self.map) or (enough and near)

    def level(self, basis: Basis, median: float) -> Level:
        """Good, which only nuclei can make it; to be looked at; or not to be used."""
        limits = self.settings
        ninth = _percentiles(self.error_um())[1]
        if basis == "nuclei":
            whole = int(self.map.unlike.sum()) <= _MOST_UNLIKE * _comparable(self.map)
            fine = self.fine(median, ninth) and whole
            return "good" if fine else ("do not use" if median > limits.useless_um else "look here")
        if median > (limits.serial_useless_um if self.serial else limits.useless_um):
            return "do not use"
        if basis == "outlines":
            return "do not use" if self.out_of_place else "look here"
        if basis == "nothing":
            return "do not use" if self.at_odds and not self.serial else "look here"
        lost = self.at_odds and not self.serial and (self.sections == "same" or self.pairs.trusted < _FEW_PAIRS)
        return "do not use" if lost else "look here"

    def numbers(self, shown: QualityMap, median: float, ninth: float) -> Mapping[str, float | None]:
        """By name; lengths in µm."""
        seen = shown.distance_um[shown.seen]
        doubted = _percentiles(shown.doubt_um)
        values: dict[str, float] = {
            "median_error_um": median,
            "ninth_decile_error_um": ninth,
            "worst_seen_um": float(seen.max()) if len(seen) else np.nan,
            "places": len(shown),
            "places_seen": int(shown.seen.sum()),
            "places_unlike": int(shown.unlike.sum()),
            "places_unknown": len(shown) - _comparable(shown),
            "pairs": self.pairs.trusted,
            "pairs_left_out": self.pairs.left_out,
            "coordinates_to_spare": self.pairs.spare,
            "fit_rmse_um": self.pairs.fit_um,
            "loo_rmse_um": self.pairs.loo_um,
            "doubt_median_um": doubted[0],
            "doubt_ninth_decile_um": doubted[1],
            "outline_agreement": np.nan if self.outlines is None else self.outlines.agreement,
            "outline_shift_um": np.nan if self.outlines is None else self.outlines.shift_um,
        }
        return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _without_unlike(found: QualityMap) -> QualityMap:
    """Nuclei of a neighbouring section are not in the wrong place: there is nothing to compare."""
    blank = np.where(found.unlike, np.nan, found.similarity), np.where(found.unlike, np.nan, found.confidence)
    state = np.where(found.unlike, UNKNOWN, found.state)
    return replace(found, state=state, similarity=blank[0], confidence=blank[1])


def _percentiles(values: FloatArray) -> tuple[float, float]:
    """Median and ninth decile; NaN where any value is missing or there is none."""
    if not len(values) or not np.isfinite(values).all():
        return float("nan"), float("nan")
    return float(np.median(values)), float(np.percentile(values, 90))
