"""Both canvases of the dock: images, rings, mouse and cameras, given what is to be shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.gui.camera import centre_at, centre_of, face
from napari_pixelgene.gui.canvas import Canvas
from napari_pixelgene.gui.contrasts import Contrasts
from napari_pixelgene.gui.register.link import Link, Way
from napari_pixelgene.gui.register.marks import Marks, seen
from napari_pixelgene.gui.register.pairs import Point, Side
from napari_pixelgene.gui.register.picking import RING_REACH_PX, Answers, Picker
from napari_pixelgene.gui.register.turned_slide import TurnedSlide, parted, rows_first
from napari_pixelgene.gui.register.turning import Turn, matching
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
    """The H&E in napari's main canvas (`viewer`), the moving image in `canvas`; both in µm.

    The H&E turned by right angles is napari's camera that looks at it from another side: no layer knows of it,
    whoever's it is. What is left of another angle is `slide`'s. The moving canvas holds our layers only: there the
    picture lies turned, and µm are found through `turns`.
    """

    def __init__(self, slide: TurnedSlide, canvas: Canvas, heard: Heard, contrasts: Contrasts) -> None:
        viewer = slide.session.viewer
        self.viewer, self.canvas, self.heard, self.contrasts, self.slide = viewer, canvas, heard, contrasts, slide
        self.models: dict[Side, Any] = {"fixed": viewer, "moving": canvas.model}
        self.link = Link(viewer, canvas.model)
        canvas.quiet, canvas.fitted = self.link.alone, self.link.follow_fixed
        self.work: Work | None = None
        self.marks: dict[Side, Marks] = {side: Marks(self.models[side], side) for side in SIDES}
        self.pickers = {side: self._picker(side) for side in SIDES}
        self.turns: dict[Side, Turn] = {side: Turn() for side in SIDES}
        self._turned: dict[str, Turn] = {}  # how each capture is looked at
        self._image: Any = None
        self._bright = True

    def take(self, work: Work | None, channel: int, metadata: dict[str, Any]) -> None:
        """Another capture, or none; `metadata` makes the rings on the H&E layers of the section."""
        if work is None:
            self.turn("fixed", Turn())
            self._turned.clear()
        for side in SIDES:
            self.marks[side].remove()
        self.marks["fixed"].metadata = metadata
        self.work = work
        if self._image is not None and self._image in self.canvas.model.layers:
            self.canvas.model.layers.remove(self._image)
        self._image = None
        self.link.moving_to_fixed = None
        self.turns["moving"] = Turn() if work is None else self._turned.get(work.moving.capture, Turn())
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
        follow = self.work.preview or self.work.fit.follow or self.work.transform
        places = self._to_canvas("moving"), self._to_canvas("fixed")
        self.link.moving_to_fixed = None if follow is None else Way(follow, *places)

    def turn(self, side: Side, turn: Turn) -> None:
        """Look at a side another way; the same place stays in the middle."""
        middle = geometry.apply_matrix(np.linalg.inv(self._on_canvas(side)), centre_of(self.models[side])[None])[0]
        self.turns[side] = turn
        with self.link.alone():
            if side == "fixed":
                self._face(turn)
            elif self.work is not None:
                self._turned[self.work.moving.capture] = turn
                if self._image is not None:
                    self._image.affine = rows_first(turn.matrix)
            centre_at(self.models[side], geometry.apply_matrix(self._on_canvas(side), middle[None])[0])
        self.show()

    def stand_upright(self, upright: bool) -> None:
        """The H&E is seen as the other docks know it, or as it was turned here."""
        middle = geometry.apply_matrix(np.linalg.inv(self.slide.matrix), centre_of(self.viewer)[None])
        with self.link.alone():
            self._face(Turn() if upright else self.turns["fixed"])
            centre_at(self.viewer, geometry.apply_matrix(self.slide.matrix, middle)[0])
        self.show()

    def _face(self, turn: Turn) -> None:
        quarter, rest = parted(turn)
        self.slide.lay(rest)
        face(self.viewer, quarter.matrix)
        self.marks["fixed"].facing = quarter.matrix[:2, :2]

    def matching(self) -> Turn | None:
        """How the moving image has to be turned to look like the H&E; None while nothing leads there."""
        follow = self.link.moving_to_fixed
        if follow is None or self.work is None:
            return None
        here = centre_of(self.canvas.model)
        matrix = follow.around(here) @ self.turns["moving"].matrix
        place = geometry.apply_matrix(np.linalg.inv(self.turns["moving"].matrix), here[None])
        between = np.linalg.inv(self.slide.matrix[:2, :2]) @ geometry.jacobian(matrix, place)[0]
        return matching(between, self.turns["fixed"])

    def show_contrast(self, image: Image) -> None:
        """The display limits that its channel has now."""
        if self._image is not None and self.work is not None and not self._image.rgb:
            self._image.contrast_limits = self.contrasts.limits(self.work.moving.capture, image)

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
            places[side] = self.seated(side, points[index : index + 1])[0] if index < len(points) else None
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
        self.slide.leave()
        for side in SIDES:
            self.pickers[side].leave()
            self.marks[side].leave()

    def ring_at(self, xy: FloatArray) -> bool:
        """Whether a ring on the H&E is within reach of a place, for who else would take the mouse."""
        reach = RING_REACH_PX / self.viewer.scene.camera.zoom
        return self.pickers["fixed"].active and self.marks["fixed"].at(xy, reach) is not None

    def unit(self, side: Side) -> float:
        """µm per unit of a side's frame."""
        assert self.work is not None
        return self.work.he.require_mpp() if side == "fixed" else self.work.moving.um_per_unit

    def _picker(self, side: Side) -> Picker:
        def clicked(xy: FloatArray) -> None:
            if self.work is not None and self._inside(side, point := self._point(side, xy)):
                self.heard.clicked(side, point)
            elif self.work is not None:
                self.heard.refused("That place is outside the image.")

        def moved(index: int, xy: FloatArray) -> None:
            self.heard.moved(side, index, self._point(side, xy))

        answers = Answers(clicked, self.heard.selected, moved, self.heard.refused)
        return Picker(self.models[side], self.marks[side], answers)

    def _on_canvas(self, side: Side) -> FloatArray:
        """(3, 3): µm of a side to the places of its canvas."""
        return self.turns[side].matrix if side == "moving" else self.slide.matrix

    def _to_canvas(self, side: Side) -> FloatArray:
        """(3, 3): a side's frame to the places of its canvas."""
        return self._on_canvas(side) @ np.diag([self.unit(side), self.unit(side), 1.0])

    def seated(self, side: Side, points: list[Point] | FloatArray) -> FloatArray:
        """Points of a side's frame where they lie on its canvas (n, 2)."""
        return geometry.apply_matrix(self._to_canvas(side), np.array(points, dtype=np.float64).reshape(-1, 2))

    def _point(self, side: Side, xy: FloatArray) -> Point:
        """A place of a canvas in its side's frame."""
        x, y = geometry.apply_matrix(np.linalg.inv(self._to_canvas(side)), xy[None])[0]
        return float(x), float(y)

    def _inside(self, side: Side, point: Point) -> bool:
        assert self.work is not None
        place = np.array([*point, 1.0])
        image = self.work.he if side == "fixed" else self.work.moving.channels[0]
        if side == "moving":
            place = np.linalg.solve(self.work.moving.picture_to_frame, place)
        rows, columns = image.yx_shape
        return bool(0 <= place[0] <= columns and 0 <= place[1] <= rows)

    def _seen(self, side: Side, bright: bool) -> Any:
        assert self.work is not None
        pairs = self.work.pairs
        return seen(pairs, self.work.fit, self.seated(side, pairs.points(side)), bright)

    def _draw_moving(self, work: Work, channel: int) -> None:
        image, moving = work.moving.channels[channel], work.moving
        pixel_um = moving.picture_to_frame[0, 0] * moving.um_per_unit
        corner = moving.picture_to_frame[:2, 2][::-1] * moving.um_per_unit
        self._image = self.canvas.model.add_image(
            list(image.levels),
            name=image.name or moving.title,
            multiscale=True,
            rgb=image.is_rgb,
            contrast_limits=None if image.is_rgb else self.contrasts.limits(moving.capture, image),
            scale=(pixel_um, pixel_um),
            translate=corner + pixel_um / 2,
            affine=rows_first(self.turns["moving"].matrix),
            units=("µm", "µm"),
        )


def farewell(*leaves: Callable[[], None]) -> Callable[..., None]:
    """What must be undone when Qt deletes the dock; none of it may refer to the dock itself."""

    def leave(*_: Any) -> None:
        for each in leaves:
            each()

    return leave
