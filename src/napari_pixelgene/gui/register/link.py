"""Two cameras that look at the same tissue: where one goes, the other follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.arrays import FloatArray


class Link:
    """Keeps the H&E's camera and the moving image's at one spot and one magnification of the tissue.

    `moving_to_fixed` (3, 3) takes µm of the moving canvas to H&E µm; None lets both go their own ways.
    """

    def __init__(self, fixed: Any, moving: Any) -> None:
        self._cameras = {"fixed": fixed.scene.camera, "moving": moving.scene.camera}
        self.moving_to_fixed: FloatArray | None = None
        self.enabled = True
        self._busy = False
        self._listeners: list[tuple[Any, Callable[..., None]]] = []
        self._listen("fixed", self._fixed_moved)
        self._listen("moving", self._moving_moved)

    def leave(self) -> None:
        """Listen no more."""
        for signal, function in self._listeners:
            signal.disconnect(function)
        self._listeners.clear()

    def look_at(self, fixed_um: FloatArray | None, moving_um: FloatArray | None) -> None:
        """Centre each canvas at a place (x, y) of its own; None leaves it to follow."""
        if fixed_um is not None and moving_um is not None:
            with self.alone():
                _centre(self._cameras["fixed"], fixed_um)
                _centre(self._cameras["moving"], moving_um)
        elif fixed_um is not None:
            _centre(self._cameras["fixed"], fixed_um)
        elif moving_um is not None:
            _centre(self._cameras["moving"], moving_um)

    def follow_fixed(self) -> None:
        """The H&E leads: the moving canvas goes where it is."""
        self._fixed_moved()

    def _listen(self, side: str, function: Callable[..., None]) -> None:
        for signal in (self._cameras[side].events.center, self._cameras[side].events.zoom):
            signal.connect(function)
            self._listeners.append((signal, function))

    def _fixed_moved(self, _: Any = None) -> None:
        if self.moving_to_fixed is not None:
            self._lead("fixed", "moving", np.linalg.inv(self.moving_to_fixed))

    def _moving_moved(self, _: Any = None) -> None:
        if self.moving_to_fixed is not None:
            self._lead("moving", "fixed", self.moving_to_fixed)

    def _lead(self, leader: str, follower: str, matrix: FloatArray) -> None:
        if self._busy or not self.enabled:
            return
        camera = self._cameras[leader]
        place = np.array([[camera.center[-1], camera.center[-2]]], dtype=float)
        if not geometry.denominator(matrix, place)[0] > 0:
            return  # beyond the horizon of a perspective
        grows = float(np.sqrt(abs(np.linalg.det(geometry.jacobian(matrix, place)[0]))))
        with self.alone():
            _centre(self._cameras[follower], geometry.apply_matrix(matrix, place)[0])
            self._cameras[follower].zoom = camera.zoom / grows

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts, neither camera follows the other."""
        was, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = was


def _centre(camera: Any, xy_um: FloatArray) -> None:
    camera.center = (0.0, float(xy_um[1]), float(xy_um[0]))
