"""A verdict beside the transform it is about: the sentence and the numbers as JSON, the map as arrays."""

from __future__ import annotations

from typing import Any

from napari_pixelgene.elements.verdict import QualityMap, Verdict, WorstPlace
from napari_pixelgene.store.arrays import read_arrays, write_arrays
from napari_pixelgene.store.documents import read_attributes
from napari_pixelgene.store.section import SectionStore

VERDICT = "verdict"
_COLUMNS = ("place_um", "shift_um", "state", "similarity", "confidence", "doubt_um")


def write_verdict(store: SectionStore, name: str, verdict: Verdict, fingerprint: str = "") -> None:
    """Publish a capture's verdict, in the stead of an older one."""
    found = verdict.map
    attributes: dict[str, Any] = {
        "level": verdict.level,
        "basis": verdict.basis,
        "sentence": verdict.sentence,
        "reasons": list(verdict.reasons),
        "numbers": dict(verdict.numbers),
        "worst": [_encoded(place) for place in verdict.worst],
        "spacing_um": found.spacing_um,
        "searched_um": found.searched_um,
    }
    arrays = {column: getattr(found, column) for column in _COLUMNS}
    write_arrays(store, "captures", name, VERDICT, arrays=arrays, fingerprint=fingerprint, attributes=attributes)


def read_verdict(store: SectionStore, name: str) -> Verdict | None:
    """A capture's verdict, None where it was never judged."""
    if store.find("captures", name, VERDICT) is None:
        return None
    arrays, values = read_arrays(store, "captures", name, VERDICT)
    columns: dict[str, Any] = {column: arrays[column] for column in _COLUMNS}
    found = QualityMap(**columns, spacing_um=values["spacing_um"], searched_um=values["searched_um"])
    return Verdict(
        values["level"],
        values["basis"],
        values["sentence"],
        tuple(values["reasons"]),
        values["numbers"],
        tuple(_decoded(place) for place in values["worst"]),
        found,
    )


def verdict_words(store: SectionStore, name: str) -> dict[str, Any] | None:
    """Level, basis and sentence of a capture's verdict, without its map; None where it was never judged."""
    folder = store.find("captures", name, VERDICT)
    if folder is None:
        return None
    values = read_attributes(folder)
    return {key: values[key] for key in ("level", "basis", "sentence")}


def _encoded(place: WorstPlace) -> dict[str, Any]:
    error = place.error_um if place.error_um == place.error_um else None
    return {"xy_um": list(place.xy_um), "error_um": error, "why": place.why}


def _decoded(values: dict[str, Any]) -> WorstPlace:
    x, y = values["xy_um"]
    error = float("nan") if values["error_um"] is None else float(values["error_um"])
    return WorstPlace((float(x), float(y)), error, values["why"])
