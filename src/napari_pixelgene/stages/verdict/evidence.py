"""What a verdict is made from: places all over the tissue, what nuclei say there, and what the pairs leave open."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from napari_pixelgene.arithmetic import geometry, jackknife
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.elements.matching import Matches
from napari_pixelgene.elements.verdict import SEEN, UNKNOWN, UNLIKE, QualityMap
from napari_pixelgene.settings import Section

# A window of which nuclei cover less cannot tell whether they agree.
_FEWEST_NUCLEI = 0.03
# A square of the lattice that is less full of tissue than this has no place of its own.
_LEAST_FILLED = 0.4
# Places nearer to one another than this would compare the same nuclei.
_CLOSEST_UM = 150.0


class VerdictSettings(Section):
    """How closely one looks, and where good ends."""

    spacing_um: float = Field(300.0, ge=50, le=5000, description="Distance between the places that are compared (µm).")
    least_places: int = Field(40, ge=4, description="On small tissue places lie closer, for about so many of them.")
    most_places: int = Field(400, ge=4, description="On large tissue places lie farther apart, for no more of them.")
    good_um: float = Field(5.0, gt=0, description="Good ends here: median error over the tissue (µm).")
    local_um: float = Field(10.0, gt=0, description="A place that is off by more is one to look at (µm).")
    useless_um: float = Field(15.0, gt=0, description="Beyond this median error a registration is not to be used (µm).")
    serial_um: float = Field(25.0, gt=0, description="Of neighbouring sections: pairs alone are fine up to here (µm).")
    serial_useless_um: float = Field(75.0, gt=0, description="Of neighbouring sections: not to be used beyond (µm).")
    outline_um: float = Field(150.0, gt=0, description="Outlines of tissue agree when they lie no farther apart (µm).")
    outline_useless_um: float = Field(300.0, gt=0, description="Outlines that lie farther apart forbid its use (µm).")


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """What the pairs say: how many the fit trusts and left out, and what they leave over in µm (root mean squares)."""

    trusted: int = 0
    left_out: int = 0
    spare: int = 0
    fit_um: float = float("nan")
    loo_um: float = float("nan")


def grid_places(tissue: BoolArray, superpixel_um: float, settings: VerdictSettings) -> tuple[FloatArray, float]:
    """Middles (n, 2) in µm of the squares of a lattice that hold tissue, and the side of the squares.

    A square counts that is nearly half as full as one can be, or as the fullest is on tissue narrower than squares. Its
    place is where its tissue has its centre of mass.
    """
    rows, columns = np.nonzero(tissue)
    area = len(rows) * superpixel_um**2
    closest = max(_CLOSEST_UM, float(np.sqrt(area / settings.least_places)))
    side_um = max(min(settings.spacing_um, closest), float(np.sqrt(area / settings.most_places)))
    side = max(1, round(side_um / superpixel_um))
    if not len(rows):
        return np.zeros((0, 2)), side * superpixel_um
    wide = int(columns.max()) // side + 1
    square = (rows // side) * wide + columns // side
    filled = np.bincount(square)
    chosen = np.flatnonzero(filled >= _LEAST_FILLED * min(side * side, filled.max()))
    middle = [np.bincount(square, weights=axis)[chosen] / filled[chosen] + 0.5 for axis in (columns, rows)]
    return np.stack(middle, axis=1) * superpixel_um, side * superpixel_um


def doubt(
    keypoints: Keypoints | None, transform: Transform, mpp: tuple[float, float], place_um: FloatArray
) -> tuple[PairEvidence, FloatArray]:
    """What the pairs say of the transform, and the standard error (n,) they leave it with at places in H&E µm.

    `mpp` is µm per unit of the moving and of the fixed frame. Without pairs, or without any to spare, NaN.
    """
    nothing = np.full(len(place_um), np.nan)
    kind, trusted = transform.kind, transform.inlier
    if keypoints is None or trusted is None or kind == "given" or transform.residual_um is None:
        return PairEvidence(), nothing
    count, left = int(trusted.sum()), int((keypoints.enabled & ~trusted).sum())
    loo = np.full(1, np.nan) if transform.loo_um is None else transform.loo_um[trusted]
    evidence = PairEvidence(count, left, jackknife.spare(kind, count), _rms(transform.residual_um[trusted]), _rms(loo))
    source, target = keypoints.moving_xy[trusted] * mpp[0], keypoints.fixed_xy[trusted] * mpp[1]
    at = transform.inverse().apply(place_um / mpp[1])
    mirrored = geometry.is_mirrored(transform.matrix, keypoints.moving_xy[trusted])
    error = jackknife.standard_error(kind, source, target, at * mpp[0], allow_mirror=mirrored)
    return evidence, error


def map_of(
    matches: Matches | None, place_um: FloatArray, doubt_um: FloatArray, spacing_um: float, searched_um: float
) -> QualityMap:
    """What matching found at the places, or that there was nothing to match."""
    n = len(place_um)
    if matches is None:
        blank = np.full(n, np.nan)
        state = np.full(n, UNKNOWN)
        return QualityMap(place_um, np.full((n, 2), np.nan), state, blank, blank, doubt_um, spacing_um, searched_um)
    comparable = np.isfinite(matches.distance_um) & (matches.nuclei >= _FEWEST_NUCLEI)
    state = np.where(matches.clear, SEEN, np.where(comparable, UNLIKE, UNKNOWN))
    shift = np.where(matches.clear[:, None], -matches.shift_um, np.nan)
    similarity, confidence = (np.where(state != UNKNOWN, v, np.nan) for v in (matches.unmoved, matches.margin))
    return QualityMap(place_um, shift, state, similarity, confidence, doubt_um, spacing_um, searched_um)


def with_far_look(found: QualityMap, rows: IntArray, far: Matches, searched_um: float) -> QualityMap:
    """The map with what a wider search found at some of its places."""
    state, shift = found.state.copy(), found.shift_um.copy()
    state[rows[far.clear]], shift[rows[far.clear]] = SEEN, -far.shift_um[far.clear]
    return replace(found, state=state, shift_um=shift, searched_um=searched_um)


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else float("nan")
