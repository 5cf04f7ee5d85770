"""The rows of the dock that change only how things are looked at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
    QWidgetAction,
)

from napari_pixelgene.gui.dock import allow, row, words

if TYPE_CHECKING:
    from napari_pixelgene.gui.register.figures import Segments
    from napari_pixelgene.gui.register.looking import Looking
    from napari_pixelgene.gui.register.turning import Turn
    from napari_pixelgene.gui.register.work import Work

_NO_FIT = "There is no fit to draw yet"


class TurnRow(QWidget):
    """Turns the moving image; coordinates stay as they are."""

    def __init__(self, looking: Looking) -> None:
        super().__init__()
        self.left = _tool("↺", partial(looking.turn, "moving", -90.0), "Turn this view to the left by 90° (Shift+R)")
        self.right = _tool("↻", partial(looking.turn, "moving", 90.0), "Turn this view to the right by 90° (R)")
        self.mirror = _tool(
            "Flip",
            partial(looking.flip, "moving"),
            "Turn this view over, left to right (M); the pairs stay as they are",
        )
        self.match = _tool("Match", looking.match, "Turn and mirror this view so that it looks like the H&E (T)")
        self.angle = _angle("By how much this view is turned to the right. Clicks, pairs and files do not change.")
        self.angle.valueChanged.connect(partial(looking.turn_to, "moving"))
        line = row(self.left, self.right, self.mirror, self.match, self.angle, stretch=False)
        line.setStretch(4, 1)
        line.setContentsMargins(0, 0, 0, 0)
        self.setLayout(line)

    def show_turn(self, turn: Turn) -> None:
        """The angle that is seen."""
        with QSignalBlocker(self.angle):
            self.angle.setValue(turn.angle_deg)
        self.mirror.setStyleSheet("font-weight: bold" if turn.mirrored else "")

    def reflect(self, work: Work) -> None:
        """Match needs something that leads from one to the other."""
        leads = work.fit.follow is not None or work.drawn is not None
        allow(self.match, "" if leads else "Set two pairs first: they tell how the images lie to one another")


class SlideMenu(QPushButton):
    """ "onto H&E", and how the H&E is seen."""

    def __init__(self, looking: Looking) -> None:
        super().__init__("onto H&&E")
        self._looking = looking
        self.setToolTip("Turn or mirror the H&E to look at it; nothing of it changes, and other docks see it upright")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        menu = QMenu(self)
        for text, does in (
            ("Turn the H&E left", partial(looking.turn, "fixed", -90.0)),
            ("Turn the H&E right", partial(looking.turn, "fixed", 90.0)),
            ("Flip the H&E", partial(looking.flip, "fixed")),
            ("H&E as in the file", partial(looking.upright, "fixed")),
        ):
            menu.addAction(text.replace("&", "&&")).triggered.connect(partial(_without_checked, does))
        self.angle = _angle("By how much the H&E is turned to the right, by any angle (E, Shift+E by 15°)")
        self.angle.valueChanged.connect(partial(looking.turn_to, "fixed"))
        inside = QWidget()
        inside.setLayout(row(QLabel("Turned by"), self.angle, stretch=False))
        entry = QWidgetAction(menu)
        entry.setDefaultWidget(inside)
        menu.addAction(entry)
        self.setMenu(menu)

    def turn(self, degrees: float) -> None:
        """Further, by a key."""
        self._looking.turn("fixed", degrees)

    def show_turn(self, turn: Turn) -> None:
        """The angle that is seen."""
        with QSignalBlocker(self.angle):
            self.angle.setValue(turn.angle_deg)
        seen = [f"{turn.angle_deg:g}°"] if turn.angle_deg else []
        self.setText(" ".join(["onto H&&E", *seen, *(["⇋"] if turn.mirrored else [])]))


class LookBox(QWidget):
    """Squares, line, nuclei, arrows, grid: all off at first."""

    def __init__(self, looking: Looking) -> None:
        super().__init__()
        self.checkers = _toggle("Checkers", looking.checkers, "The moving image in every other square (C)")
        self.side = QDoubleSpinBox()
        self.side.setRange(5.0, 100_000.0)
        self.side.setDecimals(0)
        self.side.setSingleStep(50)
        self.side.setValue(200)
        self.side.setSuffix(" µm")
        self.side.setKeyboardTracking(False)
        self.side.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.side.setToolTip("How wide a square is")
        self.side.valueChanged.connect(lambda _: looking.squares())
        swipe = "The moving image on one side of a line; drag it, or press Shift with an arrow key (S)"
        self.swipe = _toggle("Swipe", looking.swiped, swipe)
        nuclei = "The H&E's nuclei, by their blue stain (haematoxylin), in green beside the run (X)"
        self.nuclei = _toggle("Nuclei only", looking.nuclei, nuclei)
        self.arrows = _toggle("Arrows", lambda _: looking.update(), "From each pair to where the fit puts it (A)")
        self.grid = _toggle("Grid", lambda _: looking.update(), "An even grid, as the fit bends it (G)")
        self._tips = [(w, w.toolTip()) for w in (self.checkers, self.swipe, self.arrows, self.grid)]
        self._says = words("", "drawn")
        self._says.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        first = row(self.checkers, self.side, self.swipe, stretch=False)
        first.setStretch(1, 1)
        column.addLayout(first)
        column.addLayout(row(self.nuclei, self.arrows, self.grid, stretch=False))
        column.addWidget(self._says)

    def reflect(self, work: Work) -> None:
        """What can be seen of this work."""
        drawn = self.checkers, self.swipe  # they need something to be seen, not to be kept
        for widget, tip in self._tips:
            there = work.drawn if widget in drawn else work.transform
            allow(widget, "" if there is not None else _NO_FIT, tip)
        allow(self.nuclei, "" if work.he.is_rgb else "This slide has one channel: there are no stains to part")

    def say(self, arrows: Segments | None, grid: Segments | None) -> None:
        """How long arrows are, and how wide squares."""
        lines = []
        if arrows is not None:
            lines.append("Arrows are as long as pairs are off." if arrows.scale == 1 else
                         f"Arrows are {arrows.scale:g} times as long as pairs are off.")  # fmt: skip
        if grid is not None:
            lines.append(f"Squares of the grid are {grid.scale:g} µm wide in the moving image.")
        self._says.setText(" ".join(lines))
        self._says.setVisible(bool(lines))


def _angle(tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(-180.0, 180.0)
    box.setWrapping(True)
    box.setDecimals(1)
    box.setSuffix("°")
    box.setKeyboardTracking(False)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setMinimumWidth(70)
    box.setToolTip(tip)
    return box


def _toggle(text: str, does: Callable[[bool], Any], tip: str) -> QPushButton:
    made = QPushButton(text)
    made.setCheckable(True)
    made.setToolTip(tip)
    made.toggled.connect(does)
    return made


def _tool(text: str, does: Callable[[], Any], tip: str) -> QPushButton:
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(partial(_without_checked, does))
    made.setMinimumWidth(30)
    return made


def _without_checked(does: Callable[[], Any], _: bool = False) -> None:
    does()
