"""The Run dock: choose, see what it costs, run, watch, and find every run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QFormLayout, QLineEdit

from napari_pixelgene import jobs
from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui import workers
from napari_pixelgene.gui.dock import Dock, allow, button, heading, row, words
from napari_pixelgene.gui.faults import guarded
from napari_pixelgene.gui.run.candidates import Candidate, candidates
from napari_pixelgene.gui.run.choices import Choices, common_genes, suggested_name, taken_names, toml_of, why_not
from napari_pixelgene.gui.run.engine import Engine, load_engine
from napari_pixelgene.gui.run.options_box import OptionsBox
from napari_pixelgene.gui.run.progress_box import ProgressBox
from napari_pixelgene.gui.run.sections_box import SectionsBox
from napari_pixelgene.gui.session import MAPS, RUNS

_KINDS = ("run", "queue")


class RunDock(Dock):
    """Trains and predicts in a process of its own."""

    title: ClassVar[str] = "Run"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.options: OptionsBox | None = None
        self.found: list[Candidate] = []
        self._added: list[Path] = []
        self._tasks: dict[str, Any] = {}
        self._named_by_hand = False
        self.sections = SectionsBox()
        self.name = QLineEdit()
        self.run = button("Run", self._run)
        self.why = words("", "why-not")
        self.progress = ProgressBox()
        self.next = button("Genes →", lambda: self.session.asked.emit("Genes"), "Look at the maps.")
        self._settle = QTimer(self)  # several changes at once are looked at once
        self._settle.setSingleShot(True)
        self._settle.setInterval(50)
        self._settle.timeout.connect(self._judge)
        self._lay_out()
        self._connect()
        self._find_running()
        self.refresh()

    # States

    def refresh(self) -> None:
        """Look at the session: what is open, what can be trained on."""
        if self.session.store is None and self.progress.story is None:
            self.show_empty()
        elif self.options is None:
            self.show_loading("Getting ready to learn…")
            if self.isVisible():
                self._load()
        else:
            self._look()

    def showEvent(self, event: Any) -> None:
        """What learning needs is loaded when the dock is looked at for the first time."""
        super().showEvent(event)
        if self.options is None and self.state == "loading":
            self._load()

    def _load(self) -> None:
        if "load" not in self._tasks:
            self._tasks["load"] = workers.start(self, load_engine, self._loaded, self._not_loaded)

    def _loaded(self, engine: Engine) -> None:
        self.options = OptionsBox(engine)
        self._options_place.addWidget(self.options)
        self.options.changed.connect(self._settle.start)
        self.refresh()

    def _not_loaded(self, error: BaseException) -> None:
        del self._tasks["load"]
        self.show_broken(error)

    def _look(self) -> None:
        """Ask the sections in a thread: a disk may be far away."""
        here = self.session.store.path if self.session.store is not None else None
        added = tuple(self._added)
        if (old := self._tasks.get("look")) is not None:
            old.cancel()
        self._tasks["look"] = workers.start(
            self, lambda on_event: (here, candidates(here, added)), self._looked, self.show_broken
        )

    def _looked(self, answer: tuple[Path | None, list[Candidate]]) -> None:
        here, self.found = answer
        first = next((each for each in self.found if each.path == here), None)
        if first is not None and not (self.sections.train or self.sections.predict):
            self.sections.choose([first.path], [first.path])
        self.sections.show_candidates(self.found)
        self.show_full()
        self._judge()

    # Choosing

    def choices(self) -> Choices:
        """What is chosen now. Raises SettingsError that names the field."""
        assert self.options is not None
        train, predict = self.sections.train, self.sections.predict
        return Choices(train, predict, self.name.text().strip(), self.options.value(), self.options.score.isChecked())

    def _judge(self) -> None:
        """After any change: a name, the number of genes, whether it can be run."""
        if self.options is None:
            return
        train = self.sections.train
        chosen = [each for each in self.found if each.path in {*train, *self.sections.predict}]
        if not self._named_by_hand:
            self.name.setText(suggested_name(str(self.options.model.currentData()), taken_names(chosen)))
        self.options.genes.show_measured(len(common_genes(train, self.found)))
        encoder = str(self.options.encoder.currentData())
        self.options.show_needs(each.name for each in chosen if encoder not in each.encoders)
        why = self._why_not()
        allow(self.run, why, "Train in the background; everything else stays usable.")
        self.why.setText(why)
        self.why.setVisible(bool(why))

    def _why_not(self) -> str:
        try:
            choices = self.choices()
        except PixelGeneError as error:
            return str(error)
        busy = next((job for job in jobs.running() if set(job.sections) & _resolved(choices)), None)
        if busy is not None:
            return f"'{busy.title}' is working on these sections: wait until it is done, or cancel it."
        return why_not(choices, self.found)

    def _ask_section(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Add a section (NAME.section.zarr)")
        if path:
            self._added.append(Path(path))
            self._look()

    # Running

    @guarded
    def _run(self) -> None:
        choices = self.choices()
        names = ", ".join(each.name for each in self.found if each.path in choices.train)
        job = jobs.start(f"{choices.run} on {names}", toml_of(choices), choices.sections())
        self._follow(job)

    def _follow(self, job: jobs.Job) -> None:
        self.next.hide()
        self.progress.follow(job)
        self._judge()

    def _find_running(self) -> None:
        """A run that an earlier napari left running is followed as if it had been started here."""
        here = self.session.store.path.resolve() if self.session.store is not None else None
        mine = [job for job in jobs.running() if job.kind in _KINDS]
        mine.sort(key=lambda job: here in job.sections, reverse=True)
        if mine and self.progress.running is None:
            self.progress.follow(mine[0])

    def _ended(self, seen: Any) -> None:
        if self._is_here(seen.job):
            self.session.reload(RUNS)
            self.session.reload(MAPS)
            self.next.setVisible(seen.state == "done")
        self._named_by_hand = self._named_by_hand and seen.state != "done"
        self.refresh()

    def _is_here(self, job: jobs.Job) -> bool:
        store = self.session.store
        return store is not None and store.path.resolve() in job.sections

    # Widgets

    def _lay_out(self) -> None:
        self.empty_body.addWidget(words("No section is open. Open one first; then a model can learn from it."))
        self.empty_body.addLayout(row(button("← Section", lambda: self.session.asked.emit("Section"))))
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Name", self.name)
        self._options_place = row(stretch=False)
        self.next.hide()
        self.body.addWidget(heading("Sections"))
        self.body.addWidget(self.sections)
        self.body.addLayout(self._options_place)
        self.body.addLayout(form)
        self.body.addWidget(self.why)
        self.body.addLayout(row(self.run))
        self.body.addWidget(self.progress)
        self.body.addLayout(row(self.next))

    def _connect(self) -> None:
        self.sections.changed.connect(self._settle.start)
        self.sections.asked_for_more.connect(self._ask_section)
        self.name.textEdited.connect(self._named)
        self.progress.ended.connect(self._ended)

    def _named(self, text: str) -> None:
        self._named_by_hand = bool(text.strip())
        self._settle.start()


def _resolved(choices: Choices) -> set[Path]:
    return {path.resolve() for path in choices.sections()}
