"""`pixelgene register`: keypoints, a matrix or a rough guess into the run's transform."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, SectionPath, default, of, open_section
from napari_pixelgene.elements.alignment import Keypoints, Registration
from napari_pixelgene.elements.verdict import Sections
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.aligning import register_keypoints, register_matrix, text_keypoints
from napari_pixelgene.pipeline.drafting import default_settings
from napari_pixelgene.pipeline.neighbours import mark_sections
from napari_pixelgene.pipeline.slide import is_placed, require_capture
from napari_pixelgene.progress import Note
from napari_pixelgene.readers.alignments import Direction
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.store.captures import read_capture

if TYPE_CHECKING:
    from napari_pixelgene.cli.terminal import Terminal
    from napari_pixelgene.store.section import SectionStore

_NEXT = {
    "look here": "Next: see its worst places in the Register dock.",
    "do not use": "Next: set its pairs anew in the Register dock, or try --rough.",
}
Kind = Literal["auto", "translation", "rigid", "similarity", "affine", "homography", "spline"]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a person has: pairs, a matrix, or neither."""

    keypoints: Annotated[
        tuple[Path, ...],
        Parameter(
            help="Pairs of points: a CSV of Xenium Explorer or BigWarp, our JSON, a SpatialData store, or two text "
            "files (morphology, then H&E).",
            consume_multiple=True,
            negative="",
            show_default=False,
        ),
    ] = ()
    levels: Annotated[
        tuple[int, int],
        Parameter(help="Pyramid levels that two text files were clicked on (morphology, H&E).", negative=""),
    ] = (0, 0)
    unit: Annotated[
        Literal["px", "um"] | None,
        Parameter(help="Of BigWarp's landmarks: px, or um where its images had their pixel size.", show_default=False),
    ] = None
    landmarks: Annotated[
        tuple[str, str] | None,
        Parameter(help="In a SpatialData store: the elements with the run's points and the H&E's.", negative=""),
    ] = None
    landmark_images: Annotated[
        tuple[str, str] | None,
        Parameter(help="And the images of the store they were clicked on, where they are not pixels.", negative=""),
    ] = None
    matrix: Annotated[Path | None, Parameter(help="A file with a 3 × 3 matrix.")] = None
    direction: Annotated[
        Direction | None, Parameter(help="Which way a bare matrix leads; Xenium Explorer's is he_to_morphology.")
    ] = None
    rough: Annotated[
        bool,
        Parameter(help="Neither: a first guess from tissue outlines and nuclei, any turn or mirror.", negative=""),
    ] = False

    @property
    def count(self) -> int:
        """How many of the three were given."""
        return bool(self.keypoints) + (self.matrix is not None) + self.rough

    def check(self, is_enough: bool) -> None:
        """One of the three, once; none where something else that was asked for is enough, as a report alone."""
        if self.count == 0 and is_enough:
            return
        if self.count != 1 or len(self.keypoints) > 2:
            raise SettingsError(
                "A registration takes keypoints, a matrix or a rough guess.",
                "Give one of --keypoints, --matrix and --rough; or --report alone, for what is registered already.",
            )


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """How pairs become a transform."""

    kind: Annotated[
        Kind | None,
        Parameter(
            help="Kind of transform; auto takes the simplest that the pairs support. Left out it is auto, or rigid for "
            "a run without an image whose scale is known from its spots' pitch.",
            negative="",
        ),
    ] = None
    threshold_um: Annotated[float, of(RegistrationSettings, "threshold_um")] = default(
        RegistrationSettings, "threshold_um"
    )
    allow_mirror: Annotated[bool, of(RegistrationSettings, "allow_mirror", negative="")] = False
    mend: Annotated[
        bool,
        Parameter(
            help="Where pairs make no sense and one simple mistake explains it, take them as they are probably meant.",
            negative="",
        ),
    ] = False

    def settings(self, usual: RegistrationSettings) -> RegistrationSettings:
        """As the pipeline takes them; `usual` are those of the run."""
        values = {"kind": self.kind or usual.kind, "threshold_um": self.threshold_um, "allow_mirror": self.allow_mirror}
        return RegistrationSettings.make(values)


