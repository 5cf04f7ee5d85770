"""A verdict on a registration: good, look here, or do not use, with the numbers behind it.

Two witnesses are heard. Nuclei: where both images show them, matching says how far apart they lie, which is the error
itself. Pairs: what they leave over, and how far the fit moves when one of them is left out. Nuclei decide wherever
there are enough of them; pairs know nothing of mistakes that all of them share, and are held to more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from napari_pixelgene.arithmetic import geometry, jackknife
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.elements.matching import Matches
from napari_pixelgene.elements.verdict import SEEN, UNKNOWN, UNLIKE, Basis, Level, QualityMap, Verdict, WorstPlace
from napari_pixelgene.settings import Section

STAGE = "verdict"
# A window of which nuclei cover less cannot tell whether they agree.
_FEWEST_NUCLEI = 0.03
# Fewer places where nuclei agree are no witness, nor is a smaller share of those that have nuclei in both images.
_LEAST_SEEN, _LEAST_SHARE = 4, 0.25
# Of a good registration nuclei may fail to agree at this share of the places that have them in both images.
_MOST_UNLIKE = 0.15
# From so many places on the error of the others is foretold by the plane through them.
_FORETELLING = 6
# Pairs alone: so few cannot be called good, and this share of what they leave over may be tissue that is bent.
_FEW_PAIRS, _BENT_SHARE = 6, 0.35
_OPEN = "nothing to compare; the pairs leave {:.1f} µm open"
# So many places to look at first, this many spacings apart at least.
_WORST_PLACES, _APART = 4, 1.8
# A square of the lattice that is less full of tissue than this has no place of its own.
_LEAST_FILLED = 0.4
# Places nearer to one another than this would compare the same nuclei.
_CLOSEST_UM = 150.0


class VerdictSettings(Section):
    """How closely one looks, and where good ends."""

    spacing_um: float = Field(300.0, ge=50, le=5000, description="Distance between the places that are compared (µm).")
    least_places: int = Field(40, ge=4, description="On small tissue places lie closer, for about so many of them.")
    most_places: int = Field(400, ge=4, description="On large tissue places lie farther apart, for no more of them.")
    good_um: float = Field(5.0, gt=0, description="Good ends here: median error over the tissue (µm).")
    local_um: float = Field(10.0, gt=0, description="A place that is off by more is one to look at (µm).")
    useless_um: float = Field(15.0, gt=0, description="Beyond this median error a registration is not to be used (µm).")


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """What the pairs say: how many the fit trusts and left out, and what they leave over in µm (root mean squares)."""

    trusted: int = 0
    left_out: int = 0
    spare: int = 0
    fit_um: float = float("nan")
    loo_um: float = float("nan")


def grid_places(tissue: BoolArray, superpixel_um: float, settings: VerdictSettings) -> tuple[FloatArray, float]:
    """Middles (n, 2) in µm of the squares of a lattice that hold tissue, and the side of the squares.

    A square counts that is nearly half as full as one can be, or as the fullest is on tissue narrower than squares. Its
    place is where its tissue has its centre of mass.
    """
    rows, columns = np.nonzero(tissue)
    area = len(rows) * superpixel_um**2
    closest = max(_CLOSEST_UM, float(np.sqrt(area / settings.least_places)))
    side_um = max(min(settings.spacing_um, closest), float(np.sqrt(area / settings.most_places)))
    side = max(1, round(side_um / superpixel_um))
    if not len(rows):
        return np.zeros((0, 2)), side * superpixel_um
    wide = int(columns.max()) // side + 1
    square = (rows // side) * wide + columns // side
    filled = np.bincount(square)
    chosen = np.flatnonzero(filled >= _LEAST_FILLED * min(side * side, filled.max()))
    middle = [np.bincount(square, weights=axis)[chosen] / filled[chosen] + 0.5 for axis in (columns, rows)]
    return np.stack(middle, axis=1) * superpixel_um, side * superpixel_um


def doubt(
    keypoints: Keypoints | None, transform: Transform, mpp: tuple[float, float], place_um: FloatArray
) -> tuple[PairEvidence, FloatArray]:
    """What the pairs say of the transform, and the standard error (n,) they leave it with at places in H&E µm.

    `mpp` is µm per unit of the moving and of the fixed frame. Without pairs, or without any to spare, NaN.
    """
    nothing = np.full(len(place_um), np.nan)
    kind, trusted = transform.kind, transform.inlier
    if keypoints is None or trusted is None or kind == "given" or transform.residual_um is None:
        return PairEvidence(), nothing
    count, left = int(trusted.sum()), int((keypoints.enabled & ~trusted).sum())
    loo = np.full(1, np.nan) if transform.loo_um is None else transform.loo_um[trusted]
    evidence = PairEvidence(count, left, jackknife.spare(kind, count), _rms(transform.residual_um[trusted]), _rms(loo))
    source, target = keypoints.moving_xy[trusted] * mpp[0], keypoints.fixed_xy[trusted] * mpp[1]
    at = transform.inverse().apply(place_um / mpp[1])
    mirrored = geometry.is_mirrored(transform.matrix, keypoints.moving_xy[trusted])
    error = jackknife.standard_error(kind, source, target, at * mpp[0], allow_mirror=mirrored)
    return evidence, error


def map_of(
    matches: Matches | None, place_um: FloatArray, doubt_um: FloatArray, spacing_um: float, searched_um: float
) -> QualityMap:
    """What matching found at the places, or that there was nothing to match."""
    n = len(place_um)
    if matches is None:
        blank = np.full(n, np.nan)
        state = np.full(n, UNKNOWN)
        return QualityMap(place_um, np.full((n, 2), np.nan), state, blank, blank, doubt_um, spacing_um, searched_um)
    comparable = np.isfinite(matches.distance_um) & (matches.nuclei >= _FEWEST_NUCLEI)
    state = np.where(matches.clear, SEEN, np.where(comparable, UNLIKE, UNKNOWN))
    shift = np.where(matches.clear[:, None], -matches.shift_um, np.nan)
    similarity, confidence = (np.where(state != UNKNOWN, v, np.nan) for v in (matches.unmoved, matches.margin))
    return QualityMap(place_um, shift, state, similarity, confidence, doubt_um, spacing_um, searched_um)


def with_far_look(found: QualityMap, rows: IntArray, far: Matches, searched_um: float) -> QualityMap:
    """The map with what a wider search found at some of its places."""
    state, shift = found.state.copy(), found.shift_um.copy()
    state[rows[far.clear]], shift[rows[far.clear]] = SEEN, -far.shift_um[far.clear]
    return replace(found, state=state, shift_um=shift, searched_um=searched_um)


def judge(
    found: QualityMap, pairs: PairEvidence, settings: VerdictSettings | None = None, same_section: bool = False
) -> Verdict:
    """The verdict on what was found. Whether there was a picture to compare is told by the map's states.

    `same_section`: both images show the same nuclei, so that nuclei which agree nowhere are out of place; else they
    may be those of a neighbouring section.
    """
    return _Judge(found, pairs, settings or VerdictSettings(), same_section).verdict()


@dataclass(frozen=True, slots=True)
class _Judge:
    map: QualityMap
    pairs: PairEvidence
    settings: VerdictSettings
    same_section: bool = False

    @property
    def comparable(self) -> int:
        """Places with nuclei in both images."""
        return int((self.map.seen | self.map.unlike).sum())

    @property
    def hears_nuclei(self) -> bool:
        """Whether enough nuclei agree, whatever the shift, to say how far apart the images lie."""
        seen = int(self.map.seen.sum())
        return seen >= min(_LEAST_SEEN, max(len(self.map) - 1, 2)) and seen >= _LEAST_SHARE * self.comparable

    @property
    def at_odds(self) -> bool:
        """Both images show nuclei in many places, and they do not agree."""
        return not self.hears_nuclei and self.comparable >= _LEAST_SEEN

    def verdict(self) -> Verdict:
        """All of it."""
        if not len(self.map):
            return self.off_tissue()
        error = self.error_um()
        median, ninth = _percentiles(error)
        basis = self.basis(median)
        level = self.level(basis, median, ninth)
        numbers = self.numbers(median, ninth)
        worst = tuple(self.worst(error))
        hedge = ", as far as pairs can tell" if (level, basis) == ("good", "pairs") else ""
        sentence = f"{level.capitalize()}{hedge}: {self.because(basis, median, ninth)}"
        return Verdict(level, basis, sentence, tuple(self.reasons(basis, error)), numbers, worst, self.map)

    def off_tissue(self) -> Verdict:
        """There is nothing under the run at all."""
        text = "Do not use: drawn like this, the run lies on no tissue of the H&E."
        return Verdict("do not use", "nothing", text, (), self.numbers(np.nan, np.nan), (), self.map)

    def basis(self, median: float) -> Basis:
        """Who was heard."""
        if self.hears_nuclei:
            return "nuclei"
        return "pairs" if np.isfinite(median) else "nothing"

    def error_um(self) -> FloatArray:
        """The error (n,) at each place: seen, else foretold from where it was seen; without nuclei by the pairs."""
        if not self.hears_nuclei:
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

    def level(self, basis: Basis, median: float, ninth: float) -> Level:
        """Good, to be looked at, or not to be used."""
        limits = self.settings
        fine = median <= limits.good_um and ninth <= limits.local_um
        if basis == "nuclei":
            whole = int(self.map.unlike.sum()) <= _MOST_UNLIKE * self.comparable
            return "good" if fine and whole else ("do not use" if median > limits.useless_um else "look here")
        if basis == "nothing":
            return "do not use" if self.at_odds else "look here"
        enough = self.pairs.trusted >= _FEW_PAIRS
        if median > limits.useless_um or (self.at_odds and (self.same_section or not enough)):
            return "do not use"
        return "good" if fine and enough and not self.at_odds else "look here"

    def because(self, basis: Basis, median: float, ninth: float) -> str:
        """The numbers in words."""
        if basis == "nothing":
            known = "" if self.at_odds else "nothing shows how well the images lie on one another; "
            return f"{known}{self.missing()}{self.without_pairs()}."
        if basis == "nuclei":
            return (
                f"nuclei of both images lie {median:.1f} µm apart (median over the tissue; nine tenths of it within"
                f" {ninth:.1f} µm), seen at {int(self.map.seen.sum())} of {len(self.map)} places,"
                f" {self.at_most()}{self.said_by_pairs()}."
            )
        why = self.missing()
        return (
            f"judged by {self.pairs.trusted} pairs alone, since {why}, the error is likely under {median:.1f} µm"
            f" (median over the tissue; {ninth:.1f} µm for nine tenths of it){self.said_by_pairs()}."
        )

    def at_most(self) -> str:
        """The largest shift and its place."""
        row = int(np.nanargmax(self.map.distance_um))
        x, y = self.map.place_um[row]
        return f"at most {self.map.distance_um[row]:.1f} µm, at x {x:.0f}, y {y:.0f} µm"

    def said_by_pairs(self) -> str:
        """The held-out error, where there is one."""
        if not np.isfinite(self.pairs.loo_um):
            return ""
        return f"; the {self.pairs.trusted} pairs, each left out in turn, are foretold to {self.pairs.loo_um:.1f} µm"

    def without_pairs(self) -> str:
        """That nobody can be asked instead."""
        return ", and no pairs can be spared to check it" if self.pairs.trusted else ", and there are no pairs"

    def missing(self) -> str:
        """Why nuclei were not heard."""
        if self.at_odds:
            seen = int(self.map.seen.sum())
            few = f"only {seen}" if seen else "none"
            return (
                f"nuclei of the two images agree at {few} of the {self.comparable} places where both show them, sought"
                f" up to {self.map.searched_um:.0f} µm away"
            )
        if not self.map.searched_um:
            return "there is no image to compare with the H&E"
        if not self.comparable:
            return "no place shows nuclei in both images"
        return f"both images show nuclei at only {self.comparable} of {len(self.map)} places"

    def numbers(self, median: float, ninth: float) -> Mapping[str, float | None]:
        """By name; lengths in µm."""
        seen = self.map.distance_um[self.map.seen]
        doubted = _percentiles(self.map.doubt_um)
        values: dict[str, float] = {
            "median_error_um": median,
            "ninth_decile_error_um": ninth,
            "worst_seen_um": float(seen.max()) if len(seen) else np.nan,
            "places": len(self.map),
            "places_seen": int(self.map.seen.sum()),
            "places_unlike": int(self.map.unlike.sum()),
            "places_unknown": len(self.map) - self.comparable,
            "pairs": self.pairs.trusted,
            "pairs_left_out": self.pairs.left_out,
            "coordinates_to_spare": self.pairs.spare,
            "fit_rmse_um": self.pairs.fit_um,
            "loo_rmse_um": self.pairs.loo_um,
            "doubt_median_um": doubted[0],
            "doubt_ninth_decile_um": doubted[1],
        }
        return {name: value if np.isfinite(value) else None for name, value in values.items()}

    def reasons(self, basis: Basis, error: FloatArray) -> list[str]:
        """What speaks against it, and what nobody knows."""
        out = []
        far = int((self.map.seen & (self.map.distance_um > self.settings.local_um)).sum())
        if far:
            out.append(f"At {far} of {len(self.map)} places nuclei lie more than {self.settings.local_um:g} µm apart.")
        unlike = int(self.map.unlike.sum())
        if unlike:
            out.append(
                f"At {unlike} places both images show nuclei that do not agree within {self.map.searched_um:.0f} µm:"
                f" {self.why_unlike()}."
            )
        unknown = len(self.map) - self.comparable
        if unknown:
            out.append(
                f"At {unknown} of {len(self.map)} places there is nothing to compare: how well they fit is unknown."
            )
        return out + self.of_pairs(basis)

    def why_unlike(self) -> str:
        """What may be behind nuclei that do not agree, the likeliest first."""
        if self.at_odds and self.same_section:
            return "the run is laid in the wrong place, or turned or mirrored wrongly"
        return "laid in the wrong place, a fold, a tear, a part that was lost, or another section of the tissue"

    def of_pairs(self, basis: Basis) -> list[str]:
        """What the pairs leave open."""
        out = []
        if self.pairs.left_out:
            out.append(f"{self.pairs.left_out} pairs disagree with the others and were left out.")
        bare = ~self.map.seen & (self.map.doubt_um > self.settings.local_um)
        if bare.any():
            out.append(
                f"{int(bare.sum())} places lie so far from the pairs that they leave the transform open by more than"
                f" {self.settings.local_um:g} µm, and no nuclei confirm it."
            )
        if basis == "pairs":
            out.append("Pairs cannot show a mistake that all of them share. Look at the overlay before you rely on it.")
        elif basis == "nothing" and self.pairs.trusted:
            out.append("The fit passes through all its pairs, or they are too few to contradict it. Add pairs.")
        return out

    def worst(self, error: FloatArray) -> list[WorstPlace]:
        """Where to look first, apart from one another: far off, unlike, open; then any, worst first."""
        found, limit = self.map, self.settings.local_um
        seen, open_um = found.distance_um, np.where(found.seen | found.unlike, np.nan, found.doubt_um)
        kinds = (
            (
                np.where(seen > limit, seen, np.nan),
                "nuclei lie {:.1f} µm apart",
                _WORST_PLACES - int(found.unlike.any()),
            ),
            (np.where(found.unlike, np.nan_to_num(error), np.nan), "nuclei do not agree", _WORST_PLACES),
            (
                np.where(open_um > limit, open_um, np.nan),
                "nothing to compare; pairs leave {:.1f} µm open",
                _WORST_PLACES,
            ),
            (seen, "nuclei lie {:.1f} µm apart", _WORST_PLACES),
            (open_um, _OPEN, _WORST_PLACES),
        )
        rows: list[int] = []
        out: list[WorstPlace] = []
        for value, words, most in kinds:
            for row in self.apart(rows, value, most):
                x, y = (float(v) for v in found.place_um[row])
                out.append(WorstPlace((x, y), float(seen[row]), words.format(value[row])))
        return out

    def apart(self, chosen: list[int], value: FloatArray, most: int) -> list[int]:
        """More rows for `chosen`, which grows to `most`: largest values first, none beside one that is chosen."""
        new: list[int] = []
        for row in np.argsort(-np.nan_to_num(value, nan=-1.0), kind="stable"):
            away = np.linalg.norm(self.map.place_um[chosen] - self.map.place_um[row], axis=1)
            if len(chosen) >= most or not np.isfinite(value[row]):
                break
            if away.min(initial=np.inf) > _APART * self.map.spacing_um:
                chosen.append(int(row))
                new.append(int(row))
        return new


def _percentiles(values: FloatArray) -> tuple[float, float]:
    """Median and ninth decile; NaN where any value is missing or there is none."""
    if not len(values) or not np.isfinite(values).all():
        return float("nan"), float("nan")
    return float(np.median(values)), float(np.percentile(values, 90))


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else float("nan")
