#!/usr/bin/env bash
# Makes .venv with every extra and the development tools, at the versions of constraints.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
  local name
  for name in ${PYTHON:-} python3.11 python3 python3.12 python3.13; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "There is no Python 3.11 or newer here. Install one, or name it:  make PYTHON=/path/to/python3.11" >&2
  return 1
}

make_environment() { # Debian splits venv from Python; root mends that, others are told how.
  "$1" -m venv .venv && return
  rm -rf .venv
  local package
  package="$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  if [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq "$package" >/dev/null
    "$1" -m venv .venv
  else
    echo "Python cannot make a virtual environment. Run:  sudo apt-get install --yes $package" >&2
    return 1
  fi
}

scripts/system_libs.sh
if [[ ! -x .venv/bin/python ]]; then
  python="$(find_python)"
  echo "Making .venv with $("$python" --version)"
  make_environment "$python"
fi
echo "Installing the pinned packages into .venv (2.8 GB; minutes the first time)"
.venv/bin/python -m pip install -qq --constraint constraints.txt pip
.venv/bin/python -m pip install -qq --constraint constraints.txt --editable ".[all]" --group dev
touch .venv/.stamp
