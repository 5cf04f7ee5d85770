"""Model, encoder, genes, device, and the settings of all of them, folded away: a `FitSettings` as a person sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QSizePolicy, QVBoxLayout, QWidget

from napari_pixelgene.gui.dock import heading, words
from napari_pixelgene.gui.fold import Fold
from napari_pixelgene.gui.forms import SettingsForm
from napari_pixelgene.gui.run.choices import changed_only
from napari_pixelgene.gui.run.engine import Engine, Member, missing_for
from napari_pixelgene.gui.run.genes_box import GenesBox

if TYPE_CHECKING:
    from napari_pixelgene.gui.run.candidates import Candidate
    from napari_pixelgene.pipeline.estimating import Estimate
    from napari_pixelgene.pipeline.learning import FitSettings


class OptionsBox(QWidget):
    """`value()` gives the settings, `set_value` shows others; `changed` when a person edits."""

    changed = Signal()

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        from napari_pixelgene.pipeline.learning import FitSettings

        self.engine = engine
        self.model, self.encoder, self.device = (
            _combo(each) for each in (engine.models, engine.encoders, engine.devices)
        )
        self.needs = words("", "needs")
        self._chosen: Sequence[Candidate] = ()
        self.genes = GenesBox()
        self.score = QCheckBox("Score on held-out blocks")
        self.score.setChecked(True)
        self.score.setToolTip(
            "Trains once more with blocks of tissue left out, and tells how well the maps match what was measured "
            "there, beside what chance gives."
        )
        self.fold_out = Fold("Settings")
        self.general: SettingsForm[FitSettings] = SettingsForm(
            FitSettings, FitSettings(), leave_out=("model", "model_settings", "features", "genes", "device")
        )
        self.forms = {each.name: _form_of(each) for each in engine.models}
        self._choose(FitSettings())  # not the first of a list that grows
        self._lay_out()
        self._connect()
        self._model_changed()

    def value(self) -> FitSettings:
        """The settings as they stand. Raises SettingsError that names the field."""
        model = str(self.model.currentData())
        form = self.forms[model]
        return self.general.value().replace(
            model=model,
            model_settings=changed_only(form.value()) if form is not None else {},
            features={"encoder": str(self.encoder.currentData())},
            genes=self.genes.spec,
            device=str(self.device.currentData()),
        )

    def set_value(self, value: FitSettings) -> None:
        """Show these settings."""
        self.general.set_value(value)
        self._choose(value)
        self.device.setCurrentIndex(max(0, self.device.findData(value.device)))
        self.genes.set_spec(value.genes)
        form = self.forms.get(value.model)
        if form is not None:
            form.set_value(form.kind.make(value.model_settings))

    def _choose(self, value: FitSettings) -> None:
        for combo, name in ((self.model, value.model), (self.encoder, value.features.encoder)):
            if combo is self.encoder and combo.findData(name) < 0:
                combo.addItem(name, name)
            combo.setCurrentIndex(max(0, combo.findData(name)))

    def _show_needs(self) -> None:
        """Say whether the chosen encoder's features are there, naming the sections where they are not."""
        lacking = self._lacking()
        model = self.engine.model(str(self.model.currentData()))
        made = f" (made first for {lacking})" if lacking else " ✓"
        self.needs.setText(f"needs: {model.needs}{made}")

    def show_features(self, chosen: Sequence[Candidate]) -> None:
        """Encoders whose features the chosen sections have can be chosen without their weights, also by other names."""
        self._chosen, there = chosen, frozenset[str]().union(*(each.encoders for each in chosen))
        for name in sorted(set(there) - {each.name for each in self.engine.encoders}):
            if self.encoder.findData(name) < 0:
                self.encoder.addItem(name, name)
        rows: Any = self.encoder.model()
        for place in range(self.encoder.count()):
            name = str(self.encoder.itemData(place))
            rows.item(place).setEnabled(name in there or not self._why_not_encoder(name))
        self._show_needs()

    def _lacking(self) -> str:
        """Names of the chosen sections that have no features of the chosen encoder."""
        return ", ".join(each.name for each in self._chosen if self.encoder.currentData() not in each.encoders)

    def missing(self) -> str:
        """What the chosen model lacks with its settings, or the encoder for sections without its features, and how to
        get it. Raises SettingsError, as `value` does."""
        chosen, lacking = self.value(), self._lacking()
        why = self._why_not_encoder(chosen.features.encoder) if lacking else ""
        if why:
            return f"{lacking}: no features of {chosen.features.encoder} yet. {why}"
        return missing_for(chosen.model, chosen.model_settings)

    def _why_not_encoder(self, name: str) -> str:
        """Why features cannot be made with it; empty where they can."""
        known = next((each.why_not for each in self.engine.encoders if each.name == name), None)
        return "Their encoder is not at hand: choose another." if known is None else known

    def show_cost(self, found: Estimate) -> None:
        """Say how much of the time is for the scores."""
        from napari_pixelgene.pipeline.estimating import duration_in_words

        seconds = found.parts.get("evaluate")
        if seconds is not None:  # short: it does not wrap, and the dock may be narrow
            more = duration_in_words(seconds).removeprefix("about ").replace("a few seconds", "seconds")
            self.score.setText(f"Score on held-out blocks (+ {more})")

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Model", self.model)
        form.addRow(self.needs)
        form.addRow("Encoder", self.encoder)
        form.addRow("Genes", self.genes)
        form.addRow("Device", self.device)
        inside = self.fold_out.inside
        self.own = heading("")
        inside.addWidget(self.own)
        for each in self.forms.values():
            if each is not None:
                inside.addWidget(each)
        inside.addWidget(heading("Training"))
        inside.addWidget(self.general)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form)
        column.addWidget(self.fold_out)
        column.addWidget(self.score)

    def _connect(self) -> None:
        for combo in (self.encoder, self.device):
            combo.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.model.currentIndexChanged.connect(lambda _: self._model_changed())
        self.score.toggled.connect(lambda _: self.changed.emit())
        self.genes.changed.connect(self.changed)
        for form in (self.general, *self.forms.values()):
            if form is not None:
                form.changed.connect(self.changed)

    def _model_changed(self) -> None:
        chosen = str(self.model.currentData())
        for name, form in self.forms.items():
            if form is not None:
                form.setVisible(name == chosen)
        self.own.setText(f"Model: {chosen}")
        self.model.setToolTip(self.engine.model(chosen).title)
        self.changed.emit()


def _combo(members: Iterable[Member]) -> QComboBox:
    """A choice by name; what cannot be chosen is there, greyed, with its reason."""
    made = QComboBox()
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    for place, each in enumerate(members):
        shown = each.title if each.name in ("auto", "cpu", "cuda") else each.name
        made.addItem(f"{shown} ({each.lacks})" if each.lacks else shown, each.name)
        made.setItemData(place, each.why_not or each.title, Qt.ItemDataRole.ToolTipRole)
        rows: Any = made.model()
        rows.item(place).setEnabled(not each.why_not)
    return made


def _form_of(member: Member) -> SettingsForm[Any] | None:
    return SettingsForm(member.settings, member.settings()) if member.settings is not None else None
