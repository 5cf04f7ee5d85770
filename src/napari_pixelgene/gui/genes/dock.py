"""The Genes dock: a list of genes, the one map layer, and what can be believed of it."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from qtpy.QtWidgets import QCheckBox, QComboBox

from napari_pixelgene.gui.distrust import DistrustBox
from napari_pixelgene.gui.dock import BROKEN, Dock, allow, button, heading, row, words
from napari_pixelgene.gui.genes.browser import Browser, browser_of
from napari_pixelgene.gui.genes.contrast import ContrastBox, with_link
from napari_pixelgene.gui.genes.hover import Hover
from napari_pixelgene.gui.genes.opening import READING, Beside, open_beside
from napari_pixelgene.gui.genes.pins import PinList
from napari_pixelgene.gui.genes.rows import GeneRows
from napari_pixelgene.gui.genes.sayings import SMOOTHER, at_cursor
from napari_pixelgene.gui.genes.search import SearchBox
from napari_pixelgene.gui.genes.table import GeneTableView
from napari_pixelgene.gui.session import VERDICT, on
from napari_pixelgene.gui.workers import Task, start

_LINKED = "The same number has the same colour in both: change the contrast of one, and the other follows."
_NOTHING_OPEN = "No section is open. Open one, and its gene maps are listed here."
_NO_MAPS = "This section has no predicted maps yet. Train a model, or predict with one you have, and they appear here."


class GenesDock(Dock):
    """Search, walk, pin and compare genes; it edits what the session's `Browser` shows."""

    title: ClassVar[str] = "Genes"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.browser: Browser = browser_of(self.session)
        self.beside = READING
        self._task: Task | None = None
        self._make_widgets()
        self._lay_out()
        self._connect()
        self._renewed()

    def _make_widgets(self) -> None:
        self.search = SearchBox()
        self.runs = QComboBox()
        self.runs.setToolTip("Whose maps are shown.")
        self.predicted, self.measured = QCheckBox("&predicted"), QCheckBox("&measured")
        self.predicted.setToolTip("Show what the model expects in each square.")
        self.linked = QCheckBox("&same colours for both")
        self.table, self.pins, self.contrast = GeneTableView(), PinList(), ContrastBox()
        self.pinned_heading = heading("Pinned")
        self.sentence, self.here = words("", "about-gene"), words("", "at-cursor")
        self.empty, self.next = words(_NOTHING_OPEN, "empty"), button("Section →", self._next)
        self.hover, self.distrust = Hover(self.browser, self), DistrustBox(self.session)

    def _lay_out(self) -> None:
        self.empty_body.addWidget(self.empty)
        self.empty_body.addLayout(row(self.next))
        for part in (self.runs, self.distrust, self.search, self.table, self.sentence, self.pinned_heading, self.pins):
            self.body.addWidget(part)
        self.body.setStretchFactor(self.table, 1)
        self.body.addLayout(row(self.predicted, self.measured))
        self.body.addWidget(self.linked)
        self.body.addWidget(self.contrast)
        self.body.addWidget(self.here)
        help_line = words(SMOOTHER, "smoother")
        help_line.setStyleSheet("font-style: italic;")
        self.body.addWidget(help_line)
        page = self.body.parent()
        if page is not None:
            page.setStretch(0, 1)  # type: ignore[attr-defined]  # the table takes the room that is left

    def _connect(self) -> None:
        on(self.browser.renewed, self._renewed, self)
        on(self.browser.changed, self._reflect, self)
        on(self.browser.pinned, self._show_pins, self)
        self.search.textChanged.connect(self.table.genes.find)
        self.search.entered.connect(self._take_first)
        self.search.left_down.connect(self.table.setFocus)
        self.table.walked.connect(self._show)
        self.table.starred.connect(self._star)
        self.pins.picked.connect(self._jump)
        self.pins.dropped.connect(lambda gene: self.browser.pin(gene, False))
        self.runs.activated.connect(lambda _: self._safely(self.browser.choose_run, self.runs.currentText()))
        self.predicted.clicked.connect(lambda on: self._safely(self.browser.show_predicted, on))
        self.measured.clicked.connect(lambda on: self._safely(self.browser.show_measured, on))
        self.linked.clicked.connect(lambda _: self._restyle())
        self.contrast.changed.connect(self._restyle)
        self.hover.said.connect(self.here.setText)
        self.destroyed.connect(partial(Hover.leave, self.hover))

    # What a person does

    def _show(self, gene: str) -> None:
        self._safely(self.browser.show, gene)

    def _take_first(self) -> None:
        if len(self.table.genes.order):
            self._show(self.table.genes.gene(0))

    def _jump(self, gene: str) -> None:
        """To a pinned gene, even where the search hides its row."""
        if self.table.genes.row_of(gene) < 0:
            self.search.clear()
        self._show(gene)

    def _star(self, gene: str) -> None:
        self.browser.pin(gene, gene not in self.browser.pins)

    def _restyle(self) -> None:
        self._safely(self.browser.set_look, with_link(self.contrast.value(), self.linked.isChecked()))

    def _next(self) -> None:
        self.session.asked.emit("Section" if self.session.store is None else "Run")

    def _safely(self, act: Any, *given: Any) -> None:
        """What goes wrong is told below; the dock goes on."""
        self.fault.clear()
        try:
            act(*given)
        except Exception as error:  # noqa: BLE001 - a person gets a sentence
            self.fault.tell(error)

    # What is shown

    def refresh(self) -> None:
        """The browser hears of another section first, and tells; only a broken page is looked at again."""
        if self.state == BROKEN:
            self._renewed()

    def _changed(self, what: str) -> None:
        """The browser hears of it first, and tells; a verdict changes no map, but what may be said of it."""
        if what == VERDICT:
            self.distrust.look(self.session.store)

    def _renewed(self) -> None:
        """Other maps, or none."""
        if self._task is not None:
            self._task.cancel()
        maps, store = self.browser.maps, self.session.store
        self.beside = READING
        self.fault.clear()
        self.distrust.look(store if maps is not None else None)
        if maps is None or store is None or not self.browser.gene:
            self.table.genes.take(None)
            self.empty.setText(_NOTHING_OPEN if store is None else _NO_MAPS)
            self.next.setText("Section →" if store is None else "Run →")
            self.show_empty()
            return
        self.search.clear()
        self._show_rows()
        self._show_runs()
        self.here.setText(at_cursor(self.browser.gene, "", None))
        self._show_pins()
        self._reflect()
        self.show_full()
        self._task = start(self, lambda on_event: open_beside(store, maps, on_event), self._take_beside, self._failed)

    def _take_beside(self, beside: Beside) -> None:
        """Scores and measured maps have been read."""
        self.beside = beside
        self._show_rows()
        self.browser.take_measured(beside.measured)

    def _failed(self, error: BaseException) -> None:
        self.beside = Beside(why_not_measured=str(error))
        self.fault.tell(error)
        self._reflect()

    def _show_rows(self) -> None:
        assert self.browser.maps is not None
        rows = GeneRows(self.browser.maps.genes, self.beside.scores)
        if self.beside.measured is not None:
            rows.fill_totals(self.beside.measured.genes, self.beside.measured.totals)
        self.table.genes.take(rows)
        self.table.show_sorting()
        self.table.mark(self.browser.gene)

    def _show_runs(self) -> None:
        assert self.browser.maps is not None
        names = self.session.require().mapped_runs()
        self.runs.clear()
        self.runs.addItems(names)
        self.runs.setCurrentText(self.browser.maps.run)
        self.runs.setVisible(len(names) > 1)

    def _show_pins(self) -> None:
        maps = self.browser.maps
        pins = [gene for gene in self.browser.pins if maps is not None and gene in maps.genes]
        self.pins.set_pins(pins, self.browser.gene)
        self.pinned_heading.setVisible(bool(pins))
        self.table.genes.set_pins(frozenset(pins))

    def _reflect(self) -> None:
        """Bring every widget in line with what is shown."""
        browser = self.browser
        if browser.maps is None or not browser.gene:
            return
        if self.table.marked != browser.gene:
            self.table.mark(browser.gene)
            self.here.setText(at_cursor(browser.gene, "", None))
        predicted, measured = browser.shown()
        self.predicted.setChecked(predicted)
        self.measured.setChecked(measured)
        self.linked.setChecked(browser.look.linked)
        allow(self.measured, self._why_not_measured(), "Show what was counted, over the map.")
        allow(self.linked, "" if measured and predicted else "Show both maps first.", _LINKED)
        self.contrast.set_value(browser.look)
        self.contrast.show_limits(browser.limits(), browser.maps.unit)
        self.sentence.setText(self.beside.about(browser.gene))
        self._show_pins()
        self.hover.forget()

    def _why_not_measured(self) -> str:
        if self.browser.measured is None:
            return self.beside.why_not_measured
        return "" if self.browser.measures() else f"{self.browser.gene} was not measured in this section."
