#!/usr/bin/env bash
# Makes .venv-peers: other people's tools, pinned, kept apart from ours, that tests open our files with.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
"$python" -m venv .venv-peers
.venv-peers/bin/python -m pip install --quiet "spatialdata-io==0.7.1"
.venv-peers/bin/python -c "import spatialdata_io; print('spatialdata-io', spatialdata_io.__version__)"
