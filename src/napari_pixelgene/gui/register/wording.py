"""The Register dock's sentences."""

from __future__ import annotations

from napari_pixelgene.gui.register.pairs import Pairs, Side
from napari_pixelgene.gui.register.work import Work

_IMAGE: dict[Side, str] = {"fixed": "the H&E", "moving": "the image above"}


def half_words(pairs: Pairs) -> str:
    """Where the half pair waits for its partner; empty where there is none."""
    if pairs.half is None:
        return ""
    return f"click it in {_IMAGE['moving' if pairs.half.side == 'fixed' else 'fixed']}"


def hint(work: Work, picking: bool) -> str:
    """What to do next."""
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
    lines = [found.summary, found.recommendation, *(f"⚠ {text}" for text in found.cautions)]
    if found.quiet and len(work.pairs):
        lines.append(found.quiet)
    if found.transform is None and work.standing is not None and len(work.pairs):
        lines.append("The alignment that is stored stays until these pairs give another.")
    return "\n".join(line for line in lines if line)


def saved(work: Work, why_not: str) -> str:
    """Whether the section has it."""
    if why_not:
        return f"⚠ Not saved: {why_not}"
    if work.unsaved:
        return "Saving…"
    return "Saved in the section." if work.transform is not None or len(work.pairs) else ""
