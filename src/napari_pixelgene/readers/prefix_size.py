"""How large a unit of a prefix folder is: what the one number in `radius-raw.txt` can mean.

The scripts read it as the radius in pixels; a README calls it the diameter in µm, and people have written either. The
units' pitch in µm, which does not depend on it, tells which readings can be.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.capture import Footprint
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent

RadiusIs = Literal["radius-px", "diameter-px", "radius-um", "diameter-um"]
_WORDS: dict[RadiusIs, str] = {
    "radius-px": "the radius in pixels",
    "diameter-px": "the diameter in pixels",
    "radius-um": "the radius in µm",
    "diameter-um": "the diameter in µm",
}
# (size, pitch) in µm: Visium, legacy ST, DBiT's three; and bins side by side up to a size.
_DESIGNS = ((55, 100), (100, 200), (10, 20), (25, 50), (50, 100))
_LARGEST_BIN_UM = 20.0
_WITHIN = 0.1
_LIKELY_RATIO, _LIKELY_UM = (0.9, 2.6), (1.0, 250.0)
_SIDE_BY_SIDE = 1.15
_BIN_RATIO = (0.75, 5.0)
_SAMPLE = 2000


def bin_footprint(path: Path, side_um: float, xy_um: FloatArray, on_event: OnEvent = silent) -> Footprint:
    """A radius of 0: squares of a superpixel where the pitch suits them, else points; told."""
    pitch = _pitch(xy_um)
    low, high = _BIN_RATIO
    if pitch is None or low <= pitch / side_um <= high:
        on_event(Note(f"{path.name} is 0: units are bins, squares of {side_um:g} µm."))
        return Footprint("square", side_um)
    on_event(Note(f"{path.name} is 0 and units lie {pitch:.3g} µm apart, so that they are no bins: points.", "warning"))
    return Footprint("point")


def spot_footprint(
    path: Path,
    value: float,
    pixel_um: float,
    xy_um: FloatArray,
    told: RadiusIs | None = None,
    on_event: OnEvent = silent,
) -> Footprint:
    """Disks of the size that `value` means, squares where units lie side by side.

    `told` is what a person says it is. Else the one reading that is plausible is taken and told; several, or none,
    are an error that asks.
    """
    sizes = _readings(value, pixel_um)
    pitch = _pitch(xy_um)
    chosen = told or _plausible(path, value, sizes, pitch)
    size = sizes[chosen]
    beside = pitch is not None and pitch / size < _SIDE_BY_SIDE
    shape: Literal["disk", "square"] = "square" if beside else "disk"
    apart = "" if pitch is None else f", {pitch:.4g} µm apart"
    on_event(Note(f"{path.name} ({value:g}) is {_WORDS[chosen]}: each unit is a {shape} of {size:.4g} µm{apart}."))
    return Footprint(shape, size)


def _readings(value: float, pixel_um: float) -> dict[RadiusIs, float]:
    """The diameter in µm under each reading."""
    return {
        "radius-px": 2 * value * pixel_um,
        "diameter-px": value * pixel_um,
        "radius-um": 2 * value,
        "diameter-um": value,
    }


def _plausible(path: Path, value: float, sizes: dict[RadiusIs, float], pitch: float | None) -> RadiusIs:
    """The reading to take: the one that makes a known design, else the one with a likely ratio of pitch to size."""
    if pitch is None:
        return "radius-px"
    known = [each for each, size in sizes.items() if _is_design(size, pitch)]
    likely = [each for each, size in sizes.items() if _is_likely(size, pitch)]
    for some in (known, likely):
        if some and np.ptp([sizes[each] for each in some]) <= _WITHIN * sizes[some[0]]:
            return some[0]
    open_ones = known or likely or list(sizes)
    can = "; ".join(f"{_WORDS[each]}, {sizes[each]:.3g} µm across (--radius-is {each})" for each in open_ones)
    why = "can be read in several ways" if known or likely else "suits no reading"
    raise InputError(
        f"{path} holds {value:g}, which {why} for units {pitch:.4g} µm apart: {can}.",
        "Say which it is with --radius-is, or give the size with --size-um.",
    )


def _is_design(size_um: float, pitch_um: float) -> bool:
    bins = [(size_um, size_um)] if size_um <= _LARGEST_BIN_UM else []
    return any(
        abs(size_um - size) <= _WITHIN * size and abs(pitch_um - pitch) <= _WITHIN * pitch
        for size, pitch in [*_DESIGNS, *bins]
    )


def _is_likely(size_um: float, pitch_um: float) -> bool:
    (low, high), (smallest, largest) = _LIKELY_RATIO, _LIKELY_UM
    return low <= pitch_um / size_um <= high and smallest <= size_um <= largest


def _pitch(xy_um: FloatArray) -> float | None:
    """Median distance to the nearest other unit, over at most 2,000 of them; None for fewer than three."""
    if len(xy_um) < 3:
        return None
    distance, _ = cKDTree(xy_um).query(xy_um[:: max(1, len(xy_um) // _SAMPLE)], k=2)
    return float(np.median(distance[:, 1]))
