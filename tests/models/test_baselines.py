"""Baselines: the training mean, interpolation of measured units, neighbours and trees in feature space."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from learnable import composition, training_data, training_section
from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.targets import log1p_cp10k
from napari_pixelgene.models.base import Context, TrainingData, TrainingSection, View
from napari_pixelgene.models.knn import FittedKnn
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.models.spatial import FittedSpatial, best_width_um, linear, smooth
from napari_pixelgene.models.targets import component_targets
from napari_pixelgene.models.trees import FittedTrees
from napari_pixelgene.models.units import distinct, drawn, merged, unit_means
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.stages.training import train

GENES = np.arange(12)


def alone(*sections: TrainingSection) -> TrainingData:
    """One member that learns from everything."""
    data = training_data(sections or None, members=1)
    return replace(data, fit=data.stop, stop=data.fit)


def fitted(name: str, data: TrainingData, **settings: Any) -> Any:
    return train(get_model(name, settings), data).fitted


# What all of them share


@pytest.mark.parametrize(
    ("name", "settings", "least"), [("knn", {}, 0.55), ("trees", {}, 0.55), ("trees", {"forest": "random"}, 0.5)]
)
def test_composition_of_new_tissue_is_recovered(name: str, settings: dict[str, Any], least: float) -> None:
    """From 105 units of two sections; shuffled counts teach nothing."""
    new = training_section("new", 7, units=80)
    truth = np.log(composition(new.pooling @ new.features, 12))
    data = training_data()
    log, counts = predict_units(fitted(name, data, **settings), new, GENES)
    assert pearson(log, truth).mean() > least
    total = counts.sum(1) * new.library.mean() / counts.sum(1).mean()
    assert pearson(total[:, None], new.library[:, None])[0] > 0.3
    order = np.random.default_rng(0).permutation(60)
    first = replace(data.sections[0], counts=data.sections[0].counts[order], library=data.sections[0].library[order])
    order = np.random.default_rng(1).permutation(45)
    second = replace(data.sections[1], counts=data.sections[1].counts[order], library=data.sections[1].library[order])
    shuffled = predict_units(fitted(name, replace(data, sections=(first, second)), **settings), new, GENES)[0]
    assert abs(pearson(shuffled, truth).mean()) < 0.35


@pytest.mark.parametrize("name", ["mean", "spatial", "knn", "trees"])
def test_counts_add_up_to_what_was_measured(name: str) -> None:
    """Summed over the units that were learned from, gene by gene; a spatial model leans on its own context."""
    data = alone()
    model = fitted(name, data)
    expected = np.zeros(12)
    for section in data.sections:
        context = Context(section, np.ones((1, len(section)), bool))
        expected += predict_units(model, section, GENES, needs=get_model(name).needs, context=context)[1].sum(0)
    measured = sum(np.asarray(s.counts.sum(0)).ravel() for s in data.sections)
    np.testing.assert_allclose(expected, measured, rtol=0.03)


@pytest.mark.parametrize("name", ["mean", "spatial", "knn", "trees"])
def test_a_member_does_not_look_at_units_of_others(name: str) -> None:
    """Counts of units that are neither fitted nor stopped on may be anything but their section's scale."""
    data = training_data()
    data = replace(data, fit=data.fit & ~np.roll(data.stop, -1, axis=0))
    hidden = ~(data.fit | data.stop)[1]
    swapped = []
    for section, mine in zip(data.sections, np.split(hidden, [60]), strict=True):
        order = np.arange(len(section))
        order[mine] = np.flatnonzero(mine)[::-1]
        swapped.append(replace(section, counts=section.counts[order], library=section.library[order]))
    view = View(np.random.default_rng(5).normal(size=(9, 6)).astype(np.float32))
    ours, others = (fitted(name, d).latent(view) for d in (data, replace(data, sections=tuple(swapped))))
    np.testing.assert_allclose(ours[1], others[1], rtol=1e-4, atol=1e-5)
    if name in ("knn", "trees"):  # the others' latents are means, and the same units were swapped
        assert np.abs(ours[0] - others[0]).max() > 1e-3


