"""Super-resolution gene maps from H&E slides and spatial transcriptomics.

Public names in the order of the flow, each imported only when it is asked for, so that
`import napari_pixelgene` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC: dict[str, str] = {}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'napari_pixelgene' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
