"""Pixel2Gene: the published recipe against numbers of the original code, and what the sound recipes recover."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from learnable import composition, rates, training_data, training_section
from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.pooling import integer_disk_weights
from napari_pixelgene.arithmetic.targets import log1p_cp10k, min_max
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.models.base import Batch, TrainingData, TrainingSection, View
from napari_pixelgene.models.heads import UnitFeatures, alike
from napari_pixelgene.models.pixel2gene.model import FittedPixel2Gene
from napari_pixelgene.models.pixel2gene.settings import Pixel2GeneSettings
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.models.superpixels.fitted import RECIPES
from napari_pixelgene.models.superpixels.likelihood import ProgrammeNet
from napari_pixelgene.models.superpixels.minmax import (
    OriginalNet,
    OriginalPlan,
    batch_size,
    learning_rate,
    plan_original,
)
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.stages.training import train

FILE = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene" / "model_predict_combine.json"
needs_vectors = pytest.mark.skipif(not FILE.exists(), reason="shared/vectors is not beside the repository")
GENES = GeneTable(("g0", "g1", "g2"))


def vectors(name: str) -> Any:
    return json.loads(FILE.read_text())[name]


def by_rule(net: torch.nn.Module) -> torch.nn.Module:
    """Parameters filled by the vectors' formula."""
    with torch.no_grad():
        for k, (_, tensor) in enumerate(sorted(net.state_dict().items())):
            n = np.arange(tensor.numel())
            x = 43758.5453 * np.sin(12.9898 * n + 78.233 * k)
            h = 2 * (x - np.floor(x)) - 1
            value = h * 2 / np.sqrt(tensor.shape[1]) if tensor.ndim == 2 else 0.1 * h
            tensor.copy_(torch.from_numpy(value.reshape(tensor.shape).astype(np.float32)))
    return net


# The published recipe


