"""The Register dock's widgets, top to bottom; what they do is the dock's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QMenu, QPushButton, QSizePolicy, QSlider

from napari_pixelgene.gui.canvas import Canvas
from napari_pixelgene.gui.dock import allow, button, row, words
from napari_pixelgene.gui.faults import FaultBox
from napari_pixelgene.gui.register.capture_box import CaptureBox
from napari_pixelgene.gui.register.contrast import ContrastRow
from napari_pixelgene.gui.register.files import BIGWARP, EXPORTS, IMPORTS, STORE, TEXTS
from napari_pixelgene.gui.register.given_image import GivenImage
from napari_pixelgene.gui.register.help_box import HelpBox
from napari_pixelgene.gui.register.look_box import LookBox, SlideMenu, TurnRow
from napari_pixelgene.gui.register.models import ModelChoice
from napari_pixelgene.gui.register.sections_choice import SectionsChoice
from napari_pixelgene.gui.register.table import PairTable
from napari_pixelgene.gui.register.verdict_box import VerdictBox
from napari_pixelgene.gui.register.wording import half_words, hint, summary

if TYPE_CHECKING:
    from napari_pixelgene.gui.register.dock import RegisterDock
    from napari_pixelgene.gui.register.work import Work

_PICK_ON = "QPushButton:checked { background: #00707f; color: white; font-weight: bold; }"


class Controls:
    """Made once; `dock` answers them."""

    def __init__(self, dock: RegisterDock) -> None:
        self.channel = QComboBox()
        self.channel.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.channel.setMinimumWidth(60)
        self.channel.setToolTip("The image that is laid onto the H&E")
        self.channel.activated.connect(dock.choose)
        self.given, self.captures = GivenImage(dock), CaptureBox(dock)
        self.canvas = Canvas()
        self.slide, self.turns = SlideMenu(dock.looking), TurnRow(dock.looking)
        self.contrast = ContrastRow()
        self.contrast.changed.connect(dock.looking.percent)
        self.look = LookBox(dock.looking)
        self.sections = SectionsChoice(dock)
        self.help, self.verdict = HelpBox(dock.helping), VerdictBox(dock.judging)
        self.pick = QPushButton("Pick")
        self.pick.setCheckable(True)
        self.pick.setStyleSheet(_PICK_ON)
        self.pick.setToolTip("Click the same spot in both images, in any order; drag a ring to correct it (P)")
        self.pick.toggled.connect(dock.set_picking)
        self.undo, self.redo = button("Undo", dock.editor.undo), button("Redo", dock.editor.redo)
        self.delete = button("Delete", dock.editor.delete)
        self.hint = words("", "hint")
        self.table = PairTable()
        self.table.chosen.connect(dock.editor.select)
        self.table.switched.connect(dock.editor.switch)
        self.models = ModelChoice()
        self.models.chosen.connect(dock.editor.choose)
        self.models.mirrored.connect(dock.editor.mirror)
        self.models.limited.connect(dock.editor.limit)
        self.fit_fault = FaultBox()
        self.summary, self.saved = words("", "summary"), words("", "saved")
        self._view(dock)
        self.import_, self._opens = _menu("Import", "Pairs or a matrix from a file; it can be undone")
        self.export, self._saves = _menu("Export", "Pairs or the fit for other programs")
        self.run = button("Run →", dock.to_run, "Save, and go on to training and prediction")
        self._menus(dock)
        self._place(dock)

    def _view(self, dock: RegisterDock) -> None:
        self.blend = QSlider(Qt.Orientation.Horizontal)
        self.blend.setRange(0, 100)
        self.blend.setValue(100)
        self.blend.setToolTip("How strongly the moving image shows on the H&E")
        self.blend.valueChanged.connect(dock.blending.fade)
        self.hide = QPushButton("Hide")
        self.hide.setCheckable(True)
        self.hide.setToolTip("Hide the moving image; Space does so while it is held")
        self.hide.clicked.connect(lambda on: dock.blending.show(not on))
        self.flicker = QPushButton("Flicker")
        self.flicker.setCheckable(True)
        self.flicker.setToolTip("Show and hide the moving image in turns: what does not jump, fits (F)")
        self.flicker.toggled.connect(dock.blending.flicker)
        self.overlay_tips = [(widget, widget.toolTip()) for widget in (self.blend, self.hide, self.flicker)]

    def _menus(self, dock: RegisterDock) -> None:
        opens, saves = self._opens, self._saves
        for text, direction in IMPORTS:
            opens.addAction(_plain(text), partial(dock.transfer.bring, text, direction))
        for text, bring in (
            (TEXTS, dock.transfer.bring_texts),
            (BIGWARP, dock.transfer.bring_bigwarp),
            (STORE, dock.transfer.bring_store),
        ):
            opens.addAction(_plain(text), bring)
        self.exports = [(way, saves.addAction(_plain(way.text), partial(dock.transfer.write, way))) for way in EXPORTS]

    def _place(self, dock: RegisterDock) -> None:
        top = row(self.channel, self.slide, self.help.rough, stretch=False)
        top.setStretch(0, 1)
        blend = row(QLabel("Blend"), self.blend, self.hide, self.flicker, stretch=False)
        body = dock.body
        dock.column.insertWidget(1, dock.helping.busy)  # below the page that scrolls: seen wherever one is
        body.addLayout(top)
        body.addWidget(self.help.ask)
        body.addWidget(self.captures)
        body.addLayout(row(self.given))
        body.addWidget(self.canvas)
        body.addWidget(self.turns)
        body.addWidget(self.contrast)
        body.addLayout(row(self.pick, self.undo, self.redo, self.delete, stretch=False))
        body.addWidget(self.hint)
        for part in (self.table, self.sections, self.help):
            body.addWidget(part)
        for widget in (self.models, self.fit_fault, self.summary):
            body.addWidget(widget)
        body.addLayout(blend)
        body.addWidget(self.look)
        body.addWidget(self.verdict)
        body.addWidget(self.saved)
        body.addLayout(row(self.import_, self.export, self.run, stretch=False))

    def show(self, work: Work) -> None:
        """Everything that follows from the draft and its fit."""
        self.table.show_rows(work.fit.rows, work.pairs.selected, half_words(work.pairs))
        self.models.show_fit(work.draft, work.fit)
        self.models.show_scale(work.draft.choice, work.moving.known_scale)
        if work.fit.error is not None:
            self.fit_fault.tell(work.fit.error)
        else:
            self.fit_fault.clear()
        self.summary.setText(summary(work))
        self.hint.setText(hint(work, self.pick.isChecked()))
        for part in (self.given, self.turns, self.look):
            part.reflect(work)
        self._allow(work)

    def list_channels(self, work: Work, chosen: int, captures: list[str]) -> None:
        """The channels of the work's capture, and the other captures; each entry's data is (capture, channel)."""
        moving = work.moving
        self.captures.know(work, captures)
        self.sections.know(work)
        self.channel.clear()
        for name in captures:
            called = f"{moving.title} · " if len(captures) == 1 else f"{name} · "
            for i, image in enumerate(moving.channels if name == moving.capture else ()):
                self.channel.addItem(f"{called}{image.name or i + 1}", (name, i))
                if i == chosen:
                    self.channel.setCurrentIndex(self.channel.count() - 1)
            if name != moving.capture:
                self.channel.addItem(self.captures.title(name), (name, 0))

    def _allow(self, work: Work) -> None:
        undo, redo = work.history.undoable, work.history.redoable
        allow(self.undo, "" if undo else "There is nothing to undo", f"Undo: {undo} (Ctrl+Z)")
        allow(self.redo, "" if redo else "There is nothing to redo", f"Redo: {redo} (Ctrl+Y)")
        chosen = work.pairs.selected is not None
        allow(self.delete, "" if chosen else "Select a pair first", "Remove the selected pair (Delete)")
        nothing = "" if work.drawn is not None else "There is no fit to draw yet"
        for widget, tip in self.overlay_tips:
            allow(widget, nothing, tip)
        for way, action in self.exports:
            why_not = way.why_not(work.keypoints, work.transform)
            action.setEnabled(not why_not)
            action.setToolTip(why_not)


def _menu(text: str, tip: str) -> tuple[QPushButton, QMenu]:
    made = button(text, lambda: None, tip)
    menu = QMenu(made)
    menu.setToolTipsVisible(True)
    made.setMenu(menu)
    return made, menu


def _plain(text: str) -> str:
    """Qt takes the & of H&E for a key."""
    return text.replace("&", "&&")
