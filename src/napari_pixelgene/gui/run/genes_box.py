"""Which genes to learn: the most counted, the most variable, all that were measured, or a list from a file."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QSizePolicy, QSpinBox, QWidget

from napari_pixelgene.gui.dock import button

# A panel up to this size is learned whole unless a person says otherwise; of a whole transcriptome so many are.
_PANEL, _FIRST = 1000, 300


class GenesBox(QWidget):
    """`spec` is what the settings file says (top:300, variable:50, panel, file:PATH)."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.kind = QComboBox()
        self.kind.setAccessibleName("Genes")
        self.kind.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for kind, text in (("panel", "All"), ("top", "Most counted"), ("variable", "Most variable"), ("file", "List…")):
            self.kind.addItem(text, kind)
        self.count = QSpinBox()
        self.count.setRange(1, 100_000)
        self.count.setValue(_FIRST)
        self.file = QLineEdit()
        self.file.setPlaceholderText("text file, one gene a line")
        self.browse = button("…", self._ask_file, "Choose a text file with one gene a line.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.kind, 2)
        layout.addWidget(self.count, 1)
        layout.addWidget(self.file, 2)
        layout.addWidget(self.browse)
        self._by_hand = False
        self.kind.activated.connect(self._chosen)
        self.kind.currentIndexChanged.connect(self._show_parts)
        self.count.valueChanged.connect(lambda _: self.changed.emit())
        self.file.textChanged.connect(lambda _: self.changed.emit())
        self._show_parts()

    @property
    def spec(self) -> str:
        """The choice as the settings spell it."""
        kind = str(self.kind.currentData())
        if kind == "file":
            return f"file:{self.file.text().strip()}"
        return kind if kind == "panel" else f"{kind}:{self.count.value()}"

    def set_spec(self, spec: str) -> None:
        """Show a choice."""
        kind, _, argument = spec.partition(":")
        self.kind.setCurrentIndex(max(0, self.kind.findData("panel" if kind == "all" else kind)))
        if kind == "file":
            self.file.setText(argument)
        elif argument:
            self.count.setValue(int(argument))
        self._by_hand = True

    def show_measured(self, genes: int) -> None:
        """Say how many there are; before a person has chosen, a panel is learned whole."""
        self.kind.setItemText(self.kind.findData("panel"), f"All {genes:,} measured" if genes else "All")
        if genes and not self._by_hand:
            self.kind.setCurrentIndex(self.kind.findData("panel" if genes <= _PANEL else "top"))

    def _chosen(self) -> None:
        self._by_hand = True
        if self.kind.currentData() == "file" and not self.file.text():
            self._ask_file()

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "A list of genes", str(Path.home()), "Text (*.txt *.csv *.tsv)")
        if path:
            self.file.setText(path)

    def _show_parts(self) -> None:
        kind = self.kind.currentData()
        self.count.setVisible(kind in ("top", "variable"))
        self.file.setVisible(kind == "file")
        self.browse.setVisible(kind == "file")
        self.changed.emit()