def register(
    section: SectionPath,
    *,
    given: Given = Given(),
    fitted: Fitted = Fitted(),
    capture: Annotated[str | None, Parameter(help="Which run, where the section has several.")] = None,
    report: Annotated[
        Path | None, Parameter(help="Judge the registration and write a page on it here, such as qc.html.")
    ] = None,
    sections: Annotated[
        Sections | None,
        Parameter(
            help="What the verdict is told, and the section keeps: the run is of the same section as the H&E, or of a "
            "neighbouring one (serial), which shares no nuclei with it."
        ),
    ] = None,
    terminal: Listener,
) -> None:
    """Align a run to the H&E, from keypoints or a matrix, or roughly from neither."""
    given.check(report is not None or sections is not None)
    store = open_section(section)
    values: dict[str, Any] = {}
    text = ""
    if given.rough:
        values, text = _roughly(store, section, capture, terminal)
    elif given.matrix is not None:
        transform = register_matrix(store, given.matrix, capture, given.direction, terminal)
        values, text = {"section": str(store.path), "kind": transform.kind}, f"{section.name} has its transform."
    elif given.keypoints:
        pairs = _pairs(store, given, capture, terminal)
        found = register_keypoints(store, pairs, _settings(store, fitted, capture), capture, terminal, fitted.mend)
        values, text = summary(found), told(found)
    following = "" if given.rough else _following(store, section)
    if sections is not None:
        values, text = {**values, "sections": sections}, f"{text} {_marked(store, capture, sections)}"
    if report is not None:
        judged = _judged(store, report, capture, terminal)
        values, text = {**values, **judged}, f"{text} {judged['sentence']} The page is {report}."
        following = _NEXT.get(str(judged["verdict"]), following)
    terminal.result(values, f"{text} {following}".strip())


def _marked(store: SectionStore, capture: str | None, sections: Sections) -> str:
    """Keep what the sections are to one another, and say it."""
    name = mark_sections(store, capture, sections)
    said = {"same": "the section of the H&E", "serial": "a neighbouring section", "unknown": "a section nobody named"}
    return f"'{name}' is marked as of {said[sections]}."


def _settings(store: SectionStore, fitted: Fitted, capture: str | None) -> RegistrationSettings:
    return fitted.settings(default_settings(require_capture(store, capture)))


def _following(store: SectionStore, section: Path) -> str:
    waiting = [name for name in store.captures() if not is_placed(read_capture(store, name))]
    if waiting:
        return f"Next: pixelgene register {section} --capture {waiting[0]} --keypoints FILE"
    return f"Next: pixelgene fit --train {section} --run RUN" if len(store.captures()) == 1 else ""


def _pairs(store: SectionStore, given: Given, capture: str | None, terminal: Terminal) -> Keypoints | Path:
    """The pairs of files that need to be told more, else the file itself."""
    from napari_pixelgene.pipeline.landmark_files import bigwarp_landmarks, store_landmarks

    first, *second = given.keypoints
    if second:
        return text_keypoints(store, first, second[0], given.levels, capture)
    if first.is_dir():
        return store_landmarks(first, given.landmarks, given.landmark_images)
    return bigwarp_landmarks(store, first, given.unit, capture, terminal) if given.unit else first


def _judged(store: SectionStore, report: Path, capture: str | None, terminal: Terminal) -> dict[str, Any]:
    """The verdict in numbers and in words, with a page."""
    from napari_pixelgene.pipeline.registration_report import registration_report

    verdict = registration_report(store, report, capture, terminal)
    return {
        "verdict": verdict.level,
        "basis": verdict.basis,
        "sentence": verdict.sentence,
        "reasons": list(verdict.reasons),
        "numbers": dict(verdict.numbers),
        "report": str(report),
    }


def _roughly(store: SectionStore, section: Path, capture: str | None, terminal: Terminal) -> tuple[dict[str, Any], str]:
    """A rough placement, stored; where it is in doubt that is a warning."""
    from napari_pixelgene.pipeline.rough import keep_rough, rough_alignment

    name = require_capture(store, capture).name
    found = rough_alignment(store, name, terminal)
    keep_rough(store, name, found)
    if not found.is_clear:
        terminal(Note(found.words, "warning", "rough alignment"))
    values = {"kind": "rough", "score": found.score, "runner_up": found.runner_up, "clear": found.is_clear}
    told = found.words if found.is_clear else f"A placement of {section.name} in doubt is kept."
    which = f" --capture {name}" if len(store.captures()) > 1 else ""
    refine = f"Next: refine it in the Register dock, or pixelgene register {section}{which} --keypoints FILE"
    return {**values, "words": found.words}, f"{told} {refine}"


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
        "doubt": found.doubt,
    }


def told(found: Registration) -> str:
    """The registration in words."""
    values = summary(found)
    fit_um, loo_um = values["fit_rmse_um"], values["loo_rmse_um"]
    held_out = f"left out one at a time {loo_um:.2f} µm" if isfinite(loo_um) else "too few to leave one out"
    doubted = "It is kept as it stands, although the images speak against it: see the warning. " if found.doubt else ""
    return (
        f"{doubted}The {found.transform.kind} leaves the pairs {fit_um:.2f} µm off (root mean square; {held_out}). "
        f"Recommended is {found.recommendation}"
    )
