"""An alignment in words and tables, for every page that tells of one."""

from __future__ import annotations

import numpy as np

from napari_pixelgene.report.content import AlignmentContent
from napari_pixelgene.report.markup import number, table


def alignment_words(found: AlignmentContent) -> str:
    """How the transform came about, and its residuals, in a sentence or two."""
    words = f"The {found.moving_name} image was laid on the H&E by {_named(found.transform.kind)} from "
    words += f"{int(found.keypoints.enabled.sum())} pairs of points."
    for name, values in (("residual", found.transform.residual_um), ("error when left out", found.transform.loo_um)):
        if values is not None and np.isfinite(values).any():
            words += f" Median {name} {np.nanmedian(values):.2f} µm, worst {np.nanmax(values):.2f} µm."
    if found.corner_error_um is not None:
        words += f" Against the true transform it is {found.corner_error_um.max():.2f} µm off at the worst corner."
    return words


def candidates_table(found: AlignmentContent) -> str:
    """Every kind of transform with its residuals and its held-out error in µm; nothing where none was weighed."""
    if not found.candidates:
        return ""
    head = ["kind", "residual, RMS (µm)", "worst (µm)", "left out, RMS (µm)", "left out, median (µm)"]
    rows = [
        [c.kind, *map(number, (c.fit_rmse_um, c.fit_worst_um, c.loo_rmse_um, c.loo_median_um))]
        for c in found.candidates
    ]
    if any(c.why_not for c in found.candidates):
        head, rows = [*head, "why not"], [[*row, c.why_not] for row, c in zip(rows, found.candidates, strict=True)]
    strong = [i for i, c in enumerate(found.candidates) if c.kind == found.transform.kind]
    return table(head, rows, words=(0, 5), strong=strong)


def pairs_table(found: AlignmentContent) -> str:
    """Every pair: where it is on the H&E, its residual, its error when left out, and whether it was used."""
    n, transform = len(found.keypoints), found.transform
    residual, loo = (v if v is not None else np.full(n, np.nan) for v in (transform.residual_um, transform.loo_um))
    trusted = transform.inlier if transform.inlier is not None else found.keypoints.enabled
    rows = [
        (i + 1, f"{x:.1f}", f"{y:.1f}", number(residual[i]), number(loo[i]), "yes" if trusted[i] else "no")
        for i, (x, y) in enumerate(found.pairs_um)
    ]
    return table(("pair", "x (µm)", "y (µm)", "residual (µm)", "left out (µm)", "used"), rows)


def _named(kind: str) -> str:
    return f"{'an' if kind[0] in 'ae' else 'a'} {kind} transform"
