"""Every example runs, and says what it promises."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest

from napari_pixelgene.models import registry

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