# The mean


def test_the_mean_is_that_of_each_members_units() -> None:
    data = training_data()
    model = fitted("mean", data)
    learned = (data.fit | data.stop)[2]
    counts = sparse.vstack([s.counts for s in data.sections]).toarray()
    library = np.concatenate([s.library for s in data.sections])
    log = np.log1p(1e4 * counts / library[:, None])[learned].mean(0)
    size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections])
    view = View(np.zeros((3, 6), np.float32))
    np.testing.assert_allclose(model.decode(model.latent(view), GENES, "log")[2, 1], log, rtol=1e-9)
    each = model.decode(model.latent(view), GENES, "counts")[2, 0]
    np.testing.assert_allclose(each, counts[learned].sum(0) / size[learned].sum(), rtol=1e-9)


@pytest.mark.parametrize("name", ["mean", "spatial"])
def test_where_nothing_is_known_the_answer_is_constant_to_the_last_bit(name: str) -> None:
    """Rounding that follows the size of footprints must not pass for a correlation."""
    section = training_section("new", 7, units=80, covered=9)
    log, _ = predict_units(fitted(name, training_data()), section, GENES, needs=get_model(name).needs)
    assert (log == log[0]).all() and np.isnan(pearson(log, log1p_cp10k(section.counts, section.library))).all()


# Neighbours


def test_knn_is_the_weighted_mean_of_the_nearest_units() -> None:
    data = training_data(members=2)
    model = fitted("knn", data, neighbours=3, components=2)
    a = model.arrays()
    means = unit_means(data)
    z = (means - means.mean(0)) / means.std(0)
    asked = np.array([[0.4, -1.0, 0.2, 0.0, 2.0, -0.3]], np.float32)
    distance = np.linalg.norm((asked - means.mean(0)) / means.std(0) - z, axis=1)
    nearest = np.argsort(distance)[:3]
    weight = np.exp(-2 * (distance[nearest] / distance[nearest[2]]) ** 2)
    values = component_targets(data, 2, data.fit | data.stop).values[0, nearest]
    expected = weight @ values / weight.sum()
    np.testing.assert_allclose(model.latent(View(asked))[0, 0], expected, rtol=1e-5)
    assert a["targets"].shape == (2, 105, 3)


def test_knn_with_fewer_units_than_neighbours_takes_all() -> None:
    section = training_section("s", 1, units=5)
    data = alone(section)
    model = fitted("knn", data)
    assert isinstance(model, FittedKnn)
    assert np.isfinite(model.latent(View(section.features))).all()
    assert model.latent(View(section.features[:0])).shape == (1, 0, 6)


# Trees


def test_trees_walk_as_scikit_learns_do() -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    data = alone()
    model = fitted("trees", data, trees=7, components=3)
    assert isinstance(model, FittedTrees)
    values = component_targets(data, 3, data.fit | data.stop).values[0]
    means = unit_means(data).astype(np.float32)
    forest = ExtraTreesRegressor(7, min_samples_leaf=5, max_features=0.33, random_state=3).fit(means, values)
    asked = np.random.default_rng(1).normal(size=(200, 6)).astype(np.float32)
    np.testing.assert_allclose(model.latent(View(asked))[0], forest.predict(asked), rtol=1e-4, atol=1e-5)
    assert model.arrays()["roots"].shape == (1, 7)


def test_members_with_the_same_units_share_a_forest() -> None:
    data = training_data()
    same = fitted("trees", data, trees=3)
    assert same.arrays()["roots"].shape == (1, 3) and same.members == 4
    data = replace(data, fit=data.fit & ~np.roll(data.stop, -1, axis=0))
    apart = fitted("trees", data, trees=3)
    assert apart.arrays()["roots"].shape == (4, 3)
    alone = fitted("trees", data.only(2), trees=3)
    view = View(np.random.default_rng(1).normal(size=(50, 6)).astype(np.float32))
    np.testing.assert_array_equal(alone.latent(view)[0], apart.latent(view)[2])


