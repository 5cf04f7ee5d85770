"""Predict a folder of slides with one run: folder, run, where the sections go; in the end one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pixelgene import jobs
from napari_pixelgene.gui import workers
from napari_pixelgene.gui.dock import allow, button, row, words
from napari_pixelgene.gui.faults import FaultBox, guarded
from napari_pixelgene.gui.run.queue_table import Result, read_results
from napari_pixelgene.gui.session import Session

if TYPE_CHECKING:
    from napari_pixelgene.pipeline.queueing import Queue

_SHOWN = 8


class QueueBox(QWidget):
    """`started(Job)` is emitted when a queue begins; `show_results` fills the table."""

    started = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.folder, self.out, self.mpp = QLineEdit(), QLineEdit(), QLineEdit()
        self.mpp.setPlaceholderText("as the files say")
        self.run = QComboBox()
        self.run.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.start = button("Predict all", self._start)
        self.fault = FaultBox()
        self.told = words("", "queue-told")
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Slide", "Result", "Tissue (mm²)"])
        numbers, titles = self.table.verticalHeader(), self.table.horizontalHeader()
        assert numbers is not None and titles is not None
        numbers.hide()
        titles.setStretchLastSection(True)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.show_file = button("Open the table", self._open_table, "Open the results in a spreadsheet.")
        self.results: list[Result] = []
        self._file: Path | None = None
        self._task: Any = None
        self._busy = ""
        self._lay_out()
        for line in (self.folder, self.out, self.mpp):
            line.textChanged.connect(lambda _: self._judge())
        self._judge()

    def show_runs(self, names: Sequence[str]) -> None:
        """Offer these runs; the one that was chosen stays so."""
        before = self.run.currentText()
        self.run.clear()
        self.run.addItems(list(names))
        self.run.setCurrentIndex(max(0, self.run.findText(before)))
        self._judge()

    def set_busy(self, why_not: str) -> None:
        """While another run is at work, none is started."""
        self._busy = why_not
        self._judge()

    def show_results(self, file: Path) -> None:
        """Show the table of a queue that has ended, or got as far as it did."""
        self._file, self.results = file, read_results(file)
        self.table.setRowCount(len(self.results))
        for line, each in enumerate(self.results):
            for column, text in enumerate((each.name, each.result, each.area)):
                item = QTableWidgetItem(text)
                item.setToolTip(each.problem or each.section)
                self.table.setItem(line, column, item)
        self.table.resizeColumnsToContents()
        self.table.setFixedHeight(30 + 26 * min(max(len(self.results), 1), _SHOWN))
        failed = sum(bool(each.problem) for each in self.results)
        some = f", {failed} failed: rest the mouse on them to see why" if failed else ""
        self.told.setText(f"{len(self.results) - failed} of {len(self.results)} slides predicted{some}.")
        for widget in (self.told, self.table, self.show_file):
            widget.setVisible(bool(self.results))

    def _judge(self) -> None:
        reasons = (
            self._busy,
            "" if self.run.count() else "This section has no finished run to predict with.",
            "" if self.folder.text().strip() else "Choose a folder of slides.",
            "" if _number(self.mpp.text()) is not False else "µm per pixel is a number, such as 0.25.",
        )
        allow(self.start, next((why for why in reasons if why), ""), "Predict every slide of that folder.")

    @guarded
    def _start(self) -> None:
        """Look through the folder in a thread, then begin."""
        from napari_pixelgene.pipeline.queueing import plan_queue

        folder, source, run = Path(self.folder.text().strip()), self.session.require().path, self.run.currentText()
        out = Path(self.out.text().strip() or folder / "predicted")
        mpp = _number(self.mpp.text()) or None
        allow(self.start, "Looking through the folder…")
        self._task = workers.start(
            self,
            lambda on_event: (run, folder, plan_queue(folder, run, source, out, mpp, on_event=on_event)),
            self._planned,
            self._not_planned,
        )

    def _planned(self, answer: tuple[str, Path, Queue]) -> None:
        run, folder, queue = answer
        self._judge()
        try:
            job = jobs.start(
                f"{run} on {len(queue.slides)} slides of {folder.name}", queue.toml(), queue.sections, "queue"
            )
        except Exception as error:  # noqa: BLE001 - told where it was asked for
            self.fault.tell(error)
        else:
            self.started.emit(job)

    def _not_planned(self, error: BaseException) -> None:
        self._judge()
        self.fault.tell(error)

    def _ask(self, line: QLineEdit, title: str) -> None:
        path = QFileDialog.getExistingDirectory(self, title, line.text())
        if path:
            line.setText(path)

    def _open_table(self) -> None:
        if self._file is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._file)))

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for title, line, asks in (
            ("Slides", self.folder, "A folder of slides"),
            ("Results to", self.out, "A folder for the sections and the table"),
        ):
            browse = button("…", lambda line=line, asks=asks: self._ask(line, asks), asks)
            form.addRow(title, row(line, browse, stretch=False))
        self.out.setPlaceholderText("'predicted' in that folder")
        form.addRow("Run", self.run)
        form.addRow("µm per pixel", self.mpp)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form)
        column.addLayout(row(self.start))
        for widget in (self.fault, self.told, self.table):
            column.addWidget(widget)
        column.addLayout(row(self.show_file))
        for hidden in (self.told, self.table, self.show_file):
            hidden.hide()


def _number(text: str) -> float | bool | None:
    """A positive number, None for nothing, False for anything else."""
    if not text.strip():
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return False
    return value if value > 0 else False
