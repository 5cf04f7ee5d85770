"""A settings section as a form: ranges, required choices, lists, what is empty; and the engine's words in a window."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from magicgui.widgets import ComboBox, FloatSpinBox, SpinBox
from pydantic import Field
from qtpy.QtWidgets import QLabel

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.gui.forms import SettingsForm
from napari_pixelgene.gui.wording import in_window
from napari_pixelgene.pipeline.sources.registry import SOURCES, source_class
from napari_pixelgene.settings import Section, shown


class Inner(Section):
    depth: int = Field(3, ge=1, le=9, description="How deep.")


class Odd(Section):
    place: Path = Field(description="The folder.", title="Run folder")
    frame: Literal["px", "um"] = Field(description="What positions are.")
    rate: float = Field(0.5, gt=0, le=2, description="A rate.")
    count: int = Field(4, ge=2, description="How many.")
    shape: Literal["disk", "square"] | None = Field(None, description="A shape.")
    others: tuple[str, ...] = Field((), description="Columns.")
    word: str = Field("", description="A word.")
    limit: float | None = Field(None, gt=0, description="A limit.")
    inner: Inner = Field(default_factory=Inner, description="Inside.")


@pytest.fixture
def form(qtbot):
    made = SettingsForm(Odd)
    qtbot.addWidget(made)
    return made


def test_what_is_required_is_asked_for_by_its_name(form):
    with pytest.raises(SettingsError, match="“Run folder” is not given"):
        form.value()
    with pytest.raises(SettingsError, match=r"“Frame” is not given\. What positions are"):
        with_place(form)


def with_place(form):
    form.widget("place").value = Path("/a")
    return form.value()


def test_values_go_in_and_come_out(form):
    value = Odd(
        place=Path("/data/run"), frame="um", rate=1.25, count=7, shape="square", others=("a", "b c"), word="w",
        limit=3.5, inner=Inner(depth=5),
    )  # fmt: skip
    form.set_value(value)
    assert form.value() == value
    form.widget("word").value = ""
    form.widget("limit").value = ""
    form.widget("others").value = "x,  y ,"
    assert form.value() == value.replace(word="", limit=None, others=("x", "y"))


def test_ranges_and_words_come_from_the_settings(form):
    rate, count = form.widget("rate"), form.widget("count")
    assert isinstance(rate, FloatSpinBox) and rate.max == 2 and 0 <= rate.min < 1e-3
    assert isinstance(count, SpinBox) and count.min == 2 and count.tooltip == "How many."
    frame = form.widget("frame")
    assert isinstance(frame, ComboBox) and frame.value is None and len(frame.choices) == 3
    assert form.kind is Odd


def test_an_edit_is_told_once(form, qtbot):
    with qtbot.waitSignal(form.changed, timeout=1000):
        form.widget("count").value = 9
    with qtbot.waitSignal(form.changed, timeout=1000):
        form._groups["inner"].widget("depth").value = 8


class Worded(Section):
    frame: Literal["px", "um"] = Field(
        description="What x counts.", json_schema_extra=shown(words={"px": "pixels", "um": "micrometres"})
    )
    shape: Literal["disk"] | None = Field(None, json_schema_extra=shown(words={"disk": "disks"}, empty="as drawn"))
    column: str = Field("", json_schema_extra=shown(empty="a well-known one"))
    seldom: str = Field("s", json_schema_extra=shown(rare=True))


def test_choices_are_words_and_what_is_rare_is_folded_away(qtbot):
    form = SettingsForm(Worded)
    qtbot.addWidget(form)
    form.show()
    combo = form.widget("frame").native
    assert [combo.itemText(i) for i in range(combo.count())] == ["choose…", "pixels", "micrometres"]
    with pytest.raises(SettingsError, match=r"“Frame” is not given\. Choose one: pixels; micrometres\."):
        form.value()
    combo.setCurrentIndex(2)
    form.widget("shape").native.setCurrentIndex(1)
    assert form.value() == Worded(frame="um", shape="disk")
    form.set_value(Worded(frame="px"))
    assert form.value() == Worded(frame="px") and form.widget("shape").native.currentText() == "as drawn"
    assert form.widget("column").native.placeholderText() == "a well-known one"
    assert form.widget("column").native.isVisible() and not form.widget("seldom").native.isVisible()
    form.more.head.click()
    assert form.widget("seldom").native.isVisible() and form.value().seldom == "s"


@pytest.mark.parametrize("kind", SOURCES)
def test_an_error_names_a_field_as_the_form_does(kind, qtbot):
    """An error of the engine names an option; the window must name the label that stands in its form."""
    source = source_class(kind)
    form = SettingsForm(source, leave_out=source.places)
    qtbot.addWidget(form)
    labels = {f"“{label.text()}”" for label in form.findChildren(QLabel)}
    labels.add("“Run”")  # the line of the dialog
    unsaid = {*source.places, "layout"}  # no error names them
    options = {in_window("--" + name.replace("_", "-")) for name in source.model_fields if name not in unsaid}
    assert options <= labels


@pytest.mark.parametrize(
    ("engine", "window"),
    [
        ("Give it with --mpp (µm per pixel).", "Give it with “Pixel size” (µm per pixel)."),
        ("It is now: pixelgene relink a.b.section.zarr.", "It is now: “relink…” in the Section dock."),
        (
            "pixelgene register A.section.zarr --keypoints FILE   (or --matrix FILE)",
            "Do that in the Register dock",
        ),
        ("Choose one with --coordinate-system.", "Choose one with “Coordinate system”."),
        ("Nothing to change here - or there.", "Nothing to change here - or there."),
    ],
)
def test_no_shell_in_the_window(engine, window):
    assert in_window(engine) == window