# Interpolation


def field(xy: np.ndarray) -> np.ndarray:
    return np.column_stack([2 * xy[:, 0] - 3 * xy[:, 1] + 5, np.sin(xy[:, 0] / 150.0)])


def test_linear_is_exact_on_a_plane_and_nearest_outside() -> None:
    rng = np.random.default_rng(0)
    known = rng.uniform(0, 1000, (60, 2))
    inside = rng.uniform(300, 700, (20, 2))
    np.testing.assert_allclose(linear(known, field(known)[:, :1], inside), field(inside)[:, :1], rtol=1e-9)
    far = np.array([[-5000.0, 500.0]])
    nearest = np.linalg.norm(known - far, axis=1).argmin()
    np.testing.assert_allclose(linear(known, field(known), far)[0], field(known)[nearest])
    on_a_line = np.column_stack([np.arange(5.0), np.zeros(5)])
    np.testing.assert_allclose(linear(on_a_line, np.arange(5.0)[:, None], np.array([[3.2, 8.0]])), [[3.0]])


def test_smooth_is_the_gaussian_mean_of_the_nearest() -> None:
    known = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 50.0]])
    weight = np.exp(-(np.array([30.0, 70.0, np.hypot(30, 50)]) ** 2) / (2 * 40.0**2))
    expected = weight @ np.array([1.0, 2.0, 4.0]) / weight.sum()
    found = smooth(known, np.array([[1.0], [2.0], [4.0]]), np.array([[30.0, 0.0], [1e6, 0.0]]), 40.0)
    np.testing.assert_allclose(found[:, 0], [expected, 2.0], rtol=1e-9)


def test_the_width_follows_the_noise() -> None:
    xy = np.stack(np.meshgrid(np.arange(15.0), np.arange(11.0)), -1).reshape(-1, 2) * 100
    noise = np.random.default_rng(3).normal(size=(len(xy), 1))
    clean, noisy = (best_width_um([xy], [field(xy)[:, 1:] + s * noise]) for s in (0.0, 2.0))
    assert clean < 70 and noisy > 130
    assert best_width_um([xy[:2]], [noise[:2]]) == 100.0


def placed(seed: int, units: int = 120) -> TrainingSection:
    """A section whose composition is a field of place, and whose features say nothing."""
    section = training_section("placed", seed, units=units)
    share = composition(np.column_stack([np.sin(section.xy_um[:, 0] / 220), np.cos(section.xy_um[:, 1] / 260)]), 12)
    counts = np.random.default_rng(seed).poisson(share * 4000)
    return replace(section, counts=sparse.csr_matrix(counts), library=counts.sum(1).astype(float))


@pytest.mark.parametrize("method", ["smooth", "linear"])
def test_units_left_out_are_found_from_those_around_them(method: str) -> None:
    """Each unit by the member that held it out, which sees no more than what it learned from."""
    data = training_data((placed(1),))
    data = replace(data, fit=data.fit & ~np.roll(data.stop, -1, axis=0))
    section, learned = data.sections[0], data.fit | data.stop
    model, needs = fitted("spatial", data, method=method), get_model("spatial").needs
    assert isinstance(model, FittedSpatial)
    truth = log1p_cp10k(section.counts, section.library)
    log, _ = predict_units(model, section, GENES, ~learned, needs=needs, context=Context(section, learned))
    assert pearson(log, truth).mean() > 0.8
    blind, _ = predict_units(model, section, GENES, ~learned, needs=needs)
    assert np.nanmean(pearson(blind, truth)) < 0.1
    # What is scored may be anything.
    counts = section.counts.toarray()
    counts[~learned[2]] = 0
    emptied = replace(section, counts=sparse.csr_matrix(counts))
    again, _ = predict_units(model, section, GENES, ~learned, needs=needs, context=Context(emptied, learned))
    mine = ~learned[2]
    np.testing.assert_allclose(again[mine], log[mine], rtol=1e-6)


