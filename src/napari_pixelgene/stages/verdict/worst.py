"""Where to look first."""

from __future__ import annotations

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.verdict import QualityMap, WorstPlace

# So many places to look at first, this many spacings apart at least.
_WORST_PLACES, _APART = 4, 1.8
_OPEN = "the pairs leave {:.1f} µm open"


def worst_places(found: QualityMap, error: FloatArray, limit: float) -> tuple[WorstPlace, ...]:
    """Places apart from one another: far off, unlike, open; then any, worst first; where nothing is known, the rim."""
    seen, open_um = found.distance_um, np.where(found.compared, np.nan, found.doubt_um)
    from_middle = np.linalg.norm(found.place_um - found.place_um.mean(axis=0), axis=1)
    left = f"nothing to compare; {_OPEN}" if found.compared.any() else _OPEN
    kinds = (
        (np.where(seen > limit, seen, np.nan), "nuclei lie {:.1f} µm apart", _WORST_PLACES - int(found.unlike.any())),
        (np.where(found.unlike, np.nan_to_num(error), np.nan), "nuclei do not agree", _WORST_PLACES),
        (np.where(open_um > limit, open_um, np.nan), left, _WORST_PLACES),
        (seen, "nuclei lie {:.1f} µm apart", _WORST_PLACES),
        (open_um, left, _WORST_PLACES),
        (from_middle, "near the rim; nothing is known here", 0 if found.seen.any() else _WORST_PLACES),
    )
    rows: list[int] = []
    out: list[WorstPlace] = []
    for value, words, most in kinds:
        for row in _apart(found, rows, value, most):
            x, y = (float(v) for v in found.place_um[row])
            out.append(WorstPlace((x, y), float(seen[row]), words.format(value[row])))
    return tuple(out)


def _apart(found: QualityMap, chosen: list[int], value: FloatArray, most: int) -> list[int]:
    """More rows for `chosen`, which grows to `most`: largest values first, none beside one that is chosen."""
    new: list[int] = []
    for row in np.argsort(-np.nan_to_num(value, nan=-1.0), kind="stable"):
        away = np.linalg.norm(found.place_um[chosen] - found.place_um[row], axis=1)
        if len(chosen) >= most or not np.isfinite(value[row]):
            break
        if away.min(initial=np.inf) > _APART * found.spacing_um:
            chosen.append(int(row))
            new.append(int(row))
    return new
