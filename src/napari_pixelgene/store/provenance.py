"""What was done with which settings and inputs, and what is stale.

A record stands at the root under the stage's key: the stage, and the element it makes where there can be several
(`features/stain_texture`, `maps/panel`). Its inputs are named the same way, `{"features/stain_texture":
"3f0c…"}`, or after a file (`he`). So staleness walks from record to record: a record is stale when an input has
another fingerprint by now, or is stale itself.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from napari_pixelgene.errors import unknown_name
from napari_pixelgene.settings import Section
from napari_pixelgene.store.documents import plain, read_attributes
from napari_pixelgene.store.section import SectionStore

# In flow order.
STAGES = (
    "import",
    "registration",
    "tissue",
    "verdict",
    "binning",
    "quality",
    "folds",
    "features",
    "training",
    "prediction",
    "evaluation",
    "analysis",
)
Settings = Section | Mapping[str, Any]


def fingerprint(settings: Settings, inputs: Mapping[str, str]) -> str:
    """A hash of settings and input hashes: equal on every machine, whatever the order of the keys."""
    text = json.dumps({"settings": plain(settings), "inputs": plain(inputs)}, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def run_name(prefix: str, run_fingerprint: str) -> str:
    """The name of a run nobody named, such as an evaluation's: never that of a run with other settings."""
    return f"{prefix}-{run_fingerprint[:10]}"


def versions(*packages: str) -> dict[str, str]:
    """Versions of ours, of Python and of the packages asked for that are installed."""
    found = {"python": platform.python_version()}
    for package in ("napari-pixelgene", "numpy", *packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def record(
    store: SectionStore,
    stage: str,
    fingerprint: str,
    settings: Settings,
    inputs: Mapping[str, str],
    seconds: float,
    versions: Mapping[str, str],
) -> None:
    """Write down that a stage is done. `stage` is a name of `STAGES`, with `/element` where there are several."""
    _order(stage)
    entry = {
        "fingerprint": fingerprint,
        "settings": plain(settings),
        "inputs": dict(inputs),
        "seconds": round(seconds, 3),
        "versions": dict(versions),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    store.update_meta("provenance", {**records(store), stage: entry})


def forget(store: SectionStore, stage: str) -> None:
    """Remove a record, as when its element is deleted."""
    store.update_meta("provenance", {key: entry for key, entry in records(store).items() if key != stage})


def records(store: SectionStore) -> dict[str, dict[str, Any]]:
    """All records by stage key, in flow order."""
    found: dict[str, dict[str, Any]] = store.meta().get("provenance", {})
    return dict(sorted(found.items(), key=lambda item: (_order(item[0]), item[0])))


def fresh(store: SectionStore, stage: str, fingerprint: str) -> bool:
    """Whether a stage was done with exactly these settings and inputs."""
    return bool(store.meta().get("provenance", {}).get(stage, {}).get("fingerprint") == fingerprint)


def made_with(store: SectionStore, *names: str) -> str | None:
    """The fingerprint an element carries itself: known even when a kill came before the record."""
    folder = store.find(*names)
    return None if folder is None else read_attributes(folder).get("fingerprint")


def stale_after(stage: str) -> tuple[str, ...]:
    """The stages that come after one in the flow."""
    return STAGES[_order(stage) + 1 :]


def stale(store: SectionStore, current: Mapping[str, str] | None = None) -> dict[str, str]:
    """Records that no longer hold, with the reason in words.

    `current` gives the present hashes of inputs that are no stage's (files), and the fingerprints that stages would
    have with the present settings.
    """
    found = records(store)
    now = {key: entry["fingerprint"] for key, entry in found.items()} | dict(current or {})
    reasons: dict[str, str] = {}
    for key, entry in found.items():
        reason = _reason(key, entry, now, reasons)
        if reason:
            reasons[key] = reason
    return reasons


def _reason(key: str, entry: Mapping[str, Any], now: Mapping[str, str], stale: Mapping[str, str]) -> str:
    if now[key] != entry["fingerprint"]:
        return "its settings or inputs changed"
    for name, was in entry["inputs"].items():
        if name in stale:
            return f"{name} is stale"
        if now.get(name, was) != was:
            return f"{name} changed"
    return ""


def _order(stage: str) -> int:
    """Place of a stage key in the flow."""
    name = stage.split("/", 1)[0]
    if name not in STAGES:
        raise unknown_name("stage", name, STAGES)
    return STAGES.index(name)
