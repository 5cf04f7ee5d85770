"""Keypoints and matrices to files, in every convention we read (`readers/alignments.py` describes them).

Numbers are written so that reading them back gives the same float64. All formats are corner-based, like
ours; `write_keypoint_texts(origin="centre")` writes points for programs with pixel centres at integers.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_pixelgene.elements.alignment import Frame, Keypoints, Transform
from napari_pixelgene.elements.arrays import BoolArray, FloatArray
from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.alignment_json import JSON_FORMAT, JSON_VERSION, Origin
from napari_pixelgene.readers.alignments import ENDS, EXPLORER_HEADER, Direction, Shape, level_ratio

# What Xenium Explorer calls the two files of its archive.
_ZIP_KEYPOINTS, _ZIP_MATRIX = "keypoints.csv", "matrix.csv"


def write_explorer_keypoints(path: Path | str, keypoints: Keypoints) -> None:
    """Xenium Explorer's keypoints: fixed = morphology level-0 px, alignment = H&E px. Enabled pairs only."""
    write_text(path, _explorer_keypoints(keypoints))


def write_explorer_matrix(path: Path | str, transform: Transform) -> None:
    """Xenium Explorer's bare 3×3, H&E px → morphology level-0 px; a transform the other way is inverted."""
    write_text(path, _bare(_directed(transform, "he_to_morphology").matrix))


def write_explorer_zip(path: Path | str, keypoints: Keypoints, transform: Transform) -> None:
    """Both in one archive, as Xenium Explorer exports them."""
    matrix = _bare(_directed(transform, "he_to_morphology").matrix)
    part = _part(path)
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_ZIP_KEYPOINTS, _explorer_keypoints(keypoints))
        archive.writestr(_ZIP_MATRIX, matrix)
    os.replace(part, path)


def write_keypoint_texts(
    moving_path: Path | str,
    fixed_path: Path | str,
    keypoints: Keypoints,
    *,
    moving_level: int = 0,
    fixed_level: int = 0,
    moving_shapes: Sequence[Shape] | None = None,
    fixed_shapes: Sequence[Shape] | None = None,
    origin: Origin = "corner",
) -> None:
    """Pixel2Gene's pair of files, moving (morphology) and fixed (H&E), in px of a level. Enabled pairs only.

    Levels and `*_shapes` are those of `read_keypoint_texts`. Pixel2Gene itself multiplies by 2 to the
    level: leave the shapes out when the files are for it.
    """
    moving, fixed = _morphology_and_he(keypoints)
    half = 0.5 if origin == "centre" else 0.0
    write_text(moving_path, _lines(moving / level_ratio(moving_level, moving_shapes) - half, " "))
    write_text(fixed_path, _lines(fixed / level_ratio(fixed_level, fixed_shapes) - half, " "))


def write_pixel2gene_matrix(path: Path | str, transform: Transform) -> None:
    """Pixel2Gene's comma-separated 3×3 in numpy's text form.

    `morphology_to_he` (px → px; its inverse is turned round) or `stage_to_morphology` (µm → px, which
    Pixel2Gene calls stage_to_morph).
    """
    if "stage_um" in (transform.source, transform.target):
        transform = _directed(transform, "stage_to_morphology")
    else:
        transform = _directed(transform, "morphology_to_he")
    rows = (",".join(f"{value:.18e}" for value in row) for row in transform.matrix)
    write_text(path, "\n".join(rows) + "\n")


def write_alignment_json(
    path: Path | str, keypoints: Keypoints | None = None, transform: Transform | None = None
) -> None:
    """Our own JSON: all pairs with their switches, the transform with its kind and residuals, frames and units said."""
    if keypoints is None and transform is None:
        raise InputError(f"There is nothing to write to {path}.", "Give keypoints, a transform, or both.")
    document: dict[str, Any] = {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "convention": "points are continuous (x, y); a matrix maps column vectors (x, y, 1) from source to target",
        "origin": "corner",
        "origin_meaning": "0 is the outer corner of the first pixel, whose centre is 0.5",
    }
    if keypoints is not None:
        document["keypoints"] = _keypoints_fields(keypoints)
    if transform is not None:
        document["transform"] = _transform_fields(transform)
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _keypoints_fields(keypoints: Keypoints) -> dict[str, Any]:
    triples = zip(keypoints.moving_xy.tolist(), keypoints.fixed_xy.tolist(), keypoints.enabled.tolist(), strict=True)
    return {
        "moving_frame": keypoints.moving_frame,
        "moving_unit": _unit(keypoints.moving_frame),
        "fixed_frame": keypoints.fixed_frame,
        "fixed_unit": _unit(keypoints.fixed_frame),
        "pairs": [{"moving": moving, "fixed": fixed, "enabled": on} for moving, fixed, on in triples],
    }


