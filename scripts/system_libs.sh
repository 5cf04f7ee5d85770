#!/usr/bin/env bash
# Qt's system libraries and a virtual screen. Root on Debian or Ubuntu: installs what is missing. Anyone else:
# prints the one command to run, and the work goes on without a window. `--check` only tells (exit status).
set -euo pipefail

# What the loader looks for, and the package that brings it.
libraries=(
  libEGL.so.1:libegl1 libGL.so.1:libgl1 libfontconfig.so.1:libfontconfig1 libdbus-1.so.3:libdbus-1-3
  libglib-2.0.so.0:libglib2.0-0 libxkbcommon.so.0:libxkbcommon0 libxkbcommon-x11.so.0:libxkbcommon-x11-0
  libX11-xcb.so.1:libx11-xcb1 libxcb-cursor.so.0:libxcb-cursor0 libxcb-icccm.so.4:libxcb-icccm4
  libxcb-image.so.0:libxcb-image0 libxcb-keysyms.so.1:libxcb-keysyms1 libxcb-randr.so.0:libxcb-randr0
  libxcb-render-util.so.0:libxcb-render-util0 libxcb-shape.so.0:libxcb-shape0 libxcb-sync.so.1:libxcb-sync1
  libxcb-xfixes.so.0:libxcb-xfixes0 libxcb-xkb.so.1:libxcb-xkb1
)

missing_packages() {
  local known pair
  known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p)
  for pair in "${libraries[@]}"; do
    [[ "$known" == *"${pair%%:*} "* ]] || echo "${pair##*:}"
  done
  command -v Xvfb >/dev/null || echo xvfb
  compgen -G "/usr/lib/*/dri/*swrast*" >/dev/null || compgen -G "/usr/lib/*/libgallium*" >/dev/null ||
    echo libgl1-mesa-dri
}

[[ "$(uname -s)" == Linux ]] || exit 0
mapfile -t missing < <(missing_packages)
((${#missing[@]})) || exit 0
[[ "${1:-}" != --check ]] || exit 1

install="apt-get install --yes --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
  echo "Windows need these Debian packages, or what your system calls them: ${missing[*]}" >&2
elif [[ "$(id -u)" != 0 ]]; then
  echo "Windows need system libraries that are not here. Run:  sudo $install" >&2
else
  echo "Installing Qt's system libraries: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && $install -qq >/dev/null; } || echo "That failed. Run:  $install" >&2
fi
