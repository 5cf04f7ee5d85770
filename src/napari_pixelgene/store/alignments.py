"""Keypoints and transforms as plain JSON in a group's attributes: a person can read the matrix with an editor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_pixelgene.arithmetic.splines import Spline
from napari_pixelgene.elements.alignment import Bend, Keypoints, Transform
from napari_pixelgene.elements.arrays import Array
from napari_pixelgene.store.disk import disk_errors
from napari_pixelgene.store.documents import plain, read_attributes, write_group
from napari_pixelgene.store.section import SectionStore

ALIGNMENT = "alignment"


def write_alignment(
    store: SectionStore, name: str, keypoints: Keypoints | None, transform: Transform | None, fingerprint: str = ""
) -> None:
    """Publish a capture's keypoints and the transform they support, in the stead of older ones."""
    partial = store.afresh("captures", name, ALIGNMENT)
    with disk_errors(partial.path):
        write_group(partial.path, {**encode_alignment(keypoints, transform), "fingerprint": fingerprint})
    partial.publish()


def read_alignment(store: SectionStore, name: str) -> tuple[Keypoints | None, Transform | None]:
    """A capture's keypoints and transform; None where there is none yet."""
    store.locate("captures", name)
    folder = store.find("captures", name, ALIGNMENT)
    return decode_alignment(read_attributes(folder)) if folder else (None, None)


def encode_alignment(keypoints: Keypoints | None, transform: Transform | None) -> dict[str, Any]:
    """Keypoints and transform as JSON values."""
    return {
        "keypoints": None if keypoints is None else encode_keypoints(keypoints),
        "transform": None if transform is None else encode_transform(transform),
    }


def decode_alignment(values: Mapping[str, Any]) -> tuple[Keypoints | None, Transform | None]:
    """The inverse of `encode_alignment`."""
    keypoints, transform = values.get("keypoints"), values.get("transform")
    return (
        decode_keypoints(keypoints) if keypoints else None,
        decode_transform(transform) if transform else None,
    )


def encode_keypoints(keypoints: Keypoints) -> dict[str, Any]:
    """Keypoints as JSON values; coordinates come back to the last bit."""
    return {
        "moving_frame": keypoints.moving_frame,
        "fixed_frame": keypoints.fixed_frame,
        "moving_xy": _listed(keypoints.moving_xy),
        "fixed_xy": _listed(keypoints.fixed_xy),
        "enabled": plain(keypoints.enabled),
    }


def decode_keypoints(values: Mapping[str, Any]) -> Keypoints:
    """The inverse of `encode_keypoints`."""
    return Keypoints(
        np.array(values["moving_xy"], dtype=np.float64).reshape(-1, 2),
        np.array(values["fixed_xy"], dtype=np.float64).reshape(-1, 2),
        values["moving_frame"],
        values["fixed_frame"],
        np.array(values["enabled"], dtype=bool),
    )


def encode_transform(transform: Transform) -> dict[str, Any]:
    """A transform as JSON values, with its name, so that a reader cannot mistake its direction."""
    bend = {} if transform.bend is None else {"bend": transform.bend.lists()}
    return {
        "name": transform.name,
        "source": transform.source,
        "target": transform.target,
        "kind": transform.kind,
        "matrix": _listed(transform.matrix),
        "residual_px": _listed(transform.residual_px),
        "residual_um": _listed(transform.residual_um),
        "inlier": plain(transform.inlier),
        "loo_um": _listed(transform.loo_um),
        **bend,
    }


def decode_transform(values: Mapping[str, Any]) -> Transform:
    """The inverse of `encode_transform`."""
    inlier = values.get("inlier")
    return Transform(
        np.array(values["matrix"], dtype=np.float64),
        values["source"],
        values["target"],
        values["kind"],
        _unlisted(values.get("residual_px")),
        _unlisted(values.get("residual_um")),
        None if inlier is None else np.array(inlier, dtype=bool),
        _unlisted(values.get("loo_um")),
        _bend(values["bend"]) if values.get("bend") else None,
    )


def _bend(values: Mapping[str, Any]) -> Bend:
    centres, weights, linear, plane = (
        np.array(values[key], dtype=np.float64) for key in ("centres", "weights", "linear", "plane")
    )
    return Bend(Spline(centres, weights, linear), plane, bool(values["backwards"]))


def _listed(values: Array | None) -> Any:
    """Nested lists of float64; NaN as null."""
    return None if values is None else plain(np.asarray(values, dtype=np.float64))


def _unlisted(values: Any) -> Any:
    """The inverse of `_listed`: null is NaN again."""
    return None if values is None else np.array(values, dtype=np.float64)
