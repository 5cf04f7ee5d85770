"""Our own JSON of keypoints and a transform: every frame, unit and switch is stated in it.

```json
{"format": "napari-pixelgene alignment", "version": 1, "origin": "corner",
 "keypoints": {"moving_frame": "morphology_px", "fixed_frame": "he_px",
               "pairs": [{"moving": [x, y], "fixed": [x, y], "enabled": true}]},
 "transform": {"name": "morphology_to_he", "source": "morphology_px", "target": "he_px",
               "kind": "affine", "matrix": [[…], […], […]], "residual_px": […], "loo_um": [null, …]}}
```
`keypoints` or `transform` may be missing. A matrix acts on column vectors (x, y, 1). A transform of kind
"spline" has a bend beside its matrix, which acts after it:
```json
"bend": {"centres": [[x, y], …], "weights": [[u, v], …], "linear": [[…], […], […]],
         "plane": [[…], […], […]], "backwards": false}
```
A point that the matrix brought to the target is taken by the inverse of `plane` (3 × 3) to p, from there
to p + (1, x, y)·linear + Σ weightᵢ·r²·log r with r = |p − centreᵢ| (or, backwards, to the point that this
leads to p from), and by `plane` to the target. `origin` says where
pixel coordinates begin: "corner" (0 is the outer corner of the first pixel, ours) or "centre" (0 is its
centre; half a pixel is added on reading). Written by `exporters/alignments.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.arithmetic.splines import Spline
from napari_pixelgene.elements.alignment import Bend, Frame, Keypoints, Transform, TransformKind
from napari_pixelgene.elements.arrays import BoolArray, FloatArray
from napari_pixelgene.errors import InputError

Origin = Literal["corner", "centre"]
JSON_FORMAT = "napari-pixelgene alignment"
JSON_VERSION = 1
FRAMES: tuple[Frame, ...] = get_args(Frame)


def is_json(text: str) -> bool:
    """Whether a text means to be JSON."""
    return text.lstrip()[:1] in ("{", "[")


def parse_alignment(name: str, text: str) -> tuple[Keypoints | None, Transform | None]:
    """Keypoints and transform of a text; `name` is the file, for errors. Raises InputError that names the field."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}, line {error.lineno}: not valid JSON ({error.msg}).", "Mend that line.") from None
    if not isinstance(document, dict) or document.get("format") != JSON_FORMAT:
        raise InputError(f"{name} is JSON, but its 'format' is not '{JSON_FORMAT}'.", "Give a file written by us.")
    if document.get("version") != JSON_VERSION:
        raise InputError(
            f"{name} has version {document.get('version')}, this program reads {JSON_VERSION}.", "Update the program."
        )
    origin = document.get("origin", "corner")
    if origin not in get_args(Origin):
        raise InputError(f"{name}: 'origin' is '{origin}'.", "It is 'corner' or 'centre'.")
    half = 0.5 if origin == "centre" else 0.0
    fields = _Fields(name, document)
    keypoints = _json_keypoints(fields.inner("keypoints"), half) if document.get("keypoints") else None
    transform = _json_transform(fields.inner("transform"), half) if document.get("transform") else None
    if keypoints is None and transform is None:
        raise InputError(f"{name} holds neither 'keypoints' nor 'transform'.", "Save the alignment again.")
    return keypoints, transform


def sound_matrix(name: str, matrix: FloatArray) -> FloatArray:
    """Scaled to end in 1; refused when it cannot be inverted, and when rows and columns are exchanged."""
    size = np.abs(matrix[:2, :2]).max()
    if size == 0 or abs(np.linalg.det(matrix / np.array([[size], [size], [1.0]]))) <= 1e-9 * abs(matrix[2, 2]):
        raise InputError(f"The matrix in {name} cannot be inverted.", "Export the alignment again.")
    if not matrix[:2, 2].any() and np.abs(matrix[2, :2]).max() >= abs(matrix[2, 2]):
        raise InputError(
            f"The matrix in {name} is transposed: its shift stands in the last row, not in the last column.",
            "Write its rows as columns, so that it ends in 0, 0, 1.",
        )
    return geometry.scaled(matrix)


def recentred(matrix: FloatArray, source: Frame, target: Frame, add: float) -> FloatArray:
    """S(add)·M·S(−add), shifting by `add` pixels on the sides that are pixels.

    With 0.5 a matrix between pixel centres at integers becomes ours, with −0.5 it goes the other way.
    """
    return geometry.scaled(_shift(target, add) @ matrix @ _shift(source, -add))


def recentred_bend(bend: Bend | None, target: Frame, add: float) -> Bend | None:
    """The bend of a transform whose matrix is `recentred` alike."""
    return bend and Bend(bend.spline, _shift(target, add) @ bend.plane, bend.backwards)


