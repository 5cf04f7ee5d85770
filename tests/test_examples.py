"""Every example runs, and says what it promises."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from learnable import training_data
from napari_pixelgene.cli.main import main
from napari_pixelgene.models import registry
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.stages.training import train

EXAMPLES = Path(__file__).parents[1] / "examples"
WRITE_A_MODEL = EXAMPLES / "02_write_a_model.py"


def load(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example as a module that can be found by name, as an installed package would."""
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    return module


def test_a_stranger_writes_a_model_in_sixty_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    assert load(WRITE_A_MODEL, monkeypatch).main() > 0.85
    assert "neighbours" in registry.available_models()
    classes = [n for n in ast.parse(WRITE_A_MODEL.read_text(encoding="utf-8")).body if isinstance(n, ast.ClassDef)]
    lines = sum((n.end_lineno or 0) - n.lineno + 1 for n in classes)
    assert len(classes) == 3 and lines <= 60


def test_it_runs_as_a_script(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    code = compile(WRITE_A_MODEL.read_text(encoding="utf-8"), str(WRITE_A_MODEL), "exec")
    exec(code, module.__dict__)
    assert "held-out correlation" in capsys.readouterr().out


PACKAGE = EXAMPLES / "third_party_model"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of somebody else, installed by pip into a folder of its own."""
    place = tmp_path_factory.mktemp("installed")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(place),
    ]
    copy = tmp_path_factory.mktemp("package") / "model"
    shutil.copytree(PACKAGE, copy)
    subprocess.run([*command, str(copy)], check=True, capture_output=True)
    return place


def test_a_package_of_somebody_else_is_found_by_its_entry_point(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "similar_places" not in registry.available_models()
    monkeypatch.syspath_prepend(str(installed))
    assert registry.available_models()[-1] == "similar_places"
    assert main(["models", "--json"]) == 0
    card = next(m for m in json.loads(capsys.readouterr().out)["models"] if m["name"] == "similar_places")
    assert [s["name"] for s in card["settings"]] == ["width", "landmarks"]
    data = training_data()
    scored = ~(data.fit | data.stop)
    fitted = train(registry.get_model("similar_places", {"width": 1.0}), data).fitted
    assert fitted.members == 4 and not scored.any()
    log, counts = predict_units(fitted, data.sections[0], np.arange(12))
    truth = np.log1p(1e4 * data.sections[0].counts.toarray() / data.sections[0].library[:, None])
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(log.T, truth.T, strict=True)]) > 0.5
    assert (counts >= 0).all()


def test_what_is_broken_in_somebody_elses_package_is_told_and_the_others_are_listed(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(installed, tmp_path / "broken")
    (tmp_path / "broken" / "pixelgene_similar_places.py").write_text("import no_such_package_here\n")
    sys.modules.pop("pixelgene_similar_places", None)
    monkeypatch.syspath_prepend(str(tmp_path / "broken"))
    assert main(["models", "--json"]) == 0
    cards = {m["name"]: m for m in json.loads(capsys.readouterr().out)["models"]}
    assert "no_such_package_here" in cards["similar_places"]["missing"][0] and "ridge" in cards
    assert main(["models"]) == 0
    assert "similar_places: cannot be loaded" in capsys.readouterr().out


def test_the_package_is_short() -> None:
    assert len((PACKAGE / "pixelgene_similar_places.py").read_text(encoding="utf-8").splitlines()) < 60
