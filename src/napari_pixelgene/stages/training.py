"""The loop of every torch member: all members of the ensemble in one batched pass.

Parameters of all members are stacked; one `vmap` runs them over the same batch, in which units a member
must not see weigh nothing. Because the optimiser works on each number alone, and because batches, dropout
and the first weights are seeded per epoch and per member, a member ends where it would have ended alone.
Every member keeps its best state, apart for each stop score, until it has not improved for `patience`
epochs; then it is left out of the pass, which ends when all have stopped. The whole state is written after
each epoch, so that a killed run continues to the same end, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.func import functional_call, vmap

from napari_pixelgene.errors import InputError, TooFewUnits
from napari_pixelgene.models.base import Fitted, Model, Scores, Snapshots, TorchModel, TrainingData
from napari_pixelgene.progress import Event, OnEvent, Progress, silent

if TYPE_CHECKING:
    from torch import nn

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
    from napari_pixelgene.models.base import Batch

STAGE = "fit"
# Fewer units than this have no variance to learn from.
_LEAST_UNITS = 2
Parameters = dict[str, torch.Tensor]


class Checkpoint(Protocol):
    """Where the state of an unfinished run is kept."""

    def load(self) -> Mapping[str, Array] | None:
        """The last state, or None at the start."""

    def save(self, arrays: Mapping[str, Array]) -> None:
        """Replace it, all or nothing."""


@dataclass(slots=True)
class Run:
    """Everything that changes while members learn."""

    parameters: Parameters
    optimizer: torch.optim.Optimizer
    best: dict[str, Parameters] = field(default_factory=dict)
    best_score: dict[str, FloatArray] = field(default_factory=dict)
    waited: dict[str, FloatArray] = field(default_factory=dict)
    shown: dict[str, FloatArray] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history)

    def now(self) -> dict[str, float]:
        """The numbers of the last epoch."""
        return {k: v for k, v in self.history[-1].items() if k != "epoch"} if self.history else {}


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted model and what happened on the way: one row of numbers an epoch."""

    fitted: Fitted
    history: tuple[dict[str, float], ...] = ()


def train(
    model: Model, data: TrainingData, on_event: OnEvent = silent, checkpoint: Checkpoint | None = None
) -> Trained:
    """Fit any registered model: a torch member through the loop here, another through its own `fit`.

    Raises InputError when the data leave a member nothing to learn from, or features are not finite.
    """
    _check(data)
    if not isinstance(model, TorchModel):
        return Trained(model.fit(data, on_event))
    plan = model.plan(data)
    runs = _in_one_pass(model, plan, data, on_event, checkpoint)
    best = {
        score: {name: torch.cat([r.best[score][name] for r in runs]) for name in parameters}
        for score, parameters in runs[0].best.items()
    }
    return Trained(model.finish(plan, Snapshots(best), data), tuple(row for r in runs for row in r.history))


def _check(data: TrainingData) -> None:
    for section in data.sections:
        if not np.isfinite(section.features).all():
            lost = int((~np.isfinite(section.features).all(1)).sum())
            raise InputError(
                f"{section.name}: {lost} superpixels under its units have no finite features.",
                "Compute the features again; the tissue mask has changed since.",
            )
    few = int(data.fit.sum(1).min(initial=_LEAST_UNITS))
    if few < _LEAST_UNITS:
        raise TooFewUnits(
            f"A member of the ensemble is left with {few} units to learn from.",
            "Use more folds or smaller blocks, a larger section, or a model and encoder that see less around.",
        )


def _in_one_pass(
    model: TorchModel, plan: Any, data: TrainingData, on_event: OnEvent, checkpoint: Checkpoint | None
) -> list[Run]:
    """All members together, or one after another where the model asks for it."""
    if model.batched_members:
        return [_train_members(model, plan, data, on_event, checkpoint)]
    kept = dict(checkpoint.load() or {}) if checkpoint is not None else {}
    runs = []
    for i, one in enumerate(map(data.only, range(data.members))):
        part = None if checkpoint is None else _Part(checkpoint, kept, f"member {i}/")
        runs.append(_train_members(model, model.plan(one), one, _in_turn(on_event, i, data.members), part))
    return runs


