"""The contrast and colours of a gene as a form: it edits one `Look`."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)
from superqt import QDoubleRangeSlider

from napari_pixelgene.gui.genes.looks import COLORMAPS, Limits, Look

_MODES = ("each gene", "all genes")
_TIPS = (
    "Each gene is spread over its own values, from one percentile to another: good for seeing where a gene is high.",
    "The same limits for every gene: good for comparing how much of two genes there is.",
)


class ContrastBox(QWidget):
    """`value()` and `set_value(look)`; `changed` when a person edits it."""

    changed = QtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.mode = QComboBox()
        self.mode.addItems(_MODES)
        for i, tip in enumerate(_TIPS):
            self.mode.setItemData(i, tip, Qt.ItemDataRole.ToolTipRole)
        self.colours = QComboBox()
        self.colours.addItems(COLORMAPS)
        self.colours.setToolTip("Colours that step evenly and are told apart by the colour-blind.")
        self.slider = QDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setToolTip("From which percentile of the gene's values to which the colours reach.")
        self.says = QLabel()
        self.low, self.high = _number(), _number()
        self.numbers_in = QLabel()
        self.numbers_in.setWordWrap(True)
        self._pages = QStackedWidget()
        self._pages.addWidget(_beside(self.slider, self.says))
        self._pages.addWidget(_beside(QLabel("from"), self.low, QLabel("to"), self.high))
        self._limits: Limits = (0.0, 1.0)
        self._linked = True
        self._lay_out()
        self.set_value(Look())
        self.mode.activated.connect(self._switched)
        self.colours.activated.connect(lambda _: self.changed.emit())
        self.slider.valueChanged.connect(lambda _: self._edited())
        for box in (self.low, self.high):
            box.valueChanged.connect(lambda _: self._edited())

    def value(self) -> Look:
        """The look that the form shows."""
        percent = tuple(float(round(v, 1)) for v in self.slider.value())
        numbers = (self.low.value(), max(self.high.value(), self.low.value() + self.high.singleStep()))
        chosen = numbers if self.mode.currentIndex() == 1 else None
        return Look((percent[0], max(percent[1], percent[0] + 0.1)), chosen, self.colours.currentText(), self._linked)

    def set_value(self, look: Look) -> None:
        """Show a look."""
        with _quiet(self.slider, self.low, self.high, self.mode, self.colours):
            self.slider.setValue(look.percent)
            self.mode.setCurrentIndex(int(look.numbers is not None))
            self._pages.setCurrentIndex(self.mode.currentIndex())
            if look.numbers is not None:
                self._put(look.numbers)
            if self.colours.findText(look.colormap) < 0:  # chosen in napari's own list
                self.colours.addItem(look.colormap)
            self.colours.setCurrentText(look.colormap)
        self._linked = look.linked
        self._describe()

    def show_limits(self, limits: Limits | None, unit: str) -> None:
        """The numbers that the colours reach over now, with their unit."""
        if limits is not None:
            self._limits = limits
            self.numbers_in.setText(f"Colours from {limits[0]:.3g} to {limits[1]:.3g} {unit}")

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(_beside(QLabel("Contrast"), self.mode, self.colours))
        column.addWidget(self._pages)
        column.addWidget(self.numbers_in)

    def _switched(self, mode: int) -> None:
        """From percentiles to the numbers they are just now, so that nothing jumps."""
        if mode == 1:
            with _quiet(self.low, self.high):
                self._put(self._limits)
        self._pages.setCurrentIndex(mode)
        self.changed.emit()

    def _put(self, numbers: Limits) -> None:
        step = max((numbers[1] - numbers[0]) / 20, 0.001)
        for box, value in zip((self.low, self.high), numbers, strict=True):
            if box.value() != round(value, box.decimals()):
                box.setSingleStep(round(step, 3))
                box.setValue(value)

    def _edited(self) -> None:
        self._describe()
        self.changed.emit()

    def _describe(self) -> None:
        low, high = self.slider.value()
        self.says.setText(f"{low:g}–{high:g} %" if high - low >= 1 else f"{low:.1f}–{high:.1f} %")


def with_link(look: Look, linked: bool) -> Look:
    """The same look, with measured following predicted or not."""
    return replace(look, linked=linked)


def _number() -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.0, 1e6)
    box.setDecimals(3)
    box.setKeyboardTracking(False)
    return box


def _beside(*widgets: QWidget) -> QWidget:
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        if isinstance(widget, QComboBox | QDoubleSpinBox):  # they share the width there is, and ask for none
            widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        row.addWidget(widget, 0 if isinstance(widget, QLabel) else 1)
    return holder


class _quiet:
    """Widgets that say nothing while they are filled."""

    def __init__(self, *widgets: QWidget) -> None:
        self._widgets = widgets

    def __enter__(self) -> None:
        self._blockers = [QSignalBlocker(widget) for widget in self._widgets]

    def __exit__(self, *_: object) -> None:
        for blocker in self._blockers:
            blocker.unblock()
