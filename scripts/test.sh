#!/usr/bin/env bash
# The test suite under a screen; without one the GUI's tests are left out, and that is said.
# TEST_WORKERS=2 shares it between two processes, one of them with all windows.
set -euo pipefail
cd "$(dirname "$0")/.."

arguments=(-n "${TEST_WORKERS:-0}" --dist loadgroup "$@")
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
if [[ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]] && ! scripts/system_libs.sh --check; then
  echo "GUI tests are left out: no screen, and Qt's system libraries are missing." >&2
  scripts/system_libs.sh >&2 || true
  arguments+=(--ignore=tests/gui -m "not gui" -p no:pytest-qt) # which imports Qt as it starts
fi
exec scripts/with_display.sh .venv/bin/python -m pytest "${arguments[@]}"
