"""The mouse in one canvas: a click sets a point, a drag on a ring corrects it, any other drag pans as always."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.gui.register.marks import Marks

# Screen pixels: how far a hand trembles in a click, and how near a ring is taken.
CLICK_PX = 4.0
RING_REACH_PX = 9.0


@dataclass(frozen=True, slots=True)
class Answers:
    """Who is told what the mouse did; places are (x, y) in the canvas' µm, rings by their index."""

    clicked: Callable[[FloatArray], None]
    selected: Callable[[int], None]
    moved: Callable[[int, FloatArray], None]
    refused: Callable[[str], None]


class Picker:
    """Listens to one viewer model while `active`."""

    def __init__(self, viewer: Any, marks: Marks, answers: Answers) -> None:
        self.viewer, self.marks, self.answers = viewer, marks, answers
        self._active = False
        self._zooms: list[Any] = []
        viewer.mouse_drag_callbacks.append(self._drag)

    @property
    def active(self) -> bool:
        """Whether clicks count. Meanwhile a double click zooms no more: it is two quick clicks."""
        return self._active

    @active.setter
    def active(self, on: bool) -> None:
        self._active = on
        listening = self.viewer.mouse_double_click_callbacks
        if on:
            found = [each for each in listening if getattr(each, "__name__", "") == "double_click_to_zoom"]
            self._zooms += found
            for each in found:
                listening.remove(each)
        else:
            listening.extend(self._zooms)
            self._zooms = []

    def leave(self) -> None:
        """Listen no more."""
        self.active = False
        if self._drag in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._drag)

    def _drag(self, viewer: Any, event: Any) -> Iterator[None]:
        if not self.active or event.button != 1 or event.modifiers:
            return
        why_not = _busy(viewer)
        if why_not:
            self.answers.refused(why_not)
            return
        pressed, place = np.array(event.pos, dtype=float), _xy(event)
        ring = self.marks.at(place, RING_REACH_PX / viewer.scene.camera.zoom)
        yield from self._pulled(viewer, event, ring, pressed) if ring is not None else _panned(event)
        if np.hypot(*(np.array(event.pos) - pressed)) > CLICK_PX:
            if ring is not None:
                self.answers.moved(ring, _xy(event))
        elif ring is not None:
            self.answers.selected(ring)
        else:
            self.answers.clicked(place)

    def _pulled(self, viewer: Any, event: Any, ring: int, pressed: FloatArray) -> Iterator[None]:
        """The ring follows the mouse, the camera stays."""
        camera = viewer.scene.camera
        camera.mouse_pan = False
        try:
            yield
            while event.type == "mouse_move":
                if np.hypot(*(np.array(event.pos) - pressed)) > CLICK_PX:
                    self.marks.drag(ring, _xy(event))
                yield
        finally:
            camera.mouse_pan = True


def _panned(event: Any) -> Iterator[None]:
    yield
    while event.type == "mouse_move":
        yield


def _xy(event: Any) -> FloatArray:
    return np.array(event.position[-2:], dtype=float)[::-1]


def _busy(viewer: Any) -> str:
    """Why a click belongs to someone else; empty when it is ours."""
    if viewer.dims.ndisplay != 2:
        return "Pairs are picked in the flat view: switch napari back to 2D."
    layer = viewer.layers.selection.active
    mode = str(getattr(layer, "mode", "pan_zoom"))
    if mode not in ("pan_zoom", "transform"):
        return f"The layer '{layer.name}' is being edited; choose its pan/zoom mode, or another layer, to pick."
    return ""
