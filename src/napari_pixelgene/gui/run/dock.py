"""The Run dock: choose, see what it costs, run, watch, and find every run again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QFormLayout, QLineEdit, QScrollArea, QWidget

from napari_pixelgene import jobs
from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui import workers
from napari_pixelgene.gui.distrust import DistrustBox
from napari_pixelgene.gui.dock import Dock, allow, button, heading, row, words
from napari_pixelgene.gui.faults import guarded
from napari_pixelgene.gui.fold import Fold
from napari_pixelgene.gui.run.candidates import Candidate, candidates
from napari_pixelgene.gui.run.choices import Choices, common_genes, suggested_name, taken_names, toml_of, why_not
from napari_pixelgene.gui.run.closing import ClosingQuestion, window_of
from napari_pixelgene.gui.run.cost_line import CostLine
from napari_pixelgene.gui.run.engine import Engine, load_engine
from napari_pixelgene.gui.run.history import Row, choices_again, run_of, same_unfinished, table_of
from napari_pixelgene.gui.run.options_box import OptionsBox
from napari_pixelgene.gui.run.progress_box import ProgressBox
from napari_pixelgene.gui.run.queue_box import QueueBox
from napari_pixelgene.gui.run.reuse import predict_with
from napari_pixelgene.gui.run.runs_part import RunsPart
from napari_pixelgene.gui.run.sections_box import SectionsBox
from napari_pixelgene.gui.run.story import Story
from napari_pixelgene.gui.session import MAPS, RUNS

_KINDS = ("run", "queue")
_LOOK_AGAIN_MS = 2000


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
        self.cost, self.distrust = CostLine(), DistrustBox(self.session)
        self.progress = ProgressBox()
        self.runs = RunsPart(self.session)
        self.queue, self.queue_fold = QueueBox(self.session), Fold("Predict a folder of slides…")
        self._closing: ClosingQuestion | None = None
        self._here: Path | None = None  # the section that was open when they were looked at
        self._mapped = ""  # the job whose maps are shown already
        self.next = button("Genes →", lambda: self.session.asked.emit("Genes"), "Look at the maps.")
        self._settle = QTimer(self)  # several changes at once are looked at once
        self._settle.setSingleShot(True)
        self._settle.setInterval(50)
        self._settle.timeout.connect(self._judge)
        self._later = QTimer(self)  # a run that another window started ends without telling
        self._later.setSingleShot(True)
        self._later.setInterval(_LOOK_AGAIN_MS)
        self._later.timeout.connect(self._judge)
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
        window = window_of(self)
        if self._closing is None and window is not None:
            self._closing = ClosingQuestion(window, lambda: self.progress.running, self)
        if self.options is None and self.state == "loading":
            self._load()

    def _load(self) -> None:
        if "load" not in self._tasks:
            self._tasks["load"] = workers.start(self, load_engine, self._loaded, self._not_loaded)

    def _loaded(self, engine: Engine) -> None:
        self.options = OptionsBox(engine)
        self._options_place.addWidget(self.options)
        self.options.changed.connect(self._settle.start)
        self.cost.told.connect(self.options.show_cost)
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
        if here is not None and here != self._here:
            self.sections.choose([here], [here])
        self._here = here
        self.sections.show_candidates(self.found)
        self.show_full()
        self.runs.look()
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
        self.distrust.show_found([(each.path, d) for each in chosen if each.path in train for d in each.distrusted])
        self.options.show_features(chosen)
        busy = self.progress.running
        self.queue.set_busy(f"'{busy.title}' is still running." if busy is not None else "")
        why = self._why_not()
        allow(self.run, why, "Train in the background; everything else stays usable.")
        self.why.setText(why)
        self.why.setVisible(bool(why))

    def _why_not(self) -> str:
        """Why it cannot be run, having asked what it will cost."""
        try:
            choices = self.choices()
            missing = self.options.missing() if self.options is not None else ""
        except PixelGeneError as error:
            self.cost.ask(None)
            return str(error)
        self.cost.ask(choices if choices.train and not missing else None)
        if missing:
            return missing
        places = {path.resolve() for path in choices.sections()}
        busy = self.progress.running
        if busy is None and (busy := next((j for j in jobs.running() if places & set(j.sections)), None)) is not None:
            self._later.start()
        if busy is not None:
            return f"'{busy.title}' is still running: wait until it is done, or cancel it."
        return why_not(choices, self.found, same_unfinished(choices))

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

    def _use(self, row: Row) -> None:
        """Predict the ticked sections with a run that is there."""
        self.runs.fault.clear()
        device = str(self.options.device.currentData()) if self.options is not None else "auto"
        try:
            self._follow(predict_with(row.name, self.session.require().path, self.sections.predict, device))
        except PixelGeneError as error:
            self.runs.fault.tell(error)

    def _follow(self, job: jobs.Job) -> None:
        self.next.hide()
        self.progress.follow(job)
        self.runs.look()
        self._judge()
        QTimer.singleShot(0, self._reveal)

    def _reveal(self) -> None:
        """Scroll to the progress, which unfolded settings may have pushed out of sight."""
        area = self._pages.currentWidget()
        if isinstance(area, QScrollArea):
            area.ensureWidgetVisible(self.progress)

    def _find_running(self) -> None:
        """A run that an earlier napari left running is followed as if it had been started here."""
        here = self.session.store.path.resolve() if self.session.store is not None else None
        mine = [job for job in jobs.running() if job.kind in _KINDS]
        mine.sort(key=lambda job: here in job.sections, reverse=True)
        if mine and self.progress.running is None:
            self.progress.follow(mine[0])

    def _stage_done(self, seen: Story) -> None:
        """Maps are there before the scores: they are shown as soon as they are."""
        run, store = run_of(seen.job), self.session.store
        if store is None or self._mapped == seen.job.id or not self._is_here(seen.job):
            return
        if run in store.mapped_runs():
            self._mapped = seen.job.id
            self._renew(run)

    def _ended(self, seen: Story) -> None:
        run = run_of(seen.job)
        if self._is_here(seen.job):
            self._renew(run)
            self.next.setVisible(seen.state == "done")
        self._named_by_hand = seen.state != "done"  # the same name continues what was stopped
        if (file := table_of(seen.job)) is not None:
            self.queue_fold.head.setChecked(True)
            self.queue.show_results(file)
        self.runs.look()
        self.cost.ask(None)  # what is finished now costs nothing
        self.refresh()

    def _renew(self, run: str) -> None:
        """Something of the open section is new on disk."""
        self.session.reload(RUNS)
        self.session.changed.emit(MAPS)
        self.runs.show_maps(run)

    def _again(self, row: Row) -> None:
        """Put a run's settings back into the form."""
        self.fault.clear()
        here = self.session.store
        try:
            assert self.options is not None and here is not None
            chosen = choices_again(row, here.path, self.found)
        except PixelGeneError as error:
            self.fault.tell(error)
            return
        self._named_by_hand = False
        self._added += [path for path in chosen.sections() if path not in self._added]
        self.sections.choose(chosen.train, chosen.predict)
        self.options.set_value(chosen.fit)
        self.options.score.setChecked(chosen.score)
        self._look()

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
        parts = (heading("Sections"), self.sections, self._options_place, form, self.cost, self.distrust, self.why,
                 row(self.run), self.progress, row(self.next), heading("Runs"), self.runs, self.queue_fold)  # fmt: skip
        for part in parts:
            self.body.addWidget(part) if isinstance(part, QWidget) else self.body.addLayout(part)
        self.queue_fold.inside.addWidget(self.queue)

    def _connect(self) -> None:
        self.sections.changed.connect(self._settle.start)
        self.sections.asked_for_more.connect(self._ask_section)
        self.name.textEdited.connect(self._named)
        self.progress.ended.connect(self._ended)
        self.progress.stage_done.connect(self._stage_done)
        self.runs.repeated.connect(self._again)
        self.runs.used.connect(self._use)
        self.runs.looked.connect(lambda: self.queue.show_runs([r.name for r in self.runs.rows if r.about is not None]))
        self.queue.started.connect(self._follow)

    def _named(self, text: str) -> None:
        self._named_by_hand = bool(text.strip())
        self._settle.start()
