"""What a run brought, in a biologist's words: how many spots, bins, cells or transcripts, and where it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.pipeline.sources.registry import source_class

if TYPE_CHECKING:
    from napari_pixelgene.store.captures import StoredCapture

# Facts whose value says it all, or that read better in other words; those told already, or for the reader's eyes only.
_WORDS = {
    "software": "{}",
    "chemistry": "{}",
    "extent": "{}",
    "cells": "{} cells",
    "turn_deg": "turned by {}°",
    "um_per_fullres_px": "{} µm a pixel by the run",
    "pixel size (µm)": "pixels of {} µm",
    "pixel size from": "pixel size: {}",
    "counts from": "counts from {}",
}
_UPRIGHT_DEG = 0.1
_TOLD = ("units", "molecules", "footprint", "bin_um", "locs", "spot_diameter_fullres")


def capture_words(found: StoredCapture) -> str:
    """One capture: its name, technology, panel, what was counted, and facts of its files."""
    parts = [f"{found.name}: {technology(found)}", f"{len(found.genes):,} genes"]
    if found.transcripts:
        parts.append(f"{found.facts.get('molecules', found.transcripts['rows']):,} transcripts")
    if found.units_count:
        parts.append(units_words(found))
    return " · ".join(parts + [_fact(key, value) for key, value in found.facts.items() if _is_worth(key, value)])


def technology(found: StoredCapture) -> str:
    """Its title, without what it has in brackets."""
    try:
        return source_class(str(found.source.get("kind", ""))).title.split(" (")[0]
    except PixelGeneError:  # of another version, or made in Python
        return found.technology.replace("_", " ")


def units_words(found: StoredCapture) -> str:
    """30 spots of 55 µm; 1,200 bins of 8 µm; 500 cells."""
    shape, many = found.footprint(), f"{found.units_count:,}"
    if shape is None or shape.shape == "point":
        return f"{many} cells, as points"
    return f"{many} {'spots' if shape.shape == 'disk' else 'bins'} of {shape.size_um:.4g} µm"


def _is_worth(key: str, value: object) -> bool:
    upright = key == "turn_deg" and isinstance(value, float) and abs(value) < _UPRIGHT_DEG
    return key not in _TOLD and not upright


def _fact(key: str, value: object) -> str:
    amount = f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
    return _WORDS.get(key, f"{key.replace('_', ' ')}: {{}}").format(amount)
