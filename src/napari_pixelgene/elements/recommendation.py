"""Which kind of transform the held-out errors support, and why, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_pixelgene.elements.alignment import Candidate, TransformKind

# A simpler kind is preferred while its held-out error is at most this much above the best one's. Over
# simulated rigid, similar, affine and projective truths with 4 to 20 pairs, 10 % cost least accuracy
# at the corners of the tissue: 0 picks needless parameters by luck, 30 % overlooks real perspective.
TOLERANCE = 0.10
# A spline is recommended when its held-out error is at most this share of the best matrix's: it has as many
# parameters as it likes, and where no bend is there noise alone brings it below 0.9 now and then.
SPLINE_SHARE = 0.8


def recommend(candidates: Mapping[TransformKind, Candidate]) -> tuple[TransformKind, str]:
    """The simplest matrix whose held-out error is within `TOLERANCE` of the best, or a spline clearly better than
    all, and the reason in words."""
    held_out = {kind: c.loo_rmse_um for kind, c in candidates.items() if np.isfinite(c.loo_rmse_um)}
    spline = held_out.pop("spline", np.inf)
    if not held_out.keys() - {"translation"}:
        return "similarity", "similarity: with two pairs no held-out error can be had; a third would check it."
    best = min(held_out, key=lambda kind: held_out[kind])
    if spline <= SPLINE_SHARE * held_out[best] - 0.01:
        return "spline", (
            f"spline: its held-out error is {spline:.2f} µm, clearly less than {best}'s {held_out[best]:.2f} µm, "
            "the least of any plane map; the tissue is bent."
        )
    # A hundredth of a µm is beyond any click; without it exact data would be judged by rounding.
    allowed = (1 + TOLERANCE) * held_out[best] + 0.01
    chosen = next(kind for kind in held_out if held_out[kind] <= allowed)
    return chosen, _why(chosen, best, held_out) + _no_spline(spline, held_out[chosen])


def _no_spline(spline: float, chosen: float) -> str:
    """Why a spline that is better was passed over."""
    return f"; a spline's {spline:.2f} µm is not clearly less." if spline < chosen - 0.01 else "."


def _why(chosen: TransformKind, best: TransformKind, held_out: dict[TransformKind, float]) -> str:
    words = f"{chosen}: its held-out error is {held_out[chosen]:.2f} µm"
    kinds = list(held_out)
    simpler, richer = kinds[: kinds.index(chosen)], kinds[kinds.index(chosen) + 1 :]
    if best != chosen:
        words += f", not worse than {best}'s {held_out[best]:.2f} µm by more than {TOLERANCE:.0%}, and it needs less"
    elif richer:
        words += f"; {richer[0]}'s {held_out[richer[0]]:.2f} µm is no better"
    if simpler:
        words += f"; the simpler {simpler[-1]} has {held_out[simpler[-1]]:.2f} µm"
    return words
