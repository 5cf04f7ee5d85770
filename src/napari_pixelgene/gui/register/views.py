"""Both canvases of the dock: images, rings, mouse and cameras, given what is to be shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.gui.canvas import Canvas
from napari_pixelgene.gui.layers import percentile_limits
from napari_pixelgene.gui.register.link import Link
from napari_pixelgene.gui.register.marks import Marks, seen
from napari_pixelgene.gui.register.pairs import Point, Side
from napari_pixelgene.gui.register.picking import Answers, Picker
from napari_pixelgene.gui.register.work import Work

SIDES: tuple[Side, Side] = ("fixed", "moving")


@dataclass(frozen=True, slots=True)
class Heard:
    """Who is told what the mouse did in either canvas, in the frames of the keypoints."""

    clicked: Callable[[Side, Point], None]
    moved: Callable[[Side, int, Point], None]
    selected: Callable[[int], None]
    refused: Callable[[str], None]


class Views:
    """The H&E in napari's main canvas (`viewer`), the moving image in `canvas`; both in µm."""

    def __init__(self, viewer: Any, canvas: Canvas, heard: Heard) -> None:
        self.viewer, self.canvas, self.heard = viewer, canvas, heard
        self.models: dict[Side, Any] = {"fixed": viewer, "moving": canvas.model}
        self.link = Link(viewer, canvas.model)
        canvas.quiet, canvas.fitted = self.link.alone, self.link.follow_fixed
        self.work: Work | None = None
        self.marks: dict[Side, Marks] = {side: Marks(self.models[side], side) for side in SIDES}
        self.pickers = {side: self._picker(side) for side in SIDES}
        self._image: Any = None
        self._bright = True

    def take(self, work: Work | None, channel: int, metadata: dict[str, Any]) -> None:
        """Another capture, or none; `metadata` makes the rings on the H&E layers of the section."""
        for side in SIDES:
            self.marks[side].remove()
        self.marks["fixed"].metadata = metadata
        self.work = work
        if self._image is not None and self._image in self.canvas.model.layers:
            self.canvas.model.layers.remove(self._image)
        self._image = None
        self.link.moving_to_fixed = None
        if work is not None:
            self._draw_moving(work, channel)
            self.show()
            self.canvas.fit()

    def show_channel(self, channel: int) -> None:
        """Another channel of the same image; the camera stays."""
        if self.work is not None:
            if self._image is not None and self._image in self.canvas.model.layers:
                self.canvas.model.layers.remove(self._image)
            self._draw_moving(self.work, channel)
            layers = self.canvas.model.layers
            layers.move(len(layers) - 1, 0)

    def show(self) -> None:
        """Rings and cameras as the work has them now."""
        if self.work is None:
            return
        for side in SIDES:
            self.marks[side].show(self._seen(side, True))
        follow = self.work.fit.follow or self.work.transform
        self.link.moving_to_fixed = None if follow is None else self._in_um(follow.matrix)

    def pulse(self) -> None:
        """The half pair's ring in its other colour."""
        self._bright = not self._bright
        if self.work is not None and self.work.pairs.half is not None:
            side = self.work.pairs.half.side
            self.marks[side].pulse(self._seen(side, self._bright))

    def look_at(self, index: int) -> None:
        """Centre both canvases on a pair."""
        if self.work is None:
            return
        places = {}
        for side in SIDES:
            points = self.work.pairs.points(side)
            places[side] = np.array(points[index]) * self.unit(side) if index < len(points) else None
        self.link.look_at(places["fixed"], places["moving"])

    def pick(self, on: bool) -> None:
        """Whether clicks count."""
        for side in SIDES:
            self.pickers[side].active = on
            self.models[side].cursor.style = "crosshair" if on else "standard"

    def set_visible(self, visible: bool) -> None:
        """The rings on the H&E are shown with the dock only."""
        self.marks["fixed"].set_visible(visible)

    def raise_rings(self) -> None:
        """Above whatever was added since."""
        layer = self.marks["fixed"].layer
        if layer is not None and self.viewer.layers[-1] is not layer:
            self.viewer.layers.move(self.viewer.layers.index(layer), len(self.viewer.layers))

    def leave(self) -> None:
        """The dock is gone: listen no more."""
        self.link.leave()
        for side in SIDES:
            self.pickers[side].leave()
            self.marks[side].leave()

    def unit(self, side: Side) -> float:
        """µm per unit of a side's frame."""
        assert self.work is not None
        return self.work.he.require_mpp() if side == "fixed" else self.work.moving.um_per_unit

    def _picker(self, side: Side) -> Picker:
        def clicked(xy_um: FloatArray) -> None:
            if self.work is not None and self._inside(side, xy_um):
                self.heard.clicked(side, self._point(side, xy_um))
            elif self.work is not None:
                self.heard.refused("That place is outside the image.")

        def moved(index: int, xy_um: FloatArray) -> None:
            self.heard.moved(side, index, self._point(side, xy_um))

        answers = Answers(clicked, self.heard.selected, moved, self.heard.refused)
        return Picker(self.models[side], self.marks[side], answers)

    def _point(self, side: Side, xy_um: FloatArray) -> Point:
        x, y = xy_um / self.unit(side)
        return float(x), float(y)

    def _inside(self, side: Side, xy_um: FloatArray) -> bool:
        assert self.work is not None
        place = np.append(xy_um / self.unit(side), 1.0)
        image = self.work.he if side == "fixed" else self.work.moving.channels[0]
        if side == "moving":
            place = np.linalg.solve(self.work.moving.picture_to_frame, place)
        rows, columns = image.yx_shape
        return bool(0 <= place[0] <= columns and 0 <= place[1] <= rows)

    def _seen(self, side: Side, bright: bool) -> Any:
        assert self.work is not None
        return seen(self.work.pairs, self.work.fit, side, self.unit(side), bright)

    def _in_um(self, matrix: FloatArray) -> FloatArray:
        """Moving µm to H&E µm of a matrix between the frames' units."""
        fixed, moving = self.unit("fixed"), self.unit("moving")
        return np.diag([fixed, fixed, 1.0]) @ matrix @ np.diag([1 / moving, 1 / moving, 1.0])

    def _draw_moving(self, work: Work, channel: int) -> None:
        image, moving = work.moving.channels[channel], work.moving
        pixel_um = moving.picture_to_frame[0, 0] * moving.um_per_unit
        corner = moving.picture_to_frame[:2, 2][::-1] * moving.um_per_unit
        self._image = self.canvas.model.add_image(
            list(image.levels),
            name=image.name or moving.title,
            multiscale=True,
            rgb=image.is_rgb,
            contrast_limits=None if image.is_rgb else percentile_limits(np.asarray(image.levels[-1])),
            scale=(pixel_um, pixel_um),
            translate=corner + pixel_um / 2,
            units=("µm", "µm"),
        )
