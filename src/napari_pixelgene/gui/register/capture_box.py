"""Several captures on one slide: how many are registered, all of them seen at once; and a gene to know one by."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCompleter, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_pixelgene.gui import workers
from napari_pixelgene.gui.dock import allow, row, words
from napari_pixelgene.gui.faults import guarded
from napari_pixelgene.gui.layers import morphology_layer
from napari_pixelgene.gui.session import ALIGNMENT, on
from napari_pixelgene.pipeline.showing import drawn_capture
from napari_pixelgene.pipeline.slide import is_placed
from napari_pixelgene.store.captures import read_capture

if TYPE_CHECKING:
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.gui.register.dock import RegisterDock
    from napari_pixelgene.gui.register.work import Work
    from napari_pixelgene.store.section import SectionStore

_ROLE = "morphology"
_ALL_TIP = "Draw every registered capture on the H&E at once"


class CaptureBox(QWidget):
    """Shown only where there is something to say: several captures, or one that is seen by its spots."""

    def __init__(self, dock: RegisterDock) -> None:
        super().__init__()
        self._dock = dock
        self._names: list[str] = []
        self._task: workers.Task | None = None
        self.registered: set[str] = set()
        self.told = words("", "captures-registered")
        self.all = QPushButton("All captures")
        self.all.setCheckable(True)
        self.all.clicked.connect(self.show_all)
        self.gene = QLineEdit(placeholderText="see a gene: ERBB2")
        self.gene.setToolTip("Draw the spots by one gene: write its symbol and press Enter")
        self.gene.returnPressed.connect(self._ask_gene)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(self.told, self.all))
        column.addWidget(self.gene)
        on(dock.session.changed, self._changed, self)

    def know(self, work: Work, names: list[str]) -> None:
        """The captures that are to be registered, and the one that is worked at."""
        self._names = names
        drawn = work.moving.drawn
        self.gene.setVisible(drawn is not None)
        if drawn is not None:
            completer = QCompleter(list(drawn.capture.genes.symbols), self.gene)
            completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
            self.gene.setCompleter(completer)
        self._count()

    def title(self, name: str) -> str:
        """A capture as the list calls it."""
        return f"{name} ✓" if name in self.registered else name

    def show_all(self, on_: bool) -> None:
        """Draw the registered captures that are not drawn yet, or hide all but the one that is worked at."""
        dock = self._dock
        store, shown, work = dock.session.require(), dock.session.shown, dock.work
        assert shown is not None and work is not None
        others = [name for name in self._names if name in self.registered and name != work.moving.capture]
        for name in others:
            for place, layer in enumerate(dock.session.layers(_ROLE, capture=name)):
                layer.visible = on_ and place == 0
        missing = [name for name in others if on_ and not dock.session.layers(_ROLE, capture=name)]
        if missing:
            draw = partial(_drawn, store, missing, shown.he)
            self._task = workers.start(dock, draw, partial(self._add, store), dock.fault.tell)

    def _add(self, store: SectionStore, drawn: list[tuple[str, Image]]) -> None:
        session = self._dock.session
        for name, image in drawn if session.store is store and self.all.isChecked() else ():
            if not session.layers(_ROLE, capture=name):
                layer = session.add(morphology_layer(image, store.path, name))
                layer.name = f"{name}: {layer.name}"
        self._dock.views.raise_rings()

    def _changed(self, what: str) -> None:
        if what == ALIGNMENT and self._dock.work is not None:
            self._count()

    def _count(self) -> None:
        store = self._dock.session.require()
        self.registered = {name for name in self._names if is_placed(read_capture(store, name))}
        self.told.setText(f"{len(self.registered)} of {len(self._names)} registered")
        for widget in (self.told, self.all):
            widget.setVisible(len(self._names) > 1)
        self.setVisible(len(self._names) > 1 or self.gene.isVisibleTo(self))
        allow(self.all, "" if self.registered else "None is registered yet", _ALL_TIP)

    def _ask_gene(self) -> None:
        guarded(lambda dock: dock.controls.captures.see_gene(self.gene.text()))(self._dock)

    def see_gene(self, symbol: str) -> None:
        """One more look of the capture. Raises SettingsError for a gene that was not measured."""
        dock, work = self._dock, self._dock.work
        if work is None or not symbol.strip():
            return
        work.moving = work.moving.with_gene(symbol)
        dock.controls.list_channels(work, len(work.moving.channels) - 1, self._names)
        dock.choose(dock.controls.channel.currentIndex())


def _drawn(store: SectionStore, names: list[str], he: Image, hear: Any) -> list[tuple[str, Image]]:
    found = ((name, drawn_capture(store, name, he, hear)) for name in names)
    return [(name, image) for name, image in found if image is not None]
