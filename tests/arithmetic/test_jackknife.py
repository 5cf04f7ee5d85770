"""The standard error of a fit is the scatter that repeated clicking would give it, and grows away from the pairs."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.arithmetic import fitting
from napari_pixelgene.arithmetic.jackknife import caution, spare, standard_error

TRUE = np.array([[0.95, -0.3, 40.0], [0.3, 0.95, -15.0], [0.0, 0.0, 1.0]])
AT = np.array([[500.0, 400.0], [0.0, 0.0], [3000.0, 2600.0]])


def clicked(count: int, seed: int, noise: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs over 1000 × 800 with a known error in the target."""
    rng = np.random.default_rng(7)
    source = rng.uniform(0, (1000, 800), (count, 2))
    exact = source @ TRUE[:2, :2].T + TRUE[:2, 2]
    return source, exact + np.random.default_rng(seed).normal(0, noise, exact.shape)


def test_of_a_mean_shift_it_is_the_textbooks() -> None:
    """s/√n of both axes together, the same everywhere."""
    source, target = clicked(11, 1)
    target = source + (target - target.mean(axis=0)) * 0.1
    shift = target - source
    expected = np.sqrt(shift.var(axis=0, ddof=1).sum() / len(shift))
    assert standard_error("translation", source, target, AT) == pytest.approx(np.full(3, expected))


@pytest.mark.parametrize("kind", ["similarity", "affine", "homography"])
def test_it_is_what_repetition_shows(kind: fitting.Kind) -> None:
    """Over eighty clickings the jackknife is near the scatter of the fits, in the middle, at the rim and far away."""
    fits, told = [], []
    for seed in range(80):
        source, target = clicked(14, seed)
        fits.append(fitting.fit(kind, source, target).apply(AT))
        told.append(standard_error(kind, source, target, AT))
    scatter = np.sqrt(np.stack(fits).var(axis=0).sum(axis=1))
    ratio = np.sqrt(np.mean(np.square(told), axis=0)) / scatter
    assert ((ratio > 0.85) & (ratio < 1.75)).all(), ratio
    assert scatter[2] > 2.5 * scatter[0]


def test_pairs_in_a_corner_leave_the_rest_open() -> None:
    """The same clicks, drawn together into a quarter of the tissue, say less of its other end."""
    source, target = clicked(12, 3)
    near = source * 0.25
    there = target - (source - near) @ TRUE[:2, :2].T
    far = np.array([[950.0, 780.0]])
    assert standard_error("affine", near, there, far) > 3 * standard_error("affine", source, target, far)


def test_without_a_pair_to_spare_nothing_is_known() -> None:
    """Three pairs hold an affine; none can be left out."""
    source, target = clicked(3, 2)
    assert np.isnan(standard_error("affine", source, target, AT)).all()
    assert spare("affine", 3) == 0 and spare("homography", 6) == 4
    assert caution(0) == np.inf and caution(2) > caution(8) > caution(100) > 1


def test_many_pairs_go_in_groups() -> None:
    """Of sixty pairs the answer is still the scatter's size, and the same twice."""
    source, target = clicked(60, 4)
    first = standard_error("affine", source, target, AT[:1])
    assert first == standard_error("affine", source, target, AT[:1])
    expected = 3.0 * np.sqrt(2 / 60)
    assert expected * 0.6 < first[0] < expected * 1.8
