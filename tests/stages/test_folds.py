from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.errors import InputError
from napari_pixelgene.stages.folds import _flat, deal_blocks, members

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene" / "qc_folds_genes.json"


def scattered(n: int = 400, width: float = 6000, height: float = 3500, seed: int = 0):
    """An L of tissue, so that blocks are unequal and the frame is not square."""
    xy = np.random.default_rng(seed).uniform(0, 1, (n * 2, 2)) * [width, height]
    inside = (xy[:, 0] < width * 0.4) | (xy[:, 1] < height * 0.5)
    return xy[inside][:n] + np.array([1234.5, -77.7])


def squares(xy, folds, partition):
    """(n, 2) the corner of every unit's block."""
    corner = folds.origin[partition]
    return corner + np.floor((xy - corner) / folds.block_um) * folds.block_um


def test_a_block_is_in_one_fold_and_as_large_as_asked() -> None:
    xy = scattered()
    folds = deal_blocks(xy, 500, 5, seed=1)
    for p in range(2):
        corners, block = np.unique(squares(xy, folds, p), axis=0, return_inverse=True)
        assert len(corners) > 20
        for b in range(len(corners)):
            rows = block.ravel() == b
            assert len(np.unique(folds.fold[p, rows])) == 1
            assert (np.ptp(xy[rows], axis=0) <= 500).all()
    pitch = np.diff(np.unique(squares(xy, folds, 0)[:, 0]))
    np.testing.assert_allclose(pitch, 500)


def test_folds_are_balanced_by_units() -> None:
    folds = deal_blocks(scattered(4000), 500, 5, seed=1)
    for fold in folds.fold:
        assert np.ptp(np.bincount(fold, minlength=5)) < 0.02 * 4000


def test_partitions_cut_elsewhere_and_the_seed_decides() -> None:
    xy = scattered()
    a, b, c = (deal_blocks(xy, 500, 5, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.fold, b.fold)
    assert (a.fold != c.fold).any()
    assert (np.abs(a.origin[0] - a.origin[1]) > 1).all()


def test_fewer_blocks_than_folds_is_told() -> None:
    with pytest.raises(InputError, match=r"blocks of 500 µm, fewer than the 5 folds.*smaller blocks"):
        deal_blocks(np.random.default_rng(0).uniform(0, 400, (50, 2)), 500, 5, seed=0)


def test_two_folds_cannot_be_cross_validated() -> None:
    xy = scattered()
    folds = deal_blocks(xy, 500, 2, seed=0)
    with pytest.raises(InputError, match="three folds, not 2"):
        members(folds, "cross", 100, xy)
    assert members(folds, "fit", 100, xy).fit.shape == (4, len(xy))


def test_members_of_a_fit_stop_on_their_fold() -> None:
    xy = scattered()
    folds = deal_blocks(xy, 500, 5, seed=0)
    plan = members(folds, "fit", 1e6, xy)
    np.testing.assert_array_equal(plan.stop, np.stack([f == k for f in folds.fold for k in range(5)]))
    np.testing.assert_array_equal(plan.fit, ~plan.stop)
    assert not plan.score.any()


def sees(xy, corners, block_um: float, reach: float):
    """(n,) whether a unit's square window overlaps or touches one of the blocks: every pair, the long way."""
    return np.array([[(abs(x - (c + block_um / 2)) <= reach + block_um / 2).all() for c in corners] for x in xy]).any(1)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    block=st.sampled_from([300.0, 500.0, 800.0]),
    folds=st.integers(3, 6),
    reach=st.floats(0, 1300),
)
def test_parts_are_disjoint_and_no_window_reaches_a_scored_block(seed: int, block: float, folds: int, reach: float):
    xy = scattered(90, seed=seed)
    dealt = deal_blocks(xy, block, folds, seed)
    plan = members(dealt, "cross", reach, xy)
    assert (plan.fit.astype(int) + plan.stop + plan.score).max() == 1
    np.testing.assert_array_equal(plan.score.sum(0), 2)
    for m in range(2 * folds):
        p, k = divmod(m, folds)
        np.testing.assert_array_equal(plan.score[m], dealt.fold[p] == k)
        near = sees(xy, np.unique(squares(xy, dealt, p)[plan.score[m]], axis=0), block, reach)
        after = dealt.fold[p] == (k + 1) % folds
        np.testing.assert_array_equal(plan.stop[m], after & ~near)
        np.testing.assert_array_equal(plan.fit[m], ~plan.score[m] & ~after & ~near)


def test_a_window_reaches_into_a_block_by_its_corner() -> None:
    """Windows are square: a unit 90 µm off in x and in y, so 127 µm away, sees the block with a reach of 100 µm."""
    side = np.arange(10.0, 2000, 20)
    xy = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    dealt = deal_blocks(xy, 500, 4, seed=3, partitions=1)
    plan = members(dealt, "cross", 100, xy)
    for fit, score in zip(plan.fit, plan.score, strict=True):
        corner = np.unique(squares(xy, dealt, 0)[score], axis=0)
        off = np.maximum(np.maximum(corner - xy[fit][:, None], xy[fit][:, None] - corner - 500), 0)
        assert off.max(axis=2).min() > 100


def test_a_block_far_down_does_not_share_the_number_of_one_far_right() -> None:
    """The original numbers blocks by the height of the slide: on a wide one, numbers collide."""
    if not VECTORS.exists():
        pytest.skip("the reference vectors are not here")
    original = json.loads(VECTORS.read_text())["block_kfold"]
    ids = np.array(original["block_ids"])
    rows, columns = ids.shape
    place = np.array([[column, row] for row in range(rows) for column in range(columns)])
    ours = _flat(place, rows)
    assert original["n_unique_ids"] < original["n_blocks"] == len(np.unique(ours))
    xy = place * 500.0 + 250
    dealt = deal_blocks(xy, 500, 9, seed=0, partitions=1)
    np.testing.assert_array_equal(np.bincount(dealt.fold[0]), 5)


def test_a_million_and_a_half_bins_are_dealt_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is per block: the greedy dealing sees some hundred blocks, not units."""
    xy = np.random.default_rng(0).uniform(0, 8000, (100_000, 2))
    asked = []
    whole = np.lexsort
    monkeypatch.setattr(np, "lexsort", lambda keys: asked.append(len(keys[0])) or whole(keys))
    deal_blocks(xy, 500, 5, seed=0)
    assert max(asked) <= 17 * 17
