"""Going on with the training on a person's own section (specs/stpath.md sections 6 and 7).

A step is a patch of neighbouring units of one section, most of them masked; the loss is the squared error of log1p
counts at the masked units, over the genes of the run that the section measured. Only the units a member learns from
are in its patches: those that stop or score it are neither shown nor asked. Stopping asks at the stop units, with the
fit units shown where context is used, as it will be when maps are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from torch import nn

from napari_pixelgene.elements.scores import CHANCE, HELD_OUT_R
from napari_pixelgene.errors import InputError
from napari_pixelgene.models.base import Batch, Plan, Scores
from napari_pixelgene.models.heads import LEAST_JUDGES, mean_and_permuted
from napari_pixelgene.models.stpath.inputs import counted, nearest
from napari_pixelgene.models.stpath.masking import mask_ratio, mask_spots
from napari_pixelgene.models.stpath.network import Attention, Sizes, STPathNetwork
from napari_pixelgene.models.stpath.vocabulary import MASK

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.stpath.settings import STPathSettings

LEAST_PATCH = 64
# Steps of an epoch on a section of few units, which are masked anew in each.
_LEAST_STEPS = 8
# The technology is hidden from this share of spots, so that the network does without as well.
_UNTOLD = 0.8
_CLIP = 1.0
_EMBED, _HEAD = "input_encoder.gene_embed.weight", "gene_exp_head.1."
LEARNS = {"head": ("gene_exp_head.",), "last block": ("gene_exp_head.", "model.blks.{last}."), "all": ("",)}


def masked_error(predicted: torch.Tensor, truth: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """(members,) mean squared error of (members, spots, genes) over the entries where `asked` is not 0."""
    weight = asked.to(predicted.dtype).expand_as(predicted)
    error = (predicted - truth) ** 2 * weight
    return error.flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1)


class ClippedAdam(torch.optim.Adam):
    """Adam on gradients whose common norm is at most 1."""

    def step(self, closure: Any = None) -> Any:
        """One step."""
        torch.nn.utils.clip_grad_norm_([p for g in self.param_groups for p in g["params"]], _CLIP)
        return super().step(closure)


class Untouched(nn.Module):
    """Stands in for a network that learns nothing: the loop wants one number to hold."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))


@dataclass(frozen=True, slots=True)
class TunedSection:
    """A section as the network sees it: vectors, scaled places, `shown` (n, tokens) log1p of all that was measured,
    `truth` (n, genes of the run) log1p, `genes` of the run that the loss asks for, and who may be shown."""

    image: torch.Tensor
    xy: FloatArray
    shown: sparse.csr_matrix
    truth: sparse.csr_matrix
    genes: BoolArray
    may_lean: BoolArray
    fit: IntArray
    stop: IntArray