@dataclass(slots=True)
class _Part:
    """The state of one member beside that of those before it, in one checkpoint."""

    whole: Checkpoint
    kept: dict[str, Array]
    prefix: str

    def load(self) -> Mapping[str, Array] | None:
        mine = {k.removeprefix(self.prefix): v for k, v in self.kept.items() if k.startswith(self.prefix)}
        return mine or None

    def save(self, arrays: Mapping[str, Array]) -> None:
        self.kept.update({self.prefix + name: array for name, array in arrays.items()})
        self.whole.save(self.kept)


def _in_turn(on_event: OnEvent, member: int, members: int) -> OnEvent:
    """Progress of one member as progress of all."""

    def told(event: Event) -> None:
        if isinstance(event, Progress) and event.total is not None:
            event = replace(event, done=event.done + member * event.total, total=members * event.total)
        on_event(event)

    return told


def _train_members(
    model: TorchModel, plan: Any, data: TrainingData, on_event: OnEvent, checkpoint: Checkpoint | None
) -> Run:
    network, parameters = _stacked(model, plan, data)
    run = Run(parameters, model.optimizer(plan, list(parameters.values())))
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        _restore(run, state)
    epochs, patience = model.epochs(plan)
    on_event(Progress(STAGE, run.epoch, epochs, values=run.now()))
    while run.epoch < epochs and (learning := _learning(run, data.members, patience)):
        loss = _epoch(model, plan, network, run, data, learning)
        scores = _score(model, plan, network, run)
        _keep_best(run, scores, patience)
        _remember(run, loss, scores, learning)
        if checkpoint is not None:
            checkpoint.save(_state(run))
        on_event(Progress(STAGE, run.epoch, epochs, values=run.now()))
    on_event(Progress(STAGE, epochs, epochs, message=f"stopped after {run.epoch} epochs", values=run.now()))
    return run


def _stacked(model: TorchModel, plan: Any, data: TrainingData) -> tuple[nn.Module, Parameters]:
    """One network for its shape, and the parameters of all members, each seeded by its own id."""
    dtype = torch.from_numpy(np.zeros(0, data.sections[0].features.dtype)).dtype
    members = []
    with torch.random.fork_rng(devices=[]):
        for member in data.member_ids:
            torch.manual_seed(_seed(data.seed, 0, member))
            network = model.network(plan)
            members.append({k: v.detach().to(dtype) for k, v in network.named_parameters()})
    stacked = {k: torch.stack([m[k] for m in members]).to(data.device).requires_grad_() for k in members[0]}
    return network.to(device=data.device, dtype=dtype), stacked


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _forward(network: nn.Module, parameters: Parameters, batch: Batch) -> torch.Tensor:
    """(members, …). Dropout is the same for all members, so that one trained alone draws the same."""
    call = vmap(
        lambda p, *x: functional_call(network, p, x),
        in_dims=(0, *(None for _ in batch.inputs), *(0 for _ in batch.own_inputs)),
        randomness="same",
    )
    rows = list(batch.members)
    chosen = {name: tensor[rows] for name, tensor in parameters.items()} if rows else parameters
    out: torch.Tensor = call(chosen, *batch.inputs, *batch.own_inputs)
    return out


def _epoch(
    model: TorchModel, plan: Any, network: nn.Module, run: Run, data: TrainingData, learning: tuple[int, ...]
) -> float:
    """One pass over the units by the members that have not stopped; returns their mean loss."""
    network.train()
    total, steps = torch.zeros((), device=data.device), 0
    everybody = len(learning) == data.members
    devices = [data.device] if data.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(_seed(data.seed, 1, run.epoch))
        for step in model.batches(plan, np.random.default_rng([data.seed, 2, run.epoch])):
            batch = step if everybody else step.only(learning)
            losses = model.loss(plan, _forward(network, run.parameters, batch), batch)
            run.optimizer.zero_grad(set_to_none=True)
            losses.sum().backward()  # type: ignore[no-untyped-call]
            run.optimizer.step()
            total, steps = total + losses.detach().mean(), steps + 1
    return float(total) / max(steps, 1)


@torch.no_grad()
def _score(model: TorchModel, plan: Any, network: nn.Module, run: Run) -> Scores:
    network.eval()
    batches = list(model.stop_batches(plan))
    return model.stop_scores(plan, [_forward(network, run.parameters, b) for b in batches], batches)


