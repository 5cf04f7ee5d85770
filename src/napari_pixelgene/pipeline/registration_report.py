"""One page on one registration: judged, drawn, written as HTML that holds everything it shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.errors import RegistrationError, StoreError
from napari_pixelgene.pipeline.slide import open_slide, require_capture
from napari_pixelgene.pipeline.slide_pictures import overview
from napari_pixelgene.pipeline.verdict import judge_registration, nuclei_on_slide
from napari_pixelgene.progress import Note, OnEvent, silent, track
from napari_pixelgene.report.content import AlignmentContent, CloseUp, Picture, RegistrationContent
from napari_pixelgene.report.registration_page import build_registration_report
from napari_pixelgene.stages.registration import STAGE as REGISTRATION
from napari_pixelgene.stages.registration import RegistrationSettings, register
from napari_pixelgene.stages.verdict import STAGE, VerdictSettings
from napari_pixelgene.store import provenance
from napari_pixelgene.store.disk import disk_errors

if TYPE_CHECKING:
    from napari_pixelgene.elements.alignment import Registration
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.elements.verdict import Verdict, WorstPlace
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

# Close-ups: nuclei are told apart, or, where sections share none, glands and edges.
_CROP_UM, _WIDE_CROP_UM = 200.0, 800.0


def registration_report(
    store: SectionStore,
    path: Path,
    capture: str | None = None,
    on_event: OnEvent = silent,
    settings: VerdictSettings | None = None,
) -> Verdict:
    """Judge a capture's registration and write the page to `path`, in the stead of an older one."""
    path = Path(path)
    _check(path)
    verdict = judge_registration(store, capture, on_event, settings)
    page = build_registration_report(registration_content(store, verdict, capture, on_event))
    with disk_errors(path):
        path.write_text(page, encoding="utf-8")
    on_event(Note(f"The report is in {path}.", stage=STAGE))
    return verdict


def registration_content(
    store: SectionStore, verdict: Verdict, capture: str | None = None, on_event: OnEvent = silent
) -> RegistrationContent:
    """Everything the page shows."""
    found, he = require_capture(store, capture), open_slide(store)
    assert found.to_he is not None
    drawn = nuclei_on_slide(store, found, on_event)
    crops = () if drawn is None else tuple(_crops(he, drawn, verdict, on_event))
    record = provenance.records(store).get(f"{STAGE}/{found.name}", {})
    about = (
        ("section", str(store.path)),
        ("run", f"{found.name}, {found.technology}"),
        ("transform", f"{found.to_he.name}, {found.to_he.kind}"),
        ("judged", str(record.get("finished", ""))),
    )
    return RegistrationContent(
        title=f"Registration of {found.name} on {store.name}",
        verdict=verdict,
        he=overview(he),
        alignment=_alignment(store, found, he.require_mpp()),
        crops=crops,
        moving_name=(drawn.name if drawn is not None else "") or "run",
        about=about,
        settings=record.get("settings", {}),
        versions=record.get("versions", {}),
    )


def _check(path: Path) -> None:
    """Refuse what cannot be written before anything is computed."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise StoreError(f"There is no folder for the report {path}.", "Give a file in a folder that is there.")


def _alignment(store: SectionStore, found: StoredCapture, mpp: float) -> AlignmentContent | None:
    """The pairs and what every kind of transform makes of them; None where a matrix was given."""
    pairs, transform = found.keypoints, found.to_he
    if pairs is None or transform is None:
        return None
    again = _registered_again(store, found)
    return AlignmentContent(
        transform,
        pairs,
        pairs.fixed_xy * mpp,
        (transform.apply(pairs.moving_xy) - pairs.fixed_xy) * mpp,
        tuple(again.candidates.values()) if again else (),
        again.recommendation if again else "",
        again.cautions if again else (),
        moving_name="run",
    )


def _registered_again(store: SectionStore, found: StoredCapture) -> Registration | None:
    """The evidence of the fit, which is not kept: made anew with the settings it was made with."""
    assert found.keypoints is not None and found.to_he is not None
    record = provenance.records(store).get(f"{REGISTRATION}/{found.name}", {})
    between, frame = found.stage_to_morphology, found.keypoints.moving_frame
    mpp = 1.0 if frame == "stage_um" else (None if between is None else float(1 / between.matrix[0, 0]))
    try:
        settings = RegistrationSettings.make(record.get("settings", {}))
        return register(found.keypoints, settings, float(store.meta()["mpp"]), mpp)
    except RegistrationError:
        return None  # pairs that were changed since, or belong to a matrix: the page shows them as they are


def _crops(he: Image, drawn: Image, verdict: Verdict, on_event: OnEvent) -> list[CloseUp]:
    places, wide = list(enumerate(verdict.worst)), _CROP_UM if verdict.basis == "nuclei" else _WIDE_CROP_UM
    return [_crop(he, drawn, place, chr(ord("A") + n), wide) for n, place in track(places, "pictures", on_event)]


def _crop(he: Image, drawn: Image, place: WorstPlace, letter: str, wide_um: float) -> CloseUp:
    mpp = he.require_mpp()
    rows, columns = he.yx_shape
    side = round(wide_um / mpp)
    left, top = (
        int(np.clip(round((centre - wide_um / 2) / mpp), 0, max(0, whole - side)))
        for centre, whole in zip(place.xy_um, (columns, rows), strict=True)
    )
    region = (slice(top, min(top + side, rows)), slice(left, min(left + side, columns)))
    picture = Picture(np.asarray(he.levels[0][region]), mpp, (left * mpp, top * mpp))
    x, y = place.xy_um
    return CloseUp(picture, np.asarray(drawn.levels[0][region]), f"{letter}: {place.why}, at x {x:.0f}, y {y:.0f} µm")
