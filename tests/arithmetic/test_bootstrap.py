from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.arithmetic.bootstrap import block_draws, drawn_pearson, interval
from napari_pixelgene.arithmetic.metrics import pearson


def test_a_draw_is_the_correlation_of_the_units_it_holds() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(30, 4))
    prediction = truth + rng.normal(size=(30, 4)) * [0.3, 1, 2, 5]
    times = block_draws(np.arange(30) // 3, 5, seed=1)
    got = drawn_pearson(prediction, truth, times)
    for draw, row in zip(got, times, strict=True):
        units = np.repeat(np.arange(30), row.astype(int))
        assert draw == pytest.approx(pearson(prediction[units], truth[units]).mean())
    assert drawn_pearson(prediction, truth, np.ones((1, 30)))[0] == pytest.approx(pearson(prediction, truth).mean())


def test_blocks_are_drawn_whole_and_as_many_as_there_are() -> None:
    blocks = np.array([7, 7, 7, 2, 2, 9])
    times = block_draws(blocks, 200, seed=0)
    assert (times[:, 0] == times[:, 2]).all() and (times[:, 3] == times[:, 4]).all()
    np.testing.assert_array_equal(times[:, 0] + times[:, 3] + times[:, 5], 3)
    assert abs(times.mean() - 1) < 0.1 and times.std() > 0.5
    np.testing.assert_array_equal(times, block_draws(blocks, 200, seed=0))


def test_blocks_are_less_sure_than_units_where_neighbours_are_alike() -> None:
    rng = np.random.default_rng(5)
    block = np.repeat(np.arange(12), 25)
    shared = rng.normal(size=(12, 6))[block]
    truth = shared + 0.1 * rng.normal(size=shared.shape)
    prediction = shared + rng.normal(size=(12, 6))[block]
    by_block = interval(drawn_pearson(prediction, truth, block_draws(block, 300, 0)))
    by_unit = interval(drawn_pearson(prediction, truth, block_draws(np.arange(300), 300, 0)))
    assert by_block[1] - by_block[0] > 2 * (by_unit[1] - by_unit[0])


def test_a_gene_that_is_constant_in_a_draw_is_left_out_of_it() -> None:
    truth = np.array([[0.0, 1], [0, 2], [5, 4], [7, 3]])
    prediction = np.array([[1.0, 1], [2, 2], [3, 4], [9, 3]])
    assert drawn_pearson(prediction, truth, np.array([[1.0, 1, 0, 0]]))[0] == pytest.approx(1)
    assert np.isnan(drawn_pearson(prediction, truth, np.array([[2.0, 0, 0, 0]]))[0])
    assert all(np.isnan(interval(np.array([np.nan]))))
    assert interval(np.arange(101.0)) == pytest.approx((2.5, 97.5))
