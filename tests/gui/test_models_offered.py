"""The Run dock says what each model works from and what is missing, before anybody presses Run."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtWidgets import QApplication

from napari_pixelgene.gui.docks import show_dock
from napari_pixelgene.gui.run.engine import load_engine, needs_in_words
from napari_pixelgene.models.base import Needs
from napari_pixelgene.models.registry import available_models
from napari_pixelgene.store.section import SectionStore


def test_every_model_is_offered_with_what_it_works_from() -> None:
    engine = load_engine(lambda event: None)
    assert [member.name for member in engine.models] == list(available_models())
    assert all(member.needs and member.title and not member.why_not for member in engine.models)
    assert engine.model("stpath").lacks and not engine.model("pixel2gene").lacks
    assert needs_in_words(Needs(halo=3, context_counts=True)).startswith("histology of 8 µm squares, with its surround")


def test_a_model_without_its_weights_cannot_be_run_and_says_how_to_get_them(
    make_napari_viewer, qtbot, section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    viewer = make_napari_viewer(show=True)
    dock = show_dock(viewer, "Run")
    QApplication.processEvents()
    dock.session.open(section)
    qtbot.waitUntil(lambda: dock.options is not None and dock.state == "full", timeout=120_000)
    assert "needs: histology of 8 µm squares" in dock.options.needs.text()
    at = dock.options.model.findData("stpath")
    assert "(files missing)" in dock.options.model.itemText(at)
    dock.options.model.setCurrentIndex(at)
    qtbot.waitUntil(lambda: "weights" in dock.why.text(), timeout=20_000)
    assert not dock.run.isEnabled() and "stfm.pth" in dock.why.text()
    assert "genes of its own vocabulary" in dock.options.needs.text()
    assert not dock.options.forms["stpath"].isHidden()
    dock.options.model.setCurrentIndex(dock.options.model.findData("iscale"))
    qtbot.waitUntil(lambda: "weights" not in dock.why.text(), timeout=20_000)


def test_features_that_are_there_need_no_weights(
    make_napari_viewer, qtbot, section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder without weights is greyed, unless a chosen section has its features; one by a name of its own too."""
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    dock = show_dock(make_napari_viewer(show=True), "Run")
    dock.session.open(section)
    qtbot.waitUntil(lambda: dock.options is not None and dock.state == "full", timeout=120_000)
    combo = dock.options.encoder

    def enabled(name: str) -> bool:
        return bool(combo.model().item(combo.findData(name)).isEnabled())

    assert enabled("stain_texture") and not enabled("uni") and combo.findData("timm:own") < 0
    monkeypatch.setattr(SectionStore, "encoders", lambda store: ["uni", "timm:own"])
    dock._look()
    qtbot.waitUntil(lambda: enabled("uni"), timeout=20_000)
    assert enabled("timm:own") and enabled("stain_texture") and not enabled("virchow2")
    combo.setCurrentIndex(combo.findData("uni"))
    qtbot.waitUntil(lambda: "✓" in dock.options.needs.text(), timeout=20_000)
    assert dock.options.missing() == ""
    monkeypatch.setattr(SectionStore, "encoders", lambda store: [])
    dock._look()
    qtbot.waitUntil(lambda: ": no features of uni yet. " in dock.why.text(), timeout=20_000)
    assert not dock.run.isEnabled() and not enabled("uni")
