"""New: an H&E and a run become a section. Files, folders or layers that are open; recognised where they can be.

Importing is a job: it may read hundreds of millions of transcripts, and the window goes on meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_pixelgene import jobs
from napari_pixelgene.errors import InputError, PixelGeneError, SettingsError
from napari_pixelgene.gui.dock import button, row, words
from napari_pixelgene.gui.faults import FaultBox, guarded
from napari_pixelgene.gui.forms import SettingsForm, line_up, with_value
from napari_pixelgene.gui.section.places import beside, browse
from napari_pixelgene.gui.section.slides import layer_choices, look_at, saved_layer
from napari_pixelgene.gui.tall import TallDialog, TallPage
from napari_pixelgene.pipeline.config import IMAGE, ImportStep, RunConfig, to_toml
from napari_pixelgene.pipeline.describing import is_half_imported
from napari_pixelgene.pipeline.sources.base import Source
from napari_pixelgene.pipeline.sources.finding import find_run
from napari_pixelgene.pipeline.sources.registry import SOURCES, kind_of, recognise, source_class
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.stages.checks import check_pixel_size
from napari_pixelgene.store.disk import may_write
from napari_pixelgene.store.section import SUFFIX

if TYPE_CHECKING:
    from napari_pixelgene.gui.session import Session

_ALONE = "no run: predict on this slide only"


class NewDialog(TallDialog):
    """Asks for an H&E, a run and a place; `started(job)` when the import is under way."""

    started = Signal(object)
    he_words, alone = "H&E", _ALONE

    def __init__(self, session: Session, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New section")
        self.session = session
        self.fault = FaultBox()
        self.form: SettingsForm[Source] | None = None
        self._name_is_ours = True
        self._build(folder)
        self._kind_chosen()
        self.resize(560, 480)

    def _build(self, folder: Path) -> None:
        self.he = QLineEdit(placeholderText="OME-TIFF, SVS, NDPI, JPEG, OME-Zarr …")
        self.layer = QComboBox()
        self.layer.addItem("a file", None)
        for name, data in layer_choices(self.session.viewer):
            self.layer.addItem(f"layer: {name}", data)
        self.layer.setVisible(self.layer.count() > 1)
        self.layer.currentIndexChanged.connect(self._he_changed)
        self.mpp = QLineEdit(placeholderText="read from the file")
        self.mpp.setToolTip("µm per pixel of the H&E; needed where the file does not say: 0.25 at 40×, 0.5 at 20×.")
        self.run = QLineEdit(placeholderText="the run: its folder or file")
        self.kind = QComboBox()
        self.kind.addItem(self.alone, IMAGE)
        for kind in SOURCES:
            self.kind.addItem(source_class(kind).title, kind)
        self.kind.currentIndexChanged.connect(self._kind_chosen)
        self.name = QLineEdit("slide")
        self.name.textEdited.connect(self._named)
        self.folder = QLineEdit(str(folder))
        self.found = words("")
        self.recognised = words("")
        self.source_box = QVBoxLayout()
        self.import_button = button("&Import", self.start, "Bring the files into a section, by reference.")
        self.import_button.setDefault(True)
        self._lay_out()
        self.he.editingFinished.connect(self._he_changed)
        self.run.editingFinished.connect(self._run_changed)

    def _lay_out(self) -> None:
        page = QWidget()
        above = QVBoxLayout(page)
        above.setContentsMargins(0, 0, 0, 0)
        form = self.fields = QFormLayout()
        above.addLayout(form)
        above.addStretch()
        form.addRow(self.he_words, beside(self.layer, self.he, browse(self, self.he, self._he_changed, folder=True),
                                   browse(self, self.he, self._he_changed)))  # fmt: skip
        form.addRow("", self.found)
        form.addRow("Pixel size (µm)", self.mpp)
        form.addRow("Run", beside(self.run, browse(self, self.run, self._run_changed, folder=True),
                                   browse(self, self.run, self._run_changed)))  # fmt: skip
        form.addRow("", self.recognised)
        form.addRow("It is", self.kind)
        form.addRow(self.source_box)
        self._place_rows(form)
        column = QVBoxLayout(self)
        column.addWidget(TallPage(page), 1)
        column.addWidget(words("Files are referred to, not copied."))
        column.addWidget(self.fault)
        column.addLayout(row(self.import_button, button("Close", self.reject)))

    def _place_rows(self, form: QFormLayout) -> None:
        """What it will be called, and where."""
        form.addRow("Section name", self.name)
        form.addRow("In folder", beside(self.folder, browse(self, self.folder, lambda: None, folder=True)))

    def offer(self, path: Path) -> None:
        """Take a file or folder that was dropped: a run where it is one, else the H&E."""
        run = find_run(path)
        if run is not None:
            self.run.setText(str(run))
            self._run_changed()
        else:
            self.he.setText(str(path))
            self._he_changed()

    # As fields change

    def _he_changed(self) -> None:
        self.fault.clear()
        from_layer = self.layer.currentData() is not None
        self.he.setVisible(not from_layer)
        place = Path(self.he.text()) if self.he.text() else None
        stem = self.layer.currentText().removeprefix("layer: ") if from_layer else (place.name if place else "")
        if self._name_is_ours and stem:
            self.name.setText(stem.split(".")[0].replace(" ", "-"))
        if place is not None and not from_layer:
            try:
                text, _ = look_at(place)
            except PixelGeneError as error:
                self.fault.tell(error)
                return
            self.found.setText(text)
        elif from_layer:
            self.found.setText("")
        self._show_size()

    def _show_size(self) -> None:
        """Where the pixel size comes from while none is written."""
        if self.layer.currentData() is not None:
            self.mpp.setPlaceholderText("needed for a layer")
            return
        try:
            place = Path(self.he.text()).expanduser()
            own = look_at(place)[1] if self.he.text() else None
            told = None if own or not self.he.text() else self._size_by_run(place)
        except PixelGeneError:  # it is said where the field is, or when the import begins
            own = told = None
        needed = "needed: the file does not say" if self.he.text() else "read from the file"
        self.mpp.setPlaceholderText("read from the file" if own else f"{told:.4g} µm, by the run" if told else needed)

    def _run_changed(self) -> None:
        self.fault.clear()
        self.recognised.setText("")
        if not self.run.text().strip():
            return
        given = Path(self.run.text().strip()).expanduser()
        place = find_run(given)
        if place is None:
            self.recognised.setText(
                "Not recognised: choose below what it is." if given.exists() else "There is nothing at this path."
            )
            return
        if place != given:
            self.run.setText(str(place))
        self._take_run(place)

    def _take_run(self, place: Path) -> None:
        """Show a run of a known kind, as far as it says what it is."""
        found, kind = recognise(place), str(kind_of(place))
        self.kind.setCurrentIndex(self.kind.findData(found.kind if found is not None else kind))
        if found is None:
            self._kind_chosen()
            self.recognised.setText(f"This is {source_class(kind).title}: say below what it cannot say itself.")
            return
        self.recognised.setText(f"Recognised: {found.title}.")
        assert self.form is not None
        self.form.set_value(found)
        slide = found.slide()
        if slide is not None and not self.he.text():
            self.he.setText(str(slide.path))
            self._he_changed()
        self._show_size()

    def _kind_chosen(self) -> None:
        self.recognised.setText("")
        if self.form is not None:
            self.form.setParent(None)
            self.form.deleteLater()
            self.form = None
        if self.kind.currentData() != IMAGE:
            kind = source_class(self.kind.currentData())
            # One place is what stands in the line "Run"; several are asked for below.
            self.form = SettingsForm(kind, leave_out=kind.places if len(kind.places) == 1 else ())
            self.source_box.addWidget(self.form)
            run = Path(self.run.text().strip()).expanduser()
            if len(kind.places) > 1 and run.is_file():
                with_value(self.form.widget(kind.places[0]), run)
            line_up([self.fields, *self.form.findChildren(QFormLayout)])
        self._show_size()

    def _named(self, _: str) -> None:
        self._name_is_ours = False

    # Import

    @guarded
    def start(self) -> None:
        """Check what can be checked at once, and begin the import."""
        section = self._section()
        he, mpp = self._slide(section)
        source = self._source()
        values = {"section": section, "kind": self.kind.currentData(), "he": he, "mpp": mpp, "source": source}
        step = ImportStep.make(values | self._more())
        config = to_toml(RunConfig(imports=(step,)).tables())
        job = jobs.start(f"Import {section.name}", config, [section], kind="import")
        self.started.emit(job)
        self.accept()

    def _more(self) -> dict[str, Any]:
        """What else the import is told."""
        return {}

    def _source(self) -> Source | None:
        """The run as it stands in the dialog."""
        if self.form is None and self.run.text().strip():
            raise InputError("A run is named, but not what it is.", "Choose that at “It is”, or empty the line “Run”.")
        if self.form is None:
            return None
        places = self.form.kind.places
        if len(places) > 1:
            return self.form.value()
        if not self.run.text().strip():
            raise InputError("The run is not given.", f"Choose its folder or file, or “{_ALONE}” below.")
        return self.form.value({places[0]: Path(self.run.text().strip()).expanduser().absolute()})

    def _section(self) -> Path:
        name = self.name.text().strip().removesuffix(SUFFIX)
        if not name or "/" in name:
            raise InputError("The section has no name.", "Write one, such as breast-1.")
        place = Path(self.folder.text()).expanduser() / f"{name}{SUFFIX}"
        if not place.parent.is_dir():
            raise InputError(f"There is no folder {place.parent}.", "Choose one for the section.")
        if not may_write(place.parent):
            raise InputError(f"{place.parent} cannot be written.", "Choose another folder for the section.")
        if place.exists() and not is_half_imported(place):
            raise InputError(f"{place.name} is there already.", "Open it, or choose another name.")
        return place.absolute()

    def _beside(self, section: Path) -> Path:
        """The section after which a layer's file is called."""
        return section

    def _slide(self, section: Path) -> tuple[Path | None, float | None]:
        mpp = _number(self.mpp.text(), "The pixel size")
        if mpp is not None:
            check_pixel_size(mpp)
        layer: Any = self.layer.currentData()
        if layer is not None:
            if mpp is None:
                raise InputError(f"The pixel size of the layer '{layer.name}' is not given.", "Give it in µm.")
            self.setCursor(Qt.CursorShape.WaitCursor)
            try:
                return saved_layer(layer, self._beside(section), mpp), mpp
            finally:
                self.unsetCursor()
        if not self.he.text():
            return None, mpp  # the run may bring one; the import says when it does not
        place = Path(self.he.text()).expanduser().absolute()
        if mpp is None and look_at(place)[1] is None and not self._size_by_run(place):
            raise InputError(f"{place.name} does not say its pixel size.", "Give it above, in µm per pixel.")
        return place, mpp

    def _size_by_run(self, place: Path) -> float | None:
        """µm per pixel of this H&E as the run's files tell it."""
        source = self._source()
        if source is None:
            return None
        slide = source.slide()
        if slide is not None and slide.path == place and slide.mpp is not None:
            return slide.mpp
        return source.pixel_size(read_image(place))


def _number(text: str, what: str) -> float | None:
    try:
        return float(text.replace(",", ".")) if text.strip() else None
    except ValueError:
        raise SettingsError(f"{what} '{text}' is not a number.", "Write it as 0.25.") from None
