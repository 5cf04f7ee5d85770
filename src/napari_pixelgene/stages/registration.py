"""Registration: from keypoint pairs to a transform one can trust, with the evidence for it.

All trusted pairs count. A pair is left out only when it lies further than a threshold in µm from the
largest set of pairs that agree, and it is named. Every kind that the pairs can determine is fitted and
held out pair by pair, and the simplest kind whose held-out error is not worse is recommended. A spline
bends the affine fit, never a wrong pair: it takes in what the other pairs foretell, and nothing else.
Showing, storing and reading keypoints is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import Field

from napari_pixelgene.arithmetic import fitting, geometry, splines
from napari_pixelgene.elements.alignment import Bend, Candidate, Keypoints, Registration, Transform, TransformKind
from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.elements.recommendation import recommend
from napari_pixelgene.errors import MirrorError, RegistrationError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.settings import Section

STAGE = "registration"
# A spline that changes areas more than this between its pairs tears or folds tissue, which no section does.
_MOST_AREA = 4.0
_ADVISABLE_FOR_SPLINE = 15
# With fewer trusted pairs a wrong one can hide in any fit.
_FEW_PAIRS = 6
# Points clicked this near to one another (in µm) are one click counted twice.
_SAME_UM = 1e-3
# Kinds that may tell a wrong pair from a right one. Translation and rigid would call scale or shear an error.
_JUDGES: tuple[geometry.Kind, ...] = ("homography", "affine", "similarity")


class RegistrationSettings(Section):
    """How keypoints become a transform."""

    kind: Literal["auto", "translation", "rigid", "similarity", "affine", "homography", "spline"] = Field(
        "auto",
        description="Kind of transform; auto takes the simplest kind whose leave-one-out error is not worse, "
        "and a spline (a smooth bend on top of an affine) only where it is clearly better",
    )
    threshold_um: float = Field(
        15.0, gt=0, description="Distance in µm (fixed image) beyond which a pair that disagrees is left out"
    )
    robust: bool = Field(True, description="Leave out pairs that disagree; otherwise every enabled pair counts")
    allow_mirror: bool = Field(False, description="Accept images that are mirrored against one another")
    seed: int = Field(0, ge=0, description="Seed of the search for agreeing pairs, where not all sets can be tried")


def register(
    keypoints: Keypoints,
    settings: RegistrationSettings,
    fixed_mpp: float | None,
    moving_mpp: float | None,
    on_event: OnEvent = silent,
) -> Registration:
    """Fit the transform from the moving frame to the fixed frame of `keypoints`.

    `fixed_mpp` and `moving_mpp` are µm per unit of each frame (1 for a frame in µm, which may also be
    given as None). Fits are made in µm on both sides, so that rigid means rigid in the tissue; without
    `moving_mpp` translation and rigid are not on offer. Disabled pairs take no part but get residuals.
    Cautions are also sent to `on_event` as notes. Raises RegistrationError that names the pairs
    (counted from 1) when they are too few, not numbers, repeated, on a line, mirrored or at odds.
    """
    case = _Case.of(keypoints, settings, fixed_mpp, moving_mpp)
    case.check()
    trusted, candidates = case.weighed()
    recommended, words = recommend(candidates)
    kind = recommended if settings.kind == "auto" else settings.kind
    transform = case.transform(kind, trusted)
    cautions = tuple(case.cautions(kind, transform))
    for text in cautions:
        on_event(Note(text, "warning", STAGE))
    return Registration(transform, candidates, recommended, words, cautions)


@dataclass(frozen=True, slots=True)
class _Case:
    """One set of enabled pairs in µm, with what is needed to speak of them. Masks are over the enabled pairs."""

    keypoints: Keypoints
    settings: RegistrationSettings
    rows: IntArray  # (n,) of the enabled pairs in the keypoints
    source: FloatArray  # (n, 2) moving side, µm (its own unit when its pixel size is unknown)
    target: FloatArray  # (n, 2) fixed side, µm
    source_mpp: float | None
    target_mpp: float

    @classmethod
    def of(
        cls, keypoints: Keypoints, settings: RegistrationSettings, fixed: float | None, moving: float | None
    ) -> _Case:
        target_mpp = _require_mpp(fixed, keypoints.fixed_frame)
        source_mpp = 1.0 if moving is None and keypoints.moving_frame.endswith("_um") else moving
        if source_mpp is not None:
            _require_mpp(source_mpp, keypoints.moving_frame)
        _check_points(keypoints)
        rows = np.flatnonzero(keypoints.enabled)
        source = np.asarray(keypoints.moving_xy, dtype=np.float64)[rows] * (source_mpp or 1.0)
        target = np.asarray(keypoints.fixed_xy, dtype=np.float64)[rows] * target_mpp
        return cls(keypoints, settings, rows, source, target, source_mpp, target_mpp)

    def check(self) -> None:
        """Raise what no fit could mend."""
        kind = self.settings.kind
        if kind in ("translation", "rigid") and self.source_mpp is None:
            raise RegistrationError(
                f"A {kind} transform needs the pixel size of the moving image, which is unknown.",
                "Give it (µm per pixel), or choose similarity, affine or homography.",
            )
        needed = 2 if kind == "auto" else fitting.MINIMUM_PAIRS[kind]
        if len(self.rows) < needed:
            disabled = len(self.keypoints) - len(self.rows)
            of = f" ({disabled} more are disabled)" if disabled else ""
            what = "A registration" if kind == "auto" else f"The kind {kind}"
            raise RegistrationError(
                f"{what} needs {needed} pairs of keypoints, there are {len(self.rows)}{of}.", "Add pairs."
            )
        self._check_repeats()
        self._check_line()
        if not self.settings.allow_mirror and self._is_mirrored():
            raise MirrorError(
                "The images are mirrored against one another: the keypoints fit only with one image turned over.",
                "If they really are, pass --allow-mirror; with few pairs, check that no two were swapped.",
            )

    def _check_repeats(self) -> None:
        for side, points in (("moving", self.source), ("fixed", self.target)):
            repeats = geometry.coincident(points, _SAME_UM)
            if repeats:
                raise RegistrationError(
                    f"Pairs {_and(self.rows[list(repeats[0])])} have the same point in the {side} image.",
                    "Remove one of them: a repeated pair counts twice and hides errors.",
                )

    def _check_line(self) -> None:
        """Three or more pairs on a line can show neither shear nor mirroring; only simple kinds stand on them."""
        if len(self.rows) < 3 or self.settings.kind in ("translation", "rigid", "similarity"):
            return
        for side, points in (("moving", self.source), ("fixed", self.target)):
            if geometry.spread_ratio(points) < geometry.COLLINEAR:
                raise RegistrationError(
                    f"Pairs {_and(self.rows)} lie on one line in the {side} image.",
                    "Add a pair away from that line, or choose the kind similarity.",
                )
            if self.settings.kind == "homography" and geometry.is_degenerate("homography", points):
                raise RegistrationError(
                    f"Of pairs {_and(self.rows)} too many lie on one line in the {side} image for a homography.",
                    "Add a pair away from that line, or choose the kind affine.",
                )

    def _is_mirrored(self) -> bool:
        """Whether the affine fit, made robustly where pairs suffice, changes handedness."""
        if geometry.is_degenerate("affine", self.source) or geometry.is_degenerate("affine", self.target):
            return False
        matrix = self._robust("affine")[0] if len(self.rows) >= 5 else geometry.fit("affine", self.source, self.target)
        return geometry.is_mirrored(matrix, self.source)

    def _robust(self, kind: geometry.Kind) -> tuple[FloatArray, BoolArray]:
        return geometry.robust_fit(
            kind,
            self.source,
            self.target,
            self.settings.threshold_um,
            seed=self.settings.seed,
            allow_mirror=self.settings.allow_mirror,
        )

    def weighed(self) -> tuple[BoolArray, dict[TransformKind, Candidate]]:
        """The pairs (n,) that take part in the fits, and how each kind serves them."""
        trusted, kind = self.trusted(), self.settings.kind
        wider = trusted
        if self.settings.robust and (kind == "auto" or kind == "spline"):
            wider = fitting.grown(self.source, self.target, trusted, self.settings.threshold_um)
        candidates = self.candidates(wider)
        if (wider == trusted).all() or kind == "spline" or recommend(candidates)[0] == "spline":
            return wider, candidates
        return trusted, self.candidates(trusted)

    def trusted(self) -> BoolArray:
        """The pairs (n,) that a matrix finds in agreement."""
        everything = np.ones(len(self.rows), dtype=bool)
        if not self.settings.robust:
            return everything
        kind = self.settings.kind
        judges = _JUDGES if kind == "auto" or kind == "spline" else (kind,)
        agreed = [judge for judge in judges if self._all_agree(judge)]
        if agreed:
            odd = self.odd_one() if agreed == ["homography"] and len(judges) > 1 else None
            return everything if odd is None else np.arange(len(self.rows)) != odd
        for judge in judges:
            mask = self._agreeing(judge)
            if mask is not None:
                return mask
        if len(self.rows) <= max(3, min(geometry.MINIMUM_PAIRS[judge] for judge in judges)):
            return everything  # too few to hold any of them against the others; a caution says so
        raise self._at_odds(judges)

    def _bent_away(self, trusted: BoolArray) -> int:
        """How many pairs left out a spline through the others foretells."""
        if not self.settings.robust or trusted.all():
            return 0
        wider = fitting.grown(self.source, self.target, trusted, self.settings.threshold_um)
        return int(wider.sum() - trusted.sum())

    def odd_one(self) -> int | None:
        """The pair that a homography bends itself for."""
        mirror = self.settings.allow_mirror
        return fitting.odd_one(self.source, self.target, self.settings.threshold_um, allow_mirror=mirror)

    def _all_agree(self, kind: geometry.Kind) -> bool:
        """With a pair to spare, whether one fit comes near all pairs."""
        if geometry.is_degenerate(kind, self.source) or len(self.rows) <= geometry.MINIMUM_PAIRS[kind]:
            return False
        errors = self._fit(kind, np.ones(len(self.rows), dtype=bool)).misses(self.source, self.target)
        return bool((errors <= self.settings.threshold_um).all())

    def _agreeing(self, kind: geometry.Kind) -> BoolArray | None:
        """The pairs that agree, when they are at least half and more than any wrong set would reach by itself."""
        if geometry.is_degenerate(kind, self.source) or len(self.rows) < geometry.MINIMUM_PAIRS[kind] + 2:
            return None
        mask = self._robust(kind)[1]
        enough = max(geometry.MINIMUM_PAIRS[kind] + 1, (len(self.rows) + 1) // 2)
        return mask if mask.sum() >= enough else None

    def _at_odds(self, judges: tuple[geometry.Kind, ...]) -> RegistrationError:
        kind = next((k for k in judges if not geometry.is_degenerate(k, self.source)), judges[-1])
        errors = self._fit(kind, np.ones(len(self.rows), dtype=bool)).misses(self.source, self.target)
        worst = np.argsort(errors)[::-1][:3]
        named = ", ".join(f"pair {self.rows[i] + 1} by {errors[i]:.1f} µm" for i in worst)
        return RegistrationError(
            f"The {len(self.rows)} pairs do not agree within {self.settings.threshold_um:g} µm on a {kind} transform"
            f" (off most: {named}), and too few agree to tell which are wrong.",
            "Check those pairs, add more, raise threshold_um, or choose another kind.",
        )

    def _fit(self, kind: TransformKind, mask: BoolArray) -> fitting.Fitted:
        return fitting.fit(kind, self.source[mask], self.target[mask], allow_mirror=self.settings.allow_mirror)

    def _held_out(self, kind: TransformKind, mask: BoolArray) -> FloatArray:
        mirror = self.settings.allow_mirror
        return fitting.leave_one_out(kind, self.source[mask], self.target[mask], allow_mirror=mirror)

    def candidates(self, trusted: BoolArray) -> dict[TransformKind, Candidate]:
        """Every kind's scores over the trusted pairs."""
        return {kind: self._candidate(kind, trusted) for kind in fitting.KINDS}

    def _candidate(self, kind: TransformKind, trusted: BoolArray) -> Candidate:
        if kind in ("translation", "rigid") and self.source_mpp is None:
            return Candidate(kind, why_not="the pixel size of the moving image is unknown")
        if trusted.sum() < fitting.MINIMUM_PAIRS[kind]:
            return Candidate(kind, why_not=f"needs {fitting.MINIMUM_PAIRS[kind]} pairs")
        if fitting.is_degenerate(kind, self.source[trusted]):
            return Candidate(kind, why_not="too many pairs lie on one line")
        found = self._fit(kind, trusted)
        if torn := _torn(found, 0.0):
            return Candidate(kind, why_not=torn)
        left, loo = found.misses(self.source[trusted], self.target[trusted]), self._held_out(kind, trusted)
        why_not = "" if np.isfinite(loo).all() else "no pair to spare for a held-out error"
        return Candidate(
            kind, _rms(left), float(np.median(left)), float(left.max()), _rms(loo), float(np.median(loo)), why_not
        )

    def transform(self, kind: TransformKind, trusted: BoolArray) -> Transform:
        """The fit in the units of the keypoints' frames; residuals for every pair, disabled ones too."""
        points = self.keypoints
        self._require_enough(kind, trusted)
        found = self._in_frames(kind, trusted)
        if not (geometry.denominator(found.matrix, points.moving_xy[self.rows[trusted]]) > 0).all():
            raise RegistrationError(
                f"The fitted {kind} turns the plane inside out among the pairs.", "Add pairs, or choose affine."
            )
        inlier = np.zeros(len(points), dtype=bool)
        inlier[self.rows[trusted]] = True
        residual_px = np.linalg.norm(found.apply(points.moving_xy) - points.fixed_xy, axis=1)
        loo_um = residual_px * self.target_mpp  # a pair that took no part is held out already
        loo_um[inlier] = self._held_out(kind, trusted)
        return replace(
            found, residual_px=residual_px, residual_um=residual_px * self.target_mpp, inlier=inlier, loo_um=loo_um
        )

    def _require_enough(self, kind: TransformKind, trusted: BoolArray) -> None:
        """A kind that was asked for may need more pairs than are left when those that disagree are out."""
        needed, out = fitting.MINIMUM_PAIRS[kind], self.rows[~trusted]
        if trusted.sum() < needed:
            raise RegistrationError(
                f"The kind {kind} needs {needed} pairs that agree; of {len(self.rows)} there are {int(trusted.sum())}:"
                f" pairs {_and(out)} disagree with the others.",
                "Check those, add pairs, or choose a simpler kind.",
            )

    def _in_frames(self, kind: TransformKind, trusted: BoolArray) -> Transform:
        """The fit between the keypoints' frames. A spline stays in the target's µm."""
        in_um = self._fit(kind, trusted)
        if torn := _torn(in_um, 0.0):
            raise RegistrationError(
                f"The fitted spline {torn}.", "Check pairs that lie close to one another, or choose affine."
            )
        from_um = np.diag([1 / self.target_mpp, 1 / self.target_mpp, 1.0])
        matrix = geometry.scaled(from_um @ in_um.matrix @ np.diag([self.source_mpp or 1.0, self.source_mpp or 1.0, 1]))
        bend = None if in_um.spline is None else Bend(in_um.spline, from_um)
        return Transform(matrix, self.keypoints.moving_frame, self.keypoints.fixed_frame, kind, bend=bend)

    def cautions(self, kind: TransformKind, transform: Transform) -> Iterable[str]:
        """Sentences a person must read."""
        assert transform.inlier is not None and transform.residual_um is not None and transform.loo_um is not None
        limit = self.settings.threshold_um
        for row in self.rows[~transform.inlier[self.rows]]:
            off = transform.residual_um[row]
            yield f"Pair {row + 1} was left out: {off:.1f} µm off where the others put it ({limit:g} µm allowed)."
        trusted = int(transform.inlier.sum())
        if kind != "spline" and (more := self._bent_away(transform.inlier[self.rows])) > 1:
            yield f"{more} pairs that were left out lie where a smooth bend would put them. Weigh the kind spline."
        spare = trusted - fitting.MINIMUM_PAIRS[kind]
        if transform.bend is not None:
            yield from _of_spline(fitting.Fitted(transform.matrix, transform.bend.spline), trusted)
        elif spare == 0:
            yield f"The {kind} passes through all its pairs exactly, so nothing shows their errors. Add pairs."
        elif kind == "homography" and spare < 4:
            yield f"A homography on {spare + 4} pairs is easily wrong away from them; 8 or more are advisable."
        elif trusted < _FEW_PAIRS:
            yield f"{trusted} pairs are few: one careless click turns the fit. {_FEW_PAIRS} or more are advisable."
        odd = self.odd_one() if self.settings.kind == "homography" and transform.inlier[self.rows].all() else None
        if odd is not None:
            yield (
                f"Pair {self.rows[odd] + 1} may be wrong and bend the homography: without it a simpler kind"
                f" foretells the others far better, and puts that pair over {limit:g} µm away. Check it."
            )
        for row in np.flatnonzero(transform.inlier & (transform.loo_um > limit)):
            yield f"Pair {row + 1} lies {transform.loo_um[row]:.1f} µm off when it is left out of the fit. Check it."


