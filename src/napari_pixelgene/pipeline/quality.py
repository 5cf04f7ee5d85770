"""Units that are measured but not learned from, because they hold too few counts for what they look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.expression import FILTERED
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent
from napari_pixelgene.stages.unit_quality import QualitySettings, enough_counts

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array
    from napari_pixelgene.elements.tissue import MemberPlan
    from napari_pixelgene.models.base import TrainingSection


def without_few_counts(
    plan: MemberPlan, sections: Sequence[TrainingSection], settings: QualitySettings, on_event: OnEvent
) -> MemberPlan:
    """The plan without the units that are too empty: nobody learns from them or stops on them; they are scored."""
    if settings.percentile == 0:
        return plan
    kept = np.concatenate([enough_counts(section, settings) for section in sections])
    if not kept.any():
        raise InputError("No unit holds enough counts for what it looks like.", "Make the quality percentile smaller.")
    text = f"{int((~kept).sum()):,} of {len(kept):,} units hold too few counts for what they look like; they are not "
    on_event(Note(f"{text}learned from, and scored all the same.", stage="training"))
    return replace(plan, fit=plan.fit & kept, stop=plan.stop & kept)


def marked(layer: Array, section: TrainingSection, settings: QualitySettings) -> Array:
    """The layer (rows, columns) of what was measured, with the squares of units that are too empty as dropped."""
    if settings.percentile == 0:
        return layer
    out = layer.copy()
    dropped = section.pooling[~enough_counts(section, settings)]
    out[tuple(section.row_column[np.unique(dropped.indices)].T)] = FILTERED
    return out
