"""What an import costs, in a fresh process: the light path loads nothing heavy and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.headless

HEAVY = (
    *("torch", "torchvision", "timm", "zarr", "dask", "anndata", "polars", "pandas", "pyarrow", "h5py"),
    *("cv2", "skimage", "scipy", "matplotlib", "tifffile", "imagecodecs"),
    *("napari", "PySide6", "PyQt6", "qtpy", "superqt", "magicgui"),
)


def fresh(code: str) -> dict[str, object]:
    """What `code` leaves in `out`, run in a new interpreter."""
    whole = f"import sys, json, time\nout = {{}}\n{code}\nprint(json.dumps(out))"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def heavy_after(statement: str) -> list[str]:
    """The heavy packages a statement loads."""
    found = fresh(f"{statement}\nout['heavy'] = [n for n in {HEAVY!r} if n in sys.modules]")["heavy"]
    assert isinstance(found, list)
    return found


def test_the_ruler_sees_a_heavy_import() -> None:
    assert heavy_after("import napari_pixelgene.arithmetic, scipy.sparse") == ["scipy"]


@pytest.mark.parametrize(
    "statement",
    [
        "import napari_pixelgene",
        "import napari_pixelgene.errors, napari_pixelgene.progress, napari_pixelgene.settings",
    ],
)
def test_the_light_path_is_light(statement: str) -> None:
    assert heavy_after(statement) == []


@pytest.mark.parametrize("room", ["encoders", "models"])
@pytest.mark.parametrize("file", ["base", "registry"])
def test_contracts_and_registries_load_arithmetic_at_most(room: str, file: str) -> None:
    assert set(heavy_after(f"import napari_pixelgene.{room}.{file}")) <= {"scipy"}


def test_the_command_line_starts_light() -> None:
    pytest.importorskip("napari_pixelgene.cli.main")
    assert heavy_after("import napari_pixelgene.cli.main") == []


def test_the_manifest_is_read_without_the_engine() -> None:
    """napari reads the manifest to build its menu; npe2 itself is its own business."""
    code = (
        "from npe2 import PluginManifest\n"
        "before = set(sys.modules)\n"
        "manifest = PluginManifest.from_distribution('napari-pixelgene')\n"
        "assert manifest.name == 'napari-pixelgene'\n"
        "loaded = set(sys.modules) - before\n"
        f"out['heavy'] = [n for n in {HEAVY!r} if n in loaded]"
    )
    assert fresh(code)["heavy"] == []


def test_import_is_quick() -> None:
    """Best of five, since other work may share the processor."""
    code = "start = time.perf_counter()\nimport napari_pixelgene\nout['seconds'] = time.perf_counter() - start"
    seconds = [fresh(code)["seconds"] for _ in range(5)]
    assert min(float(str(s)) for s in seconds) < 0.3


def test_import_configures_nothing() -> None:
    """No log handler, no warning filter, no environment variable, no network."""
    code = (
        "import logging, os, warnings, socket, importlib\n"
        "def refuse(*_): raise AssertionError('an import opened a socket')\n"
        "socket.socket.connect = refuse\n"
        "state = lambda: (list(logging.root.handlers), logging.root.level, list(warnings.filters), dict(os.environ))\n"
        "before = state()\n"
        "import napari_pixelgene, napari_pixelgene.settings\n"
        "out['same'] = state() == before\n"
        "out['named'] = [n for n in logging.root.manager.loggerDict if n.startswith('napari_pixelgene')]"
    )
    assert fresh(code) == {"same": True, "named": []}


def test_every_public_name_resolves() -> None:
    """The names of the package's face are there when asked for, and a wrong one is an AttributeError."""
    code = (
        "import napari_pixelgene as package\n"
        "out['missing'] = [n for n in package.__all__ if getattr(package, n, None) is None]\n"
        "out['wrong'] = hasattr(package, 'no_such_name')"
    )
    assert fresh(code) == {"missing": [], "wrong": False}


def test_importing_data_does_without_torch() -> None:
    """The window's child that imports is there seconds sooner."""
    pytest.importorskip("napari_pixelgene.cli.main")
    assert "torch" not in heavy_after("import napari_pixelgene.cli.run, napari_pixelgene.cli.importing")
