"""HistoSweep's arithmetic: which squares of a slide hold tissue worth learning from (specs/pixel2gene.md section 3.2).

Pen, dust, folds, debris and pale stroma differ from tissue in two numbers of a square: its mean colour z (weighed by
how much each channel varies over the slide) and the spread of its pixel values. Rare combinations of both are suspect,
unless their texture is that of tissue; and a square whose spread is small for its brightness is bare.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

LEVELS = 64
# The original's histogram has this share of all squares as bins a side, and a square is rare below this count.
_BINS_SHARE, _RARE = 5e-5, 100.0
# Where that gives no bin at all: so many bins a side, and rare is this share of their mean count.
_FEW_BINS, _RARE_SHARE = 8, 0.05
_CLUSTERS, _SEED, _SAMPLE = 4, 45, 100_000


def spread_and_colour(rgb: Bytes, side: int, inside: Bools | None = None) -> tuple[Floats, Floats]:
    """Of every square of `side` pixels: the standard deviation of all its values (rows, columns), and its mean colour
    (rows, columns, 3). Pixels that are not `inside` the image count for nothing; a square without any is NaN."""
    rows, columns = rgb.shape[0] // side, rgb.shape[1] // side
    blocks = rgb[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).astype(np.float64)
    if inside is None or inside.all():
        return blocks.std(axis=(1, 3, 4)), blocks.mean(axis=(1, 3))
    weight = inside[: rows * side, : columns * side].reshape(rows, side, columns, side, 1).astype(np.float64)
    count = weight.sum(axis=(1, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        colour = (blocks * weight).sum(axis=(1, 3)) / count
        mean = colour.mean(axis=2)
        square = (blocks**2 * weight).sum(axis=(1, 3, 4)) / (3 * count[..., 0])
    return np.sqrt(np.maximum(square - mean**2, 0.0)), colour


def weighted_colour(colour: Floats) -> Floats:
    """(n,) mean of the channels (n, 3), each weighed by its variance over the slide."""
    weight = colour.var(axis=0)
    out: Floats = colour @ (weight / max(float(weight.sum()), 1e-12))
    return out


def scaled(values: Floats, low: float = 0.0, high: float = 1.0) -> Floats:
    """Values with their smallest at `low` and their largest at `high`; all at `low` where they are the same."""
    spread = float(values.max() - values.min())
    out: Floats = low + (high - low) * (values - values.min()) / (spread or 1.0)
    return out


def texture_ratio(spread: Floats, z: Floats) -> Floats:
    """(n,) spread over brightness, both scaled to 1–2, and the ratio to 0–1."""
    return scaled(scaled(spread, 1, 2) / scaled(z, 1, 2))


def rare(z: Floats, spread: Floats) -> Bools:
    """(n,) squares whose colour and spread few others share.

    The original's histogram has no bin below 20,000 squares (1.28 mm²) and fails; here a small slide gets eight bins a
    side, and rare is under a twentieth of a bin's mean count.
    """
    bins, least = int(_BINS_SHARE * len(z)), _RARE
    if bins == 0:
        bins, least = _FEW_BINS, _RARE_SHARE * len(z) / _FEW_BINS**2
    counts, *edges = np.histogram2d(z, spread, bins=bins)
    smooth = ndimage.gaussian_filter(counts, max(1, int(0.02 * bins)))
    at = [np.searchsorted(edge, values) - 1 for edge, values in zip(edges, (z, spread), strict=True)]
    inside = np.all([(i >= 0) & (i < bins) for i in at], axis=0)
    found = np.zeros(len(z))
    found[inside] = smooth[at[0][inside], at[1][inside]]
    out: Bools = found < least
    return out


def never_tissue(colour: Floats) -> Bools:
    """(n,) green, grey or nearly white squares (n, 3): no texture makes tissue of them."""
    red, green, blue = colour.T
    is_green = (green > red + 20) & (green > blue + 20)
    out: Bools = is_green | (colour.std(axis=1) < 10) | (colour > 230).all(axis=1)
    return out


def grey_levels(rgb: Bytes) -> Bytes:
    """(…) 64 levels of grey of RGB (…, 3): luminance, to 8 bits, to levels, each cut off."""
    luminance = rgb.astype(np.float64) @ np.array([0.2125, 0.7154, 0.0721])
    eight_bit = luminance.astype(np.uint8)
    return np.asarray(eight_bit * ((LEVELS - 1) / 255), dtype=np.uint8)


def cooccurrence(levels: Bytes) -> Floats:
    """(n, 3) energy, homogeneity and entropy in bits of patches (n, h, w) of grey levels.

    Of the symmetric, normed co-occurrence matrix of neighbours in a row (Haralick 1973), worked out from the sorted
    pairs of a patch, so that no matrix of 64 × 64 is made.
    """
    n = len(levels)
    left, right = (part.reshape(n, -1).astype(np.int64) for part in (levels[:, :, :-1], levels[:, :, 1:]))
    share = 1.0 / (2 * left.shape[1])
    homogeneity = (2 * share / (1 + (left - right) ** 2)).sum(axis=1)
    codes = np.sort(np.concatenate([left * LEVELS + right, right * LEVELS + left], axis=1), axis=1)
    starts = np.ones_like(codes, dtype=bool)
    starts[:, 1:] = codes[:, 1:] != codes[:, :-1]
    patch = np.nonzero(starts)[0]
    first = np.flatnonzero(starts)
    length = np.diff(np.append(first, codes.size))
    p = length * share
    energy = np.sqrt(np.bincount(patch, p**2, minlength=n))
    entropy = np.bincount(patch, -p * np.log2(p), minlength=n)
    return np.column_stack([energy, homogeneity, entropy])


def tissue_like(texture: Floats) -> Bools:
    """(n,) which rare squares have the texture of tissue: energy, homogeneity, entropy (n, 3), each scaled; of four
    clusters of a Gaussian mixture the two that are least even."""
    from sklearn.mixture import GaussianMixture

    if len(texture) < 2 * _CLUSTERS:
        return np.zeros(len(texture), dtype=bool)
    energy, homogeneity, entropy = (scaled(column) for column in texture.T)
    values = np.column_stack([homogeneity, energy, entropy])
    mixture = GaussianMixture(_CLUSTERS, covariance_type="full", random_state=_SEED)
    mixture.fit(values[:: -(-len(values) // _SAMPLE)])
    evenness = mixture.means_ @ np.array([1.0, 1.0, -1.0])
    out: Bools = np.isin(mixture.predict(values), np.argsort(evenness)[:2])
    return out


def bare(ratio: Floats, left_out: Bools) -> tuple[Bools, float]:
    """(n,) squares with too little texture for their brightness, and the threshold: Otsu's over those not left out yet,
    less the highest tenth."""
    from skimage.filters import threshold_otsu

    kept = ratio[~left_out]
    if kept.size == 0 or np.ptp(kept) == 0:
        return np.zeros(len(ratio), dtype=bool), 0.0
    kept = kept[kept < np.percentile(kept, 90)]
    threshold = float(threshold_otsu(kept)) if kept.size and np.ptp(kept) > 0 else 0.0
    out: Bools = ratio < threshold
    return out, threshold


def without_specks(mask: Bools, least: int) -> Bools:
    """The mask (rows, columns) without pieces of fewer than `least` squares that touch at sides or corners."""
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    size = np.bincount(labels.ravel())
    size[0] = 0
    return np.asarray(size[labels] >= least)
