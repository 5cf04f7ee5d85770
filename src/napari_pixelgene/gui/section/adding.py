"""Add capture: one more run into the section that is open, by the New dialog without a section to name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFormLayout, QPushButton, QWidget

from napari_pixelgene.errors import InputError
from napari_pixelgene.gui.dock import allow
from napari_pixelgene.gui.section.new import NewDialog
from napari_pixelgene.gui.session import FILES
from napari_pixelgene.pipeline.config import IMAGE
from napari_pixelgene.store.section import SUFFIX

if TYPE_CHECKING:
    from napari_pixelgene.gui.section.dock import SectionDock
    from napari_pixelgene.gui.session import Session

_TIP = "One more run on this slide: a small capture of its block, or a neighbouring section"
_SIZE = "µm per pixel of the capture's own H&E; without an H&E, of its positions where they count pixels."


class AddDialog(NewDialog):
    """The same fields; the H&E is the capture's own, if it has one."""

    he_words = "Its own H&E"
    alone = "choose what it is"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, session.require().path.parent, parent)
        self.setWindowTitle(f"Add a capture to {session.require().name}")
        self.he.setPlaceholderText("if it has one")
        self.mpp.setToolTip(_SIZE)
        self.name.clear()
        self.name.setPlaceholderText("taken from the files")

    def _place_rows(self, form: QFormLayout) -> None:
        form.addRow("Capture name", self.name)

    def _run_changed(self) -> None:
        super()._run_changed()
        run = Path(self.run.text().strip())
        if self._name_is_ours and not self.he.text() and run.name:
            self.name.setText(run.name.split(".")[0])

    def _section(self) -> Path:
        return self.session.require_writable().path

    def _beside(self, section: Path) -> Path:
        name = self.name.text().strip() or "capture"
        return section.with_name(f"{section.name.removesuffix(SUFFIX)}.{name}{SUFFIX}")

    def _more(self) -> dict[str, Any]:
        if self.kind.currentData() == IMAGE:
            raise InputError("The run is not given.", "Choose its folder or file, and what it is.")
        name = self.name.text().strip()
        if name in self.session.require().captures():
            there = ", ".join(self.session.require().captures())
            raise InputError(f"There is a capture '{name}' already.", f"Write another name than {there}.")
        return {"add": True, "name": name}


class AddButton(QPushButton):
    """Opens the dialog; says why not where nothing can be added."""

    def __init__(self, dock: SectionDock) -> None:
        super().__init__("Add capture…")
        self._dock = dock
        self.clicked.connect(self._ask)
        dock.job.ended.connect(self._added)

    def reflect(self) -> None:
        """Whether the open section can take one."""
        allow(self, self._dock.session.why_read_only, _TIP)

    def _ask(self) -> None:
        self._dock.ask_in(AddDialog(self._dock.session, self._dock))

    def _added(self, state: str, follower: Any) -> None:
        """The section that is open has one more capture."""
        session = self._dock.session
        if state == "done" and session.store is not None and session.store.path == Path(follower.job.sections[0]):
            session.reload(FILES)
