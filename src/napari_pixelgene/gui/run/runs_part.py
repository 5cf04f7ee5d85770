"""The runs of the open section: the list kept up to date, and what its buttons do."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QMessageBox

from napari_pixelgene.gui import workers
from napari_pixelgene.gui.run import history
from napari_pixelgene.gui.run.history import Row
from napari_pixelgene.gui.run.runs_box import RunsBox
from napari_pixelgene.gui.session import MAPS, RUNS, Session


class RunsPart(RunsBox):
    """A `RunsBox` over a session. `repeated(Row)` is emitted when one is to be run again with changes."""

    repeated = Signal(object)
    looked = Signal()  # the list is that of the disk

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._tasks: dict[str, Any] = {}
        self._wanted = ""
        self.opened.connect(self._open)
        self.again.connect(self.repeated)
        self.asked.connect(self._detail)
        self.deleted.connect(self._delete)

    def look(self, select: str = "") -> None:
        """Read the section's runs in a thread; then select that one."""
        self._wanted = select or self._wanted
        store = self.session.store
        if store is None:
            self.show_rows([])
            self.looked.emit()
            return
        self._start("look", lambda on_event: (store.path, history.rows_of(store)), self._looked)

    def show_maps(self, run: str) -> None:
        """Show the maps of a run in the gene browser."""
        from napari_pixelgene.gui.genes.browser import browser_of

        store = self.session.store
        if store is not None and run in store.mapped_runs():
            browser_of(self.session).choose_run(run)

    def _looked(self, answer: tuple[Any, list[Row]]) -> None:
        path, rows = answer
        if self.session.store is not None and self.session.store.path == path:
            self.show_rows(rows)
            self.select(self._wanted)
            self._wanted = ""
            self.looked.emit()

    def _open(self, row: Row) -> None:
        try:
            self.show_maps(row.name)
        except Exception as error:  # noqa: BLE001 - told at the list, where the run was chosen
            self.fault.tell(error)
        else:
            self.session.asked.emit("Genes")

    def _detail(self, row: Row) -> None:
        store = self.session.store
        if store is not None:
            self._start("details", lambda on_event: history.details(row, store), self.show_details)

    def _delete(self, row: Row) -> None:
        if not confirmed(self, row.name):
            return
        try:
            store = self.session.require_writable()
        except Exception as error:  # noqa: BLE001 - told at the list
            self.fault.tell(error)
            return
        self._start("delete", lambda on_event: history.remove(row, store), lambda _: self._deleted())

    def _deleted(self) -> None:
        self.session.reload(RUNS)
        self.session.changed.emit(MAPS)
        self.look()

    def _start(self, name: str, work: Any, done: Any) -> None:
        if (old := self._tasks.get(name)) is not None and name != "delete":
            old.cancel()
        self._tasks[name] = workers.start(self, work, done, self.fault.tell)


def confirmed(parent: RunsBox, run: str) -> bool:
    """Ask before a run is deleted; the safe answer is the default."""
    text = f"Delete the run '{run}' with its model, scores and maps? This cannot be undone."
    buttons = QMessageBox.StandardButton
    answer = QMessageBox.question(parent, "PixelGene", text, buttons.Yes | buttons.No, buttons.No)
    return answer == buttons.Yes
