"""The recipe: pretrained weights as they are, shown what was measured or not, or fine-tuned on a section."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from napari_pixelgene.errors import InputError
from napari_pixelgene.models.base import Batch, Needs, Scores, Snapshots, TorchModel, TrainingData
from napari_pixelgene.models.stpath import labels, tuning, weights
from napari_pixelgene.models.stpath.fitted import CLASS_TOKENS, EMBED, HEAD, NET, OWN, FittedSTPath, everything_of
from napari_pixelgene.models.stpath.inputs import encoded, scaled
from napari_pixelgene.models.stpath.settings import STPathSettings
from napari_pixelgene.models.stpath.tuning import TunedSection, TuningPlan
from napari_pixelgene.models.stpath.vocabulary import FIRST, few, require_human
from napari_pixelgene.progress import Note, OnEvent, silent

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.models.base import TrainingSection
    from napari_pixelgene.models.stpath.weights import Released
    from napari_pixelgene.settings import Section


class STPath(TorchModel):
    """Expression of a spot from the histology of all spots of the slide, and from what others measured."""

    name: ClassVar[str] = "stpath"
    title: ClassVar[str] = "STPath: a pretrained network over all spots of a slide, 38,982 human genes"
    needs = Needs(
        features="points", standardised=False, positions=True, context_counts=True, gene_space="fixed vocabulary",
        training=False,
    )  # fmt: skip
    Settings = STPathSettings
    fitted = FittedSTPath
    without_context: ClassVar[str] = "zero-shot, by histology alone"

    def __init__(self, settings: Section | None = None) -> None:
        super().__init__(settings)
        self.batched_members = not self._learns  # type: ignore[misc]
        self.needs = replace(type(self).needs, context_counts=self.settings.leans, training=self._learns)
        self._kept: Released | None = None

    @property
    def _learns(self) -> bool:
        return bool(self.settings.fine_tune != "no")

    def missing(self) -> str:
        """See `Model.missing`."""
        return weights.missing(self.settings)

    def require(self, on_event: OnEvent) -> None:
        """See `Model.require`: reads both files, and says what the network is told."""
        self._released(on_event)
        organ, technology = self.settings.organ, self.settings.technology
        on_event(Note(f"STPath is told: organ {organ}, technology {technology}.", stage="fit"))

    def files(self) -> dict[str, Path]:
        """See `Model.files`."""
        released = self._released()
        return {"weights": released.weights_path, "vocabulary": released.vocabulary_path}

    def identify(self, genes: GeneTable, where: str) -> tuple[str, ...]:
        """See `Model.identify`: Ensembl ids."""
        require_human(genes, where)
        vocabulary = self._released().vocabulary
        return tuple(vocabulary.ids[t - FIRST] if t >= FIRST else "" for t in vocabulary.tokens(genes).tolist())

    def named(self, names: Sequence[str]) -> GeneTable:
        """See `Model.named`."""
        return self._released().vocabulary.named(names)

    def vocabulary(self, prefer: Sequence[str] = ()) -> GeneTable:
        """See `Model.vocabulary`."""
        return self._released().vocabulary.table(prefer)

    def plan(self, data: TrainingData) -> TuningPlan:
        """See `TorchModel.plan`. Of members that learn one is planned at a time; the others need no section."""
        released = self._released()
        if len(data.channels) != released.sizes.image:
            raise InputError(
                f"A point has {len(data.channels):,} numbers, STPath reads {released.sizes.image:,}.", CLASS_TOKENS
            )
        tokens = released.vocabulary.tokens(data.genes)
        lost = [s for s, token in zip(data.genes.symbols, tokens, strict=True) if token < 0]
        if lost:
            raise InputError(f"STPath has no word for {few(lost)}.", "Leave them out.")
        sections = self._sections(data, tokens) if self._learns and data.members == 1 else ()
        if self._learns and data.members == 1:
            tuning.require_patches(sections)
        return TuningPlan(
            data.members, released.state, released.sizes, sections, tokens, self._labels(), self.settings.leans,
            data.device,
        )  # fmt: skip

    def network(self, plan: TuningPlan) -> nn.Module:
        """See `TorchModel.network`."""
        return plan.network(self.settings) if self._learns else tuning.Untouched()

    def batches(self, plan: TuningPlan, rng: np.random.Generator) -> Iterator[Batch]:
        """See `TorchModel.batches`."""
        return plan.patches(rng, self.settings.patch_units)

    def stop_batches(self, plan: TuningPlan) -> Iterator[Batch]:
        """See `TorchModel.stop_batches`."""
        return plan.judged()

    def loss(self, plan: TuningPlan, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """See `TorchModel.loss`."""
        return tuning.loss(output, batch)

    def stop_scores(self, plan: TuningPlan, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """See `TorchModel.stop_scores`."""
        return tuning.stop_scores(outputs, batches)

    def optimizer(self, plan: TuningPlan, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
        """Adam with clipped gradients, as in pretraining, at a smaller rate."""
        return tuning.ClippedAdam(parameters, lr=self.settings.learning_rate)

    def epochs(self, plan: TuningPlan) -> tuple[int, int | None]:
        """None at all where nothing is to be learned."""
        return (self.settings.epochs, self.settings.patience) if self._learns else (0, None)

    def finish(self, plan: TuningPlan, snapshots: Snapshots, data: TrainingData) -> FittedSTPath:
        """See `TorchModel.finish`: the trunk, the head's rows of these genes, and what members learned."""
        arrays: dict[str, Array] = {}
        for name, tensor in plan.state.items():
            rows = tensor[plan.tokens] if name.startswith(HEAD) else tensor
            rows = rows if name != EMBED or self.settings.leans else rows[:, :FIRST]
            arrays[f"{NET}{name}"] = np.ascontiguousarray(rows.numpy())
        for parameters in snapshots.parameters.values():
            arrays |= {f"{OWN}{name}": tensor.detach().cpu().numpy() for name, tensor in parameters.items()}
        arrays["labels"] = np.array(plan.labels, dtype=np.int64)
        arrays["share"] = _shares(data)
        arrays["squares"] = np.array([np.mean([everything_of(s).squares for s in data.sections])])
        if self.settings.leans:
            arrays["vocabulary"] = self._released().vocabulary.packed()
        return FittedSTPath(arrays, self.settings, data.genes)

    def _released(self, on_event: OnEvent = silent) -> Released:
        if self._kept is None:
            self._kept = weights.load(self.settings, on_event)
        return self._kept

    def _labels(self) -> tuple[int, int]:
        """Technology and organ by number."""
        technology, organ = self.settings.technology, self.settings.organ
        if self.settings.recipe == "original":
            return labels.technology_id(technology), labels.organ_id(organ)
        return labels.TECHNOLOGIES.index(technology), labels.ORGANS.index(organ)

    def _sections(self, data: TrainingData, tokens: IntArray) -> tuple[TunedSection, ...]:
        first, out = 0, []
        for section in data.sections:
            mine = slice(first, first + len(section))
            first += len(section)
            out.append(self._section(section, tokens, data.fit[0, mine], data.stop[0, mine]))
        return tuple(out)

    def _section(self, section: TrainingSection, tokens: IntArray, fit: BoolArray, stop: BoolArray) -> TunedSection:
        everything = everything_of(section)
        measured = self._released().vocabulary.tokens(everything.genes)
        duplicates: Any = "last" if self.settings.recipe == "original" else "max"
        counts = section.counts.astype(np.float64, copy=True)  # a view would sort the section's own columns
        return TunedSection(
            image=torch.from_numpy(np.asarray(section.features, dtype=np.float32)),
            xy=scaled(section.xy_um, self.settings.isotropic),
            shown=encoded(everything.counts, measured, self._released().sizes.genes, duplicates),
            truth=counts.log1p().tocsr(),
            genes=tuning.loss_genes(everything.counts[np.flatnonzero(fit)], measured, tokens),
            may_lean=everything.may_lean,
            fit=np.flatnonzero(fit),
            stop=np.flatnonzero(stop),
        )


def _shares(data: TrainingData) -> FloatArray:
    """(members,) the share of all counts that the run's genes have, among each one's units; 1 where nothing was."""
    counted = np.concatenate([np.asarray(s.counts.sum(axis=1), dtype=np.float64).ravel() for s in data.sections])
    library = np.concatenate([np.asarray(s.library, dtype=np.float64) for s in data.sections])
    mine = (data.fit | data.stop).astype(np.float64)
    total = mine @ library
    share = np.divide(mine @ counted, total, out=np.ones(len(mine)), where=total > 0)
    out: FloatArray = np.clip(np.where(share > 0, share, 1.0), 0.0, 1.0)
    return out
