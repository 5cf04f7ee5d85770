#!/usr/bin/env bash
# The test suite on virtual screens; where there is no screen at all the GUI's tests are left out, and that is said.
# Tests are shared by TEST_WORKERS processes (two when left out); pytest-xvfb gives each a screen and a mouse of its
# own. Windows come after the engine; PARTS names one of the two alone. Where tests are named among the arguments, only
# those run, in one process.
set -euo pipefail
cd "$(dirname "$0")/.."

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
unset PYTHONDONTWRITEBYTECODE # each of some hundred processes would compile everything anew
pytest=(.venv/bin/python -m pytest)
workers="${TEST_WORKERS:-2}"
windows="$workers"
without=()
if command -v Xvfb >/dev/null && scripts/system_libs.sh --check; then
  export PIXELGENE_VIRTUAL_DISPLAY=1 # nobody sees these screens
elif [[ "$(uname -s)" != Linux || -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]]; then
  windows=0 # one screen, one mouse
else
  windows=none
  without=(--ignore=tests/gui -m "not gui" -p no:pytest-qt) # which imports Qt as it starts
  echo "GUI tests are left out: no screen, and Qt's system libraries are missing." >&2
  scripts/system_libs.sh >&2 || true
fi

for argument in "$@"; do
  if [[ "$argument" != -* ]]; then # tests, or the words of an option such as -k
    exec "${pytest[@]}" "${without[@]}" "$@"
  fi
done

engine=() # its report lies beside that of the windows
for argument in "$@"; do
  [[ "$argument" == --junitxml=* ]] && argument="${argument%.xml}-engine.xml"
  engine+=("$argument")
done
if [[ "$windows" == none ]]; then
  [[ " ${PARTS:-engine} " == *" engine "* ]] || exit 0
  exec "${pytest[@]}" -n "$workers" --dist loadfile "${without[@]}" "$@"
fi
failed=0
parts=" ${PARTS:-engine windows} "
if [[ "$parts" == *" engine "* ]]; then
  "${pytest[@]}" -n "$workers" --dist loadfile --ignore=tests/gui "${engine[@]}" || failed=$?
fi
if [[ "$parts" == *" windows "* ]]; then
  "${pytest[@]}" -n "$windows" --dist loadfile "$@" tests/gui || failed=$?
fi
exit "$failed"
