"""iSCALE: its published network and prediction, sites, what differs between captures, and places measured twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from learnable import composition, training_data, training_section
from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.targets import log1p_cp10k
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.models.base import Batch, TrainingData, TrainingSection, View
from napari_pixelgene.models.iscale.captures import overlap_weights, shifts_of, standard_of
from napari_pixelgene.models.iscale.model import FittedIscale, Iscale
from napari_pixelgene.models.iscale.published import plan_published
from napari_pixelgene.models.iscale.settings import IscaleSettings
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.models.superpixels.minmax import OriginalNet
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.stages.training import train

FOLDER = Path(__file__).parents[2].parent / "shared" / "vectors" / "iscale"
needs_vectors = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/vectors is not beside the repository")


def vectors(name: str) -> Any:
    return json.loads((FOLDER / "v12_model" / f"{name}.json").read_text())


def by_rule(net: torch.nn.Module, times: float = 1.0) -> torch.nn.Module:
    """Parameters filled by the vectors' formula."""
    with torch.no_grad():
        for i, (_, tensor) in enumerate(net.named_parameters()):
            size = 0.12 if tensor.ndim == 2 else 0.05
            value = size * np.sin(0.7 * np.arange(tensor.numel()) + i + 1)
            tensor.copy_(torch.from_numpy((value * times).reshape(tensor.shape).astype(np.float32)))
    return net


# The published recipe


@needs_vectors
def test_network_mean_over_the_disk_and_loss_of_the_original() -> None:
    v = vectors("forward")
    net = by_rule(OriginalNet(5, 3))
    assert isinstance(net, OriginalNet)
    assert [[name, list(p.shape)] for name, p in net.named_parameters()] == v["parameters"]
    x = torch.tensor(v["x"])
    latent, each = net.latent(x).detach(), net(x).detach()
    assert float(latent.mean()) == pytest.approx(v["latent_mean"], abs=1e-5)
    np.testing.assert_allclose(latent[0, 0, :8], v["latent_sample_first_cell_first8"], atol=1e-5)
    np.testing.assert_allclose(each, v["y_superpixel"], atol=1e-5)
    np.testing.assert_allclose(each.mean(1), v["y_spot_pred"], atol=1e-5)
    plan = plan_published(data_on_grid(), "original", 0.0)
    target = torch.tensor(v["y_spot_target"])[None]
    batch = Batch((x,), {}, torch.ones(1, 4), {"targets": target})
    assert float(plan.loss(each[None], batch)[0]) == pytest.approx(v["mse"], abs=1e-5)


@needs_vectors
def test_prediction_is_the_originals_median_over_states_taken_back_through_the_range() -> None:
    v = vectors("predict")
    states = [by_rule(OriginalNet(3, 2), times) for times in (1.0, 0.5)]
    names = dict(states[0].named_parameters())
    arrays = {
        f"net.last.{n}": np.stack([dict(s.named_parameters())[n].detach().numpy() for s in states]) for n in names
    }
    low, high = np.array([[0, 0.001]] * 2), np.array([[0.02, 0.03]] * 2)
    arrays |= {"low": low, "span": high - low, "unit_size": np.ones(1), "recipe": np.array([2])}
    arrays |= {"feature_mean": np.zeros(3), "feature_sd": np.ones(3)}
    fitted = FittedIscale(arrays, IscaleSettings(recipe="original"), GeneTable(("GA", "GB")))
    embs = np.array(v["embs"], dtype=np.float32)
    found = fitted.predict(View(embs), np.arange(2), "counts")
    np.testing.assert_allclose(found[..., 0], v["GA"], atol=1e-7)
    np.testing.assert_allclose(found[..., 1], v["GB"], atol=1e-7)
    assert (len(embs), embs.shape[1]) == tuple(v["gene_embedding_shape"][1:])
    first = np.median(fitted.latent(View(embs))[:, 0, 0, :8], axis=0)
    np.testing.assert_allclose(first, v["gene_embedding_cell00_first8"], atol=1e-5)


def on_grid(section: TrainingSection, unit_um: float = 24.0, corner: tuple[int, int] = (0, 0)) -> TrainingSection:
    """The section's superpixels laid out in rows of 24, its units at the mean of theirs."""
    number = np.arange(len(section.features))
    place = np.column_stack(np.divmod(number, 24)) + np.array(corner)
    xy = np.asarray(section.pooling @ ((place[:, ::-1] + 0.5) * 8.0))
    return replace(section, row_column=place, xy_um=xy, unit_um=unit_um)


