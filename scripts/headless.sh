#!/usr/bin/env bash
# Installs a wheel without extras into .venv-headless and runs the engine there: no napari, no Qt binding.
#   scripts/headless.sh build/dist/napari_pixelgene-*.whl
set -euo pipefail
cd "$(dirname "$0")/.."
wheel="$1"
python=.venv-headless/bin/python

[[ -x "$python" ]] || .venv/bin/python -m venv .venv-headless
"$python" -m pip install -qq --constraint constraints.txt pip
"$python" -m pip install -qq --constraint constraints.txt "$wheel" pytest pytest-timeout hypothesis psutil
"$python" -m pip install -qq --no-deps --force-reinstall "$wheel"

"$python" - <<'PYTHON'
from importlib.util import find_spec

found = [name for name in ("napari", "PySide6", "PySide2", "PyQt6", "PyQt5", "vispy") if find_spec(name)]
assert not found, f"This environment is not headless: {found}"
PYTHON
.venv-headless/bin/npe2 validate napari-pixelgene
"$python" -c "import napari_pixelgene; print(\"napari-pixelgene\", napari_pixelgene.__version__)"
"$python" -m pytest -q --ignore=tests/gui -m "headless and not slow and not gui"
