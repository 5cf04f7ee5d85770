from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.arithmetic.regression import choose_alpha, fit_ridge


def problem(n: int = 60, p: int = 5, q: int = 3, noise: float = 0.3, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * np.linspace(0.1, 30, p) + 7
    return x, (x - 7) @ rng.normal(size=(p, q)) + rng.normal(size=(n, q)) * noise + 2, rng


def plain_ridge(x, y, alpha, weight):
    """The normal equations with an unpenalised intercept, written the long way."""
    mean = np.average(x, axis=0, weights=weight)
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    design = np.hstack([(x - mean) / scale, np.ones((len(x), 1))])
    penalty = np.diag([alpha] * x.shape[1] + [0])
    w = weight[:, None]
    return design @ np.linalg.solve(design.T @ (w * design) + penalty, design.T @ (w * y))


@pytest.mark.parametrize("p", [5, 90])
def test_both_forms_solve_the_normal_equations(p: int) -> None:
    x, y, rng = problem(p=p)
    weight = rng.uniform(0.2, 3, len(x))
    np.testing.assert_allclose(fit_ridge(x, y, 4.0, weight).predict(x), plain_ridge(x, y, 4.0, weight), atol=1e-8)


def test_without_penalty_it_is_least_squares() -> None:
    x, y, _ = problem()
    design = np.hstack([x, np.ones((len(x), 1))])
    expected = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(fit_ridge(x, y, 0.0).predict(x), expected, atol=1e-8)


def test_the_scale_of_a_feature_does_not_matter() -> None:
    x, y, rng = problem()
    stretch = rng.uniform(0.01, 100, x.shape[1])
    np.testing.assert_allclose(
        fit_ridge(x * stretch, y, 3.0).predict(x * stretch), fit_ridge(x, y, 3.0).predict(x), atol=1e-8
    )


def test_rows_of_weight_zero_are_absent() -> None:
    x, y, _ = problem()
    weight = np.ones(len(x))
    weight[::4] = 0
    kept = weight > 0
    ours, theirs = fit_ridge(x, y, None, weight), fit_ridge(x[kept], y[kept])
    assert ours.alpha == pytest.approx(theirs.alpha)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), atol=1e-8)


@pytest.mark.parametrize("p", [4, 80])
def test_a_constant_column_changes_nothing(p: int) -> None:
    x, y, _ = problem(p=p)
    wider = np.hstack([x, np.full((len(x), 1), 1e6 / 3)])
    fitted = fit_ridge(wider, y, 2.0)
    np.testing.assert_allclose(fitted.predict(wider), fit_ridge(x, y, 2.0).predict(x), atol=1e-6)
    assert np.isfinite(fitted.weights).all()


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, _ = problem()
    whole = fit_ridge(x, y)
    monkeypatch.setattr("napari_pixelgene.arithmetic.regression._ROWS", 7)
    np.testing.assert_allclose(fit_ridge(x, y).predict(x), whole.predict(x), atol=1e-8)


@pytest.mark.parametrize("p", [12, 100])
def test_gcv_is_the_formula(p: int) -> None:
    """n |y - Hy|² / (n - tr H)², H with the intercept's 1/n, as written out on dense matrices."""
    x, y, _ = problem(p=p, noise=60)
    z = (x - x.mean(0)) / x.std(0)
    n = len(z)
    alphas = np.logspace(-1, 4, 11)

    def error(alpha: float) -> float:
        hat = z @ np.linalg.solve(z.T @ z + alpha * np.eye(p), z.T) + 1 / n
        left = ((y - hat @ y) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
        return float(left.mean() / (1 - np.trace(hat) / n) ** 2)

    errors = [error(a) for a in alphas]
    assert 0 < int(np.argmin(errors)) < len(alphas) - 1 or p > n
    assert choose_alpha(x, y, alphas) == pytest.approx(alphas[int(np.argmin(errors))])


def test_noise_is_shrunk_and_signal_is_kept() -> None:
    x, y, rng = problem(noise=0.01)
    clear = fit_ridge(x, y)
    blind = fit_ridge(x, rng.normal(size=y.shape))
    assert clear.alpha < 0.1 < 100 < blind.alpha
    assert np.corrcoef(clear.predict(x)[:, 0], y[:, 0])[0, 1] > 0.999
    assert blind.predict(x).std() < 0.3


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((3, 2)), np.zeros((4, 1))),
        (np.zeros(3), np.zeros((3, 1))),
        (np.full((3, 2), np.nan), np.zeros((3, 1))),
        (np.zeros((3, 2)), np.full((3, 1), np.inf)),
    ],
)
def test_what_does_not_meet_is_refused(x, y) -> None:
    with pytest.raises(ValueError, match="ridge needs"):
        fit_ridge(x, y, 1.0)


def test_weights_are_checked() -> None:
    with pytest.raises(ValueError, match="weights"):
        fit_ridge(np.zeros((2, 1)), np.zeros((2, 1)), 1.0, np.array([1.0, -1.0]))