def test_a_member_without_units_in_the_context_answers_its_mean() -> None:
    data = training_data((placed(1),))
    model = fitted("spatial", data)
    use = np.ones((4, 120), bool)
    use[3] = False
    view = View(np.zeros((120, 6), np.float32), data.sections[0].xy_um, 0, Context(data.sections[0], use))
    latent = model.latent(view)
    assert latent[:3, :, 0].std(1).min() > 0.5
    np.testing.assert_allclose(latent[3], np.broadcast_to(model.arrays()["mean"][3], latent[3].shape), rtol=1e-6)


# Units of few counts


def bins(seed: int = 2, depth: float = 4.0) -> TrainingSection:
    """A lattice of 400 bins, 8 µm apart, each one superpixel with some tens of counts."""
    section = training_section("bins", seed, units=400, covered=1, depth=depth)
    return replace(section, xy_um=section.xy_um * 0.08)


def test_bins_of_few_counts_are_joined_until_they_say_something() -> None:
    section = bins()
    data = training_data((section,))
    half = np.zeros((4, 400), bool)
    half[:, section.xy_um[:, 0] < 80] = True
    data = replace(data, fit=half, stop=~half)
    before = float(np.median(section.library))
    assert before < 60
    joined = merged(data, 200.0)
    (one,) = joined.sections
    assert np.median(one.library) >= 200 and len(one) == joined.fit.shape[1] < 110
    assert one.counts.sum() == section.counts.sum() and one.library.sum() == section.library.sum()
    np.testing.assert_allclose(np.asarray(one.pooling.sum(1)).ravel(), 1, rtol=1e-6)
    # Nobody learns from a square that holds units of another part.
    assert (joined.fit ^ joined.stop).all()
    left = one.counts[joined.fit[0]].sum(), section.counts[half[0]].sum()
    assert left[0] == left[1]
    # A joined unit is the mean of what it is made of.
    members = (one.pooling[5] > 0).indices
    np.testing.assert_allclose((one.pooling @ one.features)[5], section.features[members].mean(0), rtol=1e-4)
    rich = training_data()
    assert merged(rich, 200.0).sections[0] is rich.sections[0]


@pytest.mark.parametrize("name", ["knn", "trees"])
def test_joining_helps_where_bins_hold_few_counts(name: str) -> None:
    """Features alike over 40 µm, counts of tens a bin: the composition of new tissue."""
    section = bins()
    block = (section.xy_um // 40).astype(int)
    alike = np.random.default_rng(4).normal(size=(6, 6, 6))[tuple(block.T)].astype(np.float32)
    rng = np.random.default_rng(5)
    counts = rng.poisson(composition(alike, 12) * 25)
    section = replace(section, features=alike, counts=sparse.csr_matrix(counts), library=counts.sum(1).astype(float))
    log, total = predict_units(fitted(name, alone(section)), section, GENES)
    truth = np.log(composition(alike, 12))
    joined = pearson(log, truth).mean()
    assert joined > 0.8
    assert total.sum() == pytest.approx(counts.sum(), rel=0.05)


def test_distinct_members_are_found_in_order() -> None:
    rows = np.array([[1, 0, 1], [0, 1, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], bool)
    first, which = distinct(rows)
    assert first == [0, 1, 4] and which.tolist() == [0, 1, 0, 1, 2]


def test_drawn_superpixels_are_those_of_their_units() -> None:
    data = training_data()
    seen = []
    for units, rows, index in drawn(data, most=70):
        section, first = data.sections[index], (0, 60)[index]
        for unit, some in zip(units, rows, strict=True):
            assert set(some) <= set(section.pooling[unit - first].indices)
            seen.append(int(unit))
    assert len(seen) == len(set(seen)) == 70 and max(seen) > 60
