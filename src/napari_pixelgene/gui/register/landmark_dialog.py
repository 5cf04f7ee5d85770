"""Which elements of a SpatialData store are the pairs: asked once its folder is chosen, filled in where it is plain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qtpy.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QFormLayout, QLineEdit, QWidget

from napari_pixelgene.gui.dock import words
from napari_pixelgene.pipeline.landmark_files import StoreElements

_SAYS = (
    "Row i of both elements shows the same spot. Choose an image only where the points were clicked on it and are not "
    "in its pixels yet."
)
_PIXELS = "its own pixels"


@dataclass(frozen=True, slots=True)
class StoreLandmarks:
    """What the dialog gives: two elements, the images they were clicked on ("" for none), and a coordinate system."""

    path: Path
    elements: tuple[str, str]
    images: tuple[str, str] = ("", "")
    system: str = ""

    @classmethod
    def ask(cls, parent: QWidget, path: Path, found: StoreElements) -> StoreLandmarks | None:
        """Ask a person; None when they change their mind."""
        dialog = LandmarkDialog(parent, path, found)
        try:
            return dialog.value() if dialog.exec() else None
        finally:
            dialog.deleteLater()


class LandmarkDialog(QDialog):
    """Two lists of elements, two of images, and a field for what few stores need."""

    def __init__(self, parent: QWidget, path: Path, found: StoreElements) -> None:
        super().__init__(parent)
        self._path = path
        self.setWindowTitle(f"Landmarks of {path.name}")
        form = QFormLayout(self)
        form.addRow(words(_SAYS))
        self.moving, self.fixed = (self._elements(found, usual) for usual in found.usual)
        self.images = [self._images(found) for _ in range(2)]
        self.system = QLineEdit(placeholderText="only where an element lies in several")
        sides = (("The run's points", self.moving), ("The slide's points", self.fixed))
        for (text, combo), image in zip(sides, self.images, strict=True):
            form.addRow(text, combo)
            form.addRow("clicked on", image)
        form.addRow("Coordinate system", self.system)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self.ok = buttons.button(QDialogButtonBox.StandardButton.Ok)
        form.addRow(buttons)
        for combo in (self.moving, self.fixed):
            combo.currentIndexChanged.connect(self._judge)
        self._judge()

    def value(self) -> StoreLandmarks:
        """What is chosen."""
        images = [str(combo.currentData() or "") for combo in self.images]
        elements = self.moving.currentText(), self.fixed.currentText()
        return StoreLandmarks(self._path, elements, (images[0], images[1]), self.system.text().strip())

    def _elements(self, found: StoreElements, usual: str) -> QComboBox:
        combo = QComboBox()
        combo.addItems(found.elements)
        combo.setCurrentIndex(combo.findText(usual))
        return combo

    def _images(self, found: StoreElements) -> QComboBox:
        combo = QComboBox()
        combo.addItem(_PIXELS, "")
        for name in found.images:
            combo.addItem(name, name)
        return combo

    def _judge(self, _: int = 0) -> None:
        chosen = {self.moving.currentText(), self.fixed.currentText()} - {""}
        self.ok.setEnabled(len(chosen) == 2)
        self.ok.setToolTip("" if len(chosen) == 2 else "Choose two elements")