def _learning(run: Run, members: int, patience: int | None) -> tuple[int, ...]:
    """Members that some score has not stopped."""
    if patience is None or not run.waited:
        return tuple(range(members))
    stopped = np.all([waited >= patience for waited in run.waited.values()], axis=0)
    return tuple(np.flatnonzero(~stopped).tolist())


def _remember(run: Run, loss: float, scores: Scores, learning: tuple[int, ...]) -> None:
    """One row of history; a member that has stopped keeps the numbers it stopped with."""
    for name, values in scores.shown.items():
        kept = run.shown.setdefault(name, np.array(values, dtype=np.float64))
        kept[list(learning)] = values[list(learning)]
    means = {name: float(values.mean()) for name, values in run.shown.items()}
    run.history.append({"epoch": run.epoch + 1, "loss": loss, **means})


def _keep_best(run: Run, scores: Scores, patience: int | None) -> None:
    """Where a member improved, its parameters replace its best; one that has stopped stays as it is."""
    for name, score in scores.stop.items():
        if name not in run.best:
            run.best[name] = {k: v.detach().clone() for k, v in run.parameters.items()}
            run.best_score[name], run.waited[name] = score.copy(), np.zeros(len(score))
            continue
        stopped = run.waited[name] >= patience if patience is not None else np.zeros(len(score), bool)
        better = np.ones(len(score), bool) if patience is None else (score > run.best_score[name]) & ~stopped
        _copy_members(run.best[name], run.parameters, better)
        run.best_score[name] = np.where(better, score, run.best_score[name])
        run.waited[name] = np.where(better, 0, run.waited[name] + 1)


def _copy_members(to: Parameters, source: Parameters, members: BoolArray) -> None:
    chosen = torch.from_numpy(np.flatnonzero(members))
    for name, tensor in to.items():
        tensor[chosen] = source[name].detach()[chosen]


def _state(run: Run) -> dict[str, Array]:
    """The whole run as named arrays."""
    out: dict[str, Array] = {f"parameter/{k}": _numpy(v) for k, v in run.parameters.items()}
    for i, state in run.optimizer.state_dict()["state"].items():
        out |= {f"optimizer/{i}/{k}": _numpy(torch.as_tensor(v)) for k, v in state.items()}
    for score, parameters in run.best.items():
        out |= {f"best/{score}/{k}": _numpy(v) for k, v in parameters.items()}
        out |= {f"best_score/{score}": run.best_score[score], f"waited/{score}": run.waited[score]}
    out |= {f"shown/{name}": values for name, values in run.shown.items()}
    for key in run.history[0]:
        out[f"history/{key}"] = np.array([row[key] for row in run.history])
    return out


def _restore(run: Run, state: Mapping[str, Array]) -> None:
    groups: dict[str, dict[str, Array]] = {}
    for name, array in state.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = array
    with torch.no_grad():
        for name, tensor in run.parameters.items():
            tensor.copy_(torch.from_numpy(groups["parameter"][name]))
    saved = run.optimizer.state_dict()
    saved["state"] = _optimizer_state(groups.get("optimizer", {}))
    run.optimizer.load_state_dict(saved)
    for name, array in groups["best"].items():
        score, _, parameter = name.partition("/")
        run.best.setdefault(score, {})[parameter] = torch.from_numpy(array.copy()).to(run.parameters[parameter])
    run.best_score, run.waited = dict(groups["best_score"]), dict(groups["waited"])
    run.shown = {name: values.copy() for name, values in groups.get("shown", {}).items()}
    keys = groups["history"]
    run.history = [{k: float(v[i]) for k, v in keys.items()} for i in range(len(keys["epoch"]))]


def _optimizer_state(arrays: Mapping[str, Array]) -> dict[int, dict[str, torch.Tensor]]:
    out: dict[int, dict[str, torch.Tensor]] = {}
    for name, array in arrays.items():
        index, _, key = name.partition("/")
        out.setdefault(int(index), {})[key] = torch.from_numpy(array.copy())
    return out


def _numpy(tensor: torch.Tensor) -> Array:
    array: Array = tensor.detach().cpu().numpy().copy()
    return array
