"""The loop: members together as alone, the same again, continued after a kill as if never killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from learnable import training_data, training_section
from napari_pixelgene.errors import Cancelled, InputError
from napari_pixelgene.models.base import TrainingData
from napari_pixelgene.models.pixel2gene.model import Pixel2Gene
from napari_pixelgene.models.pixel2gene.settings import Pixel2GeneSettings
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.progress import Event, Progress
from napari_pixelgene.stages.training import Trained, train

SMALL: dict[str, Any] = {
    "hidden": 12,
    "components": 3,
    "rank": 4,
    "batch_units": 16,
    "superpixels_per_unit": 3,
    "learning_rate": 0.02,
}
RECIPES = ("components", "likelihood", "original")


def model(recipe: str = "components", **changes: Any) -> Pixel2Gene:
    made = get_model("pixel2gene", {**SMALL, "recipe": recipe, "epochs": 16, "patience": 2, **changes})
    assert isinstance(made, Pixel2Gene)
    return made


class Kept:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] | None = None
        self.saves = 0

    def load(self) -> Mapping[str, np.ndarray] | None:
        return self.arrays

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = {name: np.array(values) for name, values in arrays.items()}
        self.saves += 1


def learned(trained: Trained) -> dict[str, np.ndarray]:
    return trained.fitted.arrays()


def per_member(arrays: Mapping[str, np.ndarray], member: int) -> dict[str, np.ndarray]:
    names = [n for n in arrays if n.startswith(("net.", "mix.", "components", "scale", "low", "span"))]
    return {name: arrays[name][member] for name in names}


def assert_bitwise(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> None:
    assert set(a) == set(b)
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name


def uneven(data: TrainingData) -> TrainingData:
    """Members with parts of different sizes; one stops on nearly nothing."""
    fit, stop = data.fit.copy(), data.stop.copy()
    fit[0, :30] = False
    stop[1] &= np.arange(stop.shape[1]) < 20
    return replace(data, fit=fit, stop=stop)


@pytest.mark.parametrize("recipe", RECIPES)
def test_members_trained_together_end_where_each_ends_alone(recipe: str) -> None:
    data = training_data(dtype=np.float64)
    if recipe != "original":  # there the batch depends on a member's number of units, so they must be alike
        data = uneven(data)
    recipe_model = model(recipe) if recipe != "original" else model(recipe, epochs=4)
    together = train(recipe_model, data)
    alone = [train(recipe_model, data.only(m)) for m in range(data.members)]
    epochs = [len(a.history) for a in alone]
    if recipe != "original":
        assert len(set(epochs)) > 1, "test invalid: all stop at once"
    assert len(together.history) == max(epochs)
    for m, one in enumerate(alone):
        ours, theirs = per_member(learned(together), m), per_member(learned(one), 0)
        for name in ours:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-7, err_msg=f"{m} {name}")


@pytest.mark.parametrize("recipe", RECIPES)
def test_ten_steps_in_float32_are_the_same_together_and_alone(recipe: str) -> None:
    data = training_data()
    recipe_model = model(recipe, epochs=2, batch_units=16 if recipe != "likelihood" else 2, units_per_epoch=80)
    together = train(recipe_model, data)
    for m in range(data.members):
        ours, theirs = per_member(learned(together), m), per_member(learned(train(recipe_model, data.only(m))), 0)
        for name in ours:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=2e-5, err_msg=f"{m} {name}")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_seed_repeats_to_the_last_bit_and_another_differs(recipe: str) -> None:
    data = training_data()
    first, again = (learned(train(model(recipe, epochs=2), data)) for _ in range(2))
    assert_bitwise(first, again)
    other = learned(train(model(recipe, epochs=2), replace(data, seed=4)))
    name = next(n for n in first if n.endswith("0.weight") or n.endswith("0.linear.weight"))
    assert np.abs(first[name] - other[name]).max() > 1e-3


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("batched", [True, False])
def test_a_killed_run_continues_to_the_same_end(recipe: str, batched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pixel2Gene, "batched_members", batched)
    data = training_data(members=3)
    undisturbed = train(model(recipe, epochs=5), data)
    kept = Kept()

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and kept.saves in (3, 7):
            kept.saves += 1  # once
            raise Cancelled

    for _ in range(2 if not batched else 1):
        with pytest.raises(Cancelled):
            train(model(recipe, epochs=5), data, kill, kept)
    before = kept.saves
    continued = train(model(recipe, epochs=5), data, checkpoint=kept)
    assert 0 < kept.saves - before < (5 if batched else 15)
    assert_bitwise(learned(continued), learned(undisturbed))
    assert continued.history == undisturbed.history


def test_a_killed_run_remembers_how_long_members_have_waited() -> None:
    data = uneven(training_data(dtype=np.float64))
    undisturbed = train(model("likelihood", epochs=10), data)
    kept = Kept()

    def kill(event: Event) -> None:
        if kept.saves == 6:
            raise Cancelled

    with pytest.raises(Cancelled):
        train(model("likelihood", epochs=10), data, kill, kept)
    assert kept.arrays is not None and kept.arrays["waited/composition"].max() > 0, "test invalid: nobody waits"
    assert train(model("likelihood", epochs=10), data, checkpoint=kept).history == undisturbed.history


def test_members_that_have_stopped_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    loss = Pixel2Gene.loss

    def counted(self: Pixel2Gene, plan: Any, output: torch.Tensor, batch: Any) -> torch.Tensor:
        asked.append(len(output))
        return loss(self, plan, output, batch)

    monkeypatch.setattr(Pixel2Gene, "loss", counted)
    train(model(), uneven(training_data(dtype=np.float64)))
    assert asked[0] == 4 and asked[-1] < 4 and asked == sorted(asked, reverse=True)


def test_a_finished_checkpoint_trains_no_further() -> None:
    data, kept = training_data(), Kept()
    first = train(model(epochs=3), data, checkpoint=kept)
    again = train(model(epochs=3), data, checkpoint=kept)
    assert kept.saves == 3
    assert_bitwise(learned(first), learned(again))


@pytest.mark.parametrize("recipe", RECIPES)
def test_in_turn_equals_in_one_pass(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = training_data(members=3, dtype=np.float64)
    together = learned(train(model(recipe, epochs=3), data))
    monkeypatch.setattr(Pixel2Gene, "batched_members", False)
    seen: list[Progress] = []
    in_turn = learned(train(model(recipe, epochs=3), data, lambda e: seen.append(e)))  # type: ignore[arg-type]
    for name, values in together.items():
        np.testing.assert_allclose(values, in_turn[name], rtol=1e-6, atol=1e-9, err_msg=name)
    assert [e.done for e in seen] == sorted(e.done for e in seen)
    assert (seen[-1].done, seen[-1].total) == (9, 9)


def test_a_member_that_has_stopped_keeps_its_best_state() -> None:
    data = training_data(dtype=np.float64)
    patient, hasty = (train(model(patience=p, epochs=12), data) for p in (12, 1))
    assert len(hasty.history) < len(patient.history) == 12
    weights = [per_member(learned(t), 0)["net.composition.0.weight"] for t in (hasty, patient)]
    assert not np.allclose(*weights), "test invalid: the patient one found nothing better"
    alone = train(model(patience=1, epochs=12), data.only(0))
    np.testing.assert_allclose(weights[0], per_member(learned(alone), 0)["net.composition.0.weight"], rtol=1e-6)


def test_held_out_units_teach_nothing() -> None:
    """Counts of units that a member neither fits nor stops on may be anything."""
    data = training_data(members=3)
    fit, stop = data.fit.copy(), data.stop.copy()
    fit[:, :10], stop[:, :10] = False, False
    data = replace(data, fit=fit, stop=stop)
    counts = data.sections[0].counts.tolil()
    counts[:10] = 77
    poisoned = replace(data.sections[0], counts=counts.tocsr())
    other = replace(data, sections=(poisoned, data.sections[1]))
    recipe = model("original", epochs=3)
    assert_bitwise(learned(train(recipe, data)), learned(train(recipe, other)))


def test_the_running_score_is_told_and_rises() -> None:
    seen: list[Progress] = []
    trained = train(model(epochs=12, patience=12), training_data(), lambda e: seen.append(e))  # type: ignore[arg-type]
    values = [e.values for e in seen if "held-out r" in e.values]
    assert len(values) >= 12 and set(values[0]) == {"loss", "held-out r", "chance"}
    first, last = values[0]["held-out r"], values[-1]["held-out r"]
    assert last > 0.75 > 0.65 > first and abs(values[-1]["chance"]) < 0.25
    assert values[-1]["loss"] < 0.7 * values[0]["loss"]
    assert [e.done for e in seen][:3] == [0, 1, 2] and seen[-1].done == seen[-1].total == 12
    assert trained.history[-1]["held-out r"] == last and trained.history[-1]["epoch"] == len(trained.history)


def test_what_cannot_be_learned_from_is_told_before_the_first_step() -> None:
    data = training_data()
    features = data.sections[1].features.copy()
    features[[3, 9], 2] = np.nan
    with pytest.raises(InputError, match="right: 2 superpixels"):
        train(model(), replace(data, sections=(data.sections[0], replace(data.sections[1], features=features))))
    fit = data.fit.copy()
    fit[2, 1:] = False
    with pytest.raises(InputError, match="left with 1 units"):
        train(model(), replace(data, fit=fit))


def test_a_unit_with_few_superpixels_is_the_mean_of_all_of_them() -> None:
    """Drawn sixteen times, two superpixels of a unit at the rim count eight times each."""
    from napari_pixelgene.models.heads import UnitFeatures

    section = training_section("a", 0, units=8, covered=20)
    pooling = section.pooling.tolil()
    pooling[1] = 0
    pooling[1, [25, 31]] = 0.5
    section = replace(section, pooling=pooling.tocsr())
    units = UnitFeatures.of(training_data((section,)), standardise=False)
    drawn = units.sample(np.array([1, 2, 3]), 16, np.random.default_rng(0)).numpy()
    assert drawn.shape == (3, 16, 6)
    np.testing.assert_allclose(drawn[0].mean(0), section.features[[25, 31]].mean(0), rtol=1e-5)
    assert len(np.unique(drawn[1], axis=0)) == 16


@pytest.mark.parametrize("recipe", RECIPES)
def test_one_superpixel_units_and_several_sections(recipe: str) -> None:
    sections = tuple(training_section(n, i, units=40, covered=1, depth=300) for i, n in enumerate("abc"))
    trained = train(model(recipe, epochs=3), training_data(sections))
    assert trained.fitted.members == 4 and len(trained.history) == 3


def test_defaults_are_those_of_the_sound_recipe() -> None:
    s = Pixel2GeneSettings()
    assert (s.components, s.hidden, s.dropout, s.learning_rate, s.weight_decay) == (8, 256, 0.3, 1e-3, 1e-2)
    assert (s.batch_units, s.superpixels_per_unit, s.epochs, s.patience) == (32, 16, 40, 8)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_gpu_learns_the_same(recipe: str) -> None:
    data = training_data(dtype=np.float64)
    recipe_model = model(recipe, epochs=3, dropout=0.0)  # the two devices draw dropout differently
    cpu, gpu = (learned(train(recipe_model, replace(data, device=d))) for d in ("cpu", "cuda"))
    for name in cpu:
        np.testing.assert_allclose(cpu[name], gpu[name], rtol=1e-4, atol=1e-6, err_msg=name)
