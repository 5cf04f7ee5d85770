"""Which model: one row a kind with its errors at pairs and at left-out pairs, auto saying what it chose."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QButtonGroup, QCheckBox, QDoubleSpinBox, QGridLayout, QLabel, QRadioButton, QWidget

from napari_pixelgene.gui.dock import heading, row, words
from napari_pixelgene.gui.register.fitting import Fit
from napari_pixelgene.gui.register.history import Choice, Draft
from napari_pixelgene.gui.register.kinds import LABELS, TIPS, title

_ERRORS = (
    ("at pairs", "How far the model misses the pairs it was made from: root mean square (RMSE), in µm on the H&E"),
    (
        "left out",
        "The error when each pair is left out in turn: how far a model made without it misses it (leave-one-out, "
        "held-out error). Believe this one: it tells what to expect where there is no pair",
    ),
)


class ModelChoice(QWidget):
    """`chosen(kind)`, `mirrored(on)` and `limited(µm)` tell what a person set; `show_fit` fills it."""

    chosen = Signal(str)
    mirrored = Signal(bool)
    limited = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(1)
        grid.addWidget(heading("Model"), 0, 0)
        for column, (text, tip) in enumerate(_ERRORS, start=1):
            head = _number(text)
            head.setToolTip(tip)
            grid.addWidget(head, 0, column)
        self._group = QButtonGroup(self)
        self._rows: dict[Choice, tuple[QRadioButton, QLabel, QLabel]] = {}
        for i, (kind, tip) in enumerate(TIPS.items(), start=1):
            self._add(grid, i, kind, tip)
        grid.setColumnStretch(0, 1)
        self.scale = words("", "scale")
        self.mirror = QCheckBox("The images are mirrored")
        self.mirror.clicked.connect(self.mirrored)
        self.limit = QDoubleSpinBox()
        self.limit.setRange(0.1, 100000.0)
        self.limit.setDecimals(1)
        self.limit.setSuffix(" µm")
        self.limit.setKeyboardTracking(False)
        self.limit.setToolTip("A pair further off than this, where the others agree, is left out")
        self.limit.valueChanged.connect(self.limited)
        last = len(TIPS) + 1
        grid.addWidget(self.scale, last, 0, 1, 3)
        grid.addWidget(self.mirror, last + 1, 0, 1, 3)
        grid.addLayout(row(QLabel("Outlier limit"), self.limit), last + 2, 0, 1, 3)

    def show_fit(self, draft: Draft, fit: Fit) -> None:
        """The draft's choice and every model's errors."""
        for kind, (radio, fitted, held_out) in self._rows.items():
            radio.setChecked(kind == draft.choice)
            found = {str(k): c for k, c in fit.candidates.items()}.get(kind)
            fitted.setText(_um(found.fit_rmse_um) if found else "")
            held_out.setText(_um(found.loo_rmse_um) if found else "")
            radio.setToolTip(TIPS[kind] + (f" – {found.why_not}" if found and found.why_not else ""))
        self._rows["auto"][0].setText(f"auto → {title(fit.recommended)}" if fit.recommended else "auto")
        self._rows["given"][0].setText("rough alignment" if draft.rough is not None else LABELS["given"])
        for kind, cells in self._rows.items():
            for widget in cells[1:] if kind == "auto" else cells if kind == "given" else ():
                widget.setVisible(kind == "given" and draft.given is not None)
        self.mirror.setVisible(draft.mirrored or fit.mirrored)
        self.mirror.setChecked(draft.mirrored)
        self.limit.blockSignals(True)
        self.limit.setValue(draft.limit_um)
        self.limit.blockSignals(False)

    def show_scale(self, choice: Choice, known: str) -> None:
        """Whether the model holds a scale that is `known` from something; empty: it is not."""
        self.scale.setVisible(bool(known))
        if choice in ("translation", "rigid"):
            self.scale.setText(f"The size stays: it is known from {known}")
        else:
            self.scale.setText(f"This model may change the size, though it is known from {known}")

    def radio(self, kind: Choice) -> QRadioButton:
        """The button of a model."""
        return self._rows[kind][0]

    def _add(self, grid: QGridLayout, i: int, kind: Choice, tip: str) -> None:
        radio = QRadioButton(LABELS[kind])
        radio.setToolTip(tip)
        radio.clicked.connect(lambda _=False, kind=kind: self.chosen.emit(kind))
        self._group.addButton(radio)
        cells = (radio, _number("", self), _number("", self))
        if kind == "auto":  # it says in words what it chose
            grid.addWidget(radio, i, 0, 1, 3)
        else:
            for column, cell in enumerate(cells):
                grid.addWidget(cell, i, column)
        self._rows[kind] = cells


def _number(text: str, parent: QWidget | None = None) -> QLabel:
    made = QLabel(text, parent)
    made.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    made.setMinimumWidth(62)
    return made


def _um(value: Any) -> str:
    return f"{value:.{1 if value < 100 else 0}f} µm" if np.isfinite(value) else "–"
