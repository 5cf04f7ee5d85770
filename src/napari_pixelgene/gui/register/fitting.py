"""A draft into what is drawn: the transform, a row a pair, a row a model, and the sentences. No window here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from napari_pixelgene.arithmetic.fitting import MINIMUM_PAIRS
from napari_pixelgene.elements.alignment import Candidate, Keypoints, Registration, Transform, TransformKind
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.errors import MirrorError, RegistrationError
from napari_pixelgene.gui.register.history import Draft
from napari_pixelgene.gui.register.kinds import plain, title
from napari_pixelgene.stages.registration import RegistrationSettings, register


@dataclass(frozen=True, slots=True)
class Row:
    """One pair as the table shows it. `residual_um` is NaN where there is no transform to miss."""

    number: int
    enabled: bool
    residual_um: float
    why: str = ""
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Fit:
    """What a draft gives.

    `transform` (moving frame to H&E pixels) is what is drawn and stored, None while there is none; `follow` leads the
    views, and is there from two pairs on. `quiet` is a line while pairs are too few, `error` what is wrong with them.
    """

    rows: tuple[Row, ...] = ()
    transform: Transform | None = None
    follow: Transform | None = None
    candidates: Mapping[TransformKind, Candidate] = field(default_factory=dict)
    recommended: TransformKind | None = None
    summary: str = ""
    recommendation: str = ""
    cautions: tuple[str, ...] = ()
    quiet: str = ""
    error: RegistrationError | None = None

    @property
    def mirrored(self) -> bool:
        """Whether the pairs fit only with one image turned over."""
        return isinstance(self.error, MirrorError)


def settings_of(draft: Draft) -> RegistrationSettings:
    """The stage's settings of a draft whose model is not a given matrix."""
    kind = "auto" if draft.choice == "given" else draft.choice
    return RegistrationSettings(kind=kind, threshold_um=draft.limit_um, allow_mirror=draft.mirrored)


def fit(draft: Draft, keypoints: Keypoints, fixed_mpp: float, moving_mpp: float) -> Fit:
    """Fit the draft's whole pairs, which are `keypoints`."""
    if draft.choice == "given" and draft.given is not None:
        return _given(draft, keypoints, fixed_mpp)
    settings = settings_of(draft)
    needed = 2 if settings.kind == "auto" else MINIMUM_PAIRS[settings.kind]
    if int(keypoints.enabled.sum()) < needed:
        return Fit(
            _rows(keypoints, None, draft.limit_um),
            follow=_follow(settings, keypoints, fixed_mpp, moving_mpp),
            quiet=_too_few(draft, keypoints, needed),
        )
    try:
        return _fitted(register(keypoints, settings, fixed_mpp, moving_mpp), keypoints, settings)
    except RegistrationError as error:
        return Fit(_rows(keypoints, None, draft.limit_um), error=in_the_window(error))


def in_the_window(error: RegistrationError) -> RegistrationError:
    """The next step as this window offers it."""
    if isinstance(error, MirrorError):
        mend = "If they really are, tick 'The images are mirrored'; else check that no two pairs were swapped."
        return MirrorError(error.problem, mend)
    return RegistrationError(error.problem, error.mend.replace("raise threshold_um", "raise the outlier limit"))


def _fitted(found: Registration, keypoints: Keypoints, settings: RegistrationSettings) -> Fit:
    rows = _rows(keypoints, found.transform, settings.threshold_um)
    return Fit(
        rows,
        found.transform,
        found.transform,
        found.candidates,
        found.recommended,
        _summary(found),
        plain(f"Recommended is {found.recommendation}"),
        # Which pairs were left out, and why, stands in their rows.
        tuple(text for text in found.cautions if "was left out:" not in text),
    )


def _given(draft: Draft, keypoints: Keypoints, fixed_mpp: float) -> Fit:
    assert draft.given is not None
    off = np.hypot(*(draft.given.apply(keypoints.moving_xy) - keypoints.fixed_xy).T)
    judged = replace(draft.given, residual_um=off * fixed_mpp, inlier=np.ones(len(keypoints), dtype=bool))
    words = "The matrix that was given is used."
    if draft.is_rough:
        words = f"Rough alignment (agreement {draft.rough:.2f} of 1): refine it with pairs."
    count = int(keypoints.enabled.sum())
    if count:
        at = "the pair" if count == 1 else f"the {count} pairs"
        words += f" It misses {at} it was not fitted to by {_spread(off[keypoints.enabled] * fixed_mpp)}."
    return Fit(_rows(keypoints, judged, draft.limit_um), draft.given, draft.given, summary=words)


def _follow(
    settings: RegistrationSettings, keypoints: Keypoints, fixed_mpp: float, moving_mpp: float
) -> Transform | None:
    """Two pairs are enough to lead the views, whatever model is wanted in the end."""
    try:
        rough = settings.replace(kind="auto")
        return register(keypoints, rough, fixed_mpp, moving_mpp).transform
    except RegistrationError:
        return None


def _rows(keypoints: Keypoints, transform: Transform | None, limit_um: float) -> tuple[Row, ...]:
    count = len(keypoints)
    off = np.full(count, np.nan) if transform is None or transform.residual_um is None else transform.residual_um
    inlier = np.ones(count, dtype=bool) if transform is None or transform.inlier is None else transform.inlier
    counts = transform is not None and transform.kind != "given"
    pairs = zip(keypoints.enabled.tolist(), off.tolist(), inlier.tolist(), strict=True)
    return tuple(_row(i, *pair, limit_um, counts) for i, pair in enumerate(pairs))


def _row(index: int, enabled: bool, off: float, inlier: bool, limit_um: float, counts: bool) -> Row:
    if not enabled:
        return Row(index + 1, False, off, "switched off", False)
    if not inlier:
        return Row(index + 1, True, off, f"outlier (limit {limit_um:g} µm)", False)
    if off > limit_um:  # it may still count, as where all pairs bend a homography so that none is held against the rest
        return Row(index + 1, True, off, f"over {limit_um:g} µm" + (", counts" if counts else ""), False)
    return Row(index + 1, True, off)


def _too_few(draft: Draft, keypoints: Keypoints, needed: int) -> str:
    have, off = int(keypoints.enabled.sum()), int((~keypoints.enabled).sum())
    if not len(keypoints):
        way = "Or switch 'Pick' on, click a spot in one image, then the same spot in the other."
        return f"'Rough alignment' lays the run where its tissue fits; then pairs can be suggested. {way}"
    there = f"there {'is' if have == 1 else 'are'} {have}" + (f" ({off} switched off)" if off else "")
    what = "A registration" if draft.choice == "auto" else f"The model {title(draft.choice)}"
    return f"{what} needs {needed} pairs, {there}."


def _summary(found: Registration) -> str:
    transform = found.transform
    assert transform.inlier is not None and transform.residual_um is not None and transform.loo_um is not None
    trusted = transform.residual_um[transform.inlier]
    loo = transform.loo_um[transform.inlier]
    left = f" At pairs left out in turn: {_rms(loo):.1f} µm." if len(loo) and np.isfinite(loo).all() else ""
    kind = "the matrix" if transform.kind == "given" else title(transform.kind)
    return f"{kind[0].upper()}{kind[1:]} on {len(trusted)} pairs: off by {_spread(trusted)}.{left}"


def _spread(off_um: FloatArray) -> str:
    return f"{_rms(off_um):.1f} µm (root mean square), median {np.median(off_um):.1f} µm, worst {off_um.max():.1f} µm"


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
