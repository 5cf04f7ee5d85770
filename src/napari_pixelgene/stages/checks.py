"""Do image and coordinates belong together? Asked before anything slow runs.

Each check takes plain elements and either passes, tells a note, or raises InputError with the numbers that
disagree and the likeliest reason: swapped axes, another level's pixels, another section's image, a wrong pixel size.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
from napari_pixelgene.elements.capture import Footprint, Units
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent

STAGE = "checks"
PLAUSIBLE_MPP = (0.05, 20.0)
COARSE_MPP = 1.0
# Pitch in diameters: square bins lie side by side (1), Visium spots 1.8, legacy ST spots 2 apart.
PITCH_LIMITS = (0.75, 5.0)
# Shares of units: below the first something is wrong, below the second it may be, above the third axes are swapped.
_MOST, _NEARLY_ALL, _SWAPPED = 0.5, 0.7, 0.8
_SAMPLE = 2000


def check_units(
    units: Units,
    xy_um: FloatArray,
    grid: Grid,
    mpp: float,
    tissue: Tissue | None = None,
    on_event: OnEvent = silent,
) -> None:
    """All checks on units at `xy_um` (n, 2) in H&E µm, over an H&E of `mpp` µm per pixel."""
    check_pixel_size(mpp, on_event)
    check_pitch(xy_um, units.footprint, mpp)
    check_placement(xy_um, units.ids, grid, on_event)
    if tissue is not None:
        check_on_tissue(xy_um, grid, tissue, on_event)


def check_pixel_size(mpp: float, on_event: OnEvent = silent) -> None:
    """A pixel size no slide scanner has is an error; one too coarse for cells is a warning."""
    low, high = PLAUSIBLE_MPP
    if not (math.isfinite(mpp) and low <= mpp <= high):
        raise InputError(
            f"The H&E's pixel size is {mpp:g} µm per pixel; slides have {low:g} to {high:g}.",
            "Give the true one with --mpp: 0.25 at 40×, 0.5 at 20×.",
        )
    if mpp > COARSE_MPP:
        text = (
            f"The H&E has {mpp:g} µm per pixel: above {COARSE_MPP:g} µm nuclei are not resolved, so that features of "
            "single superpixels say little; wide windows still do."
        )
        on_event(Note(text, "warning", STAGE))


def check_pitch(xy_um: FloatArray, footprint: Footprint, mpp: float) -> None:
    """The units' median distance to their nearest neighbour must suit their size, or the pixel size is wrong."""
    if footprint.shape == "point" or len(xy_um) < 3:
        return
    pitch_um = nearest_distance(xy_um)
    ratio = pitch_um / footprint.size_um
    low, high = PITCH_LIMITS
    if not low <= ratio <= high:
        name = "diameter" if footprint.shape == "disk" else "side"
        raise InputError(
            f"Pixel size and spot pitch disagree: at {mpp:g} µm per pixel neighbouring units are {pitch_um:.4g} µm "
            f"apart, {ratio:.2g} times their {name} of {footprint.size_um:g} µm.",
            f"Check the pixel size{_fitting(mpp, ratio, name)} and the {name}.",
        )


def _fitting(mpp: float, ratio: float, name: str) -> str:
    """The pixel sizes under which units lie one to two sizes apart; nothing for units that coincide."""
    if ratio <= 0:
        return ""
    return f" (units 1 to 2 {name}s apart would need {mpp / ratio:.3g} to {2 * mpp / ratio:.3g} µm per pixel)"


def nearest_distance(xy: FloatArray) -> float:
    """Median distance to the nearest other point, over at most 2,000 points; coinciding points count as 0."""
    points = np.asarray(xy, dtype=np.float64)
    points = points[np.asarray(np.isfinite(points).all(axis=1))]
    some = points[:: max(1, len(points) // _SAMPLE)]
    distance, _ = cKDTree(points).query(some, k=2)
    return float(np.median(distance[:, 1]))


def check_placement(xy_um: FloatArray, ids: Array, grid: Grid, on_event: OnEvent = silent, what: str = "units") -> None:
    """Most units (or `what` they are) must lie on the image; the few that do not are named in a note."""
    inside = _inside(xy_um, grid)
    share = float(inside.mean()) if len(inside) else 1.0
    if share < _MOST:
        raise InputError(
            f"{int((~inside).sum()):,} of {len(inside):,} {what} lie outside the H&E: {_extents(xy_um, grid)}.",
            _mend_placement(float(_inside(xy_um[:, ::-1], grid).mean())),
        )
    if share < 1:
        lost = np.asarray(ids)[~inside]
        shown = ", ".join(str(each) for each in lost[:5]) + (", …" if len(lost) > 5 else "")
        text = f"{len(lost):,} of {len(inside):,} {what} lie outside the H&E and are not used: {shown}."
        on_event(Note(text, "warning", STAGE))


def check_on_tissue(xy_um: FloatArray, grid: Grid, tissue: Tissue, on_event: OnEvent = silent) -> None:
    """Units were measured on tissue; where most miss it, the image, the axes or the mask is wrong."""
    on = _on_tissue(xy_um, grid, tissue)
    share = float(on.mean()) if len(on) else 1.0
    if share >= _NEARLY_ALL:
        return
    text = (
        f"Only {int(on.sum()):,} of {len(on):,} units lie on the tissue, which covers {tissue.fraction:.0%} of the H&E."
    )
    mend = _mend_placement(float(_on_tissue(xy_um[:, ::-1], grid, tissue).mean()), "or mend the tissue mask")
    if share < _MOST:
        raise InputError(text, mend)
    on_event(Note(f"{text} {mend}", "warning", STAGE))


def _inside(xy_um: FloatArray, grid: Grid) -> BoolArray:
    real = np.asarray(np.isfinite(xy_um).all(axis=1))
    return grid.inside(grid.row_column(np.where(real[:, None], xy_um, -1.0)))


def _on_tissue(xy_um: FloatArray, grid: Grid, tissue: Tissue) -> BoolArray:
    on = _inside(xy_um, grid)
    place = grid.row_column(xy_um[on])
    on[on] = tissue.mask[place[:, 0], place[:, 1]]
    return on


def _extents(xy_um: FloatArray, grid: Grid) -> str:
    (left, top), (right, bottom) = np.nanmin(xy_um, axis=0), np.nanmax(xy_um, axis=0)
    height, width = (side * grid.work_mpp for side in grid.work_shape)
    reach = f"x {left:,.0f} to {right:,.0f} and y {top:,.0f} to {bottom:,.0f} µm"
    return f"{reach} on an image of {width:,.0f} × {height:,.0f} µm"


def _mend_placement(share_swapped: float, otherwise: str = "") -> str:
    """The likeliest reason: axes swapped, when that would put most units where they belong."""
    if share_swapped >= _SWAPPED:
        return f"With x and y swapped {share_swapped:.0%} would lie right: swap the two columns."
    mends = ["Check that image and table are of one section", "that positions are in pixels of this very image"]
    return ", ".join([*mends, *([otherwise] if otherwise else ["and the pixel size"])]) + "."
