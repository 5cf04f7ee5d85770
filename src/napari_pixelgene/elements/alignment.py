"""Keypoints, and the transform they support.

A transform's name reads left to right: `morphology_to_he` takes morphology pixels to H&E pixels.
Matrices act on column vectors (x, y, 1) of continuous coordinates whose 0 is the outer corner of the
first pixel. Frames: `he_px`, `he_um`, `morphology_px`, `stage_um` (design.md section 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from napari_pixelgene.elements.arrays import BoolArray, FloatArray

Frame = Literal["he_px", "he_um", "morphology_px", "stage_um"]
TransformKind = Literal["translation", "rigid", "similarity", "affine", "homography"]


@dataclass(frozen=True, slots=True)
class Keypoints:
    """Pairs of points: row i of `moving_xy` (n, 2) and of `fixed_xy` (n, 2) show the same spot of tissue."""

    moving_xy: FloatArray
    fixed_xy: FloatArray
    moving_frame: Frame = "morphology_px"
    fixed_frame: Frame = "he_px"
    enabled: BoolArray = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def __post_init__(self) -> None:
        if len(self.enabled) != len(self.moving_xy):
            object.__setattr__(self, "enabled", np.ones(len(self.moving_xy), dtype=bool))

    def __len__(self) -> int:
        return len(self.moving_xy)


@dataclass(frozen=True, slots=True)
class Transform:
    """A 3×3 matrix with its direction and, when it was fitted, what the fit left over."""

    matrix: FloatArray
    source: Frame
    target: Frame
    kind: TransformKind | Literal["given"] = "given"
    residual_px: FloatArray | None = None  # (n,) distance in target pixels, one a pair
    residual_um: FloatArray | None = None  # (n,) the same in µm
    inlier: BoolArray | None = None  # (n,) pairs the fit trusted
    loo_um: FloatArray | None = None  # (n,) error at each pair when it is left out; NaN where undefined

    @property
    def name(self) -> str:
        """`morphology_to_he`, `stage_to_he`, …"""
        return f"{self.source.rsplit('_', 1)[0]}_to_{self.target.rsplit('_', 1)[0]}"

    def inverse(self) -> Transform:
        """The same map walked backwards; residuals belong to the forward direction and are dropped."""
        return Transform(np.linalg.inv(self.matrix), self.target, self.source, self.kind)

    def then(self, after: Transform) -> Transform:
        """First this transform, then `after`; frames must meet."""
        if self.target != after.source:
            raise ValueError(f"{self.name} ends in {self.target}, {after.name} begins in {after.source}")
        matrix = after.matrix @ self.matrix
        return Transform(matrix / matrix[2, 2], self.source, after.target, after.kind)

    def apply(self, xy: FloatArray) -> FloatArray:
        """Map points (n, 2) from `source` to `target`, in float64."""
        points = np.asarray(xy, dtype=np.float64)
        m = self.matrix
        w = points @ m[2, :2] + m[2, 2]
        out: FloatArray = (points @ m[:2, :2].T + m[:2, 2]) / w[:, None]
        return out


@dataclass(frozen=True, slots=True)
class Candidate:
    """How well one kind of transform serves the trusted pairs, in µm of the fixed image; NaN where undefined.

    `fit_*` are distances the fit leaves over at the pairs it was made from, `loo_*` the distances at each
    pair when it is left out. `why_not` says in words why a kind could not be fitted or held out.
    """

    kind: TransformKind
    fit_rmse_um: float = float("nan")
    fit_median_um: float = float("nan")
    fit_worst_um: float = float("nan")
    loo_rmse_um: float = float("nan")
    loo_median_um: float = float("nan")
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Registration:
    """A fitted transform, every kind that was weighed, the one to recommend, and what a person must know.

    `transform` maps the moving frame to the fixed frame of the keypoints. `recommended` is what the
    held-out error supports, whether or not it was asked for; `recommendation` says why in one sentence.
    `cautions` name pairs that were left out or look wrong, and fits that nothing checks.
    """

    transform: Transform
    candidates: Mapping[TransformKind, Candidate]
    recommended: TransformKind
    recommendation: str
    cautions: tuple[str, ...] = ()
