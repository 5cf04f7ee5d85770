#!/usr/bin/env bash
# Runs a command with a screen: the one there is, else a virtual one, else none (and says so).
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"

if [[ "$(uname -s)" != Linux || -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]]; then
  exec "$@"
fi
if ! "$here/system_libs.sh" --check; then
  echo "No screen and no virtual one: going on without windows." >&2
  exec "$@"
fi

number="$(mktemp)"
# -noreset: else the server restarts when its last client leaves, and a second one cannot connect.
Xvfb -displayfd 3 -screen 0 1600x1200x24 -noreset -nolisten tcp 3>"$number" 2>/dev/null &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$number"' EXIT
for _ in $(seq 100); do
  [[ -s "$number" ]] && break
  sleep 0.1
done
[[ -s "$number" ]] || { echo "Xvfb did not start within 10 s." >&2; exit 1; }
DISPLAY=":$(tr -d '[:space:]' <"$number")"
# Nobody sees this screen: the demo leaves no window open on it.
export DISPLAY PIXELGENE_VIRTUAL_DISPLAY=1
status=0
"$@" || status=$?
exit "$status"
