"""From which percentile to which a channel's grey reaches: two numbers in a row."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QSizePolicy, QWidget

from napari_pixelgene.gui.contrasts import Percent
from napari_pixelgene.gui.dock import row


class ContrastRow(QWidget):
    """`changed` when a person edits one of the two percentiles; `show_percent` fills them."""

    changed = QtSignal()

    def __init__(self) -> None:
        super().__init__()
        tips = "Darker than this share of the pixels is black", "Brighter than this share of the pixels is white"
        self.low, self.high = (_percent(tip) for tip in tips)
        line = row(QLabel("Contrast"), self.low, QLabel("to"), self.high, stretch=False)
        for place in (1, 3):
            line.setStretch(place, 1)
        line.setContentsMargins(0, 0, 0, 0)
        self.setLayout(line)
        for box in (self.low, self.high):
            box.valueChanged.connect(lambda _: self.changed.emit())

    def percent(self) -> Percent:
        """Both, the second above the first."""
        return self.low.value(), max(self.high.value(), self.low.value() + 0.1)

    def show_percent(self, percent: Percent, is_rgb: bool = False) -> None:
        """Those of another channel; an RGB picture has its own colours, and nothing to set."""
        self.setVisible(not is_rgb)
        for box, value in zip((self.low, self.high), percent, strict=True):
            with QSignalBlocker(box):
                box.setValue(value)


def _percent(tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.0, 100.0)
    box.setDecimals(1)
    box.setSingleStep(0.5)
    box.setSuffix(" %")
    box.setKeyboardTracking(False)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setToolTip(tip)
    return box
