"""Pixel sizes as image files state them, and which one to believe.

OME-XML: `PhysicalSizeX/Y` with their unit. Aperio: `MPP` in the image description. Other TIFF:
resolution tags in pixels per centimetre or inch, believed only between 0.05 and 20 µm per pixel, for
72 or 96 dpi say nothing about a slide. JPEG and PNG never say.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent

Size = tuple[float, float]  # (x, y) µm per pixel

_UM = {"m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4}
_UM_OF_TAG_UNIT = {2: 25_400.0, 3: 10_000.0}
_IMAGEJ_MICRON = {"micron", "microns", "um", "µm", "μm", "\\u00B5m"}
_PLAUSIBLE_UM = (0.05, 20.0)
_SQUARE = 0.01
_DISAGREE = 0.05


def ome_size(xml: str) -> Size | None:
    """(x, y) of the first image of an OME-XML block, or None where it states none in a length unit."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    pixels = next((e for e in root.iter() if e.tag.rsplit("}", 1)[-1] == "Pixels"), None)
    if pixels is None:
        return None
    return _both(_ome_axis(pixels.attrib, "X"), _ome_axis(pixels.attrib, "Y"))


def _ome_axis(attributes: dict[str, str], axis: str) -> float | None:
    unit = _UM.get(attributes.get(f"PhysicalSize{axis}Unit", "µm"))
    value = _number(attributes.get(f"PhysicalSize{axis}"))
    return None if unit is None or value is None else value * unit


def aperio_size(description: str) -> Size | None:
    """(x, y) from `MPP = 0.499` in an Aperio description; a magnification alone states no size."""
    found = re.search(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)", description)
    value = _number(found.group(1)) if found else None
    return None if value is None else (value, value)


def imagej_size(page: Any, metadata: dict[str, Any]) -> Size | None:
    """(x, y) from ImageJ's resolution tags when its `unit` is a micrometre."""
    if str(metadata.get("unit", "")) not in _IMAGEJ_MICRON:
        return None
    return _both(_per_unit(page, "XResolution", 1.0), _per_unit(page, "YResolution", 1.0))


def tag_size(page: Any) -> Size | None:
    """(x, y) from the resolution tags of a TIFF page, when their unit is a length and the value plausible."""
    tag = page.tags.get("ResolutionUnit")
    um = _UM_OF_TAG_UNIT.get(int(tag.value)) if tag is not None else None
    if um is None:
        return None
    size = _both(_per_unit(page, "XResolution", um), _per_unit(page, "YResolution", um))
    low, high = _PLAUSIBLE_UM
    return size if size is not None and all(low <= s <= high for s in size) else None


def _per_unit(page: Any, name: str, um: float) -> float | None:
    tag = page.tags.get(name)
    if tag is None:
        return None
    above, below = tag.value if isinstance(tag.value, tuple) else (tag.value, 1)
    return um * below / above if above and below else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _both(x: float | None, y: float | None) -> Size | None:
    """One axis stands for both where the other is missing."""
    first = x if x is not None else y
    return None if first is None else (first, y if y is not None else first)


def settle(path: Path, stated: Size | None, given: float | None, on_event: OnEvent) -> float | None:
    """The pixel size to use: the one a person gave, else the file's; disagreement is told, oblong pixels refused."""
    if given is not None and not (math.isfinite(given) and given > 0):
        raise InputError(
            f"A pixel size of {given} µm for {path} is impossible.", "Give a number above 0, such as 0.25."
        )
    if stated is None:
        return given
    x, y = stated
    if given is None:
        if abs(x - y) > _SQUARE * max(x, y):
            raise InputError(
                f"{path} states pixels of {x:.6g} × {y:.6g} µm, which are not square.",
                "Resample it to square pixels, or give the true size with --mpp if the file is wrong.",
            )
        return x
    if abs(given - x) > _DISAGREE * given:
        text = f"{path} states {x:.6g} µm per pixel; the {given:.6g} µm you gave are used."
        on_event(Note(text, level="warning", stage="image"))
    return given
