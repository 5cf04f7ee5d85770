"""One settings section, one form: its fields, ranges and words come from the section itself.

`value()` gives the settings (or raises SettingsError that names the field), `set_value` shows others,
`changed` is emitted when a person edits. Fields that a form cannot show (tables of tables) are left as they were.
What a field says of its looks (`settings.shown`): its choices in words, what its empty line means, folded away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit, FloatSpinBox, LineEdit, SpinBox, Widget
from pydantic.fields import FieldInfo
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFormLayout, QGroupBox, QVBoxLayout, QWidget

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.gui.fold import Fold
from napari_pixelgene.settings import Section

S = TypeVar("S", bound=Section)
_LARGEST = 2**31 - 1
_UNCHOSEN, _BY_ITSELF, _SEPARATOR = "choose…", "found by itself", ", "


class SettingsForm(QWidget, Generic[S]):
    """The form of a settings section. `leave_out` names fields that are chosen elsewhere."""

    changed = Signal()

    def __init__(self, kind: type[S], value: S | None = None, leave_out: Iterable[str] = ()) -> None:
        super().__init__()
        self.kind = kind
        self._base: dict[str, Any] = value.model_dump() if value is not None else {}
        self._fields: dict[str, Widget] = {}
        self._groups: dict[str, SettingsForm[Any]] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        form, rare, self.more = _rows(), _rows(), Fold("More…")
        column.addLayout(form)
        for name, field in kind.model_fields.items():
            if name not in set(leave_out):
                self._add(name, field, rare if _looks(field, "rare", False) else form, column)
        self.more.inside.addLayout(rare)
        column.addWidget(self.more)
        self.more.setVisible(rare.rowCount() > 0)
        if value is not None:
            self.set_value(value)

    def value(self, beside: Mapping[str, Any] | None = None) -> S:
        """The settings as they stand in the form; `beside` holds those that were left out of it."""
        given = {name: self._given(name, widget) for name, widget in self._fields.items()}
        missing = [name for name, read in given.items() if read is None and self.kind.model_fields[name].is_required()]
        if missing:
            field = self.kind.model_fields[missing[0]]
            raise SettingsError(f"“{_label(missing[0], field)}” is not given.", _mend(field))
        groups = {name: group.value().model_dump() for name, group in self._groups.items()}
        return self.kind.make({**self._base, **given, **groups, **(beside or {})})

    def set_value(self, value: S) -> None:
        """Show these settings."""
        self._base = value.model_dump()
        for name, widget in self._fields.items():
            with_value(widget, getattr(value, name))
        for name, group in self._groups.items():
            group.set_value(getattr(value, name))

    def widget(self, name: str) -> Widget:
        """The widget of a field."""
        return self._fields[name]

    def _given(self, name: str, widget: Widget) -> Any:
        """What stands in a field; an empty one is the default."""
        field = self.kind.model_fields[name]
        read = _read(widget)
        if read is None:
            return None if field.is_required() else field.get_default(call_default_factory=True)
        is_many = get_origin(_without_none(field.annotation)) is tuple
        return tuple(each.strip() for each in str(read).split(_SEPARATOR.strip()) if each.strip()) if is_many else read

    def _add(self, name: str, field: FieldInfo, form: QFormLayout, column: QVBoxLayout) -> None:
        kind = _without_none(field.annotation)
        if isinstance(kind, type) and issubclass(kind, Section):
            group = SettingsForm(kind, field.get_default(call_default_factory=True) or kind())
            group.changed.connect(self.changed)
            self._groups[name] = group
            box = QGroupBox(_label(name, field))
            box.setToolTip(field.description or "")
            inside = QVBoxLayout(box)
            inside.addWidget(group)
            column.addWidget(box)
            return
        widget = _widget(name, field, kind)
        if widget is not None:
            self._fields[name] = widget
            widget.changed.connect(lambda *_: self.changed.emit())  # type: ignore[attr-defined]
            form.addRow(_label(name, field), widget.native)
            form.labelForField(widget.native).setToolTip(field.description or "")


def _mend(field: FieldInfo) -> str:
    """What to give: the choices as they are shown, else the field's own words."""
    words = _looks(field, "words", {})
    return f"Choose one: {'; '.join(words.values())}." if words else field.description or ""


def line_up(forms: Iterable[QFormLayout]) -> None:
    """Let the labels of several forms take as much room as the widest, so that their fields begin at one line."""
    labels = [label for form in forms for label in _labels(form)]
    widest = max((label.sizeHint().width() for label in labels), default=0)
    for label in labels:
        label.setMinimumWidth(widest)


