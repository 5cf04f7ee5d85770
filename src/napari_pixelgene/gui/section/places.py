"""A line for a file or a folder: written, or chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from napari_pixelgene.gui.dock import button


def beside(*widgets: QWidget) -> QHBoxLayout:
    """In one line; what is written in takes the room."""
    line = QHBoxLayout()
    for widget in widgets:
        line.addWidget(widget, 1 if isinstance(widget, QLineEdit) else 0)
    return line


def browse(dialog: QDialog, field: QLineEdit, then: Any, folder: bool = False) -> QPushButton:
    """A button that chooses a file, or a folder, into a field; `then` is called when one was chosen."""

    def choose() -> None:
        start = field.text() or str(Path.home())
        if folder:
            chosen = QFileDialog.getExistingDirectory(dialog, "Choose a folder", start)
        else:
            chosen, _ = QFileDialog.getOpenFileName(dialog, "Choose a file", start)
        if chosen:
            field.setText(chosen)
            then()

    return button("Folder…" if folder else "File…", choose)
