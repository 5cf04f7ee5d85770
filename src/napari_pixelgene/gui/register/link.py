"""Two cameras that look at the same tissue: where one goes, the other follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.gui.camera import centre_at, centre_of

# How much of the tissue is seen around a place that is looked at closely.
_CLOSE_UM = 250.0


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """From places of one canvas to those of the other: a transform, and each canvas' places (3, 3) in its frames.

    A bent transform is taken as the matrix nearest to it around the place in question.
    """

    transform: Transform
    source: FloatArray = field(default_factory=lambda: np.eye(3))
    target: FloatArray = field(default_factory=lambda: np.eye(3))

    def back(self) -> Way:
        """The other way."""
        return Way(self.transform.inverse(), self.target, self.source)

    def around(self, xy: FloatArray) -> FloatArray:
        """The matrix (3, 3) from canvas to canvas near a place (2,) of the first."""
        place = geometry.apply_matrix(np.linalg.inv(self.source), xy[None])[0]
        return self.target @ self.transform.local_matrix(place) @ np.linalg.inv(self.source)


class Link:
    """Keeps the H&E's camera and the moving image's at one spot and one magnification of the tissue.

    `moving_to_fixed` leads from the moving canvas to the H&E's; None lets both go their own ways.
    """

    def __init__(self, fixed: Any, moving: Any) -> None:
        self._viewers = {"fixed": fixed, "moving": moving}
        self.moving_to_fixed: Way | None = None
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

    def look_at(self, fixed_xy: FloatArray | None, moving_xy: FloatArray | None) -> None:
        """Centre each canvas at a place (x, y) of its own; None leaves it to follow."""
        if fixed_xy is not None and moving_xy is not None:
            with self.alone():
                centre_at(self._viewers["fixed"], fixed_xy)
                centre_at(self._viewers["moving"], moving_xy)
        elif fixed_xy is not None:
            centre_at(self._viewers["fixed"], fixed_xy)
        elif moving_xy is not None:
            centre_at(self._viewers["moving"], moving_xy)

    def look_close(self, fixed_xy: FloatArray, moving_xy: FloatArray) -> None:
        """Centre each canvas at a place of its own, near enough to tell nuclei apart; who is nearer stays so."""
        viewer = self._viewers["fixed"]
        with self.alone():
            viewer.scene.camera.zoom = max(viewer.scene.camera.zoom, min(viewer.canvas.size) / _CLOSE_UM)
            centre_at(viewer, fixed_xy)
        self.follow_fixed()  # as large
        self.look_at(fixed_xy, moving_xy)

    def follow_fixed(self) -> None:
        """The H&E leads: the moving canvas goes where it is."""
        self._fixed_moved()

    def _listen(self, side: str, function: Callable[..., None]) -> None:
        events = self._viewers[side].scene.camera.events
        for signal in (events.center, events.zoom):
            signal.connect(function)
            self._listeners.append((signal, function))

    def _fixed_moved(self, _: Any = None) -> None:
        if self.moving_to_fixed is not None:
            self._lead("fixed", "moving", self.moving_to_fixed.back())

    def _moving_moved(self, _: Any = None) -> None:
        if self.moving_to_fixed is not None:
            self._lead("moving", "fixed", self.moving_to_fixed)

    def _lead(self, leader: str, follower: str, way: Way) -> None:
        if self._busy or not self.enabled:
            return
        place = centre_of(self._viewers[leader])
        matrix = way.around(place)
        if not np.isfinite(matrix).all() or not geometry.denominator(matrix, place[None])[0] > 0:
            return  # beyond the horizon of a perspective, or where a bend folds
        grows = float(np.sqrt(abs(np.linalg.det(geometry.jacobian(matrix, place[None])[0]))))
        with self.alone():
            centre_at(self._viewers[follower], geometry.apply_matrix(matrix, place[None])[0])
            self._viewers[follower].scene.camera.zoom = self._viewers[leader].scene.camera.zoom / grows

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While it lasts, neither camera follows the other."""
        was, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = was
