"""What is in a section, which of it is stale, which files are gone: read from attributes, no array is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.pipeline.preparing import MASK, REGION, SLIDE, region_hash, tissue_hash, transform_hashes
from napari_pixelgene.pipeline.slide import HE, is_placed, slide_hash
from napari_pixelgene.store import provenance
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.labels import labelled
from napari_pixelgene.store.maps import maps_attributes
from napari_pixelgene.store.models import run_meta
from napari_pixelgene.store.references import changed, references, whereabouts
from napari_pixelgene.store.scores import read_scores
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import tissue_source
from napari_pixelgene.store.verdicts import verdict_words


def describe(store: SectionStore) -> dict[str, Any]:
    """The section as plain values: slide, captures, tissue, features, runs, maps, and what is wrong with them."""
    meta = store.meta()
    return {
        "section": str(store.path),
        "mpp": meta.get("mpp"),
        "grid": meta.get("grid", {}),
        "files": files(store),
        "captures": [_capture(store, name) for name in store.captures()],
        "tissue": tissue_source(store)["source"] if store.find("tissue", "mask") else None,
        "features": store.encoders(),
        "runs": [_run(store, name) for name in store.runs()],
        "maps": [_maps(store, name) for name in store.mapped_runs()],
        "stale": stale(store),
        "unfinished": unfinished(store),
    }


def files(store: SectionStore) -> list[dict[str, str]]:
    """Every file the section refers to: its key, where it is, and whether it is there, changed or gone."""
    out = []
    for key, ref in references(store).items():
        path = whereabouts(ref, store.path)
        state = "gone" if not path.exists() else ("changed" if changed(ref, store.path) else "there")
        out.append({"key": key, "path": str(path), "state": state})
    return out


def stale(store: SectionStore) -> dict[str, str]:
    """Finished work that no longer holds, with the reason in words."""
    now = {}
    if HE in references(store):
        now[SLIDE] = slide_hash(store)
    if store.find("tissue", "mask"):
        now[MASK] = tissue_hash(store)
    now |= transform_hashes(store) | {REGION: region_hash(store)}
    return provenance.stale(store, now)


def is_half_imported(path: Path) -> bool:
    """Whether a section's import was stopped or killed: the same import, asked for again, finishes it."""
    try:
        return SectionStore.open(path, writable=False).meta().get("import", {}).get("finished") is False
    except PixelGeneError:
        return False


def unfinished(store: SectionStore) -> list[str]:
    """Elements that a killed run left half way; the next run continues them."""
    return sorted(
        p.relative_to(store.path).as_posix().removesuffix(".partial") for p in store.path.glob("*/**/*.partial")
        if p.is_dir()
    )  # fmt: skip


def _capture(store: SectionStore, name: str) -> dict[str, Any]:
    found = read_capture(store, name)
    return {
        "name": name,
        "technology": found.technology,
        "genes": len(found.genes),
        "units": found.units_count,
        "transcripts": found.transcripts["rows"] if found.transcripts else None,
        "registered": is_placed(found),
        "verdict": verdict_words(store, name),
        "facts": dict(found.facts),
    }


def _run(store: SectionStore, name: str) -> dict[str, Any]:
    """A run, from its card and its scores; times are None where an older version did not keep them."""
    meta, scores = run_meta(store, name), read_scores(store, name)
    started, finished = _times(meta)
    return {
        "name": name,
        "model": meta["model"],
        "encoder": meta["features"]["encoder"],
        "genes": len(meta["genes"]),
        "train": meta["train"],
        "purpose": "evaluation" if meta.get("kind") == "cross" else "prediction",
        "device": meta.get("device"),
        "seconds": meta.get("seconds"),
        "started": started,
        "finished": finished,
        "settings": meta["settings"],
        "scores": None if scores is None else {**scores.headline, "held_out": scores.held_out},
    }


def _times(meta: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """When a run began and ended, as ISO 8601 in UTC."""
    finished = meta.get("finished")
    if finished is None:
        return None, None
    began = datetime.fromisoformat(finished) - timedelta(seconds=float(meta["seconds"]))
    return began.isoformat(timespec="seconds"), finished


def _maps(store: SectionStore, name: str) -> dict[str, Any]:
    values = maps_attributes(store, name)
    labels = labelled(store, name)
    return {"name": name, "model": values.get("model"), "unit": values["unit"], "labels": labels}
