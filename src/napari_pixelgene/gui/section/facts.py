"""What was found, in words, and the list of checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_pixelgene.gui.dock import words
from napari_pixelgene.gui.section.capture_words import capture_words
from napari_pixelgene.pipeline.checking import OFF_TISSUE, RELINK, Check
from napari_pixelgene.pipeline.describing import describe
from napari_pixelgene.pipeline.slide import is_placed
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.references import references, whereabouts

if TYPE_CHECKING:
    from napari_pixelgene.pipeline.showing import ShownSection
    from napari_pixelgene.store.section import SectionStore

# A sign and a colour that reads on both themes, so that neither is needed alone.
_SIGNS = {"good": ("✓", "#2e9e5b"), "note": ("·", "#8a8a8a"), "warning": ("!", "#e08a00"), "missing": ("✗", "#d64545")}
_SHOW = {OFF_TISSUE: "show them", RELINK: "relink…"}


def slide_facts(store: SectionStore, shown: ShownSection | None) -> str:
    """The H&E: file, pixels, µm, levels."""
    mpp = float(store.meta()["mpp"])
    name = whereabouts(references(store)["he"], store.path).name
    if shown is None:
        return f"{name}\n{mpp:.4g} µm/px"
    rows, columns = shown.he.yx_shape
    size = f"{columns * mpp / 1000:.1f} × {rows * mpp / 1000:.1f} mm"
    levels = len(shown.he.levels)
    return f"{name}\n{columns:,} × {rows:,} px · {mpp:.4g} µm/px\n{size} · {levels} level{'s' if levels > 1 else ''}"


def capture_facts(store: SectionStore) -> str:
    """Every capture on a line of its own."""
    lines = [capture_words(read_capture(store, name)) for name in store.captures()]
    return "\n".join(lines) or "Nothing was measured on this slide."


def next_step(store: SectionStore) -> tuple[str, str]:
    """The dock to go to next, and what the button says."""
    captures = [read_capture(store, name) for name in store.captures()]
    if any(not is_placed(capture) for capture in captures):
        return "Register", "Register →"
    if store.mapped_runs():
        return "Genes", "Genes →"
    return "Run", "Run →"


def stale_words(store: SectionStore) -> list[str]:
    """What no longer holds, one line each."""
    return [f"{key}: {why}" for key, why in describe(store)["stale"].items()]


class CheckList(QWidget):
    """Findings, one a row, each with its sign, and a button where something can be shown of it."""

    def __init__(self, show: Callable[[Check], None]) -> None:
        super().__init__()
        self._show = show
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(1, 1)
        self.texts: list[str] = []

    def show_all(self, findings: list[Check]) -> None:
        """Show these in the stead of those before."""
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()  # it goes in a later turn only
                widget.deleteLater()
        self.texts = [f"{_SIGNS[check.level][0]} {check.text}" for check in findings]
        for line, check in enumerate(findings):
            sign, colour = _SIGNS[check.level]
            mark = QLabel(sign)
            mark.setStyleSheet(f"color: {colour}; font-weight: bold;")
            self._grid.addWidget(mark, line, 0)
            self._grid.addWidget(words(check.text), line, 1)
            if check.show:
                more = QPushButton(_SHOW[check.show])
                more.setFlat(True)
                more.clicked.connect(lambda _=False, check=check: self._show(check))
                self._grid.addWidget(more, line, 2)
