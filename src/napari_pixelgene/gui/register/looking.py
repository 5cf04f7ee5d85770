"""What is only looked at: views turned, nuclei alone, squares and the swipe line, arrows and grid, contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_pixelgene.gui.faults import guarded
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.gui.register.figures import deformation_grid, residual_arrows
from napari_pixelgene.gui.register.lines import Lines
from napari_pixelgene.gui.register.pairs import Side
from napari_pixelgene.gui.register.swipe import Swipe
from napari_pixelgene.gui.register.turning import Turn
from napari_pixelgene.stages.comparing import Beyond, Checkers
from napari_pixelgene.stages.staining import haematoxylin_pyramid

if TYPE_CHECKING:
    from napari_pixelgene.gui.register.dock import RegisterDock

# Seen on pink, on white and on black, told apart by the colour-blind.
_GRID, _LINE, _ARROW, _OUT = "#0a84d6", "#ffd400", "#1470ff", "#ff8c1a"
_NUCLEI = "nuclei"


class Looking:
    """Answers the buttons of the view and their keys."""

    def __init__(self, dock: RegisterDock) -> None:
        self.dock = dock
        session = dock.session
        self.arrows, self.grid = Lines(session, "residuals", 8.0, "arrow"), Lines(session, "grid", 1.5)
        self.edge = Lines(session, "swipe", 3.0)
        self.lines = [self.arrows, self.grid, self.edge]
        self.swipe = Swipe(session.viewer, self._swiped, lambda xy: dock.views.ring_at(xy), session.place_um)

    # Turned views

    def turn(self, side: Side, degrees: float) -> None:
        """Clockwise on the screen."""
        self._look_under(side, self.dock.views.turns[side].by(degrees))

    def turn_to(self, side: Side, degrees: float) -> None:
        """A side under this very angle."""
        self._look_under(side, Turn(degrees, self.dock.views.turns[side].mirrored))

    def flip(self, side: Side) -> None:
        """Mirrored left to right, as it is seen."""
        self._look_under(side, self.dock.views.turns[side].flipped())

    def upright(self, side: Side) -> None:
        """As the file has it."""
        self._look_under(side, Turn())

    def match(self) -> None:
        """The moving image turned like the H&E, by the present fit."""
        turn = self.dock.views.matching()
        if turn is not None:
            self._look_under("moving", turn)

    def _look_under(self, side: Side, turn: Turn) -> None:
        self.dock.views.turn(side, turn)
        self.dock.controls.turns.show_turn(self.dock.views.turns["moving"])
        self.dock.controls.slide.show_turn(self.dock.views.turns["fixed"])
        if side == "fixed" and self.swipe.on:
            self.swipe.begin()

    # Contrast

    def show_channel(self, channel: int) -> None:
        """Another channel: how it is looked at."""
        dock = self.dock
        assert dock.work is not None
        image = dock.work.moving.channels[channel]
        percent = dock.contrasts.of(dock.work.moving.capture, image.name)
        dock.controls.contrast.show_percent(percent, image.is_rgb)
        dock.controls.turns.show_turn(dock.views.turns["moving"])

    def percent(self) -> None:
        """The two percentiles of the channel that is shown."""
        dock = self.dock
        if dock.work is not None:
            image = dock.work.moving.channels[dock.overlay.channel]
            dock.contrasts.keep(dock.work.moving.capture, image.name, dock.controls.contrast.percent())

    def show_contrast(self) -> None:
        """The percentiles that the shown channel has now, in both canvases and in their boxes."""
        dock = self.dock
        if dock.work is not None:
            self.show_channel(dock.overlay.channel)
            dock.views.show_contrast(dock.work.moving.channels[dock.overlay.channel])
            dock.overlay.show_contrast()

    # Compared

    def checkers(self, on: bool) -> None:
        """In squares, or whole."""
        if on:
            self.dock.controls.look.swipe.setChecked(False)
        self.squares()

    def squares(self) -> None:
        """Squares of the side that is asked for."""
        look = self.dock.controls.look
        mask = Checkers(look.side.value()) if look.checkers.isChecked() else self.swipe.line
        guarded(lambda dock: dock.overlay.mask(mask))(self.dock)
        self.dock.blending.reflect()
        self.dock.views.raise_rings()

    def swiped(self, on: bool) -> None:
        """With a line that is dragged, or whole."""
        if on:
            self.dock.controls.look.checkers.setChecked(False)
            self.swipe.begin()
        else:
            self.swipe.end()
            self.edge.remove()
            self.squares()

    def _swiped(self, line: Beyond) -> None:
        if self.dock.work is None:
            return
        self.dock.overlay.mask(line)
        self.dock.blending.reflect()
        self.edge.show(self.swipe.ends(self.dock.work.he.size_um), _LINE, "swipe line")
        self.dock.views.raise_rings()

    # Drawn

    def update(self) -> None:
        """Arrows and grid of the present fit, where they are wanted."""
        look, work = self.dock.controls.look, self.dock.work
        arrows = residual_arrows(work) if work is not None and look.arrows.isChecked() else None
        grid = deformation_grid(work) if work is not None and look.grid.isChecked() else None
        if grid is None:
            self.grid.remove()
        else:
            self.grid.show(grid.vectors, _GRID, f"grid of {grid.scale:g} µm")
        if arrows is None:
            self.arrows.remove()
        else:
            colours = [_OUT if out else _ARROW for out in arrows.out]
            self.arrows.show(arrows.vectors, colours, f"pairs off × {arrows.scale:g}")
        look.say(arrows, grid)
        self.dock.blending.reflect()
        self.dock.views.raise_rings()

    def nuclei(self, on: bool) -> None:
        """The H&E's haematoxylin above it, or the H&E."""
        guarded(lambda dock: dock.looking._nuclei(on))(self.dock)

    def _nuclei(self, on: bool) -> None:
        work, session = self.dock.work, self.dock.session
        self.dock.overlay.lie_beside_nuclei(on)
        layer = session.layer(_NUCLEI)
        if on and work is not None and layer is None:
            layer = self._stained(work)
        if layer is not None:
            layer.visible = on

    def _stained(self, work: Any) -> Any:
        session, mpp = self.dock.session, work.he.require_mpp()
        layers = session.viewer.layers
        active = layers.selection.active
        made = session.viewer.add_image(
            list(haematoxylin_pyramid(work.he).levels),
            name="H&E nuclei (haematoxylin)",
            multiscale=True,
            rgb=False,
            contrast_limits=(0.05, 1.0),
            colormap="green",
            blending="translucent_no_depth",
            scale=(mpp, mpp),
            translate=(mpp / 2, mpp / 2),
            units=("µm", "µm"),
            metadata={KEY: {"role": _NUCLEI, "section": str(session.require().path)}},
        )
        below = session.layer("he")
        layers.move(layers.index(made), 0 if below is None else layers.index(below) + 1)
        if active is not None:
            layers.selection.active = active
        return made

    # With the dock

    def come(self) -> None:
        """The dock is seen: so is what it draws, and the H&E as it was turned here."""
        look = self.dock.controls.look
        self.dock.views.stand_upright(False)
        if self.dock.work is not None:
            self.nuclei(look.nuclei.isChecked())
            self.update()

    def go(self) -> None:
        """The dock is not seen: the window is as the others know it."""
        self.off()
        self.nuclei(False)
        for lines in (self.arrows, self.grid):
            lines.set_visible(False)
        self.dock.views.stand_upright(True)

    def off(self) -> None:
        """The moving image whole."""
        look = self.dock.controls.look
        look.checkers.setChecked(False)
        look.swipe.setChecked(False)

    def forget(self) -> None:
        """Another section: nothing extra is drawn of it yet."""
        self.off()
        look = self.dock.controls.look
        for toggle in (look.nuclei, look.arrows, look.grid):
            toggle.setChecked(False)
