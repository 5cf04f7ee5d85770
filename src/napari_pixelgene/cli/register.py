"""`pixelgene register`: keypoints or a matrix into the run's transform."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, SectionPath, default, of, open_section
from napari_pixelgene.elements.alignment import Registration
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.aligning import register_keypoints, register_matrix, text_keypoints
from napari_pixelgene.readers.alignments import Direction
from napari_pixelgene.stages.registration import RegistrationSettings

Kind = Literal["auto", "translation", "rigid", "similarity", "affine", "homography"]


def register(
    section: SectionPath,
    *,
    keypoints: Annotated[
        list[Path] | None,
        Parameter(
            help="Pairs of points: a CSV of Xenium Explorer, our JSON, or two text files (morphology, then H&E).",
            consume_multiple=True,
            negative="",
        ),
    ] = None,
    levels: Annotated[
        tuple[int, int],
        Parameter(help="Pyramid levels that two text files were clicked on (morphology, H&E).", negative=""),
    ] = (0, 0),
    matrix: Annotated[Path | None, Parameter(help="A file with a 3 × 3 matrix.")] = None,
    direction: Annotated[
        Direction | None, Parameter(help="Which way a bare matrix leads; Xenium Explorer's is he_to_morphology.")
    ] = None,
    kind: Annotated[Kind, of(RegistrationSettings, "kind")] = "auto",
    threshold_um: Annotated[float, of(RegistrationSettings, "threshold_um")] = default(
        RegistrationSettings, "threshold_um"
    ),
    allow_mirror: Annotated[bool, of(RegistrationSettings, "allow_mirror", negative="")] = False,
    capture: Annotated[str | None, Parameter(help="Which run, where the section has several.")] = None,
    terminal: Listener,
) -> None:
    """Align a run to the H&E, from keypoints or a matrix."""
    if (keypoints is None) == (matrix is None) or (keypoints is not None and len(keypoints) > 2):
        raise SettingsError("A registration takes keypoints or a matrix.", "Give one of --keypoints and --matrix.")
    store = open_section(section)
    if matrix is not None:
        transform = register_matrix(store, matrix, capture, direction, terminal)
        terminal.result({"section": str(store.path), "kind": transform.kind}, f"{section.name} has its transform.")
        return
    assert keypoints is not None
    values = {"kind": kind, "threshold_um": threshold_um, "allow_mirror": allow_mirror}
    settings = RegistrationSettings.make(values)
    pairs = keypoints[0] if len(keypoints) == 1 else text_keypoints(store, keypoints[0], keypoints[1], levels, capture)
    found = register_keypoints(store, pairs, settings, capture, terminal)
    terminal.result(summary(found), told(found))


def summary(found: Registration) -> dict[str, Any]:
    """The registration in numbers; pairs are counted from 1."""
    chosen = found.candidates.get(found.recommended if found.transform.kind == "given" else found.transform.kind)
    inlier = found.transform.inlier
    return {
        "kind": found.transform.kind,
        "recommended": found.recommended,
        "fit_rmse_um": chosen.fit_rmse_um if chosen else None,
        "loo_rmse_um": chosen.loo_rmse_um if chosen else None,
        "left_out": [] if inlier is None else [i + 1 for i, trusted in enumerate(inlier.tolist()) if not trusted],
        "cautions": list(found.cautions),
    }


def told(found: Registration) -> str:
    """The registration in words."""
    values = summary(found)
    return (
        f"{found.transform.kind}: the pairs are {values['fit_rmse_um']:.2f} µm off (root mean square), left out one at "
        f"a time {values['loo_rmse_um']:.2f} µm. {found.recommendation}"
    )
