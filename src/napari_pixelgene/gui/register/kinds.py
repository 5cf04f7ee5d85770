"""The kinds of transform in a biologist's words, the mathematician's name in brackets. Values only."""

from __future__ import annotations

import re

from napari_pixelgene.gui.register.history import Choice

# As one of a list, in which each kind adds something to those above it.
LABELS: dict[Choice, str] = {
    "auto": "auto",
    "given": "given matrix",
    "translation": "shift (translation)",
    "rigid": "+ turn (rigid)",
    "similarity": "+ size (similarity)",
    "affine": "+ stretch (affine)",
    "homography": "+ tilt (homography)",
    "spline": "+ bend (spline)",
}
_TITLES: dict[Choice, str] = {
    "translation": "shifting (translation)",
    "rigid": "turning (rigid)",
    "similarity": "sizing (similarity)",
    "affine": "stretching (affine)",
    "homography": "tilting (homography)",
    "spline": "bending (thin-plate spline)",
}
TIPS: dict[Choice, str] = {
    "auto": "The simplest model that misses pairs, left out in turn, by no more than the others",
    "given": "The matrix from a file, as it is; pairs are only compared with it",
    "translation": "The run is only shifted",
    "rigid": "The run is shifted and turned; its size stays",
    "similarity": "The run is shifted, turned, and made larger or smaller as a whole",
    "affine": "The run may also be stretched more in one direction than in another, and sheared",
    "homography": "Stretching, and a perspective besides, as of a slide that lay tilted in the scanner",
    "spline": "Stretching, and a smooth bend (thin-plate spline), as of tissue that was pulled; no 3 × 3 file holds it",
}
# What the engine's sentences call things, and what they are called here.
_PLAIN = (
    (r"its held-out error is", "it misses pairs that are left out in turn by"),
    (r"held-out error", "error at pairs that are left out in turn"),
)


def title(kind: Choice) -> str:
    """A model inside a sentence."""
    return _TITLES.get(kind, kind)


def plain(text: str) -> str:
    """A sentence of the engine in these words."""
    for pattern, words in _PLAIN:
        text = re.sub(pattern, words, text)
    return text
