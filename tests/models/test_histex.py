"""HISTEX: what its windows see, whom they may lean on, and what both recipes make of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage, sparse

from learnable import composition
from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.pooling import disk_weights
from napari_pixelgene.arithmetic.targets import log1p_cp10k
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError, SettingsError
from napari_pixelgene.models.base import Context, Fitted, TrainingData, TrainingSection, View
from napari_pixelgene.models.histex.context import CANDIDATES, Near, Points, Scale, nearest, tokens_of, unit_context
from napari_pixelgene.models.histex.fitted import FittedWindows, _Around
from napari_pixelgene.models.histex.fitted_original import FittedOriginal
from napari_pixelgene.models.histex.network import HistexNet
from napari_pixelgene.models.histex.original import dense_units
from napari_pixelgene.models.histex.targets import context_values, own_targets
from napari_pixelgene.models.histex.windows import sliding_windows, unit_windows
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.stages.training import train

HISTEX = {
    *(
        f"MCA{b}.cross_attention{i}.{p}.{w}"
        for b in (1, 2)
        for i in (1, 2, 3)
        for p in ("query_proj", "key_proj", "value_proj", "output_proj")
        for w in ("weight", "bias")
    ),
    "l1.weights", "l2.weights", *(f"output_module.{i}.weights" for i in range(4)), "fal_out.weights",
}  # fmt: skip
GENES, PITCH = 12, 10  # of which the last four follow the place, not the histology; superpixels from spot to spot
CHEAP = {"epochs": 2, "hidden": 16, "embedding": 8}
ALL = np.arange(GENES)


def section(
    name: str, seed: int, shape: tuple[int, int] = (9, 8), diameter_um: float = 55.0, depth: float = 60.0
) -> TrainingSection:
    """A staggered array over a grid; a corner of the tissue is missing. Four genes follow a wave of their own."""
    rng = np.random.default_rng(seed)
    rows, columns = shape[0] * PITCH + 6, shape[1] * PITCH + 11
    y, x = np.mgrid[:rows, :columns]
    smooth = ndimage.gaussian_filter(rng.normal(size=(rows, columns, 6)), (3, 3, 0))
    features = (smooth / smooth.std() + 0.3 * rng.normal(size=smooth.shape)).astype(np.float32)
    mask = (y + x > 14) & ~((y > rows - 9) & (x > columns - 9))
    i, j = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    xy = np.column_stack([(j + 0.5 * (i % 2)) * PITCH + 9.3, i * PITCH + 8.1]) * 8.0
    flat = np.flatnonzero(mask)
    pooling = disk_weights(xy, diameter_um / 2, 8.0, (rows, columns), mask)[:, flat].tocsr()
    share = composition(features.reshape(-1, 6)[flat], GENES, 0.7)
    phase = rng.uniform(0, 2 * np.pi, 2)
    field = np.exp(1.2 * np.sin(xy[:, 0] / 150 + phase[0]) * np.cos(xy[:, 1] / 130 + phase[1]))
    share = pooling @ share
    share[:, -4:] *= field[:, None]
    total = depth * GENES * np.exp(0.2 * rng.normal(size=len(xy)))
    counts = rng.poisson(share / share.sum(1, keepdims=True) * total[:, None])
    return TrainingSection(
        name, features.reshape(-1, 6)[flat], pooling, sparse.csr_matrix(counts), counts.sum(1) + 20.0, xy,
        np.column_stack(np.divmod(flat, columns)), 8.0, np.column_stack([2 * j + i % 2, i]),
    )  # fmt: skip


@cache
def data(members: int = 3) -> TrainingData:
    """Each member is scored on a third of the columns of the array, and stops on another third."""
    sections = (section("left", 1), section("right", 2, (7, 9)))
    fold = np.concatenate([s.lattice[:, 0] // 3 % members for s in sections if s.lattice is not None])
    score = np.stack([fold == m for m in range(members)])
    stop = np.roll(score, -1, axis=0)
    genes = GeneTable(tuple(f"G{i}" for i in range(GENES)))
    return TrainingData(sections, genes, tuple(f"c{i}" for i in range(6)), ~score & ~stop, stop, 3)


def learned(of: TrainingData, index: int = 0) -> np.ndarray:
    """(members, units) that the members may lean on in a section."""
    return (of.fit | of.stop)[:, of.section_of_unit == index]


@cache
def trained(recipe: str = "components") -> Fitted:
    return train(get_model("histex", {"recipe": recipe, **CHEAP}), data()).fitted


def predicted(fitted: Fitted, asked: TrainingSection, use: np.ndarray | None, held_out: np.ndarray | None = None):  # type: ignore[no-untyped-def]
    needs = get_model("histex", fitted.settings.model_dump(exclude_unset=True)).needs  # type: ignore[attr-defined]
    context = None if use is None else Context(asked, use)
    return predict_units(fitted, asked, ALL, held_out, needs=needs, context=context)


# Windows


@pytest.mark.parametrize(("diameter", "side", "tokens"), [(55.0, 7, 37), (100.0, 13, 122), (8.0, 7, 1)])
def test_a_window_covers_its_unit(diameter: float, side: int, tokens: int) -> None:
    one = section("a", 4, diameter_um=diameter)
    of = replace(data(), sections=(one,), fit=np.ones((1, 72), bool), stop=np.zeros((1, 72), bool))
    windows = unit_windows(of, 0)
    assert windows.side == side
    for unit in (0, 13, 71):
        row = one.pooling[unit]
        covered = windows.tokens[unit, windows.inside[unit]]
        assert sorted(covered) == sorted(row.indices)
        centre = np.floor(one.xy_um[unit, ::-1] / 8).astype(int)
        steps = np.column_stack(np.divmod(np.arange(side**2), side)) - side // 2
        there = windows.tokens[unit] >= 0
        np.testing.assert_array_equal(one.row_column[windows.tokens[unit, there]], (centre + steps)[there])
        around = set(map(tuple, one.row_column.tolist()))
        assert there.tolist() == [tuple(p) in around for p in (centre + steps).tolist()]
    assert abs(windows.inside.sum(1).max() - tokens) <= 2 + (tokens > 100) * 3
    standard = windows.features[torch.from_numpy(np.unique(one.pooling.indices))]
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std(0, unbiased=False), 1, atol=1e-5)


def test_units_wider_than_any_window_are_told_with_the_setting_that_helps() -> None:
    wide = replace(data(), sections=(section("a", 4, diameter_um=170.0), data().sections[1]))
    with pytest.raises(InputError, match=r"up to 23 superpixels wide, HISTEX's windows 13\. .*--set window=23"):
        unit_windows(wide, 0)
    assert unit_windows(wide, 23).side == 23
    with pytest.raises(SettingsError, match="its side is odd"):
        get_model("histex", {"window": 8})


def test_a_sample_holds_the_unit_and_what_is_around_it() -> None:
    windows = unit_windows(data(), 11)
    rng, units = np.random.default_rng(0), np.array([5, 0, 80])
    seen, around = np.zeros((3, 121), bool), 0
    for _ in range(60):
        features, there, inside = windows.sample(units, 12, rng)
        assert features.shape == (3, 12, 6) and bool(there[0].all())
        np.testing.assert_allclose(inside.sum(1), 1, atol=1e-6)
        assert not bool((inside[~there] > 0).any())
        around += int(((inside == 0) & there).sum())
        for u, unit in enumerate(units):
            for f in features[u][there[u]]:
                seen[u] |= (windows.features[torch.from_numpy(windows.tokens[unit])] == f).all(1).numpy()
    assert around > 300
    np.testing.assert_array_equal(seen, windows.tokens[units] >= 0)  # every superpixel of the tissue has its turn
    one = windows.sample(units, 1, rng)
    assert bool(one[1].all()) and bool((one[2] == 1).all())


@pytest.mark.parametrize("side", [7, 13])
def test_windows_half_a_side_apart_weigh_one_everywhere(side: int) -> None:
    rows, columns, halo = 30, 23, side - 1
    y, x = np.mgrid[-halo : rows + halo, -halo : columns + halo]
    features = np.random.default_rng(0).normal(size=(*y.shape, 2))
    view = View(features, (np.stack([x + 40, y + 3], -1) + 0.5) * 8.0, halo)
    windows = sliding_windows(view, side)
    total = np.asarray((windows.blend > 0).sum(1))
    assert total.min() >= 1 and total.max() == 4
    middle = np.asarray(windows.centres_um)[:, ::-1] / 8 - 0.5
    for row in (0, 11, 200, rows * columns - 1):  # the weight of a window falls evenly from its middle to its edge
        place = np.array(divmod(row, columns)) + np.array([3, 40])
        _, at = windows.blend[row].nonzero()
        away = np.abs(middle[at // side**2] - place) / (side // 2 + 1)
        np.testing.assert_allclose(windows.blend[row, at].toarray().ravel(), np.prod(1 - away, axis=1), atol=1e-12)
    stride = (side + 1) // 2
    assert set(((middle - side // 2) % stride).ravel()) == {0.0}  # on the slide's own lattice, wherever the tile begins


def test_no_seam_between_windows_where_the_published_blocks_have_one() -> None:
    """Histology changes smoothly; what each window says of itself is passed on as it is."""
    y, x = np.mgrid[-12:52, -12:52]
    smooth = (y + 0.5 * x)[..., None].astype(float)
    view = View(smooth, (np.stack([x, y], -1) + 0.5) * 8.0, 12)

    def steps(published: bool) -> float:
        windows = sliding_windows(view, 7, published)
        middle = windows.features[windows.tokens].mean(1)
        values = np.repeat(middle[:, None], 49, axis=1)
        out = windows.blended([(slice(0, len(values)), values)], 1).reshape(windows.yx_shape)
        return float(np.abs(np.diff(out, axis=0)).max())

    assert steps(published=True) == pytest.approx(7.0)
    assert steps(published=False) == pytest.approx(1.0)


# Context


def test_the_nearest_come_by_distance_and_then_by_index() -> None:
    points = np.array([[0.0, 0], [0, 2], [2, 0], [0, -2], [-2, 0], [5, 5], [0.0, 0]])
    near = nearest(points, np.array([[0.0, 0], [2, 2]]), 4)
    assert near.index.tolist() == [[0, 6, 1, 2], [1, 2, 0, 6]]
    np.testing.assert_allclose(near.distance[0], [0, 0, 2, 2])
    few = nearest(points[:2], np.array([[9.0, 9]]), 4)
    assert few.index.shape == (1, 4) and np.isinf(few.distance[0, 2:]).all()
    assert nearest(points[:0], points, 3).distance.shape == (7, 3)


@pytest.mark.parametrize("dense", [False, True])
def test_a_unit_is_never_in_its_own_context_nor_is_one_that_a_member_does_not_fit(dense: bool) -> None:
    of = data()
    units = sum(map(len, of.sections))
    values = np.broadcast_to(np.arange(units, dtype=np.float32)[None, :, None] + 1, (3, units, 1)).copy()
    context = unit_context(of.sections, values, of.fit, dense)
    for member in range(3):
        alone = values.copy()
        alone[:, of.fit[member]] = 0  # nothing of a unit that the member fits is left
        hidden = unit_context(of.sections, alone, of.fit, dense)
        tokens = hidden.tokens(np.arange(units), np.zeros(units), 5)[member]
        assert (tokens[..., 0] == 0).all() and (tokens[..., 1] == 1).mean() > 0.8
    for unit in (0, 20, 71, 72, 130):
        itself = np.zeros_like(values)
        itself[:, unit] = 1
        tokens = unit_context(of.sections, itself, of.fit, dense).tokens(np.arange(units), np.zeros(units), 5)
        assert tokens[:, unit, :, 0].max() == 0
        # The unit is someone's neighbour, unless no member fits it there.
        assert (tokens[..., 0].max() > 0) == bool(of.fit[:, unit].any())
    away = context.tokens(np.arange(units), np.full(units, 150.0), 5)
    assert away[..., 1].any()
    least = 1 - 150.0 / context.scale.reach
    assert away[..., 2].max() <= least + 1e-6
    assert (context.tokens(np.arange(units), np.full(units, np.inf), 5) == 0).all()


def test_neighbours_lie_in_the_units_own_section() -> None:
    of = data()
    values = np.zeros((3, sum(map(len, of.sections)), 1), np.float32)
    values[:, of.section_of_unit == 1] = 1
    tokens = unit_context(of.sections, values, np.ones_like(of.fit)).tokens(np.arange(72), np.zeros(72), 5)
    assert (tokens[..., 0] == 0).all() and (tokens[..., 1] == 1).all()


def test_points_between_are_a_members_only_if_all_their_units_are() -> None:
    points = Points.of(np.array([[0.0, 0], [10, 0], [20, 0]]), dense=True)
    assert points.parents.tolist() == [[0, -1], [1, -1], [2, -1], [0, 1], [1, 2]]
    assert points.usable(np.array([[True, True, False]])).tolist() == [[True, True, False, True, False]]


def test_a_token_says_what_how_surely_and_how_near() -> None:
    near = Near(np.array([[2, 0, 1]], np.int32), np.array([[5.0, 30.0, 60.0]], np.float32))
    values = np.array([[[7.0], [8.0], [9.0]]], np.float32)
    tokens = tokens_of(values, near, np.array([[[True, False, True]]]), Scale(10.0, 60.0), 3)
    np.testing.assert_allclose(tokens[0, 0], [[9, 1, 1 - 10 / 60], [8, 1, 0], [0, 0, 0]], atol=1e-6)


# Targets


def test_targets_of_a_member_are_of_its_own_units() -> None:
    of = data()
    own = own_targets(of, 4)
    mine = of.fit[0] | of.stop[0]
    left = mine & (of.section_of_unit == 0)
    np.testing.assert_allclose(own.values[0, left, -1].mean(), 0, atol=1e-5)
    np.testing.assert_allclose(own.values[0, left, -1].std(), 1, atol=1e-5)
    z = (own.logs[left] - own.mean[0, 0]) / own.sd[0, 0]
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose((own.values[0, of.fit[0], :-1] ** 2).sum(1).mean(), 1, rtol=1e-5)
    np.testing.assert_allclose(z @ own.axes[0], own.values[0, left, :-1], atol=1e-4)
    # Back from components: the part of the z-scores that lies in them.
    back = own.values[0, left, :-1] @ own.basis[0]
    np.testing.assert_allclose(back @ own.axes[0], own.values[0, left, :-1], atol=1e-4)


def test_a_context_is_standardised_as_the_training_was() -> None:
    of = data()
    own = own_targets(of, 4)
    use = learned(of)
    got = context_values(of.sections[0], use, own.arrays())
    for m in range(3):
        np.testing.assert_allclose(got[m], own.values[m, : len(of.sections[0])], atol=2e-4)
    few = np.zeros_like(use)
    few[:, :3] = True  # too few for a mean of their own: the training's
    again = context_values(of.sections[0], few, own.arrays())
    mean, sd = own.mean[0].mean(0), own.sd[0].mean(0)
    logs = log1p_cp10k(of.sections[0].counts, of.sections[0].library)
    np.testing.assert_allclose(again[0, :, :-1], (logs - mean) / sd @ own.axes[0], atol=1e-4)


# The sound recipe


def test_what_is_scored_changes_nothing_that_a_member_says_of_it() -> None:
    """Other counts under the units that score a member: neither its training nor its context can tell."""
    of = data()
    asked = of.sections[0]
    scored = ~learned(of)[0]
    counts = asked.counts.toarray()
    counts[scored] = counts[scored][::-1, ::-1] * 3 + 5
    other = replace(asked, counts=sparse.csr_matrix(counts), library=np.where(scored, 9e3, asked.library))
    changed = replace(of, sections=(other, of.sections[1]))
    again = train(get_model("histex", CHEAP), changed).fitted
    held_out = np.zeros((3, len(asked)), bool)
    held_out[0] = scored
    first = predicted(trained(), asked, learned(of), held_out)
    second = predicted(again, other, learned(of), held_out)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a[scored], b[scored], rtol=1e-4, atol=1e-5)
    # Were they among what it may lean on, they would be seen.
    everything = predicted(trained(), other, np.ones_like(held_out), held_out)[0]
    assert np.abs(everything[scored] - first[0][scored]).max() > 0.01


def test_a_member_trained_alone_is_the_same() -> None:
    of = data()
    of = replace(of, sections=tuple(replace(s, features=s.features.astype(float)) for s in of.sections))
    model = get_model("histex", CHEAP)
    together, alone = train(model, of).fitted.arrays(), train(model, of.only(1)).fitted.arrays()
    for name in (n for n in together if n.startswith("net.")):
        np.testing.assert_allclose(together[name][1], alone[name][0], rtol=1e-7, atol=1e-9, err_msg=name)


def test_it_learns_histology_alone_and_the_place_from_context() -> None:
    """What the histology shows is foretold without any count; what only the place knows needs neighbours."""
    of = data()
    settings = {"epochs": 100, "hidden": 32, "embedding": 16, "learning_rate": 5e-3, "superpixels_per_unit": 8}
    fitted = train(get_model("histex", settings), of).fitted
    asked = section("new", 9, depth=400.0)
    truth = log1p_cp10k(asked.counts, asked.library)
    half = np.arange(len(asked)) % 2 == 0
    use = np.broadcast_to(half, (3, len(asked)))
    alone, leaning = (predicted(fitted, asked, u)[0] for u in (None, use))
    r_alone, r_near = (pearson(x[~half], truth[~half]) for x in (alone, leaning))
    assert r_alone[:-4].mean() > 0.5
    assert r_near[-4:].mean() > r_alone[-4:].mean() + 0.06


def test_the_map_asks_whoever_is_near_and_only_within_reach() -> None:
    asked, use = data().sections[0], np.ones((3, 72), bool)
    beside = predicted(trained(), asked, use)[0]
    far = replace(asked, xy_um=asked.xy_um + 1e5)
    needs = get_model("histex", CHEAP).needs
    away = predict_units(trained(), asked, ALL, needs=needs, context=Context(far, use))[0]
    nothing = predict_units(trained(), asked, ALL, needs=needs, context=Context(asked, ~use))[0]
    np.testing.assert_allclose(away, nothing, atol=1e-6)
    assert np.abs(beside - away).max() > 1e-3


def test_counts_add_up_to_what_was_measured() -> None:
    of = data()
    expected = np.concatenate([predicted(trained(), s, None)[1] for s in of.sections]).sum(0)
    observed = sum(np.asarray(s.counts.sum(0)).ravel() for s in of.sections)
    np.testing.assert_allclose(expected, observed, rtol=0.08)


def bins(depth: float, seed: int = 3) -> TrainingSection:
    """A lattice of 34 × 40 bins of one superpixel, the composition of which follows the histology."""
    rng = np.random.default_rng(seed)
    rows, columns = 34, 40
    smooth = ndimage.gaussian_filter(rng.normal(size=(rows, columns, 6)), (4, 4, 0))
    features = (smooth / smooth.std()).reshape(-1, 6).astype(np.float32)
    place = np.column_stack(np.divmod(np.arange(rows * columns), columns))
    counts = rng.poisson(composition(features, GENES, 0.7) * depth)
    return TrainingSection(
        "bins", features, sparse.csr_matrix(np.eye(len(place), dtype=np.float32)), sparse.csr_matrix(counts),
        counts.sum(1).astype(float), (place[:, ::-1] + 0.5) * 8.0, place, 8.0,
    )  # fmt: skip


def of_bins(section: TrainingSection) -> TrainingData:
    """The left half judges, the right half is learned from."""
    stop = section.xy_um[None, :, 0] < 120
    genes = GeneTable(tuple(f"G{i}" for i in range(GENES)))
    return TrainingData((section,), genes, tuple(f"c{i}" for i in range(6)), ~stop, stop)


def test_bins_of_few_counts_are_joined_as_far_as_a_window_holds_them() -> None:
    model = get_model("histex", CHEAP)
    for depth, most in ((12.0, 90), (1.0, 50)):  # until there are enough counts, or seven superpixels are reached
        of = of_bins(bins(depth))
        plan = model.plan(of)
        assert len(plan.data.sections[0]) <= most < len(of.sections[0])
        assert 7 <= plan.windows.side <= 13 and plan.windows.inside.sum() == len(of.sections[0])
        assert plan.data.sections[0].counts.sum() == of.sections[0].counts.sum()
    spots = data()
    assert model.plan(spots).data.sections[0] is spots.sections[0]


def test_it_learns_from_bins_of_few_counts() -> None:
    """Of new tissue, by histology alone: composition, and totals that add up."""
    of = of_bins(bins(15.0))
    settings = {"epochs": 60, "hidden": 32, "embedding": 8, "learning_rate": 5e-3, "superpixels_per_unit": 8}
    fitted = train(get_model("histex", settings), of).fitted
    new = bins(15.0, seed=8)
    log = predicted(fitted, new, None)[0]
    truth = np.log(composition(new.features, GENES, 0.7))
    assert pearson(log, truth).mean() > 0.6
    own = predicted(fitted, of.sections[0], None)[1]
    np.testing.assert_allclose(own.sum(), of.sections[0].counts.sum(), rtol=0.05)


def test_a_context_of_bins_is_joined_as_the_training_was() -> None:
    """One bin says little but which gene it happened to hold."""
    section = bins(12.0)
    use = np.broadcast_to(section.xy_um[None, :, 0] > 120, (1, len(section))).copy()
    of = of_bins(section)
    fitted = train(get_model("histex", CHEAP), of).fitted
    around = _Around(Context(section, use), fitted.arrays(), fitted.settings)  # type: ignore[arg-type]
    assert len(around.xy_um) < 90 and around.usable.shape == (1, len(around.xy_um))
    plan = get_model("histex", CHEAP).plan(of)
    spread = [values.std(0)[0] for values in (around.values[0], plan.targets.values[0])]
    assert 0.8 < spread[0] / spread[1] < 1.25
    assert (around.usable[0] == (around.xy_um[:, 0] > 120)).all()


# The published recipe


def test_the_published_recipe_from_fit_to_map() -> None:
    fitted = trained("original")
    assert isinstance(fitted, FittedOriginal)
    asked, use = data().sections[0], learned(data())
    alone, leaning = predicted(fitted, asked, None), predicted(fitted, asked, use)
    for log, counts in (alone, leaning):
        assert np.isfinite(log).all() and (counts >= 0).all()
    assert np.abs(alone[1] - leaning[1]).max() > 1e-6
    back = FittedWindows.from_arrays(fitted.arrays(), fitted.settings, fitted.genes)
    np.testing.assert_array_equal(predicted(back, asked, use)[1], leaning[1])


def test_the_published_lattice_of_a_section_lies_on_its_spots() -> None:
    asked = data().sections[0]
    xy, counts = dense_units(asked, np.ones(72, bool))
    away = np.sqrt(((asked.xy_um[:, None] - xy) ** 2).sum(-1)).min(1)
    assert away.max() < 1e-6 and counts.shape == (len(xy), GENES) and len(xy) > 3 * 72
    own = 0.5 * PITCH * 8  # half the pitch apart, in a row
    assert np.isclose(np.sort(np.sqrt(((xy[40] - xy) ** 2).sum(-1)))[1:3], own, rtol=0.2).all()


def test_the_published_recipe_refuses_units_without_an_array() -> None:
    of = data()
    without = replace(of, sections=(of.sections[0], replace(of.sections[1], lattice=None)))
    with pytest.raises(InputError, match=r"The units of right have no places on an array.*default recipe"):
        train(get_model("histex", {"recipe": "original"}), without)
    line = replace(of.sections[1], lattice=np.column_stack([np.arange(63), np.zeros(63, int)]))
    with pytest.raises(InputError, match="lie on one line"):
        train(get_model("histex", {"recipe": "original"}), replace(of, sections=(of.sections[0], line)))


def test_needs_of_both_recipes() -> None:
    sound, published = (get_model("histex", {"recipe": r}).needs for r in ("components", "original"))
    assert sound.standardised and not sound.lattice and sound.context_counts and sound.halo == 12
    assert not published.standardised and published.lattice
    assert get_model("histex", {"window": 21}).needs.halo == 20


@pytest.mark.parametrize("genes", [1000])
def test_the_folded_head_is_the_layers_one_after_the_other(genes: int) -> None:
    torch.manual_seed(1)
    net, rng = HistexNet(87, genes, 128), np.random.default_rng(2)
    his, unit = (torch.from_numpy(rng.random(shape).astype(np.float32)) for shape in ((2, 49, 87), (2, 5, genes)))
    with torch.no_grad():
        latent = net.latent(his, unit)
        layers, folded = net.output(latent, his), net(his, unit)
    assert float(layers.std()) > 1e-3
    np.testing.assert_allclose(folded, layers, atol=1e-6)


def test_candidates_are_enough_for_the_neighbours_asked_for() -> None:
    assert 4 * get_model("histex").settings.neighbours <= CANDIDATES


def test_arrays_of_two_captures_of_a_slide_are_made_denser_apart() -> None:
    left, right = data().sections
    assert left.lattice is not None and right.lattice is not None
    beside = replace(
        left, counts=sparse.vstack([left.counts, right.counts]).tocsr(),
        xy_um=np.concatenate([left.xy_um, right.xy_um + np.array([9e3, 0.0])]),
        lattice=np.concatenate([left.lattice, right.lattice + np.array([1020, 0])]),
    )  # fmt: skip
    xy, counts = dense_units(beside, np.ones(72 + 63, bool))
    each = [dense_units(s, np.ones(len(s), bool)) for s in (left, right)]
    np.testing.assert_allclose(xy, np.concatenate([each[0][0], each[1][0] + np.array([9e3, 0.0])]), atol=1e-6)
    np.testing.assert_allclose(counts, np.concatenate([counts for _, counts in each]))


def test_names_in_a_stored_run_are_pinned() -> None:
    """A rename would orphan every stored run."""
    blocks = {n for n in HISTEX if n.split(".")[0] in ("MCA1", "MCA2", "l1", "l2")}
    own = {"own.weight", "own.bias", "window.weight", *(f"head.{i}.{p}" for i in (2, 5) for p in ("weight", "bias"))}
    assert set(trained().arrays()) == {
        "components", "scale", "gene_mean", "gene_sd", "total", "own_total", "own_mean", "own_sd", "axes",
        "calibration", "unit_size", "context_um", "side", "feature_mean", "feature_sd",
        *(f"net.{state}.{name}" for state in ("alone", "near") for name in blocks | own),
    }  # fmt: skip
    assert set(trained("original").arrays()) == {
        "low", "span", "unit_size", "mean_context", "side", *(f"net.last.{name}" for name in HISTEX),
    }  # fmt: skip
