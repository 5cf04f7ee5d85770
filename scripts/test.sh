#!/usr/bin/env bash
# The test suite under a screen; without one the GUI's tests are left out, and that is said.
# The engine's tests are shared by TEST_WORKERS processes (two when left out). Windows come afterwards, alone: there is
# one screen and one mouse. Where tests are named among the arguments, only those run, in one process.
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
pytest=(scripts/with_display.sh .venv/bin/python -m pytest)
screen=yes
if [[ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]] && ! scripts/system_libs.sh --check; then
  screen=no
  without=(--ignore=tests/gui -m "not gui" -p no:pytest-qt) # which imports Qt as it starts
  echo "GUI tests are left out: no screen, and Qt's system libraries are missing." >&2
  scripts/system_libs.sh >&2 || true
fi

for argument in "$@"; do
  if [[ "$argument" != -* ]]; then # tests, or the words of an option such as -k
    [[ "$screen" == yes ]] && exec "${pytest[@]}" "$@"
    exec "${pytest[@]}" "${without[@]}" "$@"
  fi
done

engine=() # its report lies beside that of the windows
for argument in "$@"; do
  [[ "$argument" == --junitxml=* ]] && argument="${argument%.xml}-engine.xml"
  engine+=("$argument")
done
workers=(-n "${TEST_WORKERS:-2}" --dist loadgroup)
if [[ "$screen" == no ]]; then
  exec "${pytest[@]}" "${workers[@]}" "${without[@]}" "$@"
fi
failed=0
"${pytest[@]}" "${workers[@]}" --ignore=tests/gui "${engine[@]}" || failed=$?
"${pytest[@]}" "$@" tests/gui || failed=$?
exit "$failed"
