"""The engine runs without napari, without Qt and without any extra."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import napari_pixelgene

pytestmark = pytest.mark.headless

PACKAGE = Path(napari_pixelgene.__file__).parent
# With the extras' own packages refused, only what the core asks for can be imported.
REFUSED = (
    *("napari", "PySide6", "PySide2", "PyQt6", "PyQt5", "qtpy", "superqt", "magicgui", "vispy", "pyqtgraph"),
    *("timm", "huggingface_hub", "openslide", "spatialdata", "distributed", "dask_jobqueue", "pytest"),
)

REFUSE = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {REFUSED!r}:
            raise ModuleNotFoundError("refused here: " + name, name=name)
sys.meta_path.insert(0, Refuse())
"""


def engine_modules() -> list[str]:
    """Every module outside gui/."""
    files = (file.relative_to(PACKAGE.parent).with_suffix("") for file in sorted(PACKAGE.rglob("*.py")))
    names = (".".join(file.parts).removesuffix(".__init__") for file in files if file.parts[1] != "gui")
    return [name for name in names if not name.endswith("__main__")]


def run_refusing(code: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter in which screens and extras cannot be imported."""
    return subprocess.run([sys.executable, "-c", REFUSE + code], capture_output=True, text=True, check=False)


def test_the_refusal_refuses() -> None:
    assert "refused here: qtpy" in run_refusing("import qtpy.QtCore").stderr


def test_every_engine_module_imports_with_the_core_alone() -> None:
    modules = engine_modules()
    assert "napari_pixelgene.elements.grid" in modules
    assert not any(".gui" in name for name in modules)
    done = run_refusing(f"from importlib import import_module\nfor name in {modules!r}: import_module(name)")
    assert done.returncode == 0, done.stderr[-2000:]
