"""Which units of a section are held out: at random, or a region at once.

Blocks, captures and whole sections are held out elsewhere (`folds.py`, the pipeline). These two repeat what the
papers do: half of the spots at random (specs/histosge.md section 2), and the nearest 80 to 95 % around the spot
furthest to the right (specs/stpath.md section 8). Spots drawn at random lie among those learned from, so their score
says how well gaps are filled, not how well new tissue is predicted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.errors import SettingsError

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray

# A model cannot learn from fewer.
_LEAST_KEPT = 10


def random_units(count: int, share: float, seed: int) -> BoolArray:
    """(count,) True for round(share × count) units drawn without replacement."""
    held = np.zeros(count, dtype=bool)
    held[np.random.default_rng([seed, 6]).permutation(count)[: round(share * count)]] = True
    return _require_some(held, share)


def nearest_region(xy_um: FloatArray, share: float) -> BoolArray:
    """(n,) True for the int(share × n) units nearest to the one with the largest x (n, 2); ties by their order."""
    centre = xy_um[int(np.argmax(xy_um[:, 0]))]
    order = np.argsort(((xy_um - centre) ** 2).sum(1), kind="stable")
    held = np.zeros(len(xy_um), dtype=bool)
    held[order[: int(share * len(xy_um))]] = True
    return _require_some(held, share)


def _require_some(held: BoolArray, share: float) -> BoolArray:
    if held.any() and (~held).sum() >= _LEAST_KEPT:
        return held
    raise SettingsError(
        f"Holding out {share:.0%} of {len(held)} units leaves {int((~held).sum())} to learn from.",
        f"Choose a share that holds out at least one unit and leaves {_LEAST_KEPT}.",
    )
