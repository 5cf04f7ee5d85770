"""The recipe: captures of one slide as one training set, in spots, in bins, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import sparse

from napari_pixelgene.elements.grid import SUPERPIXEL_PX, WORK_MPP
from napari_pixelgene.models.base import Needs, Quantity, Snapshots, TrainingData
from napari_pixelgene.models.heads import UnitFeatures
from napari_pixelgene.models.iscale.captures import (
    Shifts,
    overlap_weights,
    shifts_of,
    standard_by_capture,
    standard_of,
    yields_of,
)
from napari_pixelgene.models.iscale.published import SitesPlan, plan_published
from napari_pixelgene.models.iscale.settings import IscaleSettings
from napari_pixelgene.models.superpixels.components import plan_components
from napari_pixelgene.models.superpixels.fitted import FittedSuperpixels
from napari_pixelgene.models.superpixels.likelihood import LikelihoodPlan, Offsets, plan_likelihood
from napari_pixelgene.models.superpixels.minmax import OriginalPlan
from napari_pixelgene.models.superpixels.model import ENOUGH_COUNTS, RecipePlan, SuperpixelModel
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray

PUBLISHED = ("original", "istar")
# Differences between captures below these are not worth a word.
_TOLD_TOTAL, _TOLD_GENES = 0.1, 0.1
_NAMED = 3


class FittedIscale(FittedSuperpixels):
    """A trained iSCALE. `shift_genes` (captures, genes) and `shift_total` (captures,) are what was found to differ
    between captures, `shift_raw` the genes' before the histology was asked."""

    settings: IscaleSettings

    def combine(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """The published recipes answer with the median over states."""
        if self.recipe != "original":
            return super().combine(latent, genes, quantity)
        return np.asarray(np.median(self.decode(latent, genes, quantity), axis=0))

    def remarks(self, captures: Sequence[str]) -> tuple[str, ...]:
        """By how much each capture differed from the others, and whether that was taken off."""
        if "shift_raw" not in self._arrays or len(captures) != len(self._arrays["shift_raw"]) or len(captures) < 2:
            return ()
        genes, total = self._arrays["shift_genes"], self._arrays["shift_total"]
        each = [self._told(name, genes[i], float(total[i])) for i, name in enumerate(captures)]
        told = [text for text in each if text]
        if not told:
            return ("The captures do not differ beyond what their histology explains.",)
        how = {
            "offset": "Beyond what their histology explains, captures differ, and this is taken off",
            "standardise": "Captures differ, and each was brought to its own mean and spread",
            "none": "Captures differ, and nothing was taken off",
        }
        return (f"{how[self.settings.batch]}: {'; '.join(told)}.",)

    def _told(self, name: str, genes: FloatArray, total: float) -> str:
        typical = float(np.median(np.abs(genes)))
        if abs(total) < _TOLD_TOTAL and typical < _TOLD_GENES:
            return ""
        most = np.argsort(-np.abs(genes), kind="stable")[:_NAMED]
        named = ", ".join(f"{self.genes.symbols[g]} ×{np.exp(genes[g]):.2g}" for g in most)
        return f"{name} total ×{np.exp(total):.2f}, genes by {np.expm1(typical):.0%} in the median (most: {named})"


class Iscale(SuperpixelModel):
    """Expression of a superpixel from its own histology vector, learned from several captures of one slide."""

    name: ClassVar[str] = "iscale"
    title: ClassVar[str] = "iSCALE: several captures on one slide, spots or bins, in one ensemble"
    Settings = IscaleSettings
    fitted = FittedIscale

    def __init__(self, settings: Section | None = None) -> None:
        super().__init__(settings)
        # A site lies half the merging distance from its spots at most, and its rounded disk a superpixel farther out.
        halo = {"original": ceil(self.settings.merge_um / 2 / (SUPERPIXEL_PX * WORK_MPP)) + 2, "istar": 2}
        self.needs = Needs(standardised=self.settings.recipe not in PUBLISHED, halo=halo.get(self.settings.recipe, 0))

    def recipe(self, data: TrainingData) -> str:
        """Components where every capture's median unit has enough counts: one with few needs the likelihood."""
        if self.settings.recipe in PUBLISHED:
            return "original"
        if self.settings.recipe != "auto":
            return str(self.settings.recipe)
        least = min(float(np.median(s.library)) for s in data.sections)
        return "components" if least >= ENOUGH_COUNTS else "likelihood"

    def plan(self, data: TrainingData) -> RecipePlan:
        """See `TorchModel.plan`."""
        if self.settings.recipe in PUBLISHED:
            return plan_published(data, self.settings.recipe, self.settings.merge_um)
        units, taken_off = UnitFeatures.of(data), self.settings.batch
        plan: RecipePlan
        if self.recipe(data) == "components":
            found = self._found(data)
            standard = (
                standard_by_capture(data) if taken_off == "standardise" else standard_of(data, self._taken(found))
            )
            plan = replace(plan_components(data, units, self.settings.components, standard), unit_size=1.0)
        else:
            plan = plan_likelihood(data, units)
            found = self._taken(self._found(data, plan.blocks))
            plan = replace(plan, offsets=Offsets(data.section_of_unit, found.total, found.genes))
        return replace(plan, fit=self._weighted(data))

    def samples(self, plan: RecipePlan) -> int:
        """The published recipes average the whole disk."""
        return int(plan.units.index.shape[1]) if isinstance(plan, SitesPlan) else super().samples(plan)

    def finish(self, plan: RecipePlan, snapshots: Snapshots, data: TrainingData) -> FittedSuperpixels:
        """See `TorchModel.finish`."""
        learned = super().finish(plan, snapshots, data)
        if isinstance(plan, OriginalPlan):
            return learned
        found = self._found(data, plan.blocks if isinstance(plan, LikelihoodPlan) else None)
        genes = len(data.genes)
        arrays: dict[str, Array] = {
            "shift_genes": found.genes[:, :genes],
            "shift_total": found.total,
            "shift_raw": found.raw[:, :genes],
        }
        return FittedIscale({**learned.arrays(), **arrays}, self.settings, data.genes)

    def _found(self, data: TrainingData, blocks: sparse.csr_matrix | None = None) -> Shifts:
        """What differs between captures; bins with few counts are pooled into `blocks`."""
        asks = self.settings.batch != "standardise"
        return shifts_of(data, asks) if blocks is None else yields_of(data, blocks, asks)

    def _taken(self, found: Shifts) -> Shifts:
        """What is taken off of it."""
        if self.settings.batch != "none":
            return found
        return replace(found, genes=np.zeros_like(found.genes), total=np.zeros_like(found.total))

    def _weighted(self, data: TrainingData) -> Array:
        """(members, units) what each unit weighs in what a member learns."""
        if not self.settings.overlap or len(data.sections) < 2:
            return data.fit
        weight = overlap_weights(data.sections)
        return data.fit if (weight == 1).all() else np.asarray(data.fit * weight)