@needs_vectors
def test_forward_loss_and_three_adam_steps_of_the_original() -> None:
    v = vectors("model")
    net = by_rule(OriginalNet(7, 3))
    assert isinstance(net, OriginalNet)
    assert {k: list(t.shape) for k, t in net.state_dict().items()} == v["tensor_shapes"]
    x = torch.from_numpy(np.sin(0.21 * np.arange(56)).reshape(4, 2, 7).astype(np.float32))
    np.testing.assert_allclose(net.latent(x)[0, 0, :4].detach(), v["latent_first4"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(net(x).detach(), v["pred"], rtol=1e-4, atol=1e-6)
    target = np.abs(np.cos(0.5 * np.arange(12))).reshape(1, 4, 3).astype(np.float32)
    batch = Batch((x,), {}, torch.ones(1, 4), {"targets": torch.from_numpy(target)})
    plan = plan_original(training_data(), UnitFeatures.of(training_data(), standardise=False))
    adam = torch.optim.Adam(net.parameters(), lr=v["lr"])
    losses = []
    for step in range(3):
        loss = plan.loss(net(x)[None], batch)[0]
        losses.append(float(loss.detach()))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if step == 0:
            norm = torch.sqrt(sum((p.grad**2).sum() for p in net.parameters() if p.grad is not None))
            assert float(norm) == pytest.approx(v["grad_norm_step0"], rel=1e-5)
        adam.step()
    np.testing.assert_allclose(losses, v["loss_steps"], rtol=1e-5)
    np.testing.assert_allclose(net.net_out.linear.bias.detach(), v["bias_out_after_3_adam"], rtol=1e-4, atol=1e-6)


@needs_vectors
def test_output_activation_of_the_original() -> None:
    v = vectors("output_activation")
    net = OriginalNet(1, 1)
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.zero_()
        net.net_out.linear.bias.fill_(0)
    got = []
    for x in v["x"]:
        with torch.no_grad():
            net.net_out.linear.bias.fill_(x)
            got.append(float(net(torch.zeros(1, 1))))
    np.testing.assert_allclose(got, v["y"], rtol=1e-5, atol=1e-8)


@needs_vectors
def test_min_max_scaling_of_the_original() -> None:
    v = vectors("normalize_counts")
    scaled, low, high = min_max(np.array(v["counts"]))
    np.testing.assert_allclose(scaled, v["normalised"], atol=1e-6)
    assert low.tolist() == v["min"] and high.tolist() == v["max"]


@needs_vectors
def test_footprints_of_the_original() -> None:
    v = vectors("dataset")
    flat = np.arange(90, dtype=float).reshape(30, 3)
    for place, x in zip(v["radius0"]["kept_locs"], v["radius0"]["x"], strict=True):
        row = integer_disk_weights(np.array([place]), 0, (6, 5))
        assert flat[row.indices].tolist() == x
    inner = v["radius0_5_inner"]
    row = integer_disk_weights(np.array(inner["kept"]), 0.5, (6, 5))
    assert row.nnz == inner["x_shape"][1] == 1
    # On purpose: at a border the original raises; here the disk keeps what lies on the slide.
    assert "IndexError" in v["radius0_5_border"]
    assert integer_disk_weights(np.array([[0, 0]]), 0.5, (6, 5)).nnz == 1
    disk = v["radius1_on_8x8x2"]
    row = integer_disk_weights(np.array([disk["loc"]]), 1, (8, 8))
    row.sort_indices()
    assert np.arange(128.0).reshape(64, 2)[row.indices].tolist() == disk["x"][0]


@needs_vectors
def test_rates_and_batches_of_the_original() -> None:
    v = vectors("defaults")
    assert {n: learning_rate(int(n)) for n in v["lr_by_n"]} == v["lr_by_n"]
    ours = {n: batch_size(int(n)) for n in v["batch_by_n"]}
    assert ours.pop("15") == 1 and v["batch_by_n"].pop("15") == 0  # on purpose: 0 units a step learn nothing
    assert ours == v["batch_by_n"]


def fitted_by_rule(ranges: list[list[float]]) -> FittedPixel2Gene:
    """Two members, the second with all parameters times 0.9."""
    states = [{k: t.numpy() for k, t in by_rule(OriginalNet(7, 3)).state_dict().items()} for _ in range(2)]
    arrays = {f"net.last.{k}": np.stack([states[0][k], 0.9 * states[1][k]]) for k in states[0]}
    low, high = np.array(ranges).T
    arrays |= {"low": np.stack([low, low]), "span": np.stack([high - low] * 2), "unit_size": np.ones(1)}
    arrays |= {"recipe": np.array([RECIPES.index("original")]), "feature_mean": np.zeros(7), "feature_sd": np.ones(7)}
    return FittedPixel2Gene(arrays, Pixel2GeneSettings(recipe="original"), GENES)


@needs_vectors
def test_prediction_of_the_original() -> None:
    v = vectors("predict")
    features = np.cos(0.13 * np.arange(140)).reshape(5, 4, 7).astype(np.float32)
    features[0, 1] = np.nan
    fitted = fitted_by_rule(v["y_range"])
    each = fitted.decode(fitted.latent(View(features)), np.arange(3), "counts")
    assert each.shape == (2, 5, 4, 3)
    theirs = np.stack([np.array(v["maps"][f"g{g}"], dtype=float) for g in range(3)], axis=-1)
    # A median of two is their mean, which is what the ensemble says here for any number of members.
    np.testing.assert_allclose(np.median(each, axis=0), theirs, rtol=1e-3, atol=1e-3)  # theirs in half precision
    np.testing.assert_allclose(fitted.predict(View(features), np.arange(3), "counts"), theirs, rtol=1e-3, atol=1e-3)
    assert np.isnan(each[:, 0, 1]).all() and np.isfinite(each).sum() == 2 * 19 * 3


@needs_vectors
def test_folds_are_merged_in_full_precision() -> None:
    """On purpose: the original adds in half precision, which overflows; the mean over members here does not."""
    v = vectors("combine")
    folds = np.array(v["folds"], dtype=float)
    theirs, exact = np.array(v["result_float16"], dtype=float), np.array(v["exact_float64_mean"], dtype=float)
    known = np.isfinite(exact)
    np.testing.assert_allclose(np.nanmean(folds[:, known], axis=0), exact[known], rtol=1e-6)
    assert np.isnan(theirs[1, 0]) and exact[1, 0] > 6550
    fitted = fitted_by_rule([[0.0, 65000.0]] * 3)
    view = View(np.ones((3, 7), np.float32))
    each = fitted.decode(fitted.latent(view), np.arange(3), "counts")
    assert each.max() > 6550  # where the original overflows
    np.testing.assert_allclose(fitted.predict(view, np.arange(3), "counts"), each.mean(0), rtol=1e-6)


def test_the_original_recipe_keeps_its_rates_epochs_and_raw_features() -> None:
    recipe = get_model("pixel2gene", {"recipe": "original"})
    assert not recipe.needs.standardised and get_model("pixel2gene").needs.standardised
    data = training_data()
    plan = recipe.plan(data)
    assert isinstance(plan, OriginalPlan)
    np.testing.assert_array_equal(plan.units.features.numpy()[:240], data.sections[0].features)
    assert recipe.epochs(plan) == (600, None)
    assert get_model("pixel2gene", {"recipe": "original", "epochs": 3}).epochs(plan) == (3, None)
    net = recipe.network(plan)
    optimizer = recipe.optimizer(plan, list(net.parameters()))
    assert type(optimizer) is torch.optim.Adam and optimizer.defaults["lr"] == 1e-4
    # 79 of 105 units are a member's: 4 of its own a step, so 5 of everybody's, and 20 steps an epoch as published.
    assert plan.batch_units(recipe.settings) == 5
    assert len(list(recipe.batches(plan, np.random.default_rng(0)))) == 21
    assert (
        sum(p.numel() for p in OriginalNet(579, 377).parameters()) == 579 * 256 + 256 + 3 * (256**2 + 256) + 377 * 257
    )


# The sound recipes


def test_the_recipe_follows_the_depth() -> None:
    deep, shallow = (training_data((training_section("a", 0, depth=d),)) for d in (100, 20))
    recipe = get_model("pixel2gene")
    assert recipe.recipe(deep) == "components" and recipe.recipe(shallow) == "likelihood"  # type: ignore[attr-defined]
    assert get_model("pixel2gene", {"recipe": "original"}).recipe(deep) == "original"  # type: ignore[attr-defined]


def test_components_are_those_of_a_members_own_units() -> None:
    data = training_data()
    plan = get_model("pixel2gene", {"recipe": "components", "components": 3}).plan(data)
    logs = [log1p_cp10k(s.counts, s.library) for s in data.sections]
    z = np.concatenate([(x - x.mean(0)) / x.std(0) for x in logs])
    for m, fit in enumerate(data.fit):
        _, _, rows = np.linalg.svd(z[fit], full_matrices=False)
        np.testing.assert_allclose(np.abs(plan.components[m] @ rows[:3].T), np.eye(3), atol=1e-6)
        assert (plan.targets[m, fit, :3].astype(float) ** 2).sum(1).mean() == pytest.approx(1, rel=1e-4)
    totals = plan.targets[0, :60, 3].astype(float)
    assert totals.mean() == pytest.approx(0, abs=1e-5) and totals.std() == pytest.approx(1, rel=1e-5)
    assert np.abs(plan.components[0] @ plan.components[1].T - np.eye(3)).max() > 1e-3


def test_members_alike_are_asked_together() -> None:
    mask = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    groups = [(members, units.tolist()) for members, units in alike(mask)]
    assert groups == [((0, 2), [0, 2]), ((1,), [1, 3]), ((3,), [])]


def simulated(covered: int, units: int, depth: float, seed: int = 0) -> tuple[TrainingData, TrainingSection]:
    train_on = training_section("train", seed, units=units, covered=covered, depth=depth)
    test_on = training_section("test", seed + 50, units=units, covered=covered, depth=depth)
    return training_data((train_on,), members=3), test_on


@pytest.mark.parametrize(("covered", "units", "depth"), [(1, 3000, 12.0), (6, 500, 5.0)])
def test_likelihood_recovers_composition_and_calibrated_totals(covered: int, units: int, depth: float) -> None:
    """Bins of some 18 counts, and disks of six superpixels: composition far better than the mean's, totals true."""
    data, test = simulated(covered, units, depth)
    fitted = train(
        get_model("pixel2gene", {"recipe": "likelihood", "hidden": 32, "rank": 6, "epochs": 25}), data
    ).fitted
    genes = np.arange(12)
    log, counts = predict_units(fitted, test, genes)
    truth = test.pooling @ rates(test.features, 12, depth)
    share = truth / truth.sum(1, keepdims=True) / 1.5  # a third of the counts are other genes
    ours = np.expm1(log) / 1e4
    mean = np.broadcast_to(np.asarray(data.sections[0].counts.sum(0)) / data.sections[0].library.sum(), ours.shape)
    error, baseline = (np.abs(x - share).sum(1).mean() for x in (ours, mean))
    assert error < 0.35 * baseline, f"{error:.4f} against {baseline:.4f}"
    assert np.mean(pearson(ours, share)) > 0.93
    observed = test.counts.toarray()
    assert counts.sum() / observed.sum() == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(counts.mean(0), observed.mean(0), rtol=0.08)
    assert pearson(counts.sum(1, keepdims=True), truth.sum(1, keepdims=True))[0] > 0.9


def test_likelihood_of_a_disk_adds_its_superpixels() -> None:
    """Expected counts of a unit are the sum over its superpixels, whose latents differ."""
    data, test = simulated(6, 60, 5.0)
    fitted = train(get_model("pixel2gene", {"recipe": "likelihood", "hidden": 8, "epochs": 2}), data).fitted
    genes = np.arange(12)
    per_superpixel = fitted.predict(View(test.features), genes, "counts")
    member = (test.pooling > 0).astype(float)
    np.testing.assert_allclose(predict_units(fitted, test, genes)[1], member @ per_superpixel, rtol=1e-4)


def test_components_recover_composition_and_total() -> None:
    data, test = simulated(4, 300, 200.0)
    settings = {"recipe": "components", "hidden": 32, "components": 2, "learning_rate": 5e-3, "epochs": 25}
    fitted = train(get_model("pixel2gene", settings), data).fitted
    log, counts = predict_units(fitted, test, np.arange(12))
    truth = test.pooling @ composition(test.features, 12)
    assert np.mean(pearson(log, np.log1p(1e4 * truth / 1.5))) > 0.9
    assert counts.sum() / test.counts.sum() == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(counts.mean(0), test.counts.toarray().mean(0), rtol=0.1)
    assert np.mean(pearson(counts, test.counts.toarray())) > 0.8


def test_programmes_never_exceed_the_genes() -> None:
    data = training_data((training_section("a", 0, genes=3),))
    plan = get_model("pixel2gene", {"recipe": "likelihood"}).plan(data)
    net = plan.network(Pixel2GeneSettings())
    assert isinstance(net, ProgrammeNet)
    assert net.mix.weight.shape == (4, 4)
    assert net(torch.zeros(5, 6)).shape == (5, 5)


def test_genes_without_counts_do_not_break_a_recipe() -> None:
    section = training_section("a", 0, units=30)
    counts = section.counts.tolil()
    counts[:, 4] = 0
    data = training_data((replace(section, counts=sparse.csr_matrix(counts)),))
    for recipe in ("components", "likelihood", "original"):
        fitted = train(get_model("pixel2gene", {"recipe": recipe, "epochs": 2, "hidden": 8}), data).fitted
        log, values = predict_units(fitted, data.sections[0], np.arange(12))
        assert np.isfinite(log).all() and np.isfinite(values).all()
