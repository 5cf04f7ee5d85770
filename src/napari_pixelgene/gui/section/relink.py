"""Files that moved: one dialog for all of them. What is chosen is verified by its hash before it is believed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDialog, QFileDialog, QVBoxLayout, QWidget

from napari_pixelgene.gui.dock import button, row, words
from napari_pixelgene.gui.faults import FaultBox, guarded
from napari_pixelgene.pipeline.describing import files
from napari_pixelgene.pipeline.relinking import relink_files

if TYPE_CHECKING:
    from napari_pixelgene.store.section import SectionStore


class RelinkDialog(QDialog):
    """Lists the files that are gone or changed, and asks for the folder (or one file) where they are now."""

    relinked = Signal()

    def __init__(self, store: SectionStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Where are the files now?")
        self.store = store
        self.fault = FaultBox()
        self.listed = words("")
        column = QVBoxLayout(self)
        column.addWidget(words(f"{store.path.name} refers to files that are not where they were:"))
        column.addWidget(self.listed)
        column.addWidget(words("Choose the folder that holds them (or one above it), or a single file. Files with "
                               "other content are refused."))  # fmt: skip
        column.addLayout(
            row(button("Choose a folder…", self.choose_folder), button("Choose a file…", self.choose_file),
                button("Close", self.reject))
        )  # fmt: skip
        column.addWidget(self.fault)
        self.resize(480, 240)
        self._list()

    @guarded
    def choose_folder(self) -> None:
        """Look for all of them below a folder."""
        chosen = QFileDialog.getExistingDirectory(self, "The folder that holds the files")
        if chosen:
            self._take(Path(chosen))

    @guarded
    def choose_file(self) -> None:
        """Take one file by hand."""
        chosen, _ = QFileDialog.getOpenFileName(self, "The file")
        if chosen:
            self._take(Path(chosen))

    def take(self, place: Path) -> None:
        """Relink to a folder or file; what is wrong is told in the dialog."""
        self.fault.clear()
        try:
            self._take(place)
        except ValueError as error:  # PixelGeneError is one
            self.fault.tell(error)

    def _take(self, place: Path) -> None:
        relink_files(self.store, place, self._only() if place.is_file() else None)
        self._list()
        self.relinked.emit()
        if not self._lost():
            self.accept()

    def _lost(self) -> list[dict[str, str]]:
        return [each for each in files(self.store) if each["state"] != "there"]

    def _only(self) -> str | None:
        """The one reference that is lost: then a file of any name may be it."""
        lost = self._lost()
        return lost[0]["key"] if len(lost) == 1 else None

    def _list(self) -> None:
        lines = [f"• {Path(each['path']).name}  ({each['state']}: {each['path']})" for each in self._lost()]
        self.listed.setText("\n".join(lines) or "All files are there.")
