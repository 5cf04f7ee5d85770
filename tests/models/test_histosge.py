"""HisToSGE: sets by space, places of any pitch, superpixels that look at the cells around them, and what is learned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from learnable import composition, training_data, training_section
from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.models.base import TrainingData, View
from napari_pixelgene.models.histosge.fitted import FittedHistoSge
from napari_pixelgene.models.histosge.network import OriginalNet, SetNet
from napari_pixelgene.models.histosge.places import Layout, asking_of, cells_of, log_window, wavelengths, waves
from napari_pixelgene.models.histosge.sets import by_space, hilbert, padded
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.stages.training import train

GENES = np.arange(12)
SMALL = {"width": 32, "hidden": 32, "superpixels_per_unit": 4}


def lattice(columns: int, rows: int, pitch: float = 100.0) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) * pitch + 37.0


# Sets


def test_neighbours_on_the_curve_are_neighbours() -> None:
    """Every place once, each a step from the one before."""
    place = np.argwhere(np.ones((16, 16)))
    along = hilbert(place, 4)
    assert sorted(along) == list(range(256))
    steps = np.abs(np.diff(place[np.argsort(along)], axis=0)).sum(1)
    assert (steps == 1).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 230), st.integers(1, 60), st.integers(1, 5), st.integers(0, 10_000))
def test_every_unit_is_in_one_set(n: int, most: int, layers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = by_space(rng.uniform(0, 3000, (n, 2)), most, rng, layers)
    assert sorted(np.concatenate(sets)) == list(range(n)) and max(map(len, sets)) <= most
    table = padded(sets)
    assert [row[row >= 0].tolist() for row in table] == [s.tolist() for s in sets]


def test_sets_by_space_are_compact_and_change_with_the_epoch() -> None:
    xy = lattice(26, 24)
    rng = np.random.default_rng(2)
    first, second = by_space(xy, 50, rng), by_space(xy, 50, rng)
    spread = np.mean([xy[s].std(0).mean() for s in first])
    by_order = np.mean([xy[s].std(0).mean() for s in np.array_split(np.arange(len(xy)), 13)])
    assert spread < 0.75 * by_order
    assert {tuple(sorted(s)) for s in first} != {tuple(sorted(s)) for s in second}
    thin = by_space(xy, 50, rng, layers=4)
    assert np.mean([xy[s].std(0).mean() for s in thin]) > 1.5 * spread


# Places


def test_half_a_step_is_another_place() -> None:
    """What whole numbers cannot tell: and a place between two has waves between theirs."""
    lengths = wavelengths(200.0, 3200.0, 5)
    np.testing.assert_allclose(lengths, [200, 400, 800, 1600, 3200])
    at = waves(np.array([[0.0, 50.0], [50.0, 50.0], [100.0, 50.0]]), lengths)
    assert at.shape == (3, 20) and at.dtype == np.float32
    assert np.abs(at[1] - at[0]).max() > 0.5
    np.testing.assert_allclose(at[1, 4], np.sin(2 * np.pi * 50 / 3200), rtol=1e-5)
    np.testing.assert_allclose(at[1, 4], at[[0, 2], 4].mean(), rtol=5e-3)


def test_the_window_has_no_edge() -> None:
    found = np.exp(log_window(np.array([0.0, 150.0, 299.0, 300.0, 900.0]), 300.0))
    np.testing.assert_allclose(found, [1, 0.5625, 4.4e-5, 0, 0], rtol=0.02)


def view_of(values: np.ndarray, top: int, left: int, halo: int) -> View:
    """A view of a slide of squares of 8 µm, its first one at (top, left)."""
    y, x = (8 * (np.arange(n) + start + 0.5) for n, start in zip(values.shape[:2], (top, left), strict=True))
    return View(values, np.stack(np.meshgrid(x, y), axis=-1), halo)


def test_cells_are_means_over_the_tissue_of_their_middles() -> None:
    values = np.random.default_rng(0).normal(size=(30, 40, 2)).astype(np.float32)
    values[:6, :7] = np.nan
    layout = Layout(spacing=7, footprint=3, around=1)
    cells = cells_of(view_of(values, 5, 11, 8), layout)
    # Rows 5–34 and columns 11–50 of the slide: cells 0–4 and 1–7, whose middles begin at 2 of 7.
    assert cells.first == (0, 1) and cells.features.shape == (5, 7, 2)
    assert cells.valid[1:, 1:6].all() and cells.valid.sum() == 4 * 5
    middle = values[14 + 2 - 5 : 14 + 5 - 5, 28 + 2 - 11 : 28 + 5 - 11]
    np.testing.assert_allclose(cells.features[2, 3], middle.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(cells.xy_um[2, 3], [(28 + 3.5) * 8, (14 + 3.5) * 8])
    partly = values[7 + 2 - 5 : 7 + 5 - 5, 14 + 2 - 11 : 14 + 5 - 11]
    tissue = np.isfinite(partly).all(-1)
    assert 0 < tissue.sum() < 9
    np.testing.assert_allclose(cells.features[1, 1], partly[tissue].mean(0), rtol=1e-5)


def test_every_superpixel_of_tissue_asks_once_and_sees_its_own_cell() -> None:
    values = np.random.default_rng(1).normal(size=(40, 44, 3)).astype(np.float32)
    values[20:, 30:] = np.nan
    layout = Layout(spacing=5, footprint=3, around=1)
    view = view_of(values, 3, 9, 10)
    wanted = np.ones((20, 24), bool)
    wanted[4] = False
    view = replace(view, asked=wanted)
    cells = cells_of(view, layout)
    seen = []
    for some in asking_of(view, layout, cells):
        for index, xy in zip(some.index, some.seen_um, strict=True):
            mine = index[index >= 0]
            seen += mine.tolist()
            rows, columns = np.divmod(mine, 24)
            centre = (np.column_stack([columns + 10 + 9, rows + 10 + 3]) // 5 + 0.5) * 40
            np.testing.assert_allclose(np.broadcast_to(xy[4], centre.shape), centre)
    tissue = np.isfinite(values[10:30, 10:34]).all(-1) & wanted
    assert sorted(seen) == np.flatnonzero(tissue.ravel()).tolist()


def test_a_set_fits_into_its_halo() -> None:
    """As many cells as lie in it whole, wherever in its cell a superpixel asks from."""
    for spacing, footprint, halo in ((25, 11, 96), (12, 7, 48), (1, 1, 8), (40, 11, 20), (13, 6, 96), (60, 11, 96)):
        layout = Layout.of(spacing, footprint, halo)
        p, before = layout.spacing, (layout.spacing - footprint) // 2

        def farthest(cells: int, p: int = p, before: int = before, footprint: int = footprint) -> int:
            """From either end of the cell that asks to the far end of a middle so many cells away."""
            return max(cells * p + before + footprint - 1, cells * p + p - 1 - before)

        assert farthest(layout.around) <= halo <= farthest(layout.around + 1)
    assert Layout.of(1, 1, 96, 3).around == 3


# Networks


@torch.no_grad()
def test_a_token_that_looks_at_the_others_is_one_of_their_set() -> None:
    """What a map asks, a token with the cells it sees, is the published attention over the set of them all."""
    torch.manual_seed(0)
    net = OriginalNet(8, 5)
    features, place = torch.randn(3, 6, 8), torch.randint(0, 90, (3, 6, 2)).float()
    whole = net.hidden(features, place)
    alone = net.towards(features[:, :1], features[:, 1:], place[:, :1], place[:, 1:], torch.zeros(3, 1, 5))
    torch.testing.assert_close(alone, whole[:, :1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("absolute", [True, False])
@torch.no_grad()
def test_padding_changes_nothing(absolute: bool) -> None:
    torch.manual_seed(1)
    net = SetNet(5, 8, 3, 16, 12, 0.5, absolute).eval()
    asking, seen = torch.randn(2, 4, 5), torch.randn(2, 6, 5)
    at, seen_at, bias = torch.randn(2, 4, 8), torch.randn(2, 6, 8), torch.randn(2, 4, 6)
    whole = net(asking, seen, at, seen_at, bias)
    more = torch.cat([seen, torch.randn(2, 3, 5)], 1), torch.cat([seen_at, torch.randn(2, 3, 8)], 1)
    hidden = torch.cat([bias, torch.full((2, 4, 3), -torch.inf)], 2)
    torch.testing.assert_close(net(asking, more[0], at, more[1], hidden), whole)
    assert not torch.allclose(net(asking, more[0], at, more[1], torch.cat([bias, torch.zeros(2, 4, 3)], 2)), whole)
    nobody = net(asking, seen, at, seen_at, torch.full((2, 4, 6), -torch.inf))
    assert torch.isfinite(nobody).all()  # alone on its island a token still sees itself
    # Place by itself says something only where the waves start at the slide's corner.
    moved = net(asking, seen, at + 1, seen_at, torch.full((2, 4, 6), -torch.inf))
    assert torch.allclose(moved, nobody) != absolute


# What is learned


def fitted(data: TrainingData, **chosen: Any) -> tuple[FittedHistoSge, Any]:
    model = get_model("histosge", {**SMALL, **chosen})
    found = train(model, data).fitted
    assert isinstance(found, FittedHistoSge)
    return found, model.needs


@pytest.mark.parametrize("position", ["relative", "absolute", "none"])
def test_composition_of_new_tissue_is_recovered(position: str) -> None:
    new = training_section("new", 7, units=80)
    model, needs = fitted(training_data(), position=position, epochs=12, learning_rate=3e-3)
    log, counts = predict_units(model, new, GENES, needs=needs)
    truth = np.log(composition(new.pooling @ new.features, 12))
    assert pearson(log, truth).mean() > (0.3 if position == "absolute" else 0.55)
    assert counts.sum() == pytest.approx(new.counts.sum(), rel=0.3)


def test_a_member_alone_is_the_same_as_among_others() -> None:
    data = training_data()
    together, _ = fitted(data, epochs=2)
    alone, _ = fitted(data.only(2), epochs=2)
    for name, array in alone.arrays().items():
        if name.startswith(("net.", "components")):
            np.testing.assert_allclose(array[0], together.arrays()[name][2], rtol=2e-4, atol=2e-5, err_msg=name)


def test_a_member_does_not_look_at_counts_of_others() -> None:
    data = training_data()
    data = replace(data, fit=data.fit & ~np.roll(data.stop, -1, axis=0))
    hidden = ~(data.fit | data.stop)[1]
    swapped = []
    for section, mine in zip(data.sections, np.split(hidden, [60]), strict=True):
        order = np.arange(len(section))
        order[mine] = np.flatnonzero(mine)[::-1]
        swapped.append(replace(section, counts=section.counts[order], library=section.library[order]))
    ours, theirs = (fitted(d, epochs=2)[0].arrays() for d in (data, replace(data, sections=tuple(swapped))))
    name = "net.composition.gene_head.3.weight"
    np.testing.assert_allclose(ours[name][1], theirs[name][1], rtol=1e-4, atol=1e-6)
    assert np.abs(ours[name][0] - theirs[name][0]).max() > 1e-4


def test_bins_of_few_counts_are_joined_and_asked_at_the_spacing_of_a_set() -> None:
    """400 bins 8 µm apart with tens of counts each: cells as far apart as 7 of them span the reach."""
    section = training_section("bins", 2, units=400, covered=1, depth=4.0)
    xy = lattice(20, 20, 8.0) - 33.0
    section = replace(section, xy_um=xy, row_column=(xy[:, ::-1] // 8).astype(np.int64))
    data = training_data((section,), members=2)
    half = np.broadcast_to(xy[:, 0] < 84, (2, 400))
    data = replace(data, fit=half, stop=~half)
    model, needs = fitted(data, epochs=2)
    spacing, footprint, around = model.arrays()["layout"]
    assert spacing == 13 and 5 <= footprint <= 7 and around == 3
    log, counts = predict_units(model, section, GENES, needs=needs)
    assert np.isfinite(log).all() and counts.sum() == pytest.approx(section.counts.sum(), rel=0.1)


# The published recipe


def test_the_published_recipe_learns_its_own_units_and_answers_at_superpixels() -> None:
    data = training_data(members=2)
    model, needs = fitted(data, recipe="original", epochs=25)
    assert not needs.standardised and needs.halo == 96
    arrays = model.arrays()
    assert arrays["net.last.x_embed.weight"].shape == (2, 512, 6) and arrays["layout"][0] == 12
    section = data.sections[0]
    log, counts = predict_units(model, section, GENES, needs=needs)
    truth = np.log1p(1e4 * section.counts.toarray() / section.library[:, None])
    assert pearson(log, truth).mean() > 0.2 and log.min() >= 0
    latent = np.random.default_rng(0).normal(size=(2, 9, 6)).astype(np.float32)
    composition_log, single = (model.decode(latent, GENES, q) for q in ("log", "counts"))  # type: ignore[arg-type]
    depth = sum(s.library.sum() for s in data.sections) / sum(s.pooling.nnz for s in data.sections)
    np.testing.assert_allclose(single, np.minimum(np.expm1(composition_log) / 1e4, 1) * depth, rtol=1e-5)
    np.testing.assert_allclose(model.decode(latent, GENES[[7, 2]], "log"), composition_log[..., [7, 2]], rtol=1e-5)
    assert (counts >= 0).all() and counts.sum() > 0


def test_sets_of_the_published_recipe_hold_what_its_member_learns_from() -> None:
    data = training_data(members=3).only(1)
    model = get_model("histosge", {"recipe": "original", "set_size": 20})
    plan = model.plan(data)  # type: ignore[attr-defined]
    steps = list(plan.batches(model.settings, np.random.default_rng(0)))
    learned = np.flatnonzero(data.fit[0])
    # 40 and 30 units of the two sections, in runs of 20 at most, none across them.
    assert sorted(s.weight.shape[1] for s in steps) == [15, 15, 20, 20]
    seen = sum(float(s.targets["targets"].sum()) for s in steps)
    log = np.log1p(
        1e4
        * sparse.vstack([s.counts for s in data.sections]).toarray()
        / np.concatenate([s.library for s in data.sections])[:, None]
    )
    assert seen == pytest.approx(log[learned].sum(), rel=1e-5)
