"""Names for squares from panels of marker genes: ranks within the tissue, averaged over a panel.

specs/iscale.md section 5.5, the percentile score. A gene counts in a square from `PRESENT` on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]

# Less of a gene than this in a square, in expected counts, is none.
PRESENT = 1e-5
_POINTS = 100


def percentile_ranks(values: FloatArray, counted: BoolArray) -> FloatArray:
    """(rows, columns) float32 between 0 and 1: how many of 100 even percentiles of what is `counted` lie strictly
    below each of its values, a hundredth each; NaN where nothing is counted."""
    out = np.full(values.shape, np.nan, dtype=np.float32)
    if counted.any():
        valid = values[counted].astype(np.float64)
        grid = np.percentile(valid, np.linspace(0.0, 100.0, _POINTS))
        out[counted] = np.searchsorted(grid, valid, side="left") / _POINTS
    return out


def stretched(ranks: FloatArray) -> FloatArray:
    """The same from 0 to 1 exactly, where they differ at all."""
    if not np.isfinite(ranks).any():
        return ranks
    low, high = float(np.nanmin(ranks)), float(np.nanmax(ranks))
    out: FloatArray = (ranks - low) / (high - low) if high > low else ranks
    return out


def panel_score(maps: Iterable[FloatArray], tissue: BoolArray) -> FloatArray:
    """(rows, columns) float32: the mean rank of a panel's genes, from one map a gene; NaN off the tissue.

    A gene that is not there does not count against the others of its panel; where none is there the score is 0, and
    not missing as in the original, so that a square which lacks one panel can still be named by another.
    """
    total, present = np.zeros(tissue.shape, dtype=np.float32), np.zeros(tissue.shape, dtype=np.int32)
    for values in maps:
        counted = tissue & (values >= PRESENT)
        ranks = stretched(percentile_ranks(values, counted))
        total[counted] += ranks[counted]
        present += counted
    out: FloatArray = np.where(tissue, total / np.maximum(present, 1), np.nan).astype(np.float32)
    return out
