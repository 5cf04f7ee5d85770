"""Do the parts of a section belong together, and what is missing? In words, with what can be shown of it.

Reads attributes and totals, no image and no counts; `off_tissue` reads positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_pixelgene.pipeline.describing import files, stale, unfinished
from napari_pixelgene.pipeline.rough import is_rough
from napari_pixelgene.pipeline.slide import grid_of, is_on_slide, is_placed, is_streamed, to_he_um
from napari_pixelgene.pipeline.trust import held_against
from napari_pixelgene.stages.checks import COARSE_MPP
from napari_pixelgene.store.bins import read_bin_totals
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.tissue import read_tissue

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

Level = Literal["good", "note", "warning", "missing"]
OFF_TISSUE, RELINK = "off tissue", "relink"
# Below this share a tissue mask is rarely wrong: debris and single cells lie off it on every slide.
_FEW_OFF = 0.02


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `show` names what can be shown or done about it: `off tissue`, `relink`, or nothing."""

    level: Level
    text: str
    show: str = ""


@dataclass(frozen=True, slots=True)
class OffTissue:
    """What was measured off the tissue mask: its share of the total, and where, (n, 2) in H&E µm."""

    share: float
    total: int
    what: str  # "transcripts" or "units"
    xy_um: FloatArray


def checks(store: SectionStore) -> list[Check]:
    """All findings, in the order of the flow."""
    found = [*_files(store), *_slide(store)]
    gone = any(check.show == RELINK for check in found)
    for name in store.captures():
        found += _capture(store, read_capture(store, name), gone)
    if not store.captures():
        found.append(Check("note", "nothing was measured on this slide: it can be predicted on"))
    if not gone:
        found += [Check("warning", f"{_words(key)} must be run again: {why}") for key, why in stale(store).items()]
    found += [Check("note", f"{each} was interrupted; the next run continues it") for each in unfinished(store)]
    return found


def off_tissue(store: SectionStore, name: str) -> OffTissue | None:
    """What of a capture lies off the tissue; None before the mask, the place or the bins are there."""
    capture = read_capture(store, name)
    if store.find("tissue", "mask") is None or not is_placed(capture):
        return None
    grid = grid_of(store)
    mask = read_tissue(store).mask.ravel()
    if is_streamed(capture):
        if store.find("captures", name, "bins") is None:
            return None
        superpixel, total = read_bin_totals(store, name)
        off = ~mask[superpixel]
        return OffTissue(_share(total[off], total), int(total.sum()), "transcripts", grid.centres_um(superpixel[off]))
    xy, _ = capture.unit_places()
    xy_um = to_he_um(store, capture, capture.frame).apply(xy)
    place = grid.row_column(xy_um)
    inside = grid.inside(place)
    on = np.zeros(len(xy_um), dtype=bool)
    on[inside] = mask[place[inside, 0] * grid.yx_shape[1] + place[inside, 1]]
    return OffTissue(float((~on).mean()) if len(on) else 0.0, len(on), "units", xy_um[~on])


def _share(some: FloatArray, all_of: FloatArray) -> float:
    return float(some.sum() / all_of.sum()) if all_of.sum() else 0.0


def _files(store: SectionStore) -> Iterator[Check]:
    for each in files(store):
        what = "the H&E" if each["key"] == "he" else "a file of the run"
        if each["state"] == "gone":
            yield Check("missing", f"{what} is not at {each['path']} any more", RELINK)
        elif each["state"] == "changed":
            yield Check("missing", f"{what} at {each['path']} is another file than the one imported", RELINK)


def _slide(store: SectionStore) -> Iterator[Check]:
    mpp = float(store.meta()["mpp"])
    done = store.meta().get("import", {})
    by = "told by the run" if done.get("mpp_by_run") else "read from the file"
    yield Check("good", f"pixel size {mpp:.4g} µm, {'as you gave it' if done.get('settings', {}).get('mpp') else by}")
    if mpp > COARSE_MPP:
        yield Check("warning", "the slide is too coarse to see nuclei: predictions will be smooth")


def _capture(store: SectionStore, capture: StoredCapture, gone: bool) -> Iterator[Check]:
    if not is_placed(capture):
        yield Check("missing", f"{capture.name} is not registered to the H&E yet")
        return
    if is_on_slide(capture):
        yield Check("good", f"{capture.name} lies on the H&E by its own coordinates")
    elif is_rough(store, capture.name):
        yield Check("warning", f"{capture.name} is only roughly aligned: refine it with pairs in Register")
    elif capture.to_he is not None:
        yield _judged(store, capture) or Check("good", _registered(capture))
    if gone:
        return
    off = off_tissue(store, capture.name)
    if off is not None and off.share > 0:
        level: Level = "good" if off.share <= _FEW_OFF else "warning"
        yield Check(level, f"{off.share:.1%} of {off.total:,} {off.what} lie off the tissue", OFF_TISSUE)


def _judged(store: SectionStore, capture: StoredCapture) -> Check | None:
    """What the verdict says against the registration, if anything."""
    verdict = held_against(store, capture.name)
    if verdict is None:
        return None
    level: Level = "missing" if verdict.level == "do not use" else "warning"
    return Check(level, f"{capture.name} is registered, but: {verdict.sentence}")


def _registered(capture: StoredCapture) -> str:
    to_he = capture.to_he
    assert to_he is not None
    if to_he.residual_um is None:
        return f"{capture.name} is registered by a given matrix"
    trusted = to_he.residual_um if to_he.inlier is None else to_he.residual_um[to_he.inlier]
    median = f", median residual {np.median(trusted):.1f} µm" if len(trusted) else ""
    return f"{capture.name} is registered: {to_he.kind}{median}"


def _words(key: str) -> str:
    """A stage's key as a person says it."""
    stage, _, element = key.partition("/")
    named = {
        "training": "the run {0}", "prediction": "the maps of {0}", "features": "the features of {0}",
        "binning": "the bins of {0}", "tissue": "the tissue mask", "evaluation": "the scores of {0}",
    }  # fmt: skip
    return named.get(stage, key).format(element)
