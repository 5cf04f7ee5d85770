"""Proposals in one canvas: open diamonds where points would be, numbers beside them, arrows from where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.gui.register.marks import plate_px

if TYPE_CHECKING:
    from napari_pixelgene.gui.register.pairs import Side
    from napari_pixelgene.gui.register.proposals import Offer
    from napari_pixelgene.gui.register.views import Views

# Rings are cyan and round, with their numbers to the lower right. These are lime and have corners, with theirs to the
# upper left, and are open: what a match was found at is seen.
COLOUR, _CHOSEN, _DIM, _INK, _OPEN = "#a6ff2e", "#ffffff", "#d0d0d0", "#0a0a2c", "#00000000"
_PX, _CHOSEN_PX, _ARROW_PX, _ASIDE_PX = 22, 32, 6.0, -17.0
_EDGE, _PLATE_EDGE = 0.22, 0.06


@dataclass(frozen=True, slots=True)
class Diamonds:
    """Where points would be, (n, 2) as (x, y) of the canvas; their labels, which can be taken, and the chosen one."""

    xy: FloatArray
    labels: Sequence[str]
    able: Sequence[bool]
    chosen: int | None

    def tints(self) -> list[str]:
        """A colour each."""
        return [_CHOSEN if i == self.chosen else COLOUR if able else _DIM for i, able in enumerate(self.able)]


class Sketch:
    """Keeps two layers in one viewer model while there is something to show. `metadata` makes them the section's."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.metadata: dict[str, Any] = {}
        self._points: Any = None
        self._arrows: Any = None
        self._chosen: int | None = None
        self._xy: FloatArray = np.zeros((0, 2))
        self._labels: Sequence[str] = ()
        self._facing: FloatArray = np.eye(2)  # canvas (x, y) to the screen's right and down
        viewer.scene.camera.events.zoom.connect(self._size)

    def show(self, marks: Diamonds, arrows: FloatArray, facing: FloatArray) -> None:
        """Diamonds with their numbers, the chosen one larger, and arrows (m, 2, 2), start and reach as (x, y)."""
        self._xy, self._labels, self._chosen, self._facing = marks.xy, marks.labels, marks.chosen, facing
        active = self.viewer.layers.selection.active
        if not self._there(self._arrows):
            self._arrows = self.viewer.add_vectors(np.zeros((0, 2, 2)), **self._look("proposed moves", "arrow"))
        if not self._there(self._points):
            self._points = self.viewer.add_points(np.zeros((0, 2)), **self._look("proposals", None))
            self._points.editable = False
        self._arrows.data = arrows[:, :, ::-1]
        self._size()
        if len(marks.xy):
            count, tints = len(marks.xy), marks.tints()
            self._points.symbol = ["diamond"] * count + ["square"] * count
            self._points.face_color = [_OPEN] * count + tints
            self._points.border_color = tints + [_INK] * count
            self._points.border_width = [_EDGE] * count + [_PLATE_EDGE] * count
            self._points.features = {"label": [""] * count + list(marks.labels)}
        if len(arrows):
            self._arrows.edge_color = COLOUR
        if active is not None and active in self.viewer.layers:
            self.viewer.layers.selection.active = active

    def remove(self) -> None:
        """Take the layers away."""
        for layer in (self._points, self._arrows):
            if self._there(layer):
                self.viewer.layers.remove(layer)
        self._points = self._arrows = None

    def set_visible(self, visible: bool) -> None:
        """Show or hide them."""
        for layer in (self._points, self._arrows):
            if self._there(layer):
                layer.visible = visible

    def leave(self) -> None:
        """Follow the camera no more."""
        self.viewer.scene.camera.events.zoom.disconnect(self._size)

    def _there(self, layer: Any) -> bool:
        return layer is not None and layer in self.viewer.layers

    def _look(self, name: str, arrow: str | None) -> dict[str, Any]:
        says = {"name": name, "units": ("µm", "µm"), "metadata": {KEY: self.metadata} if self.metadata else {}}
        if arrow is not None:
            return {**says, "vector_style": arrow, "blending": "translucent_no_depth"}
        text = {"string": "{label}", "size": 10, "color": _INK, "anchor": "center"}
        return {**says, "features": {"label": []}, "text": text}

    def _size(self, _: Any = None) -> None:
        """Everything where it belongs, of one size on the screen at any zoom."""
        um = 1 / self.viewer.scene.camera.zoom
        if self._there(self._points):
            rows_first = self._xy[:, ::-1]
            aside = np.linalg.inv(self._facing) @ (_ASIDE_PX, _ASIDE_PX) * um
            self._points.selected_data = set()
            self._points.data = np.concatenate([rows_first, rows_first + aside[::-1]])
            if len(self._xy):
                diamonds = [_CHOSEN_PX if i == self._chosen else _PX for i in range(len(self._xy))]
                self._points.size = np.array([*diamonds, *(plate_px(label) for label in self._labels)]) * um
        if self._there(self._arrows):
            self._arrows.edge_width = _ARROW_PX * um


def draw_offer(
    sketches: Mapping[Side, Sketch], views: Views, offer: Offer, standing: Sequence[int], chosen: int | None
) -> None:
    """The proposals that stand, in both canvases, with arrows from where their pairs are; `chosen` is one of them."""
    work = views.work
    assert work is not None
    shown = [offer.proposals[i] for i in standing]
    labels, able = offer.labels(standing, work.pairs), [one.accepted for one in shown]
    moves = [(one.old_moving, one.new_moving) for one in shown if one.accepted and one.old_moving is not None]
    ends = np.array(moves, dtype=np.float64).reshape(-1, 2)
    drawn = work.drawn.apply(ends) if work.drawn is not None else np.zeros((0, 2))
    ways: dict[Side, FloatArray] = {"fixed": drawn, "moving": ends}
    for side, arrows in ways.items():
        places = [one.fixed_xy if side == "fixed" else one.new_moving for one in shown]
        on_canvas = views.seated(side, arrows).reshape(-1, 2, 2)
        vectors = np.stack([on_canvas[:, 0], on_canvas[:, 1] - on_canvas[:, 0]], axis=1)
        marks = Diamonds(views.seated(side, places), labels, able, chosen)
        sketches[side].show(marks, vectors, views.marks[side].facing)
