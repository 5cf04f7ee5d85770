"""The verdict at the end of the dock: one line, the map's legend, where to look first, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import ensure_colormap
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_pixelgene.elements.arrays import Array, FloatArray
from napari_pixelgene.elements.verdict import UNKNOWN, UNLIKE, Verdict
from napari_pixelgene.gui.dock import allow, button, row, words
from napari_pixelgene.gui.levels import LOOKS
from napari_pixelgene.gui.register.quality import by_nuclei, line, places, scale_end, swatch
from napari_pixelgene.gui.wording import in_window

if TYPE_CHECKING:
    from napari_pixelgene.gui.register.judging import Judging

_MARK_PX = 26
_OLD = ("#6b6b6b", "white")
_NOTHING_TO_COMPARE = (
    "Fat, glass, fibres: one of the images shows too few nuclei there. Nobody knows how well they fit at such a place; "
    "pairs around it, or the eye, have to tell"
)
_UNLIKE = "Both images show nuclei there, and they do not agree within the distance that was searched"
_NOTHING = "No verdict yet: 'Check' compares nuclei of both images all over the tissue."


class VerdictBox(QWidget):
    """Buttons that ask `judging`; `show_verdict` fills the rest."""

    def __init__(self, judging: Judging) -> None:
        super().__init__()
        self.says, self.reasons = words("", "verdict"), words("", "reasons")
        self.check = button("Check", judging.check)
        self.map = QPushButton("QC map")
        self.map.setCheckable(True)
        self.map.toggled.connect(judging.show_map)
        self.report = button("Report…", judging.report)
        self.legend = Legend()
        self._go = judging.go
        self._places = QWidget()
        self._grid = QGridLayout(self._places)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(0, 1)
        self._whys: list[QLabel] = []
        self.gos: list[QPushButton] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.says, self.reasons, self._places, self.legend):
            column.addWidget(widget)
        column.addLayout(row(self.check, self.map, self.report, stretch=False))

    def show_verdict(self, verdict: Verdict | None, stale: bool) -> None:
        """What was found, or that nothing is known; `stale` where something changed since."""
        said = _NOTHING if verdict is None else line(verdict)
        if verdict is not None and stale:
            said = f"◌ Before the last change: {said}. Check again."
        self.says.setText(said)
        look = None if verdict is None else _OLD if stale else LOOKS[verdict.level]
        self.says.setStyleSheet(
            "" if look is None else f"background: {look[0]}; color: {look[1]}; padding: 3px; border-radius: 3px;"
        )
        self.says.setToolTip("" if verdict is None else in_window(verdict.sentence))
        told = () if verdict is None or stale else verdict.reasons
        self.reasons.setText("\n".join(f"• {in_window(each)}" for each in told))
        self.reasons.setVisible(bool(self.reasons.text()))
        self._list([] if verdict is None or stale else places(verdict))

    def show_legend(self, verdict: Verdict | None) -> None:
        """What the colours of the map mean; None while it is not shown."""
        self.legend.setVisible(verdict is not None)
        if verdict is not None:
            self.legend.show_scale(by_nuclei(verdict.map), scale_end(verdict.map))

    def allow(self, check: str, shown: str, report: str) -> None:
        """Why each of the buttons cannot be pressed; empty when it can."""
        allow(self.check, check, "Compare nuclei of both images all over the tissue. About a second a mm² of tissue")
        allow(self.map, shown, "How far nuclei of both images lie apart, all over the tissue")
        allow(self.report, report, "Write one page on this registration, and open it. Some seconds")

    def _list(self, found: Sequence[tuple[str, str]]) -> None:
        self._places.setVisible(bool(found))
        for i in range(len(self._whys), len(found)):
            self._whys.append(words(""))
            self.gos.append(button("Go there", partial(self._go, i), "Look at this place in both images"))
            self._grid.addWidget(self._whys[i], i, 0)
            self._grid.addWidget(self.gos[i], i, 1)
        for i, (why, go) in enumerate(zip(self._whys, self.gos, strict=True)):
            why.setText(": ".join(found[i]) if i < len(found) else "")
            for widget in (why, go):
                widget.setVisible(i < len(found))


class Legend(QWidget):
    """The map's colours, in µm, and its two marks."""

    def __init__(self) -> None:
        super().__init__()
        self.title, self.end = QLabel(), QLabel()
        bar = np.round(255 * viridis(np.linspace(0, 1, 90))).astype(np.uint8)
        top = row(self.title, _pixmap(np.tile(bar[None], (14, 1, 1))), self.end)
        self.nothing, self.unlike = QLabel("nothing to compare"), QLabel("do not agree")
        self.nothing.setToolTip(_NOTHING_TO_COMPARE)
        self.unlike.setToolTip(_UNLIKE)
        marks = row(_mark(UNKNOWN), self.nothing), row(_mark(UNLIKE), self.unlike)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for each in (top, *marks):
            column.addLayout(each)
        self.hide()

    def show_scale(self, nuclei: bool, end_um: float) -> None:
        """What the colours mean, and where they end."""
        self.title.setText("nuclei apart  0" if nuclei else "pairs leave open  0")
        self.end.setText(f"{end_um:.0f} µm")


def viridis(values: FloatArray) -> FloatArray:
    """Numbers from 0 to 1 as RGBA, told apart by the colour-blind."""
    return np.asarray(ensure_colormap("viridis").map(np.asarray(values, dtype=np.float32)))


def _mark(state: int) -> QLabel:
    """A square of the map, as large as a line of text."""
    shown = _pixmap(swatch(state))
    shown.setPixmap(shown.pixmap().scaledToHeight(_MARK_PX, Qt.TransformationMode.SmoothTransformation))
    return shown


def _pixmap(rgba: Array) -> QLabel:
    whole = np.ascontiguousarray(rgba)
    rows, columns = whole.shape[:2]
    shown = QLabel()
    shown.setPixmap(
        QPixmap.fromImage(QImage(whole.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888).copy())
    )
    shown.setAlignment(Qt.AlignmentFlag.AlignVCenter)
    shown.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    return shown
