"""The dialog for Pixel2Gene's keypoints: a text file an image, clicked on a level of its pyramid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QLineEdit, QPushButton, QSpinBox, QWidget

from napari_pixelgene.gui.dock import row, words
from napari_pixelgene.gui.register.files import ask_open

_LEVEL = re.compile(r"#(\d{1,2})")
_SAYS = (
    "Line i of both files shows the same spot. The level is that of the pyramid the points were clicked on: "
    "the number behind # in Pixel2Gene's file names."
)


@dataclass(frozen=True, slots=True)
class TextFiles:
    """What the dialog gives."""

    moving: Path
    fixed: Path
    moving_level: int = 0
    fixed_level: int = 0

    @classmethod
    def ask(cls, parent: QWidget, title: str) -> TextFiles | None:
        """Ask a person; None when they change their mind."""
        dialog = _Dialog(parent, title)
        try:
            return dialog.value() if dialog.exec() else None
        finally:
            dialog.deleteLater()


class _Dialog(QDialog):
    def __init__(self, parent: QWidget, title: str) -> None:
        super().__init__(parent)
        self.setWindowTitle(title.rstrip("…"))
        form = QFormLayout(self)
        form.addRow(words(_SAYS))
        self._sides = [self._side(form, name) for name in ("Morphology (Xenium)", "H&E")]
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self._ok = buttons.button(QDialogButtonBox.StandardButton.Ok)
        self._ok.setEnabled(False)
        form.addRow(buttons)

    def value(self) -> TextFiles:
        (moving, moving_level), (fixed, fixed_level) = self._sides
        return TextFiles(Path(moving.text()), Path(fixed.text()), moving_level.value(), fixed_level.value())

    def _side(self, form: QFormLayout, name: str) -> tuple[QLineEdit, QSpinBox]:
        path, level, choose = QLineEdit(), QSpinBox(), QPushButton("…")
        level.setRange(0, 30)
        level.setPrefix("level ")
        path.textChanged.connect(lambda text: self._named(text, level))
        choose.clicked.connect(lambda: path.setText(str(ask_open(self, name) or path.text())))
        form.addRow(name, row(path, choose, level, stretch=False))
        return path, level

    def _named(self, text: str, level: QSpinBox) -> None:
        """A level in the file's name is offered; the person sees it and may set another."""
        found = _LEVEL.search(Path(text).name)
        if found:
            level.setValue(int(found[1]))
        self._ok.setEnabled(all(path.text().strip() for path, _ in self._sides))
