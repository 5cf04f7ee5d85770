"""How the levels of a verdict look: a sign and a pair of colours each, so that neither is needed alone."""

from __future__ import annotations

from napari_pixelgene.elements.verdict import Level

SIGNS: dict[Level, str] = {"good": "●", "look here": "▲", "do not use": "✗"}
# Background and ink, read on both themes; told apart by sign and word as well.
LOOKS: dict[Level, tuple[str, str]] = {
    "good": ("#00606e", "white"),
    "look here": ("#ffb000", "black"),
    "do not use": ("#8f1d17", "white"),
}
