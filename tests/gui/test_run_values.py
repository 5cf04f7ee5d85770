"""What the Run dock shows and asks, as plain values."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from napari_pixelgene.gui.run.candidates import Candidate
from napari_pixelgene.gui.run.choices import Choices, choices_of, suggested_name, toml_of, why_not
from napari_pixelgene.gui.run.story import Story, duration
from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.progress import Note, Progress
from napari_pixelgene.stages.folds import FoldSettings

A, B = Path("/s/a.section.zarr").absolute(), Path("/s/b.section.zarr").absolute()
FOUND = [Candidate(A, frozenset("XYZ"), frozenset({"ridge-2"})), Candidate(B, frozenset("YZW"), frozenset({"old"}))]


def chosen(**changes: object) -> Choices:
    values = {"train": (A,), "predict": (A, B), "run": "ridge-3", "fit": FitSettings(model="ridge")} | changes
    return Choices(**values)  # type: ignore[arg-type]


def test_choices_come_back_out_of_the_file_they_were_written_to(tmp_path: Path) -> None:
    fit = FitSettings(
        model="pixel2gene",
        model_settings={"recipe": "likelihood", "dropout": 0.25},
        genes="file:/lists/my genes.txt",
        folds=FoldSettings(folds=7),
        seed=11,
        device="cpu",
    )
    asked = chosen(fit=fit, run="my run é", score=False, train=(A, B))
    file = tmp_path / "config.toml"
    file.write_text(toml_of(asked), encoding="utf-8")
    assert choices_of(file) == asked
    file.write_text(toml_of(chosen()), encoding="utf-8")
    assert choices_of(file) == chosen()


def test_a_name_is_suggested_after_the_last_one() -> None:
    assert suggested_name("ridge", []) == "ridge-1"
    assert suggested_name("ridge", ["ridge-2", "ridge-10", "ridge-x", "big-ridge-40", "ridge-3b"]) == "ridge-11"


def test_a_list_of_genes_is_read_before_anything_is_started(tmp_path: Path) -> None:
    list_ = tmp_path / "mine.txt"

    def said(text: str | None, train: tuple[Path, ...] = (A, B)) -> str:
        list_.unlink(missing_ok=True)
        if text is not None:
            list_.write_text(text)
        return why_not(chosen(train=train, fit=FitSettings(model="ridge", genes=f"file:{list_}")), FOUND)

    assert said("Y\nZ\n") == "" and said("X\n", (A,)) == ""
    assert said("X\nZ\n") == "mine.txt names genes that not all sections to train on have: X. Take them off the list."
    assert ": a, b, c, d, e and 2 more. " in said("\n".join("abcdefgZ"))
    assert "There is no gene list" in said(None) and "rows 1 and 3" in said("Y\nZ\nY\n")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"train": ()}, "Choose a section to train on."),
        ({"run": ""}, "Give the run a name."),
        ({"run": "ridge-2"}, "There is a run 'ridge-2' already, which is kept: give this one another name."),
        ({"run": "old"}, "There is a run 'old' already, which is kept: give this one another name."),
        ({"run": "a/b"}, "'a/b' cannot name a part of a section."),
    ],
)
def test_what_keeps_a_run_from_being_started(changes: dict[str, object], reason: str) -> None:
    said = why_not(chosen(**changes), FOUND)
    assert said.startswith(reason) and bool(said) == bool(reason)


def test_only_a_run_that_was_stopped_may_be_continued_under_its_name() -> None:
    assert why_not(chosen(run="ridge-2"), FOUND, continued=True) == ""


def test_sections_without_a_common_gene_are_not_trained_on_together() -> None:
    apart = [FOUND[0], Candidate(B, frozenset("QR"))]
    assert why_not(chosen(train=(A, B)), apart) == "The sections to train on share no gene."


def test_a_story_tells_stages_that_begin_again_and_the_numbers_of_each_training() -> None:
    story = Story(job=None)  # type: ignore[arg-type]
    fit = [Progress("fit", n, 9, values={"held-out r": n / 10, "chance": 0.02}, at=100.0 + n) for n in (1, 2, 3)]
    stopped = Progress("fit", 9, 9, "stopped after 3 epochs", fit[-1].values, at=104.0)
    story.take([Progress("predict", 0, 4, at=90.0), *fit, stopped, Progress("maps", 0, 3, at=110.0)])
    again = Progress("fit", 1, 9, values={"r": math.nan, "permuted": 0.0}, at=112.0)
    story.take([again, Progress("fit", 2, 9, values={"r": 0.5, "permuted": -0.001}, at=113.0)])
    assert [(line.words, line.percent) for line in story.lines] == [
        ("Predicting", 100), ("Learning", 100), ("Writing overviews", 100), ("Learning with blocks left out", 22),
    ]  # fmt: skip
    assert story.lines[1].text() == "0:03" and story.curve.reached == [0.5] and story.curve.chance == [-0.001]
    assert story.curve.text == "held-out r 0.50 (chance 0.00), epoch 1"


def test_notes_are_kept_once_and_what_a_library_prints_is_in_the_log_only() -> None:
    story = Story(job=None)  # type: ignore[arg-type]
    coarse, printed = Note("It is coarse.", "warning"), Note("hello", stage="output")
    story.take([coarse, printed, coarse, Note("r is 0.5.", stage="evaluation")])
    assert story.notes == [coarse, Note("r is 0.5.", stage="evaluation")] and story.verdict == "r is 0.5."
    assert list(story.log) == ["⚠ It is coarse.", "hello", "⚠ It is coarse.", "r is 0.5."]


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (41.2, "0:42"), (725, "12:05"), (11_400, "3 h 10")])
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_queue_tells_slides_above_the_stages_of_the_present_one() -> None:
    story = Story(job=None)  # type: ignore[arg-type]
    story.take([Progress("queue", 0, 3), Progress("features", 1, 4), Progress("predict", 2, 2)])
    story.take([Progress("queue", 1, 3, "a.tif"), Progress("features", 3, 4)])
    assert [(line.words, line.percent) for line in story.stages()] == [
        ("Slide 2 of 3", 33), ("Looking at the histology", 75),
    ]  # fmt: skip
    assert "a.tif is done (1 of 3)" in story.log
    story.take([Progress("queue", 3, 3, "c.tif")])
    assert [(line.words, line.percent) for line in story.stages()] == [("Slide 3 of 3", 100)]


def test_an_encoder_without_its_weights_is_offered_with_the_reason(qtbot, tmp_path: Path, monkeypatch) -> None:
    from qtpy.QtCore import Qt

    from napari_pixelgene.encoders import weights
    from napari_pixelgene.gui.run.engine import _encoder
    from napari_pixelgene.gui.run.options_box import _combo

    monkeypatch.setattr("platformdirs.user_data_path", lambda *a, **k: tmp_path)
    monkeypatch.setattr(weights, "_in_hub_cache", lambda file: None)
    there, lacking = _encoder("stain_texture"), _encoder("gigapath")
    assert not there.why_not and not there.lacks
    assert lacking.lacks == "needs weights" and "1536 numbers" in lacking.title
    assert "prov-gigapath" in lacking.why_not and str(tmp_path / "weights" / "gigapath") in lacking.why_not
    assert "--" not in lacking.why_not.replace(str(tmp_path), "")
    box = _combo((there, lacking))
    qtbot.addWidget(box)
    assert [box.itemText(i) for i in range(2)] == ["stain_texture", "gigapath (needs weights)"]
    assert [box.model().item(i).isEnabled() for i in range(2)] == [True, False]
    assert box.itemData(1, Qt.ItemDataRole.ToolTipRole) == lacking.why_not and box.itemData(1) == "gigapath"