def _labels(form: QFormLayout) -> list[QWidget]:
    items = [form.itemAt(line, QFormLayout.ItemRole.LabelRole) for line in range(form.rowCount())]
    return [label for item in items if item is not None and (label := item.widget()) is not None]


def _rows() -> QFormLayout:
    form = QFormLayout()
    form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def _looks(field: FieldInfo, key: str, otherwise: Any) -> Any:
    """What `settings.shown` told of a field."""
    told = field.json_schema_extra
    return (told.get(key) if isinstance(told, dict) else None) or otherwise


def _choice(field: FieldInfo, kind: Any, default: Any, says: dict[str, Any]) -> ComboBox:
    # What a person must choose is not chosen for them: None is not among what the settings take.
    unsaid = _UNCHOSEN if field.is_required() else _looks(field, "empty", _BY_ITSELF)
    words = _looks(field, "words", {})
    choices = [(str(words.get(each, each)), each) for each in get_args(kind)]
    return ComboBox(choices=[*([] if default is not None else [(unsaid, None)]), *choices], value=default, **says)


def _widget(name: str, field: FieldInfo, kind: Any) -> Widget | None:
    """The magicgui widget of a field, or None for what has none. An empty line stands for None."""
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    optional = kind is not field.annotation
    says: dict[str, Any] = {"name": name, "tooltip": field.description or ""}
    if get_origin(kind) is Literal:
        return _choice(field, kind, default, says)
    if get_origin(kind) is tuple:
        return _line(field, _SEPARATOR.join(map(str, default or ())), says)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ComboBox(choices=list(kind), value=default, **says)
    if kind is bool:
        return CheckBox(value=bool(default), text="", **says)
    if kind is Path:
        folder = "folder" in (field.description or "").lower()
        return FileEdit(
            mode=FileDialogMode.EXISTING_DIRECTORY if folder else FileDialogMode.EXISTING_FILE, nullable=True, **says
        )
    if kind is int and not optional and default is not None:
        low, high = _limits(field, 1)
        return SpinBox(value=default, min=int(low), max=int(high), **says)
    if kind is float and not optional and default is not None:
        low, high = _limits(field, 1e-9)
        return FloatSpinBox(value=default, min=low, max=high, step=_step(default), **says)
    if kind in (str, int, float):
        return _line(field, "" if default is None else str(default), says)
    return None


def _line(field: FieldInfo, value: str, says: dict[str, Any]) -> LineEdit:
    made = LineEdit(value=value, **says)
    made.native.setPlaceholderText(_looks(field, "empty", ""))
    return made


def _read(widget: Any) -> Any:
    value = widget.value
    if isinstance(widget, LineEdit):
        return value.strip() or None
    return None if isinstance(value, Path) and str(value) in ("", ".") else value


def with_value(widget: Any, value: Any) -> None:
    """Show a value; None is an empty line."""
    if isinstance(widget, LineEdit):
        many = isinstance(value, tuple | list)
        widget.value = _SEPARATOR.join(map(str, value)) if many else "" if value is None else str(value)
    elif value is not None or (isinstance(widget, ComboBox) and None in widget.choices):
        if isinstance(widget, FloatSpinBox):  # it would round what is finer than it shows
            digits = max(widget.native.decimals(), -int(Decimal(str(value)).as_tuple().exponent))
            widget.native.setDecimals(digits)
        widget.value = value


def _limits(field: FieldInfo, least: float) -> tuple[float, float]:
    """The range that the field's constraints allow; `least` is the step above an open lower end."""
    low, high = float(-_LARGEST), float(_LARGEST)
    for rule in field.metadata:
        if isinstance(rule, Ge | Gt):
            low = float(getattr(rule, "ge", None) if isinstance(rule, Ge) else rule.gt + least)  # type: ignore[arg-type,operator]
        if isinstance(rule, Le | Lt):
            high = float(getattr(rule, "le", None) if isinstance(rule, Le) else rule.lt - least)  # type: ignore[arg-type,operator]
    return low, high


def _step(default: float) -> float:
    """A tenth of the default's leading digit: 0.0001 for a rate of 0.001, 10 for a block of 500."""
    return 10.0 ** (math.floor(math.log10(abs(default))) - 1) if default else 0.01


def _without_none(annotation: Any) -> Any:
    """`X | None` is asked for as X."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [each for each in get_args(annotation) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def _label(name: str, field: FieldInfo) -> str:
    """The field's title, else `spot_diameter_um` as a person writes it."""
    if field.title:
        return field.title
    words = name.replace("_um2", " (µm²)").replace("_um", " (µm)").replace("_px", " (px)").replace("_", " ")
    return words[:1].upper() + words[1:]