def _transform_fields(transform: Transform) -> dict[str, Any]:
    return {
        "name": transform.name,
        "source": transform.source,
        "source_unit": _unit(transform.source),
        "target": transform.target,
        "target_unit": _unit(transform.target),
        "kind": transform.kind,
        "matrix": transform.matrix.tolist(),
        "residual_px": _list(transform.residual_px),
        "residual_um": _list(transform.residual_um),
        "inlier": _list(transform.inlier),
        "loo_um": _list(transform.loo_um),
        **({} if transform.bend is None else {"bend": transform.bend.lists()}),
    }


def _list(values: FloatArray | BoolArray | None) -> list[float | bool | None] | None:
    """JSON has no NaN: what is undefined is null."""
    return None if values is None else [v if np.isfinite(v) else None for v in values.tolist()]


def _unit(frame: Frame) -> str:
    return "px" if frame.endswith("_px") else "µm"


def _directed(transform: Transform, direction: Direction) -> Transform:
    """The transform or its inverse, whichever has the direction; a bend, or neither, is an error."""
    ends = ENDS[direction]
    if transform.bend is not None:
        raise InputError(
            "This file holds a 3 × 3 matrix, which cannot say how a spline bends.",
            "Write the alignment as JSON, which holds it whole, or register with the kind homography or affine.",
        )
    if (transform.source, transform.target) == ends:
        return transform
    if (transform.target, transform.source) == ends:
        back = transform.inverse()
        return Transform(back.matrix / back.matrix[2, 2], back.source, back.target, back.kind)
    raise InputError(
        f"This file holds {ends[0]} → {ends[1]}, the transform maps {transform.source} → {transform.target}.",
        "Write it as JSON, which states any direction.",
    )


def pairs_of_both(keypoints: Keypoints) -> tuple[FloatArray, FloatArray, BoolArray]:
    """All points (n, 2) of the morphology image and of the H&E, whichever side they are on, and which pairs count."""
    frames = (keypoints.moving_frame, keypoints.fixed_frame)
    if frames == ("morphology_px", "he_px"):
        return keypoints.moving_xy, keypoints.fixed_xy, keypoints.enabled
    if frames == ("he_px", "morphology_px"):
        return keypoints.fixed_xy, keypoints.moving_xy, keypoints.enabled
    raise InputError(
        f"This format holds morphology and H&E pixels, the keypoints are in {frames[0]} and {frames[1]}.",
        "Write them as JSON, which states any frame.",
    )


def _morphology_and_he(keypoints: Keypoints) -> tuple[FloatArray, FloatArray]:
    """The enabled points (n, 2) of the morphology image and of the H&E."""
    moving, fixed, on = pairs_of_both(keypoints)
    return moving[on], fixed[on]


def _explorer_keypoints(keypoints: Keypoints) -> str:
    return ",".join(EXPLORER_HEADER) + "\n" + _lines(np.hstack(_morphology_and_he(keypoints)), ",")


def _bare(matrix: FloatArray) -> str:
    return _lines(matrix, ",")


def _lines(numbers: FloatArray, mark: str) -> str:
    """A row a line; each number in the fewest digits that give it back."""
    rows = np.asarray(numbers, dtype=np.float64).tolist()
    return "".join(mark.join(map(repr, row)) + "\n" for row in rows)


def _part(path: Path | str) -> Path:
    return Path(path).with_name(Path(path).name + ".partial")


def write_text(path: Path | str, text: str) -> None:
    """A file of text, whole or not at all."""
    part = _part(path)
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)
