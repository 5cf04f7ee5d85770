"""A line across the H&E's canvas that is dragged: the moving image shows on one side of it only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.gui.camera import centre_of, is_transposed
from napari_pixelgene.stages.comparing import Beyond

# How near to the line the mouse takes it, in screen pixels; how far a key moves it, as a share of the view.
_REACH_PX, _KEY_SHARE = 8.0, 0.05


class Swipe:
    """Listens to the mouse while `on`. `moved(line)` hears of each new place; `taken(xy)` says what is not its.

    `place_um` takes places of the canvas to the slide's µm, in which the line is.
    """

    def __init__(
        self,
        viewer: Any,
        moved: Callable[[Beyond], None],
        taken: Callable[[FloatArray], bool],
        place_um: Callable[[FloatArray], FloatArray] = lambda xy: xy,
    ) -> None:
        self.viewer, self._moved, self._taken, self._place_um = viewer, moved, taken, place_um
        self.line: Beyond | None = None

    @property
    def on(self) -> bool:
        """Whether there is a line."""
        return self.line is not None

    def begin(self) -> None:
        """A line through the middle of what is seen, upright on the screen or, as the slide lies, nearest to it."""
        upright = not is_transposed(self.viewer)
        self._put(float(self._place_um(centre_of(self.viewer))[0 if upright else 1]), upright)
        if self._drag not in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.append(self._drag)

    def end(self) -> None:
        """No line any more."""
        self.line = None
        if self._drag in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._drag)

    def step(self, to_the_right: int) -> None:
        """Moved by a key."""
        if self.line is not None:
            width_um = self.viewer.canvas.size[1] / self.viewer.scene.camera.zoom
            rightwards = 1 if self.viewer.scene.camera.orientation2d[1] == "right" else -1
            self._put(self.line.at_um + to_the_right * rightwards * _KEY_SHARE * width_um, self.line.upright)

    def ends(self, size_um: tuple[float, float]) -> FloatArray:
        """The line over an image of (width, height) and beyond: where it starts and how far it reaches (1, 2, 2)."""
        assert self.line is not None
        width, height = size_um
        if self.line.upright:
            return np.array([[[self.line.at_um, -height], [0.0, 3 * height]]])
        return np.array([[[-width, self.line.at_um], [3 * width, 0.0]]])

    def _put(self, at_um: float, upright: bool) -> None:
        self.line = Beyond(at_um, upright)
        self._moved(self.line)

    def _drag(self, viewer: Any, event: Any) -> Iterator[None]:
        camera, line = viewer.scene.camera, self.line
        if line is None or event.button != 1 or event.modifiers:
            return
        place = self._place_um(_xy(event))
        along = 0 if line.upright else 1
        if abs(place[along] - line.at_um) * camera.zoom > _REACH_PX or self._taken(_xy(event)):
            return
        camera.mouse_pan = False
        try:
            yield
            while event.type == "mouse_move":
                self._put(float(self._place_um(_xy(event))[along]), line.upright)
                yield
        finally:
            camera.mouse_pan = True


def _xy(event: Any) -> FloatArray:
    return np.array(event.position[-2:], dtype=float)[::-1]