def _torn(found: fitting.Fitted, margin: float) -> str:
    """In words, how a spline folds or tears what its pairs enclose, and `margin` times that beyond; else nothing."""
    if found.spline is None:
        return ""
    centres = found.spline.centres
    low, high = centres.min(axis=0), centres.max(axis=0)
    areas = splines.areas(found.spline, (low - margin * (high - low), high + margin * (high - low)))
    if areas.min() <= 0:
        return "folds the tissue over itself"
    most = max(float(areas.max()), float(1 / areas.min()))
    return f"changes areas {most:.0f}-fold within the tissue" if most > _MOST_AREA else ""


def _of_spline(found: fitting.Fitted, trusted: int) -> Iterable[str]:
    assert found.spline is not None
    if not found.spline.weights.any():
        yield "No bend foretells the pairs better than none: this spline is the affine."
    elif trusted < _ADVISABLE_FOR_SPLINE:
        yield f"{trusted} pairs are few for a spline; {_ADVISABLE_FOR_SPLINE} or more all over it are advisable."
    if _torn(found, 0.5):
        yield f"Away from its pairs the spline {_torn(found, 0.5)}. Add pairs near the edges, or choose affine."


def _require_mpp(mpp: float | None, frame: str) -> float:
    value = 1.0 if mpp is None and frame.endswith("_um") else mpp
    if value is None or not (np.isfinite(value) and value > 0):
        raise RegistrationError(
            f"The pixel size of the frame {frame} is {value}, not a positive number of µm.", "Give it in µm per pixel."
        )
    return value


def _check_points(keypoints: Keypoints) -> None:
    """Both sides are (n, 2), equally long, and numbers."""
    shapes = {np.shape(keypoints.moving_xy), np.shape(keypoints.fixed_xy), (len(keypoints.enabled), 2)}
    if len(shapes) != 1:
        raise RegistrationError(
            f"The moving points have shape {np.shape(keypoints.moving_xy)}, the fixed {np.shape(keypoints.fixed_xy)}.",
            "Each pair needs one point (x, y) in either image.",
        )
    whole = np.isfinite(keypoints.moving_xy).all(axis=1) & np.isfinite(keypoints.fixed_xy).all(axis=1)
    if not whole.all():
        raise RegistrationError(
            f"Pair {_and(np.flatnonzero(~whole))} holds a value that is not a number.", "Set it again."
        )


def _and(rows: IntArray) -> str:
    """Rows counted from 1: '3 and 7', '1, 2 and 5'."""
    names = [str(int(row) + 1) for row in rows]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
