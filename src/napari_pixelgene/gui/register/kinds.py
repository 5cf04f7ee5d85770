"""The kinds of transform in a biologist's words, the mathematician's name in brackets. Values only."""

from __future__ import annotations

import re

from napari_pixelgene.gui.register.history import Choice

TITLES: dict[Choice, str] = {
    "auto": "auto",
    "given": "given matrix",
    "translation": "shift (translation)",
    "rigid": "shift, turn (rigid)",
    "similarity": "shift, turn, size (similarity)",
    "affine": "stretching (affine)",
    "homography": "tilting (homography)",
    "spline": "bending (thin-plate spline)",
}
TIPS: dict[Choice, str] = {
    "auto": "The simplest model that foretells left-out pairs no worse than any other",
    "given": "The matrix from a file, as it is; pairs are only compared with it",
    "translation": "The run is only shifted",
    "rigid": "The run is shifted and turned; its size stays",
    "similarity": "The run is shifted, turned, and made larger or smaller as a whole",
    "affine": "The run may also be stretched more in one direction than in another, and sheared",
    "homography": "Stretching, and a perspective besides, as of a slide that lay tilted in the scanner",
    "spline": "Stretching, and a smooth bend for what remains, as of tissue that was pulled; no 3 × 3 file can hold it",
}
# What the engine's sentences call things, and what they are called here.
_PLAIN = (
    (r"its held-out error is", "foretelling left-out pairs it is off by"),
    (r"held-out error", "error at left-out pairs"),
    (r"\bheld out\b", "left out"),
)


def title(kind: Choice) -> str:
    """How a model is called in the window."""
    return TITLES[kind]


def plain(text: str) -> str:
    """A sentence of the engine in these words."""
    for pattern, words in _PLAIN:
        text = re.sub(pattern, words, text)
    return text
