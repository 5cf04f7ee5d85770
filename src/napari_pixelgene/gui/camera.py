"""Where a canvas looks, as a place of its world; napari gives it in the order in which it displays the axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray


def centre_of(viewer: Any) -> FloatArray:
    """The place (x, y) in the middle of a viewer model's canvas, whichever way it shows its axes."""
    first, second = (float(v) for v in viewer.scene.camera.center[-2:])
    return np.array([first, second] if is_transposed(viewer) else [second, first])


def centre_at(viewer: Any, xy: FloatArray) -> None:
    """Bring a place (x, y) to the middle."""
    x, y = (float(v) for v in xy)
    viewer.scene.camera.center = (0.0, x, y) if is_transposed(viewer) else (0.0, y, x)


def is_transposed(viewer: Any) -> bool:
    """Whether rows run across the canvas, and columns down."""
    order = tuple(viewer.dims.order)
    return len(order) > 1 and order[-2] > order[-1]


def face(viewer: Any, matrix: FloatArray) -> None:
    """Look at the world turned by right angles and mirrored, as `matrix` (x, y to right, down) says.

    napari's own order of axes and direction of the camera do it: no layer is touched. The same place stays in the
    middle.
    """
    middle, turned = centre_of(viewer), np.rint(matrix[:2, :2])
    across = bool(turned[0, 0] == 0)
    down, right = (turned[1, 0], turned[0, 1]) if across else (turned[1, 1], turned[0, 0])
    if across != is_transposed(viewer):
        order = tuple(viewer.dims.order)
        viewer.dims.order = (*order[:-2], order[-1], order[-2])
    viewer.scene.camera.orientation2d = ("down" if down > 0 else "up", "right" if right > 0 else "left")
    centre_at(viewer, middle)
