"""`pixelgene register --report`: with a registration, alone, and before there is any."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.cli.main import main
from napari_pixelgene.cli.register import told
from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.neighbours import marked_sections
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.registration import RegistrationSettings, register


def test_report_with_a_registration_and_alone(
    small_run: SimulatedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a registration the next step is named; then one call judges, the next one draws; `info` repeats it."""
    monkeypatch.chdir(tmp_path)
    import_section(tmp_path / "A.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))
    assert main(["register", "A.section.zarr", "--report", "qc.html"]) == 2
    assert "not registered to the H&E yet" in capsys.readouterr().err and not Path("qc.html").exists()
    keypoints = str(small_run.keypoints)
    assert main(["register", "A.section.zarr", "--keypoints", keypoints, "--report", "qc.html"]) == 0
    told = capsys.readouterr().out
    assert "Recommended is" in told and "Good: nuclei of both images lie" in told and "The page is qc.html." in told
    assert "<svg" not in Path("qc.html").read_text() and "Good: nuclei" in Path("qc.html").read_text(encoding="utf-8")
    Path("qc.html").unlink()
    assert main(["register", "A.section.zarr", "--report", "qc.html"]) == 0
    assert capsys.readouterr().out.startswith("Good: ") and Path("qc.html").exists()
    assert main(["info", "A.section.zarr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["captures"][0]["verdict"]["level"] == "good"
    assert main(["info", "A.section.zarr"]) == 0
    assert "Good: nuclei of both images lie" in capsys.readouterr().out


def test_neither_a_registration_nor_a_report(
    small_run: SimulatedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing to do is an error that names what could be done."""
    assert main(["register", str(tmp_path / "A.section.zarr")]) == 2
    assert "--report alone" in capsys.readouterr().err


def test_a_run_is_marked_as_of_a_neighbouring_section(
    small_run: SimulatedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mark alone is enough to ask for, is kept, and is taken back."""
    store = import_section(tmp_path / "A.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))
    name = store.captures()[0]
    assert main(["register", str(store.path), "--sections", "serial"]) == 0
    assert f"'{name}' is marked as of a neighbouring section." in capsys.readouterr().out
    assert marked_sections(store, name) == "serial"
    assert main(["register", str(store.path), "--sections", "unknown"]) == 0
    assert marked_sections(store, name) == "unknown"
    assert main(["register", str(store.path), "--sections", "other"]) == 2


def test_two_pairs_are_told_without_a_number_that_is_none() -> None:
    places = np.array([[10.0, 20], [900, 700]])
    said = told(register(Keypoints(places, places * 2 + 5), RegistrationSettings(), 0.5, 1.0))
    assert "too few to leave one out" in said and "nan" not in said
