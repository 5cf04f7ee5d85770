"""`pixelgene register`: keypoints or a matrix into the run's transform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, SectionPath, default, of, open_section
from napari_pixelgene.elements.alignment import Registration
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.aligning import register_keypoints, register_matrix, text_keypoints
from napari_pixelgene.readers.alignments import Direction
from napari_pixelgene.stages.registration import RegistrationSettings

Kind = Literal["auto", "translation", "rigid", "similarity", "affine", "homography", "spline"]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a person has: pairs or a matrix."""

    keypoints: Annotated[
        tuple[Path, ...],
        Parameter(
            help="Pairs of points: a CSV of Xenium Explorer, our JSON, or two text files (morphology, then H&E).",
            consume_multiple=True,
            negative="",
            show_default=False,
        ),
    ] = ()
    levels: Annotated[
        tuple[int, int],
        Parameter(help="Pyramid levels that two text files were clicked on (morphology, H&E).", negative=""),
    ] = (0, 0)
    matrix: Annotated[Path | None, Parameter(help="A file with a 3 × 3 matrix.")] = None
    direction: Annotated[
        Direction | None, Parameter(help="Which way a bare matrix leads; Xenium Explorer's is he_to_morphology.")
    ] = None

    def check(self) -> None:
        """Either of the two, once."""
        if bool(self.keypoints) == (self.matrix is not None) or len(self.keypoints) > 2:
            raise SettingsError("A registration takes keypoints or a matrix.", "Give one of --keypoints and --matrix.")


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """How pairs become a transform."""

    kind: Annotated[Kind, of(RegistrationSettings, "kind")] = "auto"
    threshold_um: Annotated[float, of(RegistrationSettings, "threshold_um")] = default(
        RegistrationSettings, "threshold_um"
    )
    allow_mirror: Annotated[bool, of(RegistrationSettings, "allow_mirror", negative="")] = False

    def settings(self) -> RegistrationSettings:
        """As the pipeline takes them."""
        values = {"kind": self.kind, "threshold_um": self.threshold_um, "allow_mirror": self.allow_mirror}
        return RegistrationSettings.make(values)


def register(
    section: SectionPath,
    *,
    given: Given = Given(),
    fitted: Fitted = Fitted(),
    capture: Annotated[str | None, Parameter(help="Which run, where the section has several.")] = None,
    terminal: Listener,
) -> None:
    """Align a run to the H&E, from keypoints or a matrix."""
    given.check()
    store = open_section(section)
    following = f"Next: pixelgene fit --train {section} --run RUN"
    if given.matrix is not None:
        transform = register_matrix(store, given.matrix, capture, given.direction, terminal)
        text = f"{section.name} has its transform. {following}"
        terminal.result({"section": str(store.path), "kind": transform.kind}, text)
        return
    first, *second = given.keypoints
    pairs = text_keypoints(store, first, second[0], given.levels, capture) if second else first
    found = register_keypoints(store, pairs, fitted.settings(), capture, terminal)
    terminal.result(summary(found), f"{told(found)} {following}")


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
        f"The {found.transform.kind} leaves the pairs {values['fit_rmse_um']:.2f} µm off (root mean square; left out "
        f"one at a time {values['loo_rmse_um']:.2f} µm). Recommended is {found.recommendation}"
    )
