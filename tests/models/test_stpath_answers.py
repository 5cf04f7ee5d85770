"""What STPath answers: quantities, input of every kind, context, degenerate sections, and what fine-tuning sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from learnable import training_data
from made_stpath import data_at_points, small_files
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.models.base import Context, Everything, TrainingData, View
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.models.stpath.fitted import FittedSTPath
from napari_pixelgene.models.stpath.inputs import encoded, nearest, scaled
from napari_pixelgene.models.stpath.tuning import ClippedAdam, TuningPlan
from napari_pixelgene.models.stpath.vocabulary import MASK, read_vocabulary
from napari_pixelgene.stages.training import train

GENES = np.arange(12)


def one_member(data: TrainingData) -> TrainingData:
    everybody = np.ones((1, data.fit.shape[1]), dtype=bool)
    return replace(data, fit=everybody, stop=~everybody, member_ids=(0,))


def zero_shot(**chosen: Any) -> tuple[FittedSTPath, TrainingData]:
    data = one_member(data_at_points(training_data()))
    fitted = train(get_model("stpath", {**small_files(), **chosen}), data).fitted
    assert isinstance(fitted, FittedSTPath)
    return fitted, data


def seen(data: TrainingData) -> View:
    section = data.sections[0]
    return View(section.features, section.xy_um)


# Quantities


def test_counts_are_expm1_and_compositions_are_shares_of_the_library() -> None:
    fitted, data = zero_shot()
    latent = fitted.latent(seen(data))
    said = np.expm1(np.maximum(fitted.log1p_counts(latent, GENES), 0))
    assert (fitted.log1p_counts(latent, GENES) < 0).any(), "a prediction below zero is none"
    counts = fitted.combine(latent, GENES, "counts")
    np.testing.assert_allclose(counts, said / 4, rtol=1e-5, atol=1e-6)  # a unit covers four superpixels
    units = fitted.units_from_latent(latent, sparse.identity(60, format="csr"), GENES, "counts")
    np.testing.assert_allclose(units, said, rtol=1e-5, atol=1e-6)
    panel = sum(s.counts.sum() for s in data.sections) / sum(s.library.sum() for s in data.sections)
    assert 0.6 < panel < 0.7
    log = fitted.combine(latent, np.array([5, 2]), "log")
    np.testing.assert_allclose(np.expm1(log), 1e4 * panel * said[:, [5, 2]] / said.sum(1, keepdims=True), rtol=1e-4)


def test_a_prediction_beyond_what_a_spot_can_hold_is_bounded() -> None:
    fitted, data = zero_shot()
    arrays = fitted.arrays()
    arrays["net.gene_exp_head.1.bias"] = arrays["net.gene_exp_head.1.bias"] + 50
    loud = FittedSTPath.from_arrays(arrays, fitted._settings, fitted.genes)
    assert loud.predict(seen(data), GENES, "counts").max() * 4 == pytest.approx(6e4, rel=1e-3)


# Input of every kind


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int64])
def test_numbers_of_any_type_are_taken_and_left_alone(kind: type) -> None:
    fitted, data = zero_shot()
    features = np.rint(data.sections[0].features * 4).astype(kind)
    xy = np.rint(data.sections[0].xy_um).astype(kind)
    before = features.copy(), xy.copy()
    latent = fitted.latent(View(features, xy))
    expected = fitted.latent(View(features.astype(np.float32), xy.astype(np.float64)))
    np.testing.assert_allclose(latent, expected, atol=1e-5)
    np.testing.assert_array_equal(features, before[0])
    np.testing.assert_array_equal(xy, before[1])


@pytest.mark.parametrize("keep", [slice(0, 1), slice(0, 8), slice(0, 64, 8)])
def test_one_spot_a_row_and_a_column_are_answered(keep: slice) -> None:
    fitted, data = zero_shot()
    section = data.sections[0]
    latent = fitted.latent(View(section.features[keep], section.xy_um[keep]))
    assert np.isfinite(latent).all() and latent.shape[1] == len(section.xy_um[keep])


def test_what_no_network_can_read_is_said() -> None:
    fitted, data = zero_shot()
    section = data.sections[0]
    with pytest.raises(InputError, match=r"A point has 5 numbers, STPath reads 6\. Use the class tokens of GigaPath"):
        fitted.latent(View(section.features[:, :5], section.xy_um))
    holes = section.features.copy()
    holes[[3, 9]] = np.nan
    with pytest.raises(InputError, match="2 of 60 points have features that are not finite"):
        fitted.latent(View(holes, section.xy_um))
    with pytest.raises(InputError, match="needs to know where its points lie"):
        fitted.latent(View(section.features))


@given(st.integers(0, 10_000), st.booleans())
def test_places_are_scaled_into_the_square(seed: int, isotropic: bool) -> None:
    rng = np.random.default_rng(seed)
    xy = rng.normal(size=(rng.integers(1, 9), 2)) * rng.choice([0.0, 1e-3, 7, 1e5], 2) + rng.choice([0, -1e4, 3e5], 2)
    out = scaled(xy, isotropic)
    span = np.ptp(xy, axis=0)
    assert np.isfinite(out).all() and out.min() == 0 and out.max() <= 100.001
    for axis in range(2):
        wanted = 0.0 if span[axis] == 0 else 100.0 * span[axis] / (span.max() if isotropic else span[axis])
        assert np.ptp(out[:, axis]) == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    moved = scaled(xy * 3 + 11, isotropic)
    np.testing.assert_allclose(moved, out, atol=2e-3)


def test_isotropic_places_keep_the_shape_and_are_an_option() -> None:
    fitted, data = zero_shot()
    iso, _ = zero_shot(isotropic=True)
    section = data.sections[0]
    stretched = View(section.features, section.xy_um * [1, 3])
    same = [f.latent(stretched) - f.latent(seen(data)) for f in (fitted, iso)]
    assert np.abs(same[0]).max() < 1e-5 and np.abs(same[1]).max() > 1e-3


@given(st.integers(0, 10_000))
def test_duplicates_keep_the_largest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, genes, width = rng.integers(1, 6), rng.integers(1, 9), 7
    counts = rng.poisson(1.0, (n, genes))
    tokens = rng.integers(-1, width, genes)
    for how in ("max", "last"):
        dense = np.zeros((n, width))
        for gene, token in enumerate(tokens):
            if token >= 0:
                dense[:, token] = counts[:, gene] if how == "last" else np.maximum(dense[:, token], counts[:, gene])
        found = encoded(sparse.csr_matrix(counts), tokens, width, how)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.toarray(), np.log1p(dense), rtol=1e-6)


def test_no_answer_depends_on_the_order_of_points() -> None:
    fitted, data = zero_shot()
    order = np.random.default_rng(4).permutation(60)
    view = seen(data)
    again = fitted.latent(View(view.features[order], view.xy_um[order]))  # type: ignore[index]
    np.testing.assert_allclose(again, fitted.latent(view)[:, order], atol=1e-5)


# Context


def leaning(data: TrainingData, use: np.ndarray) -> View:
    return replace(seen(data), context=Context(data.sections[0], use[None]))


def test_context_changes_what_is_said_and_the_mask_shows_nothing() -> None:
    fitted, data = zero_shot()
    nobody, some = np.zeros(60, dtype=bool), np.arange(60) % 7 == 0
    alone = fitted.latent(seen(data))
    np.testing.assert_array_equal(fitted.latent(leaning(data, nobody)), alone)
    told = fitted.latent(leaning(data, some))
    assert (np.abs(told - alone).max(axis=2) > 1e-5).all(), "every unit hears of those measured"
    without, _ = zero_shot(context="none")
    np.testing.assert_array_equal(without.latent(leaning(data, some)), alone)
    assert without.arrays()["net.input_encoder.gene_embed.weight"].shape == (16, 2)


def test_who_may_not_be_leaned_on_is_not_seen() -> None:
    fitted, data = zero_shot()
    section = data.sections[0]
    some = np.arange(60) % 7 == 0
    assert section.everything is not None
    barred = replace(section, everything=replace(section.everything, may_lean=np.arange(60) < 20))
    found = fitted.latent(replace(seen(data), context=Context(barred, some[None])))
    np.testing.assert_array_equal(found, fitted.latent(leaning(data, some & (np.arange(60) < 20))))


def test_context_of_more_genes_than_are_answered() -> None:
    """Whatever was measured is shown, by symbol or by id; what the network lacks is passed over."""
    fitted, data = zero_shot()
    section = data.sections[0]
    vocabulary = read_vocabulary(small_files_path(), released=False)
    names = ("G20", "NOVEL", vocabulary.ids[3], "G2")
    counts = sparse.csr_matrix(np.random.default_rng(1).poisson(9.0, (60, 4)))
    wide = Everything(counts, GeneTable(names), np.ones(60, dtype=bool), 4.0)
    view = replace(seen(data), context=Context(replace(section, everything=wide), np.arange(60)[None] < 9))
    embed = fitted.arrays()["net.input_encoder.gene_embed.weight"]
    by_hand = np.log1p(counts.toarray()[:9, [0, 2, 3]]) @ embed[:, [vocabulary.token(names[i]) for i in (0, 2, 3)]].T
    from napari_pixelgene.models.stpath.fitted import _Points

    points = _Points.of(view.features, np.asarray(view.xy_um), view.context, np.arange(9))
    expression = fitted._expression(points)
    np.testing.assert_allclose(expression[:9], by_hand, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(expression[9:], np.repeat(embed[:, MASK][None], 51, axis=0))
    mouse = replace(wide, genes=GeneTable(("Actb", "Gapdh", "Cd3e", "Il2")), counts=counts)
    lost = replace(view, context=Context(replace(section, everything=mouse), np.ones((1, 60), dtype=bool)))
    with pytest.raises(InputError, match="STPath knows none of the genes that were measured, such as Actb"):
        fitted.latent(lost)


def small_files_path() -> Any:
    from pathlib import Path

    return Path(small_files()["vocabulary"])


# Fine-tuning


def tuned_plan(**chosen: Any) -> tuple[Any, TuningPlan, TrainingData]:
    data = data_at_points(training_data()).only(1)
    model = get_model("stpath", {**small_files(), "fine_tune": "head", "patch_units": 64, **chosen})
    return model, model.plan(data), data  # type: ignore[attr-defined]


def test_patches_hold_units_to_learn_from_and_nobody_else() -> None:
    model, plan, data = tuned_plan()
    fit = [np.flatnonzero(data.fit[0, :60]), np.flatnonzero(data.fit[0, 60:])]
    features = [section.features for section in data.sections]
    known = {tuple(row) for f, rows in zip(features, fit, strict=True) for row in f[rows].tolist()}
    seen_rows, hidden = set(), []
    for batch in model.batches(plan, np.random.default_rng(0)):
        image, expression, _, technology, _ = batch.inputs
        rows = {tuple(row) for row in image.tolist()}
        assert rows <= known
        seen_rows |= rows
        mask = torch.from_numpy(plan.embed[:, MASK])
        is_hidden = (expression == mask).all(1)
        assert batch.weight[0][is_hidden].all(), "whatever shows nothing is asked for"
        hidden.append(float(batch.weight.mean()))
        assert (technology == 0).all()
    assert seen_rows == known and len(hidden) >= 8 and 0.7 < np.mean(hidden) <= 1


def test_thinned_spots_lose_half_of_the_genes_that_are_asked_for() -> None:
    _, plan, _ = tuned_plan()
    section = plan.sections[0]
    rng = np.random.default_rng(5)
    batch = plan._patch(section, section.fit, rng)
    rng = np.random.default_rng(5)
    from napari_pixelgene.models.stpath.masking import mask_ratio, mask_spots

    masking = mask_spots(len(section.fit), 12, mask_ratio(rng), rng.permutation)
    assert len(masking.thinned) and len(masking.dropped) == 6
    shown = section.shown[section.fit].toarray()
    for row in masking.thinned:
        shown[row, plan.tokens[masking.dropped]] = 0
    expected = shown @ plan.embed.T
    got = batch.inputs[1].numpy()
    kept = np.setdiff1d(np.arange(len(got)), masking.hidden)
    np.testing.assert_allclose(got[kept], expected[kept], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(batch.weight[0].numpy()), np.sort(masking.scored))


def test_stopping_asks_at_the_stop_units_with_the_others_shown_or_not() -> None:
    for context, shows in (("measured", True), ("none", False)):
        model, plan, data = tuned_plan(context=context)
        batches = list(model.stop_batches(plan))
        assert [int(b.weight.sum()) for b in batches] == [int(data.stop[0, :60].sum()), int(data.stop[0, 60:].sum())]
        for batch in batches:
            hidden = (batch.inputs[1] == torch.from_numpy(plan.embed[:, MASK])).all(1)
            assert hidden[batch.weight[0] > 0].all() and bool(hidden[batch.weight[0] == 0].all()) != shows


@pytest.mark.parametrize(
    ("what", "learns"),
    [("head", "gene_exp_head"), ("last block", "gene_exp_head model.blks.1"), ("all", "")],
)
def test_only_what_was_asked_learns(what: str, learns: str) -> None:
    model, plan, _ = tuned_plan(fine_tune=what)
    network = model.network(plan)
    names = {name for name, _ in network.named_parameters()}
    every = set(network.state_dict()) - {"input_encoder.gene_embed.weight"}
    assert names == {name for name in every if name.startswith(tuple(learns.split()) or ("",))}
    assert set(network.state_dict()) - {"input_encoder.gene_embed.weight"} == every and "gene_exp_head.1.bias" in names
    assert network.state_dict()["gene_exp_head.1.weight"].shape == (12, 16)


def test_gradients_are_clipped_at_norm_one() -> None:
    parameter = torch.zeros(3, requires_grad=True)
    optimizer = ClippedAdam([parameter], lr=0.1)
    parameter.grad = torch.tensor([30.0, 40.0, 0.0])
    optimizer.step()
    assert parameter.grad.norm() == pytest.approx(1.0, rel=1e-4)


def test_too_little_to_learn_from_is_said() -> None:
    data = data_at_points(training_data()).only(0)
    model = get_model("stpath", {**small_files(), "fine_tune": "head"})
    few = np.zeros_like(data.fit)
    few[0, [0, 61]] = True
    with pytest.raises(InputError, match=r"STPath is left with 2 units to be fine-tuned on\. Leave it as it is"):
        model.plan(replace(data, fit=few))  # type: ignore[attr-defined]
    empty = [
        replace(s, everything=replace(s.everything, counts=s.everything.counts * 0))  # type: ignore[type-var]
        for s in data.sections
    ]
    with pytest.raises(InputError, match="None of the genes asked for was counted three times"):
        model.plan(replace(data, sections=tuple(empty)))  # type: ignore[attr-defined]


def test_learning_leaves_the_sections_as_they_were() -> None:
    data = data_at_points(training_data())
    messy = replace(data.sections[0], counts=_unsorted(data.sections[0].counts))
    data = replace(data, sections=(messy, data.sections[1]))
    before = messy.counts.toarray()
    train(get_model("stpath", {**small_files(), "fine_tune": "head", "epochs": 1}), data)
    np.testing.assert_array_equal(messy.counts.toarray(), before)


def _unsorted(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """The same matrix, each row's entries in another order."""
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(counts.indptr, counts.indptr[1:], strict=False)])
    out = sparse.csr_matrix((counts.data[order], counts.indices[order], counts.indptr), shape=counts.shape)
    assert not out.has_sorted_indices
    return out


def test_neighbours_of_equal_distance_come_in_file_order() -> None:
    square = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    assert nearest(square, 0, 3).tolist() == [0, 1, 2] and nearest(square, 3, 3).tolist() == [3, 1, 2]
