"""Ridge regression in closed form on standardised features, its penalty chosen by generalised cross-validation.

Minimises sum_i w_i |y_i - b - z_i W|² + alpha |W|², z the columns of x at weighted mean 0 and standard
deviation 1 (constant columns stay 0). One eigendecomposition, of columns or of rows, whichever are fewer,
serves every penalty (Golub, Heath & Wahba 1979; Hastie & Tibshirani 2004). Rows are read in chunks, so memory
beyond x and y is O(min(n, p)²).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
_ROWS = 1 << 15
# Penalties tried, relative to the sum of the weights: the eigenvalues of uncorrelated columns are near 1 there.
_RELATIVE_ALPHAS = np.logspace(-5, 2, 29)


@dataclass(frozen=True, slots=True)
class Ridge:
    """A fitted ridge: `(x - mean) / scale @ weights + intercept`.

    `mean`, `scale` (p,), `weights` (p, q), `intercept` (q,); `alpha` is the penalty that was used.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    intercept: Floats
    alpha: float = 0.0

    def predict(self, x: Floats) -> Floats:
        """Predictions (n, q), float64, for rows x (n, p)."""
        slope = self.weights / self.scale[:, None]
        out: Floats = np.asarray(x, dtype=np.float64) @ slope + (self.intercept - self.mean @ slope)
        return out


@dataclass(frozen=True, slots=True)
class _Spectrum:
    """The problem in its eigenbasis: weights are `basis @ (rotated / (values + alpha))`."""

    values: Floats  # (k,) eigenvalues of the weighted Gram matrix
    basis: Floats  # (p, k)
    rotated: Floats  # (k, q)
    power: Floats  # (k, q) squared projections of y, times the eigenvalue
    y_power: Floats  # (q,) weighted sum of squares of the centred y
    n: int

    def weights(self, alpha: float) -> Floats:
        out: Floats = self.basis @ (self.rotated * self._inverse(alpha)[:, None])
        return out

    def gcv(self, alpha: float) -> float:
        """Generalised cross-validation error, as a share of each output's variance, mean over outputs."""
        inverse = self._inverse(alpha)
        explained = (self.values + 2 * alpha) * inverse**2 @ self.power
        freedom = self.n - 1 - (self.values * inverse).sum()
        varies = self.y_power > 0
        if freedom <= 0 or not varies.any():
            return np.inf
        left = np.maximum(1 - explained[varies] / self.y_power[varies], 0)
        return float(left.mean() * (self.n / freedom) ** 2)

    def _inverse(self, alpha: float) -> Floats:
        """1 / (values + alpha), 0 for directions without variance."""
        total = self.values + alpha
        floor = 1e-12 * max(float(self.values.max(initial=0.0)), 1e-300)
        out: Floats = np.divide(1.0, total, out=np.zeros_like(total), where=total > floor)
        return out


def fit_ridge(x: Floats, y: Floats, alpha: float | None = None, sample_weight: Floats | None = None) -> Ridge:
    """Fit x (n, p) to y (n, q) with penalty `alpha`, chosen by `choose_alpha` when None.

    Rows of weight 0 count as absent. Raises ValueError for shapes that do not meet and values that are not
    finite.
    """
    weight = _checked_weight(x, y, sample_weight)
    mean, scale = _moments(x, weight)
    intercept = weight @ np.asarray(y, dtype=np.float64) / weight.sum()
    spectrum = _spectrum(x, y, weight, (mean, scale, intercept))
    if alpha is None:
        alpha = _best(spectrum, weight.sum() * _RELATIVE_ALPHAS)
    return Ridge(mean, scale, spectrum.weights(alpha), intercept, float(alpha))


def choose_alpha(x: Floats, y: Floats, alphas: Floats | None = None, sample_weight: Floats | None = None) -> float:
    """The penalty of least generalised cross-validation error, one for all outputs.

    `alphas` are absolute; without them 29 from 1e-5 to 100 times the sum of the weights are tried.
    """
    weight = _checked_weight(x, y, sample_weight)
    centre = weight @ np.asarray(y, dtype=np.float64) / weight.sum()
    spectrum = _spectrum(x, y, weight, (*_moments(x, weight), centre))
    return _best(spectrum, weight.sum() * _RELATIVE_ALPHAS if alphas is None else np.asarray(alphas, dtype=float))


def _best(spectrum: _Spectrum, alphas: Floats) -> float:
    """The alpha of least error; the largest among equals."""
    tried = np.sort(alphas)[::-1]
    return float(tried[int(np.argmin([spectrum.gcv(float(alpha)) for alpha in tried]))])


def _checked_weight(x: Floats, y: Floats, sample_weight: Floats | None) -> Floats:
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not len(x):
        raise ValueError(f"ridge needs x (n, p) and y (n, q) of one length above 0, not {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("ridge needs finite x and y")
    weight = np.ones(len(x)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (len(x),) or (weight < 0).any() or not weight.sum() > 0:
        raise ValueError("sample weights must be (n,), none negative, not all 0")
    return weight


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _ROWS, n)) for start in range(0, n, _ROWS))


def _moments(x: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and standard deviation (p,) of the columns; 1 where a column is constant."""
    total = weight.sum()
    mean = sum(weight[c] @ np.asarray(x[c], dtype=np.float64) for c in _chunks(len(x))) / total
    var = sum(weight[c] @ (np.asarray(x[c], dtype=np.float64) - mean) ** 2 for c in _chunks(len(x))) / total
    sd = np.sqrt(var)
    constant = sd <= 1e-9 * np.maximum(np.abs(mean), 1e-30)
    return mean, np.where(constant, 1.0, sd)


def _spectrum(x: Floats, y: Floats, weight: Floats, centre: tuple[Floats, Floats, Floats]) -> _Spectrum:
    """Eigendecompose columns (p <= n) or rows (p > n); `centre` holds x's mean and scale and y's mean."""
    if x.shape[1] <= len(x):
        return _column_spectrum(x, y, weight, centre)
    z, t = _standardised(x, y, weight, centre, slice(None))
    values, vectors = np.linalg.eigh(z @ z.T)
    values = np.maximum(values, 0)
    rotated = vectors.T @ t
    power = values[:, None] * rotated**2
    return _Spectrum(values, z.T @ vectors, rotated, power, (t**2).sum(axis=0), int((weight > 0).sum()))


def _column_spectrum(x: Floats, y: Floats, weight: Floats, centre: tuple[Floats, Floats, Floats]) -> _Spectrum:
    gram = np.zeros((x.shape[1], x.shape[1]))
    cross = np.zeros((x.shape[1], y.shape[1]))
    y_power = np.zeros(y.shape[1])
    for chunk in _chunks(len(x)):
        z, t = _standardised(x, y, weight, centre, chunk)
        gram += z.T @ z
        cross += z.T @ t
        y_power += (t**2).sum(axis=0)
    values, vectors = np.linalg.eigh(gram)
    rotated = vectors.T @ cross
    return _Spectrum(np.maximum(values, 0), vectors, rotated, rotated**2, y_power, int((weight > 0).sum()))


def _standardised(
    x: Floats, y: Floats, weight: Floats, centre: tuple[Floats, Floats, Floats], rows: slice
) -> tuple[Floats, Floats]:
    """Rows of x and y, centred, x scaled, both times the root of the weight; constant columns exactly 0."""
    mean, scale, y_mean = centre
    root = np.sqrt(weight[rows])[:, None]
    z = (np.asarray(x[rows], dtype=np.float64) - mean) / scale * root
    t = (np.asarray(y[rows], dtype=np.float64) - y_mean) * root
    return z, t
