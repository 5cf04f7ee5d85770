"""The Register dock's sentences."""

from __future__ import annotations

import numpy as np

from napari_pixelgene.gui.register.pairs import Pairs, Side
from napari_pixelgene.gui.register.work import Work

# What the three helpers' buttons say.
ROUGH = (
    "Find where the run lies by the outline of the tissue and its nuclei, turned or mirrored in any way. You look at "
    "it before it is kept. Takes some seconds"
)
SUGGEST = "Propose new pairs where nuclei of both images match. You accept or reject them. Takes some seconds"
SNAP = "Propose to move each pair onto the nuclei it meant. You accept or reject each. Takes some seconds"
# A rough alignment lands within 100 µm; what lies further from it was clicked somewhere else.
_ROUGHLY_UM = 150.0
_IMAGE: dict[Side, str] = {"fixed": "the H&E", "moving": "the image above"}


def half_words(pairs: Pairs) -> str:
    """Where the half pair waits for its partner; empty where there is none."""
    if pairs.half is None:
        return ""
    return f"click it in {_IMAGE['moving' if pairs.half.side == 'fixed' else 'fixed']}"


def hint(work: Work, picking: bool) -> str:
    """What was taken back, and what to do next."""
    return "\n".join(line for line in (work.said, _next(work, picking)) if line)


def _next(work: Work, picking: bool) -> str:
    pairs = work.pairs
    if pairs.half is not None:
        where = _IMAGE["moving" if pairs.half.side == "fixed" else "fixed"]
        if picking:
            return f"{len(pairs) + 1}: now click the same spot in {where}. Esc drops it."
        return f"{len(pairs) + 1} waits for its partner in {where}: switch Pick on."
    if picking:
        return "Click a spot in either image, then the same spot in the other. Drag a ring to correct it."
    return work.fit.quiet if work.fit.quiet and not len(pairs) else ""


def summary(work: Work) -> str:
    """The fit in words: how good, what is recommended, what to beware of."""
    found = work.fit
    cautions = [*_far_from_rough(work), *found.cautions]
    lines = [found.summary, found.recommendation, *(f"⚠ {text}" for text in cautions)]
    if found.quiet and len(work.pairs):
        lines.append(found.quiet)
    if found.transform is None and work.standing is not None and len(work.pairs):
        which = "rough alignment" if work.draft.rough is not None else "alignment that is stored"
        lines.append(f"The {which} stays until these pairs give another.")
    return "\n".join(line for line in lines if line)


def _far_from_rough(work: Work) -> list[str]:
    """Pairs that the rough alignment, where there was one, puts somewhere else altogether."""
    draft = work.draft
    if draft.given is None or draft.rough is None or not len(draft.pairs):
        return []
    away = draft.given.apply(work.keypoints.moving_xy) - work.keypoints.fixed_xy
    off_um = np.hypot(*away.T) * work.he.require_mpp()
    far = np.flatnonzero((off_um > _ROUGHLY_UM) & work.keypoints.enabled)
    return [f"Pair {i + 1} lies {off_um[i]:.0f} µm from where the rough alignment puts it. Check it." for i in far]


def saved(work: Work, why_not: str) -> str:
    """Whether the section has it."""
    if why_not:
        return f"⚠ Not saved: {why_not}"
    if work.unsaved:
        return "Saving…"
    return "Saved in the section." if work.transform is not None or len(work.pairs) else ""
