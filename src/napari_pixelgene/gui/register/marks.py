"""The numbered rings of the pairs in one canvas: a Points layer in µm, made again when a person deletes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.gui.register.fitting import Fit
from napari_pixelgene.gui.register.pairs import Pairs, Side

RING_PX, SELECTED_PX = 17, 25
_PLATE_PX = (18, 25, 33)  # of one, two and three digits
# The number's plate lies so far to the lower right of its ring, in screen pixels.
_ASIDE_PX = 17.0
# Bright, with a dark edge and dark numbers: seen on pink, on purple and on black, told apart by the colour-blind.
_GOOD, _OUT, _OFF, _OPEN, _PALE = "#00d5ff", "#ff8c1a", "#b8b8b8", "#fff000", "#ffffff"
_INK, _EDGE = "#0a0a2c", 0.09
_NAME = {"fixed": "pairs on the H&E", "moving": "pairs"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one canvas shows: points (n, 2) as (x, y) of the canvas, their labels and colours, and the selected one."""

    xy_um: FloatArray
    labels: tuple[str, ...]
    colours: tuple[str, ...]
    selected: int | None


def seen(pairs: Pairs, fit: Fit, points: FloatArray, bright: bool = True) -> Seen:
    """The rings of one side, whose `points` (n, 2) lie there; the half pair's is drawn `bright` or not, in turns."""
    colours = [_OFF if not pair.enabled else _GOOD for pair in pairs.pairs]
    for row in fit.rows:
        if row.enabled and not row.trusted:
            colours[row.number - 1] = _OUT
    labels = [str(i + 1) for i in range(len(points))]
    if len(points) > len(pairs):
        colours.append(_OPEN if bright else _PALE)
    return Seen(points, tuple(labels), tuple(colours), pairs.selected)


class Marks:
    """Keeps one Points layer like the pairs. `metadata` is what makes the layer one of the section's."""

    def __init__(self, viewer: Any, side: Side) -> None:
        self.viewer, self.side = viewer, side
        self.metadata: dict[str, Any] = {}
        self.facing: FloatArray = np.eye(2)  # canvas (x, y) to the screen's right and down
        self._layer: Any = None
        self.shown: Seen | None = None
        self._drawn: dict[str, Any] = {}  # what the layer has already: napari takes 10 ms to be told the same again
        viewer.scene.camera.events.zoom.connect(self._place)

    @property
    def layer(self) -> Any | None:
        """The layer, or None when it was deleted or never needed."""
        return self._layer if self._layer is not None and self._layer in self.viewer.layers else None

    def show(self, seen: Seen) -> None:
        """Draw these rings and their numbers."""
        self.shown = seen
        if self.layer is None:
            if not len(seen.xy_um):
                return
            self._make()
        self._place()
        self._colour()

    def pulse(self, seen: Seen) -> None:
        """The same rings in other colours."""
        if self.shown is not None and len(seen.labels) == len(self.shown.labels):
            self.shown = seen
            self._colour()

    def drag(self, index: int, xy_um: FloatArray) -> None:
        """One ring follows the mouse; the pairs know nothing of it yet."""
        if self.shown is not None:
            places = self.shown.xy_um.copy()
            places[index] = xy_um
            self.shown = replace(self.shown, xy_um=places)
            self._place()

    def at(self, xy_um: FloatArray, reach_um: float) -> int | None:
        """The ring within reach of a place, the nearest; None where there is none."""
        if self.shown is None or not len(self.shown.xy_um):
            return None
        away = np.hypot(*(self.shown.xy_um - xy_um).T)
        nearest = int(np.argmin(away))
        return nearest if away[nearest] <= reach_um else None

    def set_visible(self, visible: bool) -> None:
        """Show or hide the rings."""
        if self.layer is not None and self.layer.visible != visible:
            self.layer.visible = visible

    def remove(self) -> None:
        """Take the layer away."""
        if self.layer is not None:
            self.viewer.layers.remove(self._layer)
        self._layer = None

    def leave(self) -> None:
        """Follow the camera no more."""
        self.viewer.scene.camera.events.zoom.disconnect(self._place)

    def _make(self) -> None:
        self._drawn = {}
        active = self.viewer.layers.selection.active
        self._layer = self.viewer.add_points(
            np.zeros((0, 2)),
            name=_NAME[self.side],
            features={"label": []},
            text={"string": "{label}", "size": 10, "color": _INK, "anchor": "center"},
            border_width=_EDGE,
            border_color=_INK,
            units=("µm", "µm"),
            metadata={KEY: self.metadata} if self.metadata else {},
        )
        self._layer.editable = False  # rings are moved by this dock, so that each step can be undone
        if active is not None:
            self.viewer.layers.selection.active = active

    def _place(self, _: Any = None) -> None:
        """Rings and plates where they belong, of one size on the screen at any zoom.

        napari's own limits of the size would spoil the edges.
        """
        layer, seen = self.layer, self.shown
        if layer is None or seen is None:
            return
        um_per_px = 1 / self.viewer.scene.camera.zoom
        rings = seen.xy_um[:, ::-1]
        aside = np.linalg.inv(self.facing) @ (_ASIDE_PX, _ASIDE_PX) * um_per_px
        data = np.concatenate([rings, rings + aside[::-1]])
        pixels = [SELECTED_PX if i == seen.selected else RING_PX for i in range(len(rings))]
        size = np.array(pixels + [plate_px(label) for label in seen.labels]) * um_per_px
        if self._is_new("place", (data.tobytes(), size.tobytes())):
            layer.selected_data = set()
            layer.data = data
            if len(rings):
                layer.size = size

    def _colour(self) -> None:
        layer, seen = self.layer, self.shown
        if layer is None or seen is None or not seen.labels:
            return
        if not self._is_new("colour", (seen.labels, seen.colours)):
            return
        count = len(seen.labels)
        layer.symbol = ["ring"] * count + ["disc"] * count
        layer.face_color = [*seen.colours, *seen.colours]
        layer.border_color = _INK
        layer.features = {"label": [""] * count + list(seen.labels)}

    def _is_new(self, what: str, value: Any) -> bool:
        """Whether the layer has to be told; it counts as told."""
        told = self._drawn.get(what)
        self._drawn[what] = value
        return bool(told != value)


def plate_px(label: str) -> float:
    """How large the plate under a number is on the screen, so that all its digits lie on it."""
    return _PLATE_PX[min(len(label), len(_PLATE_PX)) - 1]