@dataclass(slots=True)
class TuningPlan(Plan):
    """One member's data. `embed` (width, tokens) is the gene embedding, `tokens` (genes,) those of the run's genes."""

    members: int
    state: dict[str, torch.Tensor]
    sizes: Sizes
    sections: tuple[TunedSection, ...]
    tokens: IntArray
    labels: tuple[int, int]
    leans: bool
    device: str

    @property
    def embed(self) -> FloatArray:
        """(width, tokens) the gene embedding."""
        out: FloatArray = self.state[_EMBED].numpy()
        return out

    def network(self, settings: STPathSettings) -> nn.Module:
        """The network with the rows of the head that the run has; what does not learn is no parameter of it."""
        with torch.device("meta"):
            network = STPathNetwork(replace(self.sizes, genes=len(self.tokens)), settings.dropout)
        own = {
            name: (tensor[self.tokens] if name.startswith(_HEAD) else tensor).clone()
            for name, tensor in self.state.items()
            if name != _EMBED
        }
        own[_EMBED] = torch.zeros(self.sizes.width, len(self.tokens))  # taken row by row, not through the network
        network.load_state_dict(own, assign=True)
        _freeze(network, [p.format(last=self.sizes.blocks - 1) for p in LEARNS[settings.fine_tune]])
        for module in network.modules():
            if isinstance(module, Attention):
                module.written_out = True
        return network

    def patches(self, rng: np.random.Generator, most: int) -> Iterator[Batch]:
        """Patches of the units to learn from until every one could have been seen once, and some at least."""
        sizes = np.array([len(s.fit) for s in self.sections], dtype=np.float64)
        seen, steps = 0, 0
        while seen < int(sizes.sum()) or steps < _LEAST_STEPS:
            steps += 1
            section = self.sections[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
            count = int(rng.integers(LEAST_PATCH, most + 1))
            near = nearest(section.xy[section.fit], int(rng.integers(len(section.fit))), count)
            seen += len(near)
            yield self._patch(section, section.fit[near], rng)

    def judged(self) -> Iterator[Batch]:
        """The stop units of every section, the fit units around them shown where context is used."""
        for section in self.sections:
            units = np.concatenate([section.fit, section.stop])
            seen = np.zeros(len(units), dtype=bool)
            seen[: len(section.fit)] = section.may_lean[section.fit] if self.leans else False
            stop = np.arange(len(units)) >= len(section.fit)
            told = np.full(len(units), self.labels[0], dtype=np.int64)
            yield self._batch(section, units, section.shown[units], ~seen, stop, told)

    def _patch(self, section: TunedSection, units: IntArray, rng: np.random.Generator) -> Batch:
        asked = np.flatnonzero(section.genes)
        masking = mask_spots(len(units), len(asked), mask_ratio(rng), rng.permutation)
        shown = _thinned(section.shown[units], masking.thinned, self.tokens[asked[masking.dropped]])
        hidden, scored = np.zeros(len(units), dtype=bool), np.zeros(len(units), dtype=bool)
        hidden[masking.hidden], scored[masking.scored] = True, True
        told = np.where(rng.random(len(units)) < _UNTOLD, 0, self.labels[0])
        return self._batch(section, units, shown, hidden, scored, told)

    def _batch(
        self,
        section: TunedSection,
        units: IntArray,
        shown: sparse.csr_matrix,
        hidden: BoolArray,
        scored: BoolArray,
        technology: IntArray,
    ) -> Batch:
        """`hidden` spots hold the mask token; the loss is taken, or the score, at `scored`."""
        expression = np.asarray(shown @ self.embed.T, dtype=np.float32)
        expression[hidden] = self.embed[:, MASK]
        organ = torch.full((len(units),), self.labels[1])
        inputs = (section.image[units], torch.from_numpy(expression), torch.from_numpy(section.xy[units]),
                  torch.from_numpy(technology.astype(np.int64)), organ)  # fmt: skip
        truth = torch.from_numpy(section.truth[units].toarray().astype(np.float32))
        targets = {"truth": truth, "genes": torch.from_numpy(section.genes)}
        weight = torch.from_numpy(scored)[None].float()
        return Batch(
            tuple(each.to(self.device) for each in inputs),
            {name: each.to(self.device) for name, each in targets.items()},
            weight.to(self.device),
        )


def loss(output: torch.Tensor, batch: Batch) -> torch.Tensor:
    """(members,) the error at the masked spots, over the genes that the section measured."""
    return masked_error(output, batch.targets["truth"], batch.weight[..., None] * batch.targets["genes"])


def stop_scores(outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
    """The mean correlation over genes at the stop units, averaged over sections."""
    rows = []
    for output, batch in zip(outputs, batches, strict=True):
        stop, genes = batch.weight[0] > 0, batch.targets["genes"]
        if int(stop.sum()) >= LEAST_JUDGES and bool(genes.any()):
            predicted, truth = (x[stop][:, genes].double().cpu().numpy() for x in (output[0], batch.targets["truth"]))
            rows.append(mean_and_permuted(predicted, truth))
    found = np.array(rows) if rows else np.full((1, 2), np.nan)
    mean = np.nan_to_num(np.nanmean(found, axis=0) if np.isfinite(found).any() else np.zeros(2))
    return Scores({"r": mean[:1]}, {HELD_OUT_R: mean[:1], CHANCE: mean[1:]})


def loss_genes(counts: sparse.csr_matrix, tokens: IntArray, run_tokens: IntArray) -> BoolArray:
    """(genes of the run,) those that a section measured (tokens (genes measured,)) and counted at least three times."""
    out: BoolArray = np.isin(run_tokens, tokens[(tokens >= 0) & counted(counts)])
    return out


def require_patches(sections: Sequence[TunedSection]) -> None:
    """Refuse what cannot be learned from: too few units for one patch, or no gene to learn."""
    units = sum(len(s.fit) for s in sections)
    if max((len(s.fit) for s in sections), default=0) < 2:
        raise InputError(
            f"STPath is left with {units} unit{'s' * (units != 1)} to be fine-tuned on.",
            "Leave it as it is (--set fine_tune=no), or give a larger section.",
        )
    if not any(s.genes.any() for s in sections):
        raise InputError(
            "None of the genes asked for was counted three times, so nothing can be fine-tuned.",
            "Ask for genes that were measured, or leave STPath as it is (--set fine_tune=no).",
        )


def _thinned(shown: sparse.csr_matrix, rows: IntArray, tokens: IntArray) -> sparse.csr_matrix:
    """Without these tokens in these rows."""
    out = shown.tocoo()
    gone = np.isin(out.row, rows) & np.isin(out.col, tokens)
    return sparse.csr_matrix((out.data[~gone], (out.row[~gone], out.col[~gone])), shape=shown.shape)


def _freeze(network: nn.Module, learns: Sequence[str]) -> None:
    """Turn every parameter whose name begins with none of `learns` into a buffer of the same name."""
    for name, parameter in list(network.named_parameters()):
        if name == _EMBED or not name.startswith(tuple(learns)):
            owner, _, own = name.rpartition(".")
            module = network.get_submodule(owner)
            delattr(module, own)
            module.register_buffer(own, parameter.detach())