def _shift(frame: Frame, by: float) -> FloatArray:
    by = by if frame.endswith("_px") else 0.0
    return np.array([[1, 0, by], [0, 1, by], [0, 0, 1.0]])


def _json_keypoints(fields: _Fields, half: float) -> Keypoints:
    moving_frame, fixed_frame = fields.frame("moving_frame"), fields.frame("fixed_frame")
    pairs = [fields.inner("pairs", i) for i in range(len(fields.list("pairs")))]
    sides = {}
    for side, frame in (("moving", moving_frame), ("fixed", fixed_frame)):
        points = np.array([pair.array(side, (2,)) for pair in pairs]).reshape(-1, 2)
        sides[side] = points + (half if frame.endswith("_px") else 0.0)
    enabled = np.array([pair.content.get("enabled", True) is True for pair in pairs], dtype=bool)
    return Keypoints(sides["moving"], sides["fixed"], moving_frame, fixed_frame, enabled)


def _json_transform(fields: _Fields, half: float) -> Transform:
    source, target = fields.frame("source"), fields.frame("target")
    kind = fields.content.get("kind", "given")
    if kind not in ("given", *get_args(TransformKind)):
        raise InputError(f"{fields.name}.kind is '{kind}'.", f"Kinds: given, {', '.join(get_args(TransformKind))}.")
    matrix = sound_matrix(fields.name, fields.array("matrix", (3, 3)))
    residual_px, residual_um, loo_um = (fields.optional(key) for key in ("residual_px", "residual_um", "loo_um"))
    inlier = fields.content.get("inlier")
    trusted: BoolArray | None = None if inlier is None else np.array(inlier, dtype=bool)
    matrix = recentred(matrix, source, target, half)
    bent = kind == "spline" or fields.content.get("bend") is not None
    bend = recentred_bend(_json_bend(fields.inner("bend")), target, half) if bent else None
    out = Transform(matrix, source, target, kind, residual_px, residual_um, trusted, loo_um, bend)
    if fields.content.get("name", out.name) != out.name:
        raise InputError(
            f"{fields.name}.name says {fields.content['name']}, its source and target say {out.name}.",
            "Correct the one that is wrong.",
        )
    return out


def _json_bend(fields: _Fields) -> Bend:
    centres = fields.array("centres", (len(fields.list("centres")), 2))
    weights, linear = fields.array("weights", centres.shape), fields.array("linear", (3, 2))
    plane, backwards = sound_matrix(fields.name, fields.array("plane", (3, 3))), fields.content.get("backwards", False)
    if not isinstance(backwards, bool):
        raise InputError(f"{fields.name}.backwards is '{backwards}'.", "It is true or false.")
    return Bend(Spline(centres, weights, linear), plane, backwards)


@dataclass(frozen=True, slots=True)
class _Fields:
    """A JSON object with the name by which errors call it: `file.json: keypoints.pairs[3]`."""

    name: str
    content: dict[str, Any]

    def inner(self, key: str, index: int | None = None) -> _Fields:
        value = self.content.get(key)
        path = f"{self.name}{'.' if ': ' in self.name else ': '}{key}"
        if index is not None and isinstance(value, list):
            value, path = value[index], f"{path}[{index}]"
        if not isinstance(value, dict):
            raise InputError(f"{path} is not an object.", "Save the alignment again, or mend that field.")
        return _Fields(path, value)

    def list(self, key: str) -> list[Any]:
        value = self.content.get(key)
        if not isinstance(value, list) or not value:
            raise InputError(f"{self.name}.{key} is not a list with entries.", "Save the alignment again.")
        return value

    def frame(self, key: str) -> Frame:
        value = self.content.get(key)
        if value not in FRAMES:
            raise InputError(f"{self.name}.{key} is '{value}'.", f"Frames: {', '.join(FRAMES)}.")
        return cast(Frame, value)

    def array(self, key: str, shape: tuple[int, ...]) -> FloatArray:
        try:
            value = np.array(self.content[key], dtype=np.float64)
        except (KeyError, TypeError, ValueError):
            value = np.full(0, np.nan)
        if value.shape != shape or not np.isfinite(value).all():
            size = " by ".join(map(str, shape))
            raise InputError(f"{self.name}.{key} is not {size} finite numbers.", "Mend that field.")
        return value

    def optional(self, key: str) -> FloatArray | None:
        """A list of numbers in which null is 'undefined', or nothing."""
        if self.content.get(key) is None:
            return None
        try:
            return np.array(self.content[key], dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{self.name}.{key} is not a list of numbers or null.", "Mend that field.") from None
