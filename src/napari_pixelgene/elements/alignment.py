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

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.arithmetic.splines import Spline
from napari_pixelgene.elements.arrays import BoolArray, FloatArray

Frame = Literal["he_px", "he_um", "morphology_px", "stage_um"]
# What a 3×3 matrix can say, and what it cannot. Simplest first.
MatrixKind = Literal["translation", "rigid", "similarity", "affine", "homography"]
TransformKind = Literal["translation", "rigid", "similarity", "affine", "homography", "spline"]


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


@dataclass(frozen=True, slots=True, eq=False)
class Bend:
    """What a thin-plate spline adds to a matrix.

    The spline is written in a plane of its own, and `plane` (3, 3) takes that plane to the target: for a
    fresh fit the fixed image's µm to its pixels. `backwards` walks it from where it leads to where it began.
    So a bend stays exact under any matrix before or after it, and under inversion.
    """

    spline: Spline
    plane: FloatArray
    backwards: bool = False

    def apply(self, xy: FloatArray) -> FloatArray:
        """Points (n, 2) of the target as the matrix alone gives them, to where they belong."""
        flat = geometry.apply_matrix(np.linalg.inv(self.plane), xy)
        return geometry.apply_matrix(self.plane, self.spline.back(flat) if self.backwards else self.spline.forth(flat))

    def jacobian(self, xy: FloatArray) -> FloatArray:
        """The derivative (n, 2, 2) of `apply`."""
        lifted = np.linalg.inv(self.plane)
        flat = geometry.apply_matrix(lifted, xy)
        place = self.spline.back(flat) if self.backwards else flat
        slopes = self.spline.slopes(place)
        bent = np.linalg.inv(slopes) if self.backwards else slopes
        after = place if self.backwards else self.spline.forth(flat)
        out: FloatArray = geometry.jacobian(self.plane, after) @ bent @ geometry.jacobian(lifted, xy)
        return out

    def lists(self) -> dict[str, list[list[float]] | bool]:
        """Its numbers by name, to be written down or compared."""
        return {
            "centres": self.spline.centres.tolist(),
            "weights": self.spline.weights.tolist(),
            "linear": self.spline.linear.tolist(),
            "plane": self.plane.tolist(),
            "backwards": self.backwards,
        }


@dataclass(frozen=True, slots=True)
class Transform:
    """A map with its direction and, when it was fitted, what the fit left over.

    Without a `bend` the matrix is the map. With one the matrix is the best simpler one, and the bend acts
    after it: whoever takes the matrix alone is off by the bend, so only `kind` "spline" has any.
    """

    matrix: FloatArray
    source: Frame
    target: Frame
    kind: TransformKind | Literal["given"] = "given"
    residual_px: FloatArray | None = None  # (n,) distance in target pixels, one a pair
    residual_um: FloatArray | None = None  # (n,) the same in µm
    inlier: BoolArray | None = None  # (n,) pairs the fit trusted
    loo_um: FloatArray | None = None  # (n,) error at each pair when it is left out; NaN where undefined
    bend: Bend | None = None

    @property
    def name(self) -> str:
        """`morphology_to_he`, `stage_to_he`, …"""
        return f"{self.source.rsplit('_', 1)[0]}_to_{self.target.rsplit('_', 1)[0]}"

    def inverse(self) -> Transform:
        """The same map walked backwards; residuals belong to the forward direction and are dropped."""
        back = np.linalg.inv(self.matrix)
        bend = self.bend and Bend(self.bend.spline, back @ self.bend.plane, not self.bend.backwards)
        return Transform(back, self.target, self.source, self.kind, bend=bend)

    def then(self, after: Transform) -> Transform:
        """First this transform, then `after`; frames must meet, and one of the two may be bent."""
        if self.target != after.source:
            raise ValueError(f"{self.name} ends in {self.target}, {after.name} begins in {after.source}")
        if self.bend is not None and after.bend is not None:
            raise ValueError(f"{self.name} and {after.name} are both bent; a transform holds one bend")
        matrix = geometry.scaled(after.matrix @ self.matrix)
        if self.bend is None:
            return Transform(matrix, self.source, after.target, after.kind, bend=after.bend)
        bend = Bend(self.bend.spline, after.matrix @ self.bend.plane, self.bend.backwards)
        return Transform(matrix, self.source, after.target, self.kind, bend=bend)

    def apply(self, xy: FloatArray) -> FloatArray:
        """Map points (n, 2) from `source` to `target`, in float64; NaN where a bend walked backwards leads nowhere."""
        flat = geometry.apply_matrix(self.matrix, xy)
        return flat if self.bend is None else self.bend.apply(flat)

    def jacobian(self, xy: FloatArray) -> FloatArray:
        """The derivative (n, 2, 2) of the map at points (n, 2) of the source."""
        of_matrix = geometry.jacobian(self.matrix, xy)
        if self.bend is None:
            return of_matrix
        out: FloatArray = self.bend.jacobian(geometry.apply_matrix(self.matrix, xy)) @ of_matrix
        return out

    def local_matrix(self, xy: FloatArray) -> FloatArray:
        """The 3×3 matrix nearest to the map around one point (2,) of the source: the matrix itself without a bend."""
        if self.bend is None:
            return self.matrix
        place = np.asarray(xy, dtype=np.float64)[None]
        matrix = np.eye(3)
        matrix[:2, :2] = self.jacobian(place)[0]
        matrix[:2, 2] = self.apply(place)[0] - matrix[:2, :2] @ place[0]
        return matrix

    def same_map(self, other: Transform | None) -> bool:
        """Whether both take every point to the same place, number by number."""
        if other is None or not np.array_equal(self.matrix, other.matrix):
            return False
        mine, theirs = (t.bend.lists() if t.bend else None for t in (self, other))
        return mine == theirs

    def spelled(self, digits: int | None = None) -> dict[str, str]:
        """The map's numbers as text, for a fingerprint; `digits` rounds the matrix."""
        matrix = self.matrix if digits is None else self.matrix.round(digits)
        bend = {} if self.bend is None else {"bend": str(self.bend.lists())}
        return {"matrix": str(matrix.tolist()), **bend}


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
    `cautions` name pairs that were left out or look wrong, and fits that nothing checks; `doubt` is what the images
    say against it, where somebody asked them.
    """

    transform: Transform
    candidates: Mapping[TransformKind, Candidate]
    recommended: TransformKind
    recommendation: str
    cautions: tuple[str, ...] = ()
    doubt: str = ""
