"""Whether run and H&E are one section or neighbouring ones, which share no nuclei: what a person says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_pixelgene.gui.dock import allow, row, words
from napari_pixelgene.gui.faults import guarded
from napari_pixelgene.pipeline.neighbours import mark_sections, marked_sections

if TYPE_CHECKING:
    from napari_pixelgene.elements.verdict import Sections
    from napari_pixelgene.gui.register.dock import RegisterDock
    from napari_pixelgene.gui.register.work import Work

CHOICES: tuple[tuple[Sections, str], ...] = (
    ("unknown", "not said"),
    ("same", "the same section"),
    ("serial", "neighbouring sections"),
)
_TIP = (
    "Neighbouring (serial) sections share no nuclei: then nuclei are not matched, and the check judges by pairs and by "
    "the outline of the tissue. It is kept in the section"
)
SERIAL = (
    "Neighbouring sections share no nuclei, so matching says nothing here, and the check goes by pairs and outlines. "
    "Set pairs at glands, vessels and folds."
)
_ASK = "If these are neighbouring sections, say so: they share no nuclei, and matching says nothing there."


class SectionsChoice(QWidget):
    """A list of three, and what follows from it for this run. `mark` is what holds."""

    def __init__(self, dock: RegisterDock) -> None:
        super().__init__()
        self.mark: Sections = "unknown"
        self._dock = dock
        self.combo = QComboBox()
        self.combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for value, text in CHOICES:
            self.combo.addItem(text, value)
        self.combo.activated.connect(self._choose)
        self.says = words("", "sections")
        line = row(QLabel("Run and slide are"), self.combo, stretch=False)
        line.setStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(line)
        column.addWidget(self.says)

    def know(self, work: Work) -> None:
        """What was said of this capture."""
        self.mark = marked_sections(self._dock.session.require(), work.moving.capture)
        self.setVisible(not work.moving.channels[0].name.startswith("density of "))  # spots show no nuclei anyway
        self._show(work)

    def _show(self, work: Work) -> None:
        self.combo.setCurrentIndex(self.combo.findData(self.mark))
        other_slide = self.mark == "unknown" and work.moving.channels[0].is_rgb
        self.says.setText(SERIAL if self.mark == "serial" else _ASK if other_slide else "")
        self.says.setVisible(bool(self.says.text()))
        allow(self.combo, self._dock.session.why_read_only, _TIP)

    def _choose(self, index: int) -> None:
        guarded(lambda dock: dock.controls.sections.say(self.combo.itemData(index)))(self._dock)

    def say(self, mark: Sections) -> None:
        """Keep it in the section; a verdict that was made otherwise is of before."""
        dock, work = self._dock, self._dock.work
        if work is None or mark == self.mark:
            return
        mark_sections(dock.session.require_writable(), work.moving.capture, mark)
        self.mark = mark
        self._show(work)
        dock.helping.reflect()
        dock.judging.marked_anew()
