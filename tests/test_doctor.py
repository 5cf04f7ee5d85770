"""The doctor says what is true of this machine, and notices what is broken."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest

from napari_pixelgene import doctor
from napari_pixelgene.cli.main import main
from napari_pixelgene.doctor import Finding, examine

pytestmark = pytest.mark.headless


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    return {f.name: f for f in examine()}


def test_here_the_main_job_can_run(findings: dict[str, Finding]) -> None:
    essential = {name: f for name, f in findings.items() if f.essential}
    assert {"python", "packages", "torch", "store", "images", "encoder stain_texture"} <= essential.keys()
    assert {f.state for f in essential.values()} == {"works"}
    assert metadata.version("torch") in essential["torch"].said


def test_what_does_not_work_says_how_to_mend_it(findings: dict[str, Finding]) -> None:
    assert {"GPU", "disk", "window", "slides"} <= findings.keys()
    assert all(f.mend for f in findings.values() if f.state != "works" and f.name != "GPU")


def test_a_package_that_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (found,) = doctor.packages()
    assert (found.name, found.state, found.essential) == ("safetensors", "broken", True)
    assert found.mend.startswith('pip install "safetensors')


def test_a_package_that_is_too_old_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    true = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "2.0" if name == "zarr" else true(name))
    (found,) = doctor.packages()
    assert found.name == "zarr" and "2.0" in found.said and ">=3.1.5" in found.said


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_requirements", lambda wanted: [("no-such-package-at-all", ">=1")])
    assert [(f.name, f.said) for f in doctor.packages()] == [("no-such-package-at-all", "not installed")]
    assert {f.state for f in doctor.extras()} == {"missing"}


def test_the_command_fails_when_the_main_job_cannot_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def examined(on_event: object, weights: bool = False) -> list[Finding]:
        return [Finding("torch", "broken", "it is gone", "fetch it", True), Finding("GPU", "missing", "none")]

    import napari_pixelgene.cli.doctor as command

    monkeypatch.setattr(command, "examine", examined)
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "BROKEN   torch: it is gone" in said and "fetch it" in said and "cannot run" in said
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["able"] is False
    monkeypatch.setattr(command, "examine", lambda on_event, weights: examined(on_event)[1:])
    assert main(["doctor"]) == 0


def test_a_broken_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert doctor.torch_works().state == "broken"
    assert doctor.gpu().state == "missing"


def test_qt_is_asked_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """An abort of Qt must not take the doctor along."""
    monkeypatch.setattr(
        doctor, "_WINDOW", "import os, sys; sys.stderr.write('no plugin\\n'); sys.stderr.flush(); os.abort()"
    )
    assert doctor._try_window(None) == "Qt fails: no plugin"


def test_a_torchvision_of_another_torch_is_said_cleanly(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "RuntimeError: operator torchvision::nms does not exist"
    true = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.28.0" if name == "torchvision" else true(name))
    monkeypatch.setattr(doctor, "_fault", lambda name, specifier: (name, why) if name == "timm" else None)
    (found,) = (f for f in doctor.extras() if f.name == "encoders")
    assert found.state == "missing" and "was built for another torch" in found.said and "nms" not in found.said
    assert found.mend.startswith("pip install --force-reinstall --no-deps torchvision==0.28.0")


def test_weights_are_opened_when_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from napari_pixelgene.encoders import registry, weights
    from tiny_vits import TinyUni, write_weights

    monkeypatch.setattr("platformdirs.user_data_path", lambda *a, **k: tmp_path)
    monkeypatch.setattr(weights, "_in_hub_cache", lambda file: None)
    monkeypatch.setattr(registry, "_ENCODERS", {"uni": "tiny_vits:TinyUni", "hipt": registry._ENCODERS["hipt"]})
    files = write_weights(TinyUni(), tmp_path / "weights")
    uni, hipt = doctor.weights_fit()
    assert (uni.state, hipt.state) == ("works", "missing") and str(files["weights"]) in uni.said
    assert "CC-BY-NC-ND" in uni.said and "Commons Clause" in hipt.said and "HIPT_4K/Checkpoints" in hipt.mend
    save_file({"cls_token": torch.ones(1, 1, 24)}, files["weights"])
    broken, _ = doctor.weights_fit()
    assert broken.state == "broken" and "lacks 'pos_embed'" in broken.said and not broken.essential
    assert [f.name for f in doctor.encoders()] == ["encoder uni", "weights"]