def data_on_grid(seed: int = 3) -> TrainingData:
    sections = (on_grid(training_section("s/A", 1)), on_grid(training_section("s/B", 2, units=45), corner=(40, 3)))
    return training_data(sections, seed=seed)


def test_spots_within_reach_become_sites_of_each_members_own_units() -> None:
    data = data_on_grid()
    units = sum(map(len, data.sections))
    plan = plan_published(data, "original", 9.0)  # below one another units are 8 to 9 µm apart: each column is a site
    assert plan.fit.shape == (data.members, 12) and plan.fit.all()  # all were given the same, and share their sites
    counts = data.sections[0].counts.toarray()
    of_all = np.concatenate([s.counts.toarray() for s in data.sections])
    scaled = (counts - of_all.min(0)) / np.ptp(of_all, axis=0)
    np.testing.assert_allclose(plan.counts[0], scaled[::6].mean(0), atol=1e-6)  # the first column of six
    apart = plan_published(replace(data, fit=data.fit & ~np.roll(data.stop, -1, 0)), "original", 9.0)
    assert (apart.fit.sum(0) == 1).all() and apart.fit.shape[1] >= 4 * 12
    assert plan_published(data, "original", 0.0).fit.shape[1] == units


def test_the_published_ranges_give_counts_back() -> None:
    """A network that answers with its own targets predicts the counts of a superpixel: of each site, over the disk."""
    data = data_on_grid()
    raw = np.concatenate([s.counts.toarray() for s in data.sections])
    for recipe, merge in (("original", 0.0), ("istar", 999.0)):  # iStar merges nothing, whatever it is told
        plan = plan_published(data, recipe, merge)
        assert plan.fit.shape[1] == len(raw) and (plan.epochs, plan.rate()) == (
            {"original": 1000, "istar": 400}[recipe],
            1e-4,
        )
        targets = plan.own_of(np.arange(len(raw)))["targets"].numpy()
        assert targets.min() == 0 and targets.max() == pytest.approx(1, abs=1e-6)
        arrays = plan.arrays()
        back = targets * arrays["span"][:, None] + arrays["low"][:, None]
        np.testing.assert_allclose(back, np.broadcast_to(raw, back.shape), atol=1e-3)
        assert float(arrays["unit_size"][0]) == 9  # offsets of the disk of 12 µm: itself and its eight neighbours


def test_a_site_covers_the_offsets_of_the_published_disk_where_there_is_tissue() -> None:
    data = data_on_grid()
    plan = plan_published(data, "istar", 0.0)
    places = np.concatenate([s.row_column for s in data.sections])
    known = {tuple(p) for p in places.tolist()}
    for site in (0, 7, 70):
        xy = np.concatenate([s.xy_um for s in data.sections])[site]
        row, column = (int(np.round(v / 8)) for v in xy[::-1])
        want = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & known
        found = {tuple(places[i]) for i in plan.units.index[site, : plan.units.size[site]]}
        assert found == want and want


def test_spots_that_all_become_one_site_are_an_error_before_training() -> None:
    with pytest.raises(InputError, match=r"at most 900 µm apart became one site.*merge_um"):
        train(get_model("iscale", {"recipe": "original", "merge_um": 900}), data_on_grid())
    sections = train(get_model("iscale", {"epochs": 1, "hidden": 8}), data_on_grid())
    assert sections.fitted.members == 4  # the default merges nothing


# Captures


