from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.stages.splits import nearest_region, random_units


@settings(max_examples=30, deadline=None)
@given(count=st.integers(25, 400), share=st.floats(0.05, 0.6), seed=st.integers(0, 50))
def test_a_share_is_held_out_and_a_seed_repeats(count: int, share: float, seed: int) -> None:
    held = random_units(count, share, seed)
    assert held.sum() == round(share * count)
    np.testing.assert_array_equal(held, random_units(count, share, seed))


def test_another_seed_holds_out_others() -> None:
    assert 20 < (random_units(200, 0.5, 0) != random_units(200, 0.5, 1)).sum() < 180


def test_the_region_grows_from_the_unit_furthest_right() -> None:
    x, y = np.meshgrid(np.arange(8) * 100.0, np.arange(5) * 70.0)
    xy = np.column_stack([x.ravel(), y.ravel()])
    xy[13] = (900, 70)  # the outlier is the centre
    held = nearest_region(xy, 0.3)
    away = np.hypot(*(xy - xy[13]).T)
    assert held.sum() == 12 and held[13]
    assert away[held].max() <= away[~held].min()


def test_nothing_left_to_learn_from_is_told() -> None:
    with pytest.raises(SettingsError, match="99% of 40 units leaves 1 to learn"):
        nearest_region(np.random.default_rng(0).random((40, 2)), 0.99)
    with pytest.raises(SettingsError, match="at least one"):
        random_units(30, 0.0, 0)
