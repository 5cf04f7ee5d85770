"""Everything the five papers measure, of one prediction: means over genes, by name.

What each name means and where it comes from is in docs/metrics.md. A measure that is undefined for a gene (a constant
column under a correlation) leaves the gene out of the mean; one that cannot be had at all is NaN. Measures of pictures
need a complete lattice: SSIM, MS-SSIM, Moran's I.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.arithmetic import map_metrics, metrics
from napari_pixelgene.arithmetic.statistics import intraclass_correlation, morans_i

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray

# Share of the rectangle around the units that must hold one, for it to be a picture.
_COMPLETE = 0.99
# At most so many genes are compared as pictures: the first, which are those with the most counts.
_PICTURES = 50
_COMPONENTS = 10


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where units lie as a picture: (rows, columns) and the flat place of every unit; None where it has holes."""

    yx_shape: tuple[int, int]
    place: IntArray

    def picture(self, values: FloatArray) -> FloatArray:
        """(rows, columns) of one value a unit, NaN where there is none."""
        out = np.full(self.yx_shape[0] * self.yx_shape[1], np.nan)
        out[self.place] = values
        return out.reshape(self.yx_shape)


def complete_lattice(xy_um: FloatArray, pitch_um: float) -> Lattice | None:
    """The picture that units (n, 2) on a square lattice fill; None where more than a hundredth of it is missing."""
    if pitch_um <= 0 or not len(xy_um):
        return None
    place = np.floor(xy_um / pitch_um).astype(np.int64)
    place -= place.min(0)
    columns, rows = (int(n) + 1 for n in place.max(0))
    flat = place[:, 1] * columns + place[:, 0]
    if len(np.unique(flat)) < _COMPLETE * rows * columns:
        return None
    return Lattice((rows, columns), flat)


def measures(
    prediction: FloatArray, truth: FloatArray, lattice: Lattice | None = None, seed: int = 0
) -> dict[str, float]:
    """Of (n, genes) against (n, genes): {name: mean over genes}; `profile` is the mean over units."""
    columns = ("pearson", "spearman", "rmse", "nrmse", "mse", "mae", "r_squared")
    out = {name: _mean(getattr(metrics, name)(prediction, truth)) for name in columns}
    out["profile"] = _mean(metrics.across_genes(prediction, truth))
    overlaps = [map_metrics.top_overlap(t, p) for t, p in zip(truth.T, prediction.T, strict=True)]
    out |= {name: _mean(np.array([o[name] for o in overlaps])) for name in ("dice", "jaccard")}
    if lattice is not None:
        out |= _of_pictures(prediction[:, :_PICTURES], truth[:, :_PICTURES], lattice, seed)
    return out


def _of_pictures(prediction: FloatArray, truth: FloatArray, lattice: Lattice, seed: int) -> dict[str, float]:
    """SSIM beside that of a permuted map, MS-SSIM, and Moran's I of both sides."""
    shuffled = prediction[np.random.default_rng([seed, 7]).permutation(len(prediction))]
    sides = {"truth": truth, "prediction": prediction, "permuted": shuffled}
    maps = {name: [lattice.picture(column) for column in values.T] for name, values in sides.items()}

    def mean(compare: str, of: str) -> float:
        return _mean([getattr(map_metrics, compare)(t, p) for t, p in zip(maps["truth"], maps[of], strict=True)])

    return {
        "ssim": mean("structural_similarity", "prediction"),
        "ssim_permuted": mean("structural_similarity", "permuted"),
        "ms_ssim": mean("multiscale_similarity", "prediction"),
        "ms_ssim_permuted": mean("multiscale_similarity", "permuted"),
        "moran_truth": _mean([morans_i(m) for m in maps["truth"]]),
        "moran_prediction": _mean([morans_i(m) for m in maps["prediction"]]),
    }


def between_clusters(values: FloatArray, labels: Array) -> float:
    """Mean intraclass correlation of the leading components of (n, genes) over clusters: how well tissue classes that
    the values had no part in are told apart by them."""
    centred = np.asarray(values, dtype=np.float64) - np.mean(values, axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    kept = s > 1e-9 * max(float(s.max(initial=0.0)), 1e-300)
    components = (u * s)[:, kept][:, :_COMPONENTS]
    return _mean(intraclass_correlation(components, labels)) if components.size else float("nan")


def _mean(values: FloatArray | list[float]) -> float:
    array = np.asarray(values, dtype=np.float64)
    finite = array[np.isfinite(array)]
    return float(finite.mean()) if finite.size else float("nan")