def capture(
    name: str, seed: int, place: float, tilt: float = 0.0, depth: float = 100.0, covered: int = 4, units: int = 80
) -> TrainingSection:
    """A capture whose tissue lies about `place` in the first feature, and whose even genes are raised by `tilt`."""
    rng = np.random.default_rng(seed)
    features = np.repeat(rng.normal(size=(units, 6)), covered, axis=0)
    features[:, 0] = 0.6 * features[:, 0] + place
    features = (features + 0.2 * rng.normal(size=features.shape)).astype(np.float32)
    factor = np.exp(tilt * (np.arange(12) % 2 == 0))
    rate = composition(features, 12, 0.8) * factor * depth
    cover = sparse.kron(sparse.eye(units), np.ones((1, covered)), format="csr")
    counts = rng.poisson(cover @ rate)
    pooling = sparse.csr_matrix(cover / covered)
    xy = np.column_stack([np.arange(units) % 9, np.arange(units) // 9]) * 60.0
    section = TrainingSection(name, features, pooling, sparse.csr_matrix(counts), counts.sum(1).astype(float), xy)
    return replace(on_grid(section), xy_um=xy)


def test_what_histology_explains_stays_and_the_batch_goes() -> None:
    """Two captures on different tissue; one run has half the yield and raises every other gene by e^0.7."""
    quiet = training_data((capture("s/A", 1, -0.8), capture("s/B", 2, 0.8)))
    loud = training_data((capture("s/A", 1, -0.8), capture("s/B", 2, 0.8, tilt=0.7, depth=50.0)))
    even = np.arange(12) % 2 == 0

    def gap(data: TrainingData, asks: bool) -> np.ndarray:
        found = shifts_of(data, asks)
        np.testing.assert_allclose(found.genes.sum(0), 0, atol=1e-12)
        return np.asarray(found.genes[1] - found.genes[0])

    assert np.abs(gap(quiet, False)).mean() > 0.4  # the tissue itself differs that much
    assert np.abs(gap(quiet, True)).mean() < 0.4 * np.abs(gap(quiet, False)).mean()
    added = gap(loud, True) - gap(quiet, True)
    assert added[even].mean() - added[~even].mean() == pytest.approx(0.7, abs=0.12)
    total = shifts_of(loud, True).total
    raised = np.log(np.exp(0.7 * even) @ composition(np.full((1, 6), 0.8), 12, 0.8)[0])
    assert total[1] - total[0] == pytest.approx(np.log(0.5) + raised, abs=0.15)
    left = standard_of(loud, shifts_of(loud, True))
    halves = left.z[:80].mean(0), left.z[80:].mean(0)
    clean = standard_of(quiet, shifts_of(quiet, True))
    other = clean.z[:80].mean(0), clean.z[80:].mean(0)
    r = np.corrcoef(halves[1] - halves[0], other[1] - other[0])[0, 1]
    assert r > 0.9  # the difference that the tissue makes is what is learned


@pytest.mark.parametrize("recipe", ["components", "likelihood"])
def test_a_batch_does_not_spoil_what_is_said_of_other_tissue(recipe: str) -> None:
    """Tissue between the captures', asked for composition: with the batch left in, it is said worse."""
    depth = 100.0 if recipe == "components" else 12.0
    sections = (capture("s/A", 1, -0.8, depth=depth), capture("s/B", 2, 0.8, tilt=0.9, depth=depth / 2))
    data = training_data(sections)
    rng = np.random.default_rng(9)
    asked = rng.normal(size=(300, 6)).astype(np.float32)
    truth = np.log1p(1e4 * composition(asked, 12, 0.8))
    errors = {}
    for batch in ("offset", "standardise", "none"):
        settings = {"recipe": recipe, "batch": batch, "hidden": 32, "epochs": 25, "batch_units": 16}
        fitted = train(get_model("iscale", settings), data).fitted
        said = fitted.predict(View(asked), np.arange(12), "log")
        errors[batch] = float(np.sqrt(((said - truth - (said - truth).mean(0)) ** 2).mean()))
    assert errors["offset"] < errors["none"] - 0.02 and errors["offset"] < errors["standardise"]


def test_what_differs_is_said_in_words() -> None:
    data = training_data((capture("s/A", 1, -0.8), capture("s/B", 2, 0.8, tilt=0.7, depth=50.0)))
    for batch, words in (
        ("offset", "Beyond what their histology explains, captures differ, and this is taken off: "),
        ("none", "Captures differ, and nothing was taken off: "),
    ):
        fitted = train(get_model("iscale", {"epochs": 1, "hidden": 8, "batch": batch}), data).fitted
        (told,) = fitted.remarks(("s/A", "s/B"))
        assert told.startswith(words) and "s/B total ×0.87" in told and "s/A total ×1.14, genes by 12%" in told
        assert fitted.remarks(("s/A",)) == ()
    alike = training_data((capture("s/A", 1, 0.0), capture("s/B", 2, 0.1)))
    fitted = train(get_model("iscale", {"epochs": 1, "hidden": 8}), alike).fitted
    assert fitted.remarks(("s/A", "s/B")) == ("The captures do not differ beyond what their histology explains.",)


def test_places_that_two_captures_measured_weigh_once() -> None:
    def at(name: str, rows: list[list[int]], columns: int = 30) -> TrainingSection:
        """Units over the superpixels of row 0 that are listed."""
        cover = np.zeros((len(rows), columns))
        for unit, cells in enumerate(rows):
            cover[unit, cells] = 1 / len(cells)
        zeros = sparse.csr_matrix((len(rows), 1))
        place = np.column_stack([np.zeros(columns, int), np.arange(columns)])
        n = len(rows)
        return TrainingSection(name, np.zeros((columns, 1)), sparse.csr_matrix(cover), zeros, np.ones(n),
                               np.zeros((n, 2)), place)  # fmt: skip

    spots = at("s/spots", [[0, 1, 2, 3], [10, 11], [20]])
    bins = at("s/bins", [[2], [3], [4], [4], [20]])  # two bins of one capture on one place share nothing
    alone = at("t/spots", [[0, 1]])
    weights = overlap_weights([spots, bins, alone])
    np.testing.assert_allclose(weights, [0.75, 1, 0.5, 0.5, 0.5, 1, 1, 0.5, 1])
    third = at("s/third", [[2, 3]])
    np.testing.assert_allclose(overlap_weights([spots, bins, third])[[0, 3, 8]], [(2 + 2 / 3) / 4, 1 / 3, 1 / 3])
    assert (overlap_weights([at("a", [[0]]), at("b", [[0]])]) == 1).all()  # two slides


def test_overlapping_captures_teach_with_their_weights_and_none_is_merged() -> None:
    a = capture("s/A", 1, 0.0)
    b = replace(capture("s/B", 2, 0.0), row_column=a.row_column)
    data = training_data((a, b))
    model = get_model("iscale", {"hidden": 8})
    assert isinstance(model, Iscale)
    plan = model.plan(data)
    assert plan.fit.shape[1] == len(a) + len(b)
    np.testing.assert_allclose(plan.fit[data.fit], 0.5)
    whole = get_model("iscale", {"hidden": 8, "overlap": False})
    assert isinstance(whole, Iscale) and (whole.plan(data).fit == data.fit).all()


def test_spots_and_bins_are_learned_together() -> None:
    """A capture of spots of 16 superpixels and one of single superpixels: both say counts of one superpixel."""
    spots = capture("s/spots", 1, 0.0, depth=20.0, covered=16, units=60)
    bins = capture("s/bins", 2, 0.0, depth=20.0, covered=1, units=300)
    data = training_data((spots, bins))
    model = get_model("iscale", {"hidden": 32, "epochs": 25, "batch_units": 16})
    assert isinstance(model, Iscale) and model.recipe(data) == "likelihood"
    assert model.recipe(training_data((spots, spots))) == "components"
    fitted = train(model, data).fitted
    for section in data.sections:
        log, counts = predict_units(fitted, section, np.arange(12))
        assert counts.sum() == pytest.approx(section.library.sum(), rel=0.15)
        truth = composition(np.asarray(section.pooling @ section.features), 12, 0.8)
        assert np.nanmean(pearson(log, np.log1p(1e4 * truth))) > 0.6


def test_components_of_spots_of_two_sizes_say_counts_of_one_superpixel() -> None:
    wide, narrow = (capture(f"s/{n}", n, 0.0, depth=60.0, covered=n, units=70) for n in (16, 4))
    fitted = train(get_model("iscale", {"hidden": 32, "epochs": 15}), training_data((wide, narrow))).fitted
    for section in (wide, narrow):
        counts = predict_units(fitted, section, np.arange(12))[1]
        assert counts.sum() == pytest.approx(section.library.sum(), rel=0.2)


def test_one_section_learns_what_pixel2gene_learns_of_it() -> None:
    """The kernel is one; with a single capture nothing is left to take off."""
    data = training_data((on_grid(training_section("only", 1)),))
    settings = {"epochs": 12, "hidden": 32, "recipe": "components"}
    log = {n: predict_units(train(get_model(n, settings), data).fitted, data.sections[0], np.arange(12))[0]
           for n in ("iscale", "pixel2gene")}  # fmt: skip
    measured = log1p_cp10k(data.sections[0].counts, data.sections[0].library)
    r = {n: float(np.nanmean(pearson(v, measured))) for n, v in log.items()}
    assert r["iscale"] == pytest.approx(r["pixel2gene"], abs=0.02) and r["iscale"] > 0.4
