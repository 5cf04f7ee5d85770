"""Clusters and annotations of a run's maps, as OME-Zarr labels inside them: maps/RUN/labels/NAME.

0 is background, 1 the first name; names stand in the `image-label` properties. Beside the labels stand the moments of
every gene and, of an annotation, the confidence. Where the maps are written anew, their labels go with the old ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_pixelgene.arithmetic.contrasts import Moments
from napari_pixelgene.elements.labelling import Labelling
from napari_pixelgene.store.arrays import put, take
from napari_pixelgene.store.disk import disk_errors
from napari_pixelgene.store.documents import NAMESPACE, read_attributes, write_json
from napari_pixelgene.store.ome import VERSION, multiscales
from napari_pixelgene.store.section import SectionStore, make_group

LABELS = "labels"
_MOMENTS = ("count", "mean", "variance")


def write_labels(store: SectionStore, run: str, found: Labelling, superpixel_um: float, fingerprint: str) -> None:
    """Publish a labelling of a run's maps, in the stead of an older one of its kind."""
    room = store.locate("maps", run) / LABELS
    with disk_errors(room):
        if not (room / "zarr.json").exists():
            _describe(store, run, [])
        partial = store.afresh("maps", run, LABELS, found.kind)
        own = {"fingerprint": fingerprint, "names": list(found.names)}
        _write_group(partial.path, {"ome": _labelled(found, superpixel_um), NAMESPACE: own})
        group = make_group(partial.path)
        kind = np.uint8 if len(found.names) < 256 else np.uint16
        put(group, "0", (found.labels + 1).astype(kind), ("y", "x"))
        for name in _MOMENTS:
            put(group.require_group("moments"), name, getattr(found.moments, name))
        if found.confidence is not None:
            put(group, "confidence", found.confidence.astype(np.float32), ("y", "x"))
        partial.publish()
        _describe(store, run, store.names("maps", run, LABELS))


def read_labels(store: SectionStore, run: str, kind: str) -> Labelling:
    """A labelling of a run's maps, whole."""
    group = store.group("maps", run, LABELS, kind)
    names = read_attributes(store.locate("maps", run, LABELS, kind))["names"]
    moments = Moments(*(take(group, f"moments/{name}") for name in _MOMENTS))
    labels = take(group, "0").astype(np.int32) - 1
    confidence = take(group, "confidence") if "confidence" in group else None
    return Labelling(kind, labels, tuple(map(str, names)), moments, confidence)


def labelled(store: SectionStore, run: str) -> list[str]:
    """Which labellings a run's maps have."""
    return store.names("maps", run, LABELS) if store.find("maps", run, LABELS) else []


def list_labels(store: SectionStore, run: str) -> None:
    """Mend the group's list where a kill came between a labelling and its entry."""
    listed = store.group("maps", run, LABELS).attrs["ome"]["labels"]  # type: ignore[index,call-overload]
    if listed != labelled(store, run) and store.writable:
        with disk_errors(store.locate("maps", run, LABELS)):
            _describe(store, run, labelled(store, run))


def _labelled(found: Labelling, superpixel_um: float) -> dict[str, Any]:
    """The `ome` attribute of one labelling."""
    values = [{"label-value": value, "name": name} for value, name in enumerate(found.names, start=1)]
    image = {"properties": values, "source": {"image": "../../"}}
    return {**multiscales(found.kind, 1, superpixel_um, genes=False), "image-label": image}


def _describe(store: SectionStore, run: str, names: list[str]) -> None:
    """The group of labels, which lists them."""
    _write_group(store.locate("maps", run) / LABELS, {"ome": {"version": VERSION, "labels": names}})


def _write_group(folder: Any, attributes: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    write_json(folder / "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": attributes})
