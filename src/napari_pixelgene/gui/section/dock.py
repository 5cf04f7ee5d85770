"""The Section dock: open or make a section, see what was found and whether it belongs together, mend the tissue."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from platformdirs import user_cache_path
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QCheckBox, QFileDialog, QLabel, QMenu, QPushButton, QVBoxLayout

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui.dock import Dock, allow, button, heading, row, words
from napari_pixelgene.gui.dropping import is_section, local_paths
from napari_pixelgene.gui.faults import guarded
from napari_pixelgene.gui.following import JobBar
from napari_pixelgene.gui.recent import recent
from napari_pixelgene.gui.section.adding import AddButton
from napari_pixelgene.gui.section.facts import CheckList, capture_facts, next_step, slide_facts
from napari_pixelgene.gui.section.making import SampleProgress
from napari_pixelgene.gui.section.new import NewDialog
from napari_pixelgene.gui.section.off_tissue import show_off_tissue
from napari_pixelgene.gui.section.relink import RelinkDialog
from napari_pixelgene.gui.section.tissue import TissueBox
from napari_pixelgene.gui.session import FILES, on
from napari_pixelgene.pipeline.checking import RELINK, Check, checks
from napari_pixelgene.pipeline.describing import files
from napari_pixelgene.store.section import SectionStore

WELCOME = (
    "PixelGene predicts where genes are expressed, at 8 µm, from an H&E slide and a spatial-transcriptomics run.",
    "You open both, click matching points until they lie on one another, and start a run; it trains and predicts in "
    "the background.",
    "Then you walk through the genes, each with an honest score on tissue the model has not seen.",
)
# What can be shown or hidden with one click: role, words.
_SHOWN = (("he", "H&&E"), ("morphology", "run's image"), ("measured", "where measured"), ("map", "gene map"))


class SectionDock(Dock):
    """See the module."""

    title: ClassVar[str] = "Section"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.new_dialog: NewDialog | None = None
        self._filled: NewDialog | None = None  # what the running import was asked for in
        self.job = JobBar()
        self.job.ended.connect(self._imported)
        self.job.noted.connect(self.notes.hear)
        self.column.insertWidget(0, self.job)
        self._fill_empty()
        self._fill_body()
        on(self.session.noted, self.notes.hear, self)
        for event in ("inserted", "removed"):
            getattr(self.session.viewer.layers.events, event).connect(self._layers_changed)
        self.setAcceptDrops(True)
        self.refresh()

    # Pages

    def _fill_empty(self) -> None:
        for sentence in WELCOME:
            self.empty_body.addWidget(words(sentence))
        self.sample_button = button("Try the &sample", self.open_sample, "A simulated slide; made once, in a minute.")
        self.new_button = button("Open my &data…", self.new, "An H&E and a run of yours.")
        for each in (self.sample_button, self.new_button):
            self.empty_body.addWidget(each)
        self.open_button = button("Open a &section…", self.choose, "A NAME.section.zarr made before.")
        self.empty_body.addLayout(row(self.open_button))
        self.recent_list = QVBoxLayout()
        self.empty_body.addLayout(self.recent_list)

    def _fill_body(self) -> None:
        self.name = QLabel()
        self.name.setStyleSheet("font-weight: bold;")
        self.name.setWordWrap(True)
        self.recent_button = QPushButton("Recent")
        self.recent_menu = QMenu(self.recent_button)
        self.recent_button.setMenu(self.recent_menu)
        self.body.addLayout(
            row(button("New…", self.new), button("Open…", self.choose), button("Sample", self.open_sample),
                self.recent_button)
        )  # fmt: skip
        self.body.addWidget(self.name)
        self.slide = words("", "slide-facts")
        self.captures = words("", "capture-facts")
        for title, label in (("H&E", self.slide), ("Run", self.captures)):
            self.body.addWidget(heading(title))
            self.body.addWidget(label)
        self.add_button = AddButton(self)
        self.body.addLayout(row(self.add_button))
        self.body.addWidget(heading("Checks"))
        self.checks = CheckList(self.show_check)
        self.body.addWidget(self.checks)
        self.body.addWidget(heading("Show"))
        self.toggles = {role: QCheckBox(text) for role, text in _SHOWN}
        for role, box in self.toggles.items():
            box.clicked.connect(lambda checked, role=role: self._toggle(role, checked))
        boxes = list(self.toggles.values())
        self.body.addLayout(row(*boxes[:2]))
        self.body.addLayout(row(*boxes[2:]))
        self.tissue = TissueBox(self.session, self.fault)
        self.body.addWidget(self.tissue)
        self.next = button("", self._go_on)
        self.body.addLayout(row(self.next))

    # What buttons do

    @guarded
    def open_sample(self) -> None:
        """The simulated section; made first where it is not there yet."""
        from napari_pixelgene.gui.sample import make_once, sample_path

        path = sample_path()
        if not path.exists():
            making = SampleProgress(self)
            try:
                make_once(path, heard=making.hear)
            finally:
                self.refresh()
        self._open(path)

    @guarded
    def choose(self) -> None:
        """Open a section by its folder."""
        chosen = QFileDialog.getExistingDirectory(self, "Open a section (NAME.section.zarr)", str(self._folder()))
        if chosen:
            self._open(Path(chosen))

    @guarded
    def new(self) -> None:
        """Ask for an H&E and a run, and make a section of them."""
        self.ask_in(NewDialog(self.session, self._folder(), self))

    def ask_in(self, dialog: NewDialog) -> None:
        """Show a dialog whose import is followed here."""
        self.new_dialog = dialog
        dialog.started.connect(self._import_started)
        dialog.open()

    def open_path(self, path: Path, *_: Any) -> None:
        """Open a section; what goes wrong is told in the dock."""
        self.fault.clear()
        try:
            self._open(path)
        except PixelGeneError as error:
            self.fault.tell(error)

    def offer(self, path: Path) -> None:
        """Put a run or a slide into the New dialog, opened where it is not."""
        if self.new_dialog is None or not self.new_dialog.isVisible():
            self.new()
        if self.new_dialog is not None:
            self.new_dialog.offer(path)

    def show_check(self, check: Check) -> None:
        """Answer a finding's "show them"."""
        if check.show == RELINK:
            dialog = RelinkDialog(self.session.require(), self)
            dialog.relinked.connect(lambda: self.session.reload(FILES))
            dialog.open()
        elif check.show:
            show_off_tissue(self.session)

    def _open(self, path: Path) -> None:
        self.show_loading(f"{path.name} is opened…")
        QApplication.processEvents()
        try:
            self.session.open(path)
        except PixelGeneError:
            if not self._relink_first(path):
                raise
        finally:
            self.refresh()

    def _relink_first(self, path: Path) -> bool:
        """Ask where the files of a section are that cannot be opened without them; whether they are what is missing."""
        lost = [each for each in files(SectionStore.open(path, writable=False)) if each["state"] != "there"]
        if not lost:
            return False
        try:
            dialog = RelinkDialog(SectionStore.open(path), self)
        except PixelGeneError:  # it cannot be written: what could not be opened is said
            return False
        dialog.accepted.connect(partial(self.open_path, path))
        dialog.open()
        return True

    def _go_on(self) -> None:
        self.session.asked.emit(next_step(self.session.require())[0])

    # An import is a job

    def _import_started(self, job: Any) -> None:
        self.fault.clear()
        self._filled = self.new_dialog
        self.job.follow(job)

    def _imported(self, state: str, follower: Any) -> None:
        if state == "done":
            self.open_path(Path(follower.job.sections[0]))
            self.notes.hear(*self.job.said)  # they are about the section that was just opened
        elif state == "cancelled":
            self.notes.add("The import was stopped. Choose the same files again to continue it.")
        elif (fault := follower.job.fault()) is not None:
            self.fault.say(fault.problem, fault.mend, fault.details)
            if (dialog := self._filled) is not None:  # as it was filled in
                dialog.fault.say(fault.problem, fault.mend, fault.details)
                self.fault.offer("Correct it…", dialog.open)
                if self.new_dialog in (dialog, None) or not self.new_dialog.isVisible():
                    dialog.open()

    # What is shown

    def refresh(self) -> None:
        """Show the section that is open."""
        self._fill_recent()
        store = self.session.store
        if store is None:
            self.show_empty()
            return
        try:
            self.name.setText(store.path.name + (" (read only)" if self.session.why_read_only else ""))
            self.name.setToolTip(f"{store.path}\n{self.session.why_read_only}".strip())
            self.slide.setText(slide_facts(store, self.session.shown))
            self.captures.setText(capture_facts(store))
            self.add_button.reflect()
            self.checks.show_all(checks(store))
            dock, text = next_step(store)
            self.next.setText(text)
            self.next.setToolTip(f"Go to the {dock} dock.")
        except PixelGeneError as error:
            self.show_broken(error)
            return
        self._layers_changed()
        self.tissue.refresh()
        self.show_full()

    def _layers_changed(self, *_: Any) -> None:
        """Also when a layer is shown or hidden: in napari's own list, by another dock, or as it was left."""
        for role, box in self.toggles.items():
            found = self.session.layers(role)
            allow(box, "" if found or role in self.session.roles() else "there is none yet")
            box.setChecked(any(layer.visible for layer in found))
            for layer in found:  # a second time is ignored
                layer.events.visible.connect(self._layers_changed)

    def _toggle(self, role: str, checked: bool) -> None:
        if checked and not self.session.layers(role):
            self.session.restore(role)
        for layer in self.session.layers(role):
            layer.visible = checked

    def _fill_recent(self) -> None:
        known = recent()
        self.recent_menu.clear()
        for path in known:
            action = self.recent_menu.addAction(path.name)
            action.setToolTip(str(path))
            action.triggered.connect(partial(self.open_path, path))
        allow(self.recent_button, "" if known else "no section was open before")
        while (item := self.recent_list.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        for path in known[:5]:
            link = button(path.name, partial(self.open_path, path), str(path))
            link.setFlat(True)
            link.setCursor(Qt.CursorShape.PointingHandCursor)
            self.recent_list.addWidget(link)

    def _folder(self) -> Path:
        """Where dialogs begin: beside the section that is open, else beside the last one, else at home."""
        here = [self.session.store.path] if self.session.store is not None else []
        cache = user_cache_path("napari-pixelgene")
        own = [path.parent for path in [*here, *recent()] if not path.is_relative_to(cache)]
        return own[0] if own else Path.home()

    # Files dropped on the dock

    def dragEnterEvent(self, event: Any) -> None:
        """Files are welcome."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """A section is opened; anything else goes into the New dialog, which says what it is."""
        urls = event.mimeData().urls()
        paths = local_paths(urls)
        if len(paths) < len(urls):
            self.fault.say(
                "What was dropped lies elsewhere.", "Please save it on this computer first, then drop the file."
            )
        elif len(paths) == 1 and is_section(paths[0]):
            self.open_path(paths[0])
        else:
            for path in paths:
                self.offer(path)
