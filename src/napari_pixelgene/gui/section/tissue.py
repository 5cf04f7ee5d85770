"""Tissue with a brush: paint out pen, folds and necrosis, draw where to train, take a mask from a file.

The mask and the region are labels layers; what is painted is saved a moment after the stroke, and napari's own undo
takes it back. Finding the tissue anew keeps the strokes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QFileDialog, QGroupBox, QMessageBox, QVBoxLayout

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui import workers
from napari_pixelgene.gui.dock import allow, button, row, words
from napari_pixelgene.gui.faults import FaultBox, guarded
from napari_pixelgene.gui.layers import region_layer, tissue_layer
from napari_pixelgene.gui.session import TISSUE, on
from napari_pixelgene.pipeline.preparing import edit_tissue, ensure_tissue
from napari_pixelgene.stages.tissue import TissueSettings
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_region, read_tissue, write_region

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_pixelgene.gui.session import Session

_SAVE_MS = 700
_BRUSH = 12  # superpixels: about 100 µm, a stroke along a fold


class TissueBox(QGroupBox):
    """The tissue part of the Section dock."""

    def __init__(self, session: Session, fault: FaultBox) -> None:
        super().__init__("Tissue")
        self.session, self.fault = session, fault
        self.status = words("", "tissue-status")
        self.find_button = button("Find it", self.find_tissue, "Tells tissue from glass by its stain (Otsu).")
        self.clean = QCheckBox("Without pen, dust and bare stroma")
        self.clean.setToolTip(
            "Find it leaves out what is no use to learn from as well: HistoSweep's quality mask, by colour and texture."
        )
        self.out_button = button("Paint out", self.paint_out, "Brush away pen, folds, necrosis. Ctrl+Z takes it back.")
        self.add_button = button("Paint in", self.paint_in, "Brush tissue back that was missed.")
        self.region_button = button("Train only here", self.paint_region, "Brush where models may learn from.")
        self.load_button = button("Load a mask…", self.load, "An image of any size, white on tissue, over the slide.")
        self.reset_button = button("Take edits back", self.reset, "Back to the mask that was found.")
        column = QVBoxLayout(self)
        column.addWidget(self.status)
        column.addLayout(row(self.find_button, self.load_button))
        column.addWidget(self.clean)
        column.addLayout(row(self.out_button, self.add_button))
        column.addLayout(row(self.region_button, self.reset_button))
        self._task: workers.Task | None = None
        self._saved: dict[str, Any] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SAVE_MS)
        self._timer.timeout.connect(self.save)
        on(session.closing, self._leave, self)

    # States

    def refresh(self) -> None:
        """Show what the section has."""
        store = self.session.store
        if store is None:
            return
        busy = "the tissue is being found" if self._task is not None else ""
        why = busy or self.session.why_read_only
        has = store.find("tissue", "mask") is not None
        without = why or ("" if has else "find the tissue first")
        for each in (self.find_button, self.load_button):
            allow(each, why)
        self.clean.setEnabled(not why)
        for each in (self.out_button, self.add_button, self.region_button):
            allow(each, without)
        edited = store.find("tissue", "edits") is not None or store.find("tissue", "region") is not None
        allow(self.reset_button, without or ("" if edited else "nothing was edited"))
        self.find_button.setText("Find it again" if has else "Find it")
        self.status.setText(busy.capitalize() + "…" if busy else _status(store, has))

    # Finding and loading

    @guarded
    def find_tissue(self) -> None:
        """Find the tissue, in a thread; strokes are kept."""
        store = self.session.require_writable()
        settings = TissueSettings(method="histosweep" if self.clean.isChecked() else "otsu")
        self._run(lambda on_event: ensure_tissue(store, settings, on_event=on_event))

    @guarded
    def load(self) -> None:
        """Take a mask from an image file."""
        chosen, _ = QFileDialog.getOpenFileName(self, "A mask: white on tissue, over the whole slide")
        if chosen:
            self.load_file(Path(chosen))

    def load_file(self, path: Path) -> None:
        """Take this mask."""
        store = self.session.require_writable()
        self._run(lambda on_event: ensure_tissue(store, TissueSettings(), path, on_event))

    def _run(self, work: Any) -> None:
        self.save()
        store = self.session.require()

        def here(does: Callable[[Any], None]) -> Callable[[Any], None]:
            """Only while that section is open: what is found is on disk anyway."""
            return lambda value: does(value) if self.session.store is store else None

        self._task = workers.start(self, work, here(self._found), here(self._failed), here(self.session.hear))
        self.refresh()

    def _leave(self) -> None:
        """The section is about to be closed."""
        self.save()
        self._task = None

    def _found(self, _: Any) -> None:
        self._task = None
        self.show_mask()
        self.session.changed.emit(TISSUE)

    def _failed(self, error: BaseException) -> None:
        self._task = None
        self.fault.tell(error)
        self.refresh()

    @guarded
    def reset(self) -> None:
        """Take all strokes and the region back, after a question."""
        store = self.session.require_writable()
        asked = QMessageBox.question(self, "Take edits back", "Take back everything painted on this section's tissue?")
        if asked != QMessageBox.StandardButton.Yes:
            return
        edit_tissue(store, read_tissue(store, edited=False).mask)
        write_region(store, np.zeros_like(read_tissue(store).mask))
        for role in ("tissue", "region"):
            layer = self.session.layer(role)
            if layer is not None:
                self.session.viewer.layers.remove(layer)
        self._saved.clear()
        self.session.changed.emit(TISSUE)

    # Painting

    @guarded
    def paint_out(self) -> None:
        """The brush takes tissue away."""
        self._brush(self.show_mask(), 0)

    @guarded
    def paint_in(self) -> None:
        """The brush adds tissue."""
        self._brush(self.show_mask(), 1)

    @guarded
    def paint_region(self) -> None:
        """The brush marks where to train."""
        store = self.session.require_writable()
        layer = self.session.layer("region")
        if layer is None:
            drawn = read_region(store)
            empty = np.zeros_like(read_tissue(store).mask)
            layer = self._show(region_layer(empty if drawn is None else drawn, self._side(), store.path), "region")
        self._brush(layer, 1)

    def show_mask(self) -> Labels:
        """The layer of the mask, with what is on disk."""
        store = self.session.require()
        mask = read_tissue(store).mask
        layer = self.session.layer("tissue")
        if layer is None:
            return self._show(tissue_layer(mask, self._side(), store.path), "tissue")
        if not np.array_equal(layer.data, mask):
            layer.data = mask.astype(np.uint8)
        self._saved["tissue"] = mask
        layer.visible = True
        return layer

    def save(self) -> None:
        """Write down what was painted since; the docks hear that later stages are stale now."""
        self._timer.stop()
        store = self.session.store
        if store is None or not store.writable:
            return
        changed = [role for role in ("tissue", "region") if self._differs(role)]
        try:
            for role in changed:
                self._write(store, role)
        except PixelGeneError as error:
            self.fault.tell(error)
            return
        if changed:
            self.session.changed.emit(TISSUE)

    def _write(self, store: SectionStore, role: str) -> None:
        layer = self.session.layer(role)
        assert layer is not None
        drawn = np.asarray(layer.data) > 0
        (edit_tissue if role == "tissue" else write_region)(store, drawn)
        self._saved[role] = drawn

    def _differs(self, role: str) -> bool:
        layer = self.session.layer(role)
        return layer is not None and role in self._saved and not np.array_equal(layer.data > 0, self._saved[role])

    def _show(self, data: Any, role: str) -> Labels:
        layer = self.session.add(data)
        self._saved[role] = np.asarray(layer.data) > 0
        for event in (layer.events.paint, layer.events.set_data, layer.events.data):  # set_data comes with an undo
            event.connect(self._painted)
        return layer

    def _painted(self, *_: Any) -> None:
        """Save a moment after the first sign of a stroke; drawing itself also sends these events."""
        if not self._timer.isActive():
            self._timer.start()

    def _brush(self, layer: Labels, label: int) -> None:
        self.session.require_writable()
        self.session.viewer.layers.selection.active = layer
        for role in ("map", "measured map", "measured"):  # a person paints by what the slide shows
            for cover in self.session.layers(role):
                cover.visible = False
        layer.visible, layer.brush_size = True, _BRUSH
        layer.selected_label = 1
        layer.mode = "paint" if label else "erase"

    def _side(self) -> float:
        return float(self.session.require().meta()["grid"]["superpixel_um"])


def _status(store: SectionStore, has: bool) -> str:
    if not has:
        return "Not found yet; the first run finds it by itself."
    tissue = read_tissue(store)
    region = read_region(store)
    text = f"Covers {tissue.fraction:.0%} of the slide: {tissue.source}."
    if region is None:
        return text
    share = float((region & tissue.mask).sum() / max(1, tissue.mask.sum()))
    return f"{text} Models learn from {share:.0%} of it."
